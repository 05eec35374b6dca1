"""What became of the parent orders of a date: each with its child orders and its valid executions, as stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import BigInteger, BindParameter, bindparam, func, or_, select, type_coerce

from engine.model.encoding import decode
from engine.model.money import from_micros
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderIntent
from engine.model.spreads import near_leg_key
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
    select(
        orders.c.intent_id,
        orders.c.near_intent_id,
        orders.c.status,
        orders.c.filled,
        orders.c.near_filled,
        orders.c.sent_at,
        orders.c.payload,
    )
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
_FILLED = func.coalesce(
    select(func.sum(type_coerce(orders.c.filled, BigInteger)))
    .where(orders.c.intent_id == intents.c.intent_id)
    .scalar_subquery(),
    0,
) + func.coalesce(
    select(func.sum(type_coerce(orders.c.near_filled, BigInteger)))
    .where(orders.c.near_intent_id == intents.c.intent_id)
    .scalar_subquery(),
    0,
)
_OVERFILLED = (
    select(intents.c.intent_id, intents.c.contract_id, intents.c.quantity, _FILLED.label("filled"))
    .where(
        intents.c.account == _ACCOUNT,
        intents.c.trade_date >= _DATE,
        type_coerce(intents.c.quantity, BigInteger) < _FILLED,
    )
    .order_by(intents.c.intent_id)
)


class Overfilled(NamedTuple):
    """A parent of which more was filled than it ordered, by its own orders and as the near leg of spreads."""

    intent_id: str
    contract_id: str
    quantity: Decimal
    filled: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedParent:
    """One parent order, its children by attempt and its executions by time; both empty when it was never worked.

    ``spreads`` are the children of another parent whose near leg is this one's.
    """

    intent: OrderIntent
    children: tuple[ChildRecord, ...]
    fills: tuple[Fill, ...]
    spreads: tuple[ChildRecord, ...] = ()


def executed_parents(database: Database, account: str, trade_date: date) -> tuple[ExecutedParent, ...]:
    """Parent orders of a date, by id."""
    scope = {"account": account, "trade_date": trade_date}
    children: dict[str, list[ChildRecord]] = defaultdict(list)
    spreads: dict[str, list[ChildRecord]] = defaultdict(list)
    legs: dict[tuple[str, str], str] = {}
    executions: dict[str, list[Fill]] = defaultdict(list)
    with database.read() as connection:
        parents = connection.execute(_INTENTS, scope).all()
        for row in connection.execute(_CHILDREN, scope):
            record = ChildRecord(
                child=decode(ChildOrder, row.payload),
                status=ChildStatus(row.status),
                filled=row.filled,
                sent_at=row.sent_at,
                near_filled=row.near_filled,
            )
            children[row.intent_id].append(record)
            if row.near_intent_id is not None:
                spreads[row.near_intent_id].append(record)
                legs.update(
                    {
                        (record.child.order_ref, name): row.near_intent_id
                        for name in record.child.contract_ids[1:]
                    }
                )
        for row in connection.execute(_FILLS, scope):
            parent = legs.get((row.order_ref, row.contract_id), row.intent_id)
            executions[parent].append(fill_of(row))
    return tuple(
        ExecutedParent(
            intent=decode(OrderIntent, row.payload),
            children=tuple(children[row.intent_id]),
            fills=tuple(executions[row.intent_id]),
            spreads=tuple(spreads[row.intent_id]),
        )
        for row in parents
    )


def parents_of(database: Database, account: str, references: Collection[str]) -> Mapping[str, OrderIntent]:
    """Parents of some order references of ours, by every order reference that those parents have.

    The parent of a spread's near leg stands under `engine.model.spreads.near_leg_key`.
    """
    named = select(orders.c.intent_id).where(orders.c.account == account, orders.c.order_ref.in_(references))
    near = select(orders.c.near_intent_id).where(
        orders.c.account == account, orders.c.order_ref.in_(references)
    )
    own = (
        select(orders.c.order_ref, intents.c.payload)
        .join(intents, intents.c.intent_id == orders.c.intent_id)
        .where(or_(orders.c.intent_id.in_(named), orders.c.intent_id.in_(near)))
        .order_by(orders.c.order_ref)
    )
    other = (
        select(orders.c.order_ref, orders.c.near_contract_id, intents.c.payload)
        .join(intents, intents.c.intent_id == orders.c.near_intent_id)
        .where(or_(orders.c.near_intent_id.in_(named), orders.c.near_intent_id.in_(near)))
        .order_by(orders.c.order_ref)
    )
    with database.read() as connection:
        found = {row.order_ref: decode(OrderIntent, row.payload) for row in connection.execute(own)}
        legs = {
            near_leg_key(row.order_ref, row.near_contract_id): decode(OrderIntent, row.payload)
            for row in connection.execute(other)
        }
    return found | legs


def overfilled_parents(database: Database, account: str, since: date) -> tuple[Overfilled, ...]:
    """Parents of trade dates from one on of which more was filled than ordered, by id."""
    with database.read() as connection:
        rows = connection.execute(_OVERFILLED, {"account": account, "trade_date": since}).all()
    return tuple(
        Overfilled(row.intent_id, row.contract_id, row.quantity, from_micros(int(row.filled))) for row in rows
    )
