"""Orders and executions of an account as they are stored, for those who only read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, bindparam, select

from engine.model.encoding import decode
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderIntent
from engine.ports import ChildRecord
from state.database import Database
from state.fills import fill_of
from state.ledger import KEYS_A_QUERY
from state.prepared import Prepared, StoredRow
from state.tables import fills, intents, orders

_ORDERS_FILLS = Prepared(
    select(fills)
    .where(fills.c.order_ref.in_(bindparam("order_refs", expanding=True)))
    .order_by(fills.c.executed_at, fills.c.execution_id)
)
_FILLS = select(fills).where(fills.c.account == bindparam("account"), fills.c.superseded.is_(False))
_ALL_FILLS, _SOME_FILLS = (
    Prepared(wanted)
    for wanted in (_FILLS, _FILLS.where(fills.c.root.in_(bindparam("names", expanding=True))))
)
_WITHOUT_COMMISSION = _FILLS.where(
    fills.c.order_ref.in_(
        _FILLS.with_only_columns(fills.c.order_ref).where(
            fills.c.commission.is_(None), fills.c.quantity != ZERO
        )
    )
).order_by(fills.c.executed_at, fills.c.execution_id)
_REFERENCES = select(orders.c.order_ref).where(orders.c.account == bindparam("account"))
_ALL_REFERENCES, _SOME_REFERENCES = (
    Prepared(wanted)
    for wanted in (_REFERENCES, _REFERENCES.where(orders.c.order_ref.in_(bindparam("names", expanding=True))))
)
_ORDERS_OF_DATE = Prepared(
    select(orders, intents.c.payload.label("parent"))
    .join(intents, intents.c.intent_id == orders.c.intent_id)
    .where(orders.c.account == bindparam("account"), orders.c.trade_date == bindparam("trade_date"))
    .order_by(orders.c.intent_id, orders.c.attempt)
)


def child_record(row: StoredRow) -> ChildRecord:
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
    with database.read() as connection:
        found = _among(connection, account, roots, _ALL_FILLS, _SOME_FILLS)
    return tuple(fill_of(row) for row in sorted(found, key=lambda row: (row.executed_at, row.execution_id)))


def uncharged_orders(database: Database, account: str) -> tuple[Fill, ...]:
    """Valid executions of the orders of which any has no commission, in the order of their times."""
    with database.read() as connection:
        return tuple(fill_of(row) for row in connection.execute(_WITHOUT_COMMISSION, {"account": account}))


def with_fills(connection: Connection, records: Collection[ChildRecord]) -> tuple[ChildRecord, ...]:
    """Children with their executions in the order of their times: the valid ones, and those that were corrected."""
    found: dict[tuple[str, bool], tuple[Fill, ...]] = {}
    for some in _portions([record.child.order_ref for record in records]):
        for row in _ORDERS_FILLS.all(connection, {"order_refs": some}):
            key = (row.order_ref, row.superseded)
            found[key] = (*found.get(key, ()), fill_of(row))
    return tuple(
        replace(
            record,
            fills=found.get((record.child.order_ref, False), ()),
            corrected=found.get((record.child.order_ref, True), ()),
        )
        for record in records
    )


def order_references(
    database: Database, account: str, among: Collection[str] | None = None
) -> frozenset[str]:
    """References of every order that an account ever planned, or of those among some."""
    with database.read() as connection:
        found = _among(connection, account, among, _ALL_REFERENCES, _SOME_REFERENCES)
    return frozenset(row.order_ref for row in found)


def _among(
    connection: Connection, account: str, names: Collection[str] | None, every: Prepared, some: Prepared
) -> list[StoredRow]:
    """Every row, or those among some names, as many at once as one query takes."""
    if names is None:
        return every.all(connection, {"account": account})
    return [
        row
        for portion in _portions(names)
        for row in some.all(connection, {"account": account, "names": portion})
    ]


def _portions(names: Collection[str]) -> Iterator[Sequence[str]]:
    """Names as many at once as one query takes."""
    listed = sorted(names)
    return (listed[start : start + KEYS_A_QUERY] for start in range(0, len(listed), KEYS_A_QUERY))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """One child order as it stands, with its parent and the mid at which the parent arrived."""

    record: ChildRecord
    intent: OrderIntent
    arrival_mid: Decimal | None


def account_orders(database: Database, account: str, trade_date: date) -> tuple[OrderView, ...]:
    """Child orders of a trade date, in the order of their references, with their parents."""
    with database.read() as connection:
        rows = _ORDERS_OF_DATE.all(connection, {"account": account, "trade_date": trade_date})
    return tuple(
        OrderView(record=record, intent=decode(OrderIntent, row.parent), arrival_mid=record.child.arrival_mid)
        for row, record in ((row, child_record(row)) for row in rows)
    )
