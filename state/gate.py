"""The send gate: whether a child may leave, planned, decided and claimed in one transaction (REL-5.3).

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
    insert,
    select,
    true,
    type_coerce,
    update,
)

from engine.errors import InvariantError
from engine.model.context import ControlState
from engine.model.encoding import encode
from engine.model.money import ZERO, from_micros, to_micros
from engine.model.orders import ChildOrder, ChildStatus
from engine.ports import GateOutcome
from state.control_row import ControlRecord, read_control
from state.prepared import Prepared, StoredRow
from state.tables import intents, order_counters, orders
from state.upsert import insert_or_keep

_RESERVING = tuple(status.value for status in ChildStatus if status.holds_reservation)

# Built once: they run for every order, and building a statement costs more than running it.
_ORDER_QUANTITY = type_coerce(orders.c.quantity, BigInteger)
_CHILD = Prepared(
    select(orders.c.status, orders.c.payload).where(orders.c.order_ref == bindparam("order_ref"))
)
_PLAN = Prepared(insert(orders))
_PLAN_ANEW = Prepared(update(orders).where(orders.c.order_ref == bindparam("planned_ref")))
_PARENTS = Prepared(
    select(
        intents.c.intent_id,
        intents.c.trade_date,
        intents.c.contract_id,
        intents.c.side,
        type_coerce(intents.c.quantity, BigInteger).label("quantity"),
        intents.c.reduce_only,
    )
    .where(intents.c.intent_id.in_(bindparam("intent_ids", expanding=True)))
    .order_by(intents.c.intent_id)
    .with_for_update(key_share=True)
)


def _totals(filled: ColumnElement[int], parent: ColumnElement[str]) -> Select[tuple[int, int]]:
    """Filled and reserved quantity of a parent, by the column of its fills and the one that names it."""
    done = type_coerce(filled, BigInteger)
    left = case((done < _ORDER_QUANTITY, _ORDER_QUANTITY - done), else_=0)
    return select(
        func.coalesce(func.sum(done), 0).label("filled"),
        func.coalesce(func.sum(case((orders.c.status.in_(_RESERVING), left), else_=0)), 0).label("reserved"),
    ).where(parent == bindparam("intent_id"))


_OWN = _totals(orders.c.filled, orders.c.intent_id).subquery()
_NEAR = _totals(orders.c.near_filled, orders.c.near_intent_id).subquery()
_PARENT_TOTALS = Prepared(
    select(_OWN.c.filled + _NEAR.c.filled, _OWN.c.reserved + _NEAR.c.reserved).select_from(
        _OWN.join(_NEAR, true())
    )
)
"""Of a parent's own children, and of the spreads whose near leg is the parent's."""

_COUNTERS = Prepared(
    select(order_counters.c.orders, type_coerce(order_counters.c.turnover_usd, BigInteger).label("turnover"))
    .where(
        order_counters.c.account == bindparam("account"),
        order_counters.c.trade_date == bindparam("trade_date"),
    )
    .with_for_update(key_share=True)
)
_CLAIM = Prepared(
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
_COUNT = Prepared(
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
class Sender:
    """The run that asks to send; ``epoch`` is that of its claim, ``None`` for a person's work without a run.

    ``client_id`` is that of the connection over which it sends. ``has_leave`` is whether a person's leave holds, where
    one is needed.
    """

    account: str
    run_id: str
    epoch: int | None
    limits: OrderLimits
    client_id: int | None = None
    has_leave: bool = True


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
    has_leave: bool = True


def judge(facts: GateFacts, limits: OrderLimits) -> GateOutcome:
    """The gate's answer; only CLAIMED lets an order leave. A missing control row, or no leave, means HALTED."""
    control = facts.control
    if control is not None and control.epoch != facts.epoch:
        return GateOutcome.STALE_EPOCH
    if facts.status is not ChildStatus.PLANNED:
        return GateOutcome.ALREADY_CLAIMED
    if control is None or control.state is ControlState.HALTED or not facts.has_leave:
        return GateOutcome.HALTED
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
    connection: Connection, sender: Sender, child: ChildOrder, notional_usd: Decimal, now: datetime
) -> GateOutcome:
    """Plan a child and run the gate for it inside the caller's transaction.

    A child that may not leave now is kept PLANNED, unless another run took over: then nothing is kept. Raises
    `InvariantError` when its parent is not committed or differs, or when it was claimed with another content.
    """
    if notional_usd < 0:
        raise InvariantError(f"{child.order_ref}: expected an unsigned notional, found {notional_usd}")
    # Locks are always taken in this order: control, parents by id, orders, ledger, counters.
    control = read_control(connection, sender.account, share=True)
    parents = _lock_parents(connection, child)
    known = _CHILD.one_or_none(connection, {"order_ref": child.order_ref})
    status = ChildStatus.PLANNED if known is None else ChildStatus(known.status)
    is_same = known is not None and known.payload == encode(child)
    filled, reserved, room = min(
        (_parent_room(connection, parent) for parent in parents),
        key=lambda totals: totals[2] - sum(totals[:2]),
    )
    trade_date = parents[0].trade_date
    orders_today, turnover_today = _lock_counters(connection, sender.account, trade_date)
    facts = GateFacts(
        control=control,
        epoch=sender.epoch,
        status=status,
        reduce_only=parents[0].reduce_only,
        quantity=to_micros(child.quantity),
        filled=filled,
        reserved=reserved,
        parent_quantity=room,
        notional=to_micros(notional_usd),
        orders_today=orders_today,
        turnover_today=turnover_today,
        has_leave=sender.has_leave,
    )
    outcome = judge(facts, sender.limits)
    if outcome is GateOutcome.ALREADY_CLAIMED and not is_same:
        raise InvariantError(f"{child.order_ref} was claimed already and can not become another order")
    if outcome is not GateOutcome.STALE_EPOCH and not is_same:
        plan_child(connection, sender, child, trade_date, is_new=known is None)
    if outcome is not GateOutcome.CLAIMED:
        return outcome
    won = _CLAIM.run(
        connection,
        {
            "claimed_ref": child.order_ref,
            "claimed_epoch": sender.epoch,
            "claimed_at": now,
            "claimed_usd": notional_usd,
        },
    )
    if won != 1:
        return GateOutcome.ALREADY_CLAIMED
    add_turnover(connection, sender.account, trade_date, notional_usd, orders_sent=1)
    return GateOutcome.CLAIMED


