"""The send gate: whether a planned child may leave, decided and claimed in one transaction (REL-5.3).

The transaction holds the control row against changes, so that after a HALT commits no new claim can; it commits
before the caller writes to the broker, and PLANNED→SENDING happens once for ever. All figures are whole
micro-units, added up by the database as integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    func,
    select,
    type_coerce,
    update,
)

from engine.errors import InvariantError
from engine.model.context import ControlState
from engine.model.money import from_micros, to_micros
from engine.model.orders import ChildStatus
from engine.ports import GateOutcome
from state.control_row import ControlRecord, read_control
from state.tables import intents, order_counters, orders
from state.upsert import insert_or_keep

_RESERVING = tuple(status.value for status in ChildStatus if status.holds_reservation)

# Built once: they run for every order, and building a statement costs more than running it.
_ORDER_QUANTITY = type_coerce(orders.c.quantity, BigInteger)
_CHILD = select(
    orders.c.account,
    orders.c.intent_id,
    orders.c.near_intent_id,
    orders.c.trade_date,
    orders.c.status,
    _ORDER_QUANTITY.label("quantity"),
).where(orders.c.order_ref == bindparam("order_ref"))
_PARENT = (
    select(type_coerce(intents.c.quantity, BigInteger).label("quantity"), intents.c.reduce_only)
    .where(intents.c.intent_id == bindparam("intent_id"))
    .with_for_update(key_share=True)
)


def _totals(filled: ColumnElement[int], parent: ColumnElement[str]) -> Select[tuple[int, int]]:
    """Filled and reserved quantity of a parent, by the column of its fills and the one that names it."""
    done = type_coerce(filled, BigInteger)
    left = case((done < _ORDER_QUANTITY, _ORDER_QUANTITY - done), else_=0)
    return select(
        func.coalesce(func.sum(done), 0),
        func.coalesce(func.sum(case((orders.c.status.in_(_RESERVING), left), else_=0)), 0),
    ).where(parent == bindparam("intent_id"))


_PARENT_TOTALS = _totals(orders.c.filled, orders.c.intent_id)
_NEAR_TOTALS = _totals(orders.c.near_filled, orders.c.near_intent_id)
"""The same of the spreads whose near leg is the parent's."""

