"""What a restart finds: children that were alive, matched with the broker's orders and executions by reference.

Executions that the book misses are booked, states are brought up to the broker's. A child that may have been
sent and is not found stays unknown, with its quantity reserved and its instrument blocked; nothing is ever sent
again under its reference. A child that was planned and never claimed is abandoned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.execution.children import AT_THE_BROKER, first_told, transition_path
from engine.execution.strangers import stranger_executions
from engine.model.absence import Look
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, Fill, OpenOrder
from engine.ports import ChildRecord, OrderBook, OrderTransport


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredChild:
    """One child and what became of it."""

    order_ref: str
    contract_id: str
    before: ChildStatus
    after: ChildStatus
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryReport:
    """Children that were looked at, executions booked now, and contracts that are blocked until a person looks.

    ``late`` are those of the executions whose orders had ended in the book, ``strangers`` the ids of the listed
    executions of orders that are not ours. ``lost`` are references of ours that the broker lists and the book does not
    have, ``recalled`` those of them that worked: their cancel was asked for.
    """

    children: tuple[RecoveredChild, ...]
    booked: tuple[str, ...]
    late: tuple[str, ...]
    blocked: tuple[str, ...]
    strangers: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    recalled: frozenset[str] = frozenset()


def recover(book: OrderBook, transport: OrderTransport) -> RecoveryReport:
    """Bring the book's open children up to what the broker knows of them, and take back what works and the book has lost.

    Raises
    ------
    BrokerUnavailable
        When the broker does not answer: an absent answer is never an absent order.
    """
    now = transport.now()
    records = book.unresolved()
    orders = {order.order_ref: order for order in transport.orders() if order.order_ref is not None}
    listed = transport.executions()
    fills = _by_reference(listed)
    lost = book.spend([*orders, *fills])
    recalled = recall(transport, working(orders.values(), lost))
    for fill in book.uncharged(listed):
        book.record_fill(fill, _booked_at(fill, now))
    late = _late_fills(book, listed, fills, {record.child.order_ref for record in records})
    booked = [fill.execution_id for fill in late if book.record_fill(fill, _booked_at(fill, now))]
    children = []
    for record in records:
        ref = record.child.order_ref
        booked += [fill.execution_id for fill in fills.get(ref, []) if book.record_fill(fill)]
        after = _outcome(record, orders.get(ref), fills.get(ref, []))
        for status in _path(record.status, after):
            book.record_status(
                ref, status, now, "found at restart" if ref in orders else "not found at restart"
            )
        children.append(
            RecoveredChild(
                order_ref=ref,
                contract_id=record.child.contract_id,
                before=record.status,
                after=after,
                text=_text(record, orders),
            )
        )
    doubted = {child.order_ref for child in children if child.after is ChildStatus.UNKNOWN}
    unknown = {
        name for record in records if record.child.order_ref in doubted for name in record.child.contract_ids
    }
    return RecoveryReport(
        children=tuple(children),
        booked=tuple(booked),
        late=tuple(fill.execution_id for fill in late),
        blocked=tuple(sorted(unknown)),
        strangers=stranger_executions(listed),
        lost=lost,
        recalled=recalled,
    )


def working(listed: Iterable[OpenOrder], among: Collection[str]) -> frozenset[str]:
    """Those of some references whose orders the broker lists and has not ended."""
    return frozenset(
        order.order_ref
        for order in listed
        if order.order_ref is not None and order.order_ref in among and not order.status.is_terminal
    )


def recall(transport: OrderTransport, order_refs: Collection[str]) -> frozenset[str]:
    """Ask for the cancels of orders of ours that nobody works: what a restored book has lost, or a run that stops left."""
    for ref in sorted(order_refs):
        transport.cancel(ref)
    return frozenset(order_refs)


def recall_what_is_left(book: OrderBook, transport: OrderTransport) -> frozenset[str]:
    """Where a run stops before it works anything, ask for the cancels of what an earlier attempt left at the broker."""
    return recall(
        transport, [row.child.order_ref for row in book.unresolved() if row.status in AT_THE_BROKER]
    )


def shown_status(record: ChildRecord, look: Look) -> ChildStatus:
    """State of a child that a complete answer of the broker shows; UNKNOWN where it shows none."""
    ref = record.child.order_ref
    order = next((listed for listed in look.orders if listed.order_ref == ref), None)
    return _outcome(record, order, _by_reference(look.executions).get(ref, []))


def _late_fills(
    book: OrderBook, listed: tuple[Fill, ...], fills: Mapping[str, list[Fill]], open_refs: Collection[str]
) -> tuple[Fill, ...]:
    """Executions of orders that ended, which nobody booked: fills after the end, corrections, messages that were lost.

    What exceeds an order's quantity is not booked here: it stays a difference that stops the fund.
    """
    missing = book.unbooked(tuple(fill for fill in listed if fill.order_ref not in open_refs))
    children = {
        fill.order_ref: book.child(fill.order_ref).child for fill in missing if fill.order_ref is not None
    }
    fitting = {ref for ref, child in children.items() if max(_executed(child, fills[ref])) <= child.quantity}
    return tuple(fill for fill in missing if fill.order_ref in fitting)


def _booked_at(fill: Fill, now: datetime) -> datetime | None:
    """Now for an execution of an earlier day, whose books are closed."""
    return now if fill.executed_at.date() < now.date() else None


def _by_reference(executions: tuple[Fill, ...]) -> Mapping[str, list[Fill]]:
    """Executions of each order in order of time, corrections after what they correct."""
    found: dict[str, list[Fill]] = {}
    for fill in sorted(executions, key=lambda f: (f.executed_at, f.execution_id)):
        if fill.order_ref is not None:
            found.setdefault(fill.order_ref, []).append(fill)
    return found


def _outcome(record: ChildRecord, order: OpenOrder | None, fills: list[Fill]) -> ChildStatus:
    """State that the evidence shows. An order that ended is only believed when its executions are all there."""
    if record.status is ChildStatus.PLANNED:
        return ChildStatus.ABANDONED
    seen = max(min(_executed(record.child, fills)), record.whole)
    if seen >= record.child.quantity:
        return ChildStatus.FILLED
    if order is None:
        return ChildStatus.UNKNOWN
    if order.status.is_terminal and order.filled > max(seen, min(first_told(record.child, fills))):
        return ChildStatus.UNKNOWN
    if order.status is ChildStatus.SENDING:
        return ChildStatus.WORKING
    return order.status


def _executed(child: ChildOrder, fills: list[Fill]) -> tuple[Decimal, ...]:
    """Quantity that each leg executed, by the latest versions."""
    latest = {fill.root: fill for fill in fills}
    return tuple(
        sum((fill.quantity for fill in latest.values() if fill.contract_id == name), ZERO)
        for name in child.contract_ids
    )


def _path(current: ChildStatus, target: ChildStatus) -> tuple[ChildStatus, ...]:
    """States to write; a cancel on its way that is found working stays a cancel on its way."""
    if current is ChildStatus.CANCEL_PENDING and target is ChildStatus.WORKING:
        return ()
    return transition_path(current, target)


def _text(record: ChildRecord, orders: Mapping[str, OpenOrder]) -> str:
    if record.status is ChildStatus.PLANNED:
        return "planned, never claimed"
    found = orders.get(record.child.order_ref)
    return "not listed by the broker" if found is None else f"listed as {found.status.value}"
