"""What a statement proves of orders whose fate is not known.

A statement that covers the whole life of an order lists every execution of it. An order without one, for a contract
whose quantity is the same in book and statement, and that the broker does not list as open, never reached the market.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.accounting.statement import Statement, TradeKind
from engine.accounting.statement_cash import quantities_on
from engine.accounting.statement_findings import BookSide
from engine.model.money import ZERO
from engine.model.orders import ChildStatus
from engine.ports import ChildRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFate:
    """An order of unknown fate and the state that the statement proves, ``None`` when it proves none."""

    order_ref: str
    contract_id: str
    status: ChildStatus | None
    text: str


def order_fates(
    statement: Statement,
    book: BookSide,
    unknown: Sequence[ChildRecord],
    open_refs: Collection[str],
) -> tuple[OrderFate, ...]:
    """Fates of orders in state UNKNOWN; ``open_refs`` are the references that the broker lists as open now."""
    executed = _executed(statement)
    theirs = {held.contract_id: held.quantity for held in statement.positions}
    ours = quantities_on(book.entries, statement.last)
    fates = []
    for record in unknown:
        child = record.child
        agrees = all(theirs.get(name, ZERO) == ours.get(name, ZERO) for name in child.contract_ids)
        filled = max(
            record.whole,
            min(executed.get((child.order_ref, name), ZERO) for name in child.contract_ids),
        )
        status, text = None, ""
        if record.sent_at is None or not statement.begins <= record.sent_at < statement.ends:
            text = "the statement does not cover the time at which it was sent"
        elif filled >= child.quantity:
            status, text = ChildStatus.FILLED, "all of it is in the statement"
        elif child.good_till > min(statement.ends, statement.generated_at):
            text = "the statement ends before the order did"
        elif child.order_ref in open_refs:
            text = "the broker still lists it as open"
        elif not agrees:
            text = f"book and statement differ in the quantity of {' or '.join(child.contract_ids)}"
        elif filled > 0:
            status, text = ChildStatus.CANCELLED, f"{filled} of it are in the statement, and its life is over"
        else:
            status, text = (
                ChildStatus.ABSENT,
                "the statement covers its whole life and has no execution of it",
            )
        fates.append(
            OrderFate(order_ref=child.order_ref, contract_id=child.contract_id, status=status, text=text)
        )
    return tuple(fates)


def _executed(statement: Statement) -> Mapping[tuple[str, str], Decimal]:
    """Executed quantity by order reference and contract, cancellations taken off."""
    found: dict[tuple[str, str], Decimal] = {}
    for row in statement.trades:
        if row.fill.order_ref is not None:
            sign = -1 if row.kind is TradeKind.CANCEL else 1
            key = (row.fill.order_ref, row.fill.contract_id)
            found[key] = found.get(key, ZERO) + sign * row.fill.quantity
    return found