_COUNTERS = (
    select(order_counters.c.orders, type_coerce(order_counters.c.turnover_usd, BigInteger).label("turnover"))
    .where(
        order_counters.c.account == bindparam("account"),
        order_counters.c.trade_date == bindparam("trade_date"),
    )
    .with_for_update(key_share=True)
)
_CLAIM = (
    update(orders)
    .where(orders.c.order_ref == bindparam("claimed_ref"), orders.c.status == ChildStatus.PLANNED.value)
    .values(
        status=ChildStatus.SENDING.value,
        epoch=bindparam("claimed_epoch"),
        sent_at=bindparam("claimed_at"),
        notional_usd=bindparam("claimed_usd"),
        counted_usd=bindparam("claimed_usd"),
    )
)
_COUNT = (
    update(order_counters)
    .where(
        order_counters.c.account == bindparam("counted_account"),
        order_counters.c.trade_date == bindparam("counted_date"),
    )
    .values(
        orders=order_counters.c.orders + bindparam("more_orders"),
        turnover_usd=order_counters.c.turnover_usd + bindparam("more_usd"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLimits:
    """Most that may leave: orders of a trade date, notional of one in USD, and of all, both sides of the market."""

    max_orders: int
    max_order_usd: Decimal
    max_turnover_usd: Decimal

    def __post_init__(self) -> None:
        if self.max_orders < 0 or self.max_order_usd < 0 or self.max_turnover_usd < 0:
            raise InvariantError(f"expected limits of 0 or more, found {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """What the gate looks at; ``filled``, ``reserved`` and ``used`` are of the parent and of the day, in micros."""

    control: ControlRecord | None
    epoch: int | None
    status: ChildStatus
    reduce_only: bool
    quantity: int
    filled: int
    reserved: int
    parent_quantity: int
    notional: int
    orders_today: int
    turnover_today: int


def judge(facts: GateFacts, limits: OrderLimits) -> GateOutcome:
    """The gate's answer; only CLAIMED lets an order leave. A missing control row means HALTED."""
    control = facts.control
    if facts.status is not ChildStatus.PLANNED:
        return GateOutcome.ALREADY_CLAIMED
    if control is None or control.state is ControlState.HALTED:
        return GateOutcome.HALTED
    if control.epoch != facts.epoch:
        return GateOutcome.STALE_EPOCH
    if control.state is ControlState.REDUCING and not facts.reduce_only:
        return GateOutcome.REDUCE_ONLY
    if facts.filled + facts.reserved + facts.quantity > facts.parent_quantity:
        return GateOutcome.OVER_RESERVED
    turnover = facts.turnover_today + facts.notional
    if facts.reduce_only:  # the limits are on new risk: a fund that has to reduce may always do so
        return GateOutcome.CLAIMED
    if facts.notional > to_micros(limits.max_order_usd):
        return GateOutcome.LIMIT
    if facts.orders_today + 1 > limits.max_orders or turnover > to_micros(limits.max_turnover_usd):
        return GateOutcome.LIMIT
    return GateOutcome.CLAIMED


def claim_child(
    connection: Connection,
    order_ref: str,
    epoch: int | None,
    limits: OrderLimits,
    notional_usd: Decimal,
    now: datetime,
) -> GateOutcome:
    """Run the gate inside the caller's transaction; raises `InvariantError` for a child that was never planned."""
    if notional_usd < 0:
        raise InvariantError(f"{order_ref}: expected an unsigned notional, found {notional_usd}")
    order = connection.execute(_CHILD, {"order_ref": order_ref}).one_or_none()
    if order is None:
        raise InvariantError(f"expected a planned child, found none called {order_ref}")
    # Locks are always taken in this order: control, parent, parent of the near leg, counters.
    control = read_control(connection, order.account, share=True)
    parent = connection.execute(_PARENT, {"intent_id": order.intent_id}).one()
    near = None
    if order.near_intent_id is not None:
        near = connection.execute(_PARENT, {"intent_id": order.near_intent_id}).one()
    child = connection.execute(_CHILD, {"order_ref": order_ref}).one()
    filled, reserved = _parent_totals(connection, order.intent_id)
    room = parent.quantity
    if near is not None:
        # Both legs of a spread have to fit: the fuller parent decides.
        near_filled, near_reserved = _parent_totals(connection, order.near_intent_id)
        if near.quantity - near_filled - near_reserved < room - filled - reserved:
            filled, reserved, room = near_filled, near_reserved, near.quantity
    orders_today, turnover_today = _lock_counters(connection, order.account, order.trade_date)
    facts = GateFacts(
        control=control,
        epoch=epoch,
        status=ChildStatus(child.status),
        reduce_only=parent.reduce_only,
        quantity=child.quantity,
        filled=filled,
        reserved=reserved,
        parent_quantity=room,
        notional=to_micros(notional_usd),
        orders_today=orders_today,
        turnover_today=turnover_today,
    )
    outcome = judge(facts, limits)
    if outcome is not GateOutcome.CLAIMED:
        return outcome
    won = connection.execute(
        _CLAIM,
        {
            "claimed_ref": order_ref,
            "claimed_epoch": epoch,
            "claimed_at": now,
            "claimed_usd": notional_usd,
        },
    )
    if won.rowcount != 1:
        return GateOutcome.ALREADY_CLAIMED
    add_turnover(connection, order.account, order.trade_date, notional_usd, orders_sent=1)
    return GateOutcome.CLAIMED


def add_turnover(
    connection: Connection, account: str, trade_date: date, amount_usd: Decimal, orders_sent: int = 0
) -> None:
    """Count orders and notional of a day; a negative amount gives back what did not trade."""
    connection.execute(
        _COUNT,
        {
            "counted_account": account,
            "counted_date": trade_date,
            "more_orders": orders_sent,
            "more_usd": amount_usd,
        },
    )


def counted_notional(
    notional_usd: Decimal, quantity: Decimal, filled: Decimal, status: ChildStatus
) -> Decimal:
    """What a child counts towards the day's turnover: all while it may trade, then its filled part, rounded up."""
    if not status.is_terminal:
        return notional_usd
    part = to_micros(notional_usd) * min(to_micros(filled), to_micros(quantity))
    return from_micros(-(-part // to_micros(quantity)))


def _parent_totals(connection: Connection, intent_id: str) -> tuple[int, int]:
    filled = reserved = 0
    for wanted in (_PARENT_TOTALS, _NEAR_TOTALS):
        totals = connection.execute(wanted, {"intent_id": intent_id}).one()
        filled, reserved = filled + int(totals[0]), reserved + int(totals[1])
    return filled, reserved


def _lock_counters(connection: Connection, account: str, trade_date: date) -> tuple[int, int]:
    day = {"account": account, "trade_date": trade_date}
    found = connection.execute(_COUNTERS, day).one_or_none()
    if found is None:
        insert_or_keep(connection, order_counters, [{**day, "orders": 0, "turnover_usd": Decimal(0)}])
        found = connection.execute(_COUNTERS, day).one()
    return int(found.orders), int(found.turnover)