def _lock_parents(connection: Connection, child: ChildOrder) -> list[StoredRow]:
    """The child's parent and that of its near leg, held until the transaction ends; both are as the child says."""
    legs = [(child.intent_id, child.contract_id, child.side.value)]
    if child.near is not None:
        legs.append((child.near.intent_id, child.near.contract_id, child.side.opposite.value))
    names = {"intent_ids": [intent_id for intent_id, _, _ in legs]}
    found = {row.intent_id: row for row in _PARENTS.all(connection, names)}
    for number, (intent_id, contract_id, side) in enumerate(legs):
        if intent_id not in found:
            raise InvariantError(
                f"expected a committed parent, found none called {intent_id}; save its job first"
            )
        if (found[intent_id].contract_id, found[intent_id].side) != (contract_id, side):
            near = " of the near leg" if number else ""
            raise InvariantError(f"{child.order_ref}: contract or side{near} is not that of {intent_id}")
    return [found[intent_id] for intent_id, _, _ in legs]


def plan_child(
    connection: Connection, sender: Sender, child: ChildOrder, trade_date: date, *, is_new: bool = True
) -> None:
    """Keep a child PLANNED inside the caller's transaction, or one that was never claimed with its new content."""
    row = {
        "order_ref": child.order_ref,
        "account": sender.account,
        "intent_id": child.intent_id,
        "run_id": sender.run_id,
        "trade_date": trade_date,
        "attempt": child.attempt,
        "contract_id": child.contract_id,
        "side": child.side.value,
        "quantity": child.quantity,
        "filled": ZERO,
        "limit_price": child.limit_price,
        "status": ChildStatus.PLANNED.value,
        "near_intent_id": None if child.near is None else child.near.intent_id,
        "near_contract_id": None if child.near is None else child.near.contract_id,
        "near_filled": ZERO,
        "client_id": sender.client_id,
        "payload": encode(child),
    }
    if is_new:
        _PLAN.run(connection, row)
    else:
        _PLAN_ANEW.run(connection, {**row, "planned_ref": child.order_ref})


def add_turnover(
    connection: Connection, account: str, trade_date: date, amount_usd: Decimal, orders_sent: int = 0
) -> None:
    """Count orders and notional of a day; a negative amount gives back what did not trade."""
    _COUNT.run(
        connection,
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


def _parent_room(connection: Connection, parent: StoredRow) -> tuple[int, int, int]:
    """Filled, reserved and whole quantity of a parent; of a spread's two parents the fuller decides."""
    filled, reserved = _PARENT_TOTALS.one(connection, {"intent_id": parent.intent_id})
    return int(filled), int(reserved), parent.quantity


def _lock_counters(connection: Connection, account: str, trade_date: date) -> tuple[int, int]:
    day = {"account": account, "trade_date": trade_date}
    found = _COUNTERS.one_or_none(connection, day)
    if found is None:
        insert_or_keep(connection, order_counters, [{**day, "orders": 0, "turnover_usd": Decimal(0)}])
        found = _COUNTERS.one(connection, day)
    return int(found.orders), int(found.turnover)
