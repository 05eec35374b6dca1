"""What became of the parent orders of a date: each with its child orders and its valid executions, as stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import BindParameter, bindparam, select

from engine.model.encoding import decode
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderIntent
from engine.ports import ChildRecord
from state.database import Database
from state.fills import fill_of
from state.tables import fills, intents, orders

_ACCOUNT: BindParameter[str] = bindparam("account")
_DATE: BindParameter[date] = bindparam("trade_date")
_INTENTS = (
    select(intents.c.intent_id, intents.c.payload)
    .where(intents.c.account == _ACCOUNT, intents.c.trade_date == _DATE)
    .order_by(intents.c.intent_id)
)
_CHILDREN = (
    select(orders.c.intent_id, orders.c.status, orders.c.filled, orders.c.sent_at, orders.c.payload)
    .join(intents, intents.c.intent_id == orders.c.intent_id)
    .where(intents.c.account == _ACCOUNT, intents.c.trade_date == _DATE)
    .order_by(orders.c.intent_id, orders.c.attempt)
)
_FILLS = (
    select(fills)
    .join(intents, intents.c.intent_id == fills.c.intent_id)
    .where(intents.c.account == _ACCOUNT, intents.c.trade_date == _DATE, fills.c.superseded.is_(False))
    .order_by(fills.c.executed_at, fills.c.execution_id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedParent:
    """One parent order, its children by attempt and its executions by time; both empty when it was never worked."""

    intent: OrderIntent
    children: tuple[ChildRecord, ...]
    fills: tuple[Fill, ...]


def executed_parents(database: Database, account: str, trade_date: date) -> tuple[ExecutedParent, ...]:
    """Parent orders of a date, by id."""
    scope = {"account": account, "trade_date": trade_date}
    children: dict[str, list[ChildRecord]] = defaultdict(list)
    executions: dict[str, list[Fill]] = defaultdict(list)
    with database.read() as connection:
        parents = connection.execute(_INTENTS, scope).all()
        for row in connection.execute(_CHILDREN, scope):
            children[row.intent_id].append(
                ChildRecord(
                    child=decode(ChildOrder, row.payload),
                    status=ChildStatus(row.status),
                    filled=row.filled,
                    sent_at=row.sent_at,
                )
            )
        for row in connection.execute(_FILLS, scope):
            executions[row.intent_id].append(fill_of(row))
    return tuple(
        ExecutedParent(
            intent=decode(OrderIntent, row.payload),
            children=tuple(children[row.intent_id]),
            fills=tuple(executions[row.intent_id]),
        )
        for row in parents
    )


def parents_of(database: Database, account: str, references: Collection[str]) -> Mapping[str, OrderIntent]:
    """Parents of some order references of ours, by every order reference that those parents have."""
    named = select(orders.c.intent_id).where(orders.c.account == account, orders.c.order_ref.in_(references))
    wanted = (
        select(orders.c.order_ref, intents.c.payload)
        .join(intents, intents.c.intent_id == orders.c.intent_id)
        .where(orders.c.intent_id.in_(named))
        .order_by(orders.c.order_ref)
    )
    with database.read() as connection:
        return {row.order_ref: decode(OrderIntent, row.payload) for row in connection.execute(wanted)}
