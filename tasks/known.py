"""Which of the broker's orders and executions are ours, which of them our ledger holds, and what of ours still works."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from engine.accounting.ledger import EntryKind, LedgerEntry, tax_ids
from engine.accounting.sides import KnownOrders, OwnOrder
from engine.execution.recovery import RecoveryReport
from engine.model.orders import ChildStatus, Fill
from engine.model.portfolio import BrokerSnapshot
from engine.ports import ChildRecord
from tasks.runtime import World

TRADE_PREFIX = "trade:"
BROKER = "broker"
"""Name of the broker's account where one of its figures is no number."""
LISTED_DAYS = timedelta(days=1)
"""A broker lists the executions of today and of yesterday."""
ACKNOWLEDGED = (ChildStatus.WORKING, ChildStatus.CANCEL_PENDING)
"""States in which the broker has an order, by what it told us last."""


def own_orders(
    records: Sequence[ChildRecord], recovery: RecoveryReport | None = None
) -> tuple[OwnOrder, ...]:
    """Our orders that may still trade. One that a recovery has just lost was there when we last heard of it."""
    lost = {
        row.order_ref
        for row in (() if recovery is None else recovery.children)
        if row.before in ACKNOWLEDGED and row.after is ChildStatus.UNKNOWN
    }
    return tuple(
        OwnOrder(
            child=record.child,
            status=record.status,
            is_acknowledged=record.status in ACKNOWLEDGED or record.child.order_ref in lost,
        )
        for record in sorted(records, key=lambda record: record.child.order_ref)
        if record.status.holds_reservation
    )


def known_orders(world: World, broker: BrokerSnapshot, working: tuple[OwnOrder, ...]) -> KnownOrders:
    """Of the orders and executions that the broker lists, those that are ours and those that our ledger holds.

    An older version of a listed execution counts too: the ledger may still hold what the broker has corrected. So does
    one of these days that the broker lists no longer: the venue may have taken it back.
    """
    entries = world.ledger.entries(world.account)
    listed = {fill.root for fill in broker.executions}
    asked = listed | _no_longer_listed(entries, listed, broker.as_of.date() - LISTED_DAYS)
    fills: dict[str, Fill] = {fill.execution_id: fill for fill in world.fills(asked)}
    booked = {entry.entry_id for entry in entries} if listed or fills else set()
    for fill in broker.executions:
        if f"trade:{fill.execution_id}" in booked:
            fills.setdefault(fill.execution_id, fill)
    open_refs = {order.order_ref for order in broker.open_orders if order.order_ref is not None}
    return KnownOrders(
        order_refs=world.order_refs(open_refs),
        working=working,
        booked=tuple(fills[name] for name in sorted(fills)),
        taxed=frozenset(name for name in fills if booked.intersection(tax_ids(name))),
    )


def _no_longer_listed(entries: Sequence[LedgerEntry], listed: Collection[str], since: date) -> set[str]:
    """Roots of executions that we booked lately and that the broker should list, and does not."""
    roots = set()
    for entry in reversed(entries):
        if entry.booked_at.date() < since:
            break
        root = entry.entry_id.removeprefix(TRADE_PREFIX).rpartition(".")[0]
        is_trade = entry.kind is EntryKind.TRADE and not entry.is_reversal
        if is_trade and entry.value_date >= since and root not in listed:
            roots.add(root)
    return roots
