"""Orders and trades in the account that the fund did not make: a run that hears of one sends nothing more.

What was there when the run began is judged by the comparison before its first window; what comes later stops the run at
once. The next attempt compares the whole account, and what a person has settled by then stops it no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from engine.errors import HaltError
from engine.model.halts import HaltKind
from engine.model.orders import ORDER_REFERENCE_PREFIX, Fill, TransportEvent, TransportEventKind


def is_own(fill: Fill) -> bool:
    """Whether an execution is of an order of the fund's own."""
    return (fill.order_ref or "").startswith(ORDER_REFERENCE_PREFIX)


def stranger_executions(listed: Iterable[Fill]) -> frozenset[str]:
    """Ids of executions of orders that are not ours."""
    return frozenset(fill.execution_id for fill in listed if not is_own(fill))


def stranger_text(message: TransportEvent) -> str:
    """A message about an order that is not ours, in words."""
    about = message.text
    if (fill := message.fill) is not None:
        about = f"{fill.side.value} {fill.quantity.normalize():f} {fill.contract_id} at {fill.price.normalize():f}"
    told = f"{message.kind.value} of an order that is not ours: {message.order_ref or 'without a reference'}"
    return f"{told}, {about}" if about else told


def refuse_lost(order_refs: Collection[str]) -> None:
    """Raise `HaltError` for executions of orders of ours that the book does not have: a restored one has lost them."""
    if order_refs:
        told = f"{', '.join(sorted(order_refs))} traded and is not in the book, which has lost it"
        raise HaltError(HaltKind.MISSED_FILL.value, f"{told}; take in the broker's statement")


def refuse_recalled(order_refs: Collection[str]) -> None:
    """Raise `HaltError` for orders of ours that worked and that the book does not have, whatever is left of them."""
    if order_refs:
        told = (
            f"{', '.join(sorted(order_refs))} worked at the broker and is not in the book, which has lost it"
        )
        raise HaltError(
            HaltKind.UNKNOWN_ORDER.value, f"{told}; its cancel was asked for; take in the broker's statement"
        )


def refuse_strangers(messages: Iterable[TransportEvent], known: Collection[str]) -> None:
    """Raise `HaltError` for an order of somebody else that works, or an execution of one that is not among the known."""
    for message in messages:
        if message.is_ours:
            continue
        if message.kind is TransportEventKind.ACKNOWLEDGED:
            raise HaltError(HaltKind.UNKNOWN_ORDER.value, stranger_text(message))
        if message.fill is not None and message.fill.execution_id not in known:
            raise HaltError(HaltKind.FOREIGN_POSITION.value, stranger_text(message))
