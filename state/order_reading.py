"""Orders and executions of an account as they are stored, for those who only read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, Row, select

from engine.model.encoding import decode
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderIntent
from engine.ports import ChildRecord
from state.database import Database
from state.fills import fill_of
from state.ledger import KEYS_A_QUERY
from state.tables import fills, intents, orders

_ORDERS_FILLS = (
    select(fills).where(fills.c.superseded.is_(False)).order_by(fills.c.executed_at, fills.c.execution_id)
)


def child_record(row: Row[tuple[object, ...]]) -> ChildRecord:
    """The child that a row of orders holds."""
    return ChildRecord(
        child=decode(ChildOrder, row.payload),
        status=ChildStatus(row.status),
        filled=row.filled,
        sent_at=row.sent_at,
        near_filled=row.near_filled,
        client_id=row.client_id,
        broker_ids=tuple(name for name in (row.broker_order_id, row.perm_id) if name),
    )


def account_fills(database: Database, account: str, roots: Collection[str] | None = None) -> tuple[Fill, ...]:
    """Valid executions of an account's own orders, or of some roots, in the order of their times."""
    wanted = select(fills).where(fills.c.account == account, fills.c.superseded.is_(False))
    with database.read() as connection:
        found = [
            row
            for some in _portions(roots)
            for row in connection.execute(wanted if some is None else wanted.where(fills.c.root.in_(some)))
        ]
    return tuple(fill_of(row) for row in sorted(found, key=lambda row: (row.executed_at, row.execution_id)))


def children_fills(connection: Connection, order_refs: Collection[str]) -> Mapping[str, tuple[Fill, ...]]:
    """Valid executions of some orders in the order of their times, by the references of those that have any."""
    found: dict[str, tuple[Fill, ...]] = {}
    for some in _portions(order_refs):
        wanted = _ORDERS_FILLS.where(fills.c.order_ref.in_(some or ()))
        for row in connection.execute(wanted):
            found[row.order_ref] = (*found.get(row.order_ref, ()), fill_of(row))
    return found


def order_references(
    database: Database, account: str, among: Collection[str] | None = None
) -> frozenset[str]:
    """References of every order that an account ever planned, or of those among some."""
    wanted = select(orders.c.order_ref).where(orders.c.account == account)
    with database.read() as connection:
        return frozenset(
            name
            for some in _portions(among)
            for name in connection.execute(
                wanted if some is None else wanted.where(orders.c.order_ref.in_(some))
            ).scalars()
        )


def _portions(names: Collection[str] | None) -> Iterator[list[str] | None]:
    """Names in portions that one query takes; ``None``, once, where none were given."""
    if names is None:
        yield None
        return
    listed = sorted(names)
    for start in range(0, len(listed), KEYS_A_QUERY):
        yield listed[start : start + KEYS_A_QUERY]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """One child order as it stands, with its parent and the mid at which the parent arrived."""

    record: ChildRecord
    intent: OrderIntent
    arrival_mid: Decimal | None


def account_orders(database: Database, account: str, trade_date: date) -> tuple[OrderView, ...]:
    """Child orders of a trade date, in the order of their references, with their parents."""
    wanted = (
        select(orders, intents.c.payload.label("parent"))
        .join(intents, intents.c.intent_id == orders.c.intent_id)
        .where(orders.c.account == account, orders.c.trade_date == trade_date)
        .order_by(orders.c.intent_id, orders.c.attempt)
    )
    with database.read() as connection:
        rows = connection.execute(wanted).all()
    return tuple(
        OrderView(record=record, intent=decode(OrderIntent, row.parent), arrival_mid=record.child.arrival_mid)
        for row, record in ((row, child_record(row)) for row in rows)
    )
