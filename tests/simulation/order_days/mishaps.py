"""What the broker does on its own between two effects of a living process: it corrects, rejects, fills late, forgets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

from engine.model.orders import ChildStatus, TransportEventKind
from engine.model.universe import ContractBook
from engine.simulation.account import BrokerOrder
from engine.simulation.broker import SimulatedBroker
from engine.simulation.desk import _complete, _execute
from engine.simulation.interventions import change_execution
from engine.simulation.matching import Match
from tests.simulation.order_days.drawing import Dice, Fault
from tests.simulation.order_days.strangers import is_ours

HALF = 0.5
"""Of the corrections so many change the price alone, the others the quantity."""


def strike_executions(broker: SimulatedBroker, dice: Dice, contracts: ContractBook) -> Counter[str]:
    """Let the broker do what the dice say; answers what traded late, by its parent."""
    late: Counter[str] = Counter()
    if dice.strikes(Fault.CORRECTION):
        is_price = dice.amount(Fault.CORRECTION, 0, 1) < HALF
        change_newest(broker, contracts, Decimal(1) if is_price else Decimal("0.5"), ticks=is_price)
    if dice.strikes(Fault.BUST):
        change_newest(broker, contracts, Decimal(0))
    if dice.strikes(Fault.REJECT_LATE):
        reject_newest(broker)
    if dice.strikes(Fault.LATE_FILL) and (filled := fill_late(broker)) is not None:
        late[filled.child.intent_id] += contracts.instrument(filled.child.contract_id).lot  # type: ignore[assignment]
    return late


def change_newest(broker: SimulatedBroker, contracts: ContractBook, part: Decimal, ticks: int = 0) -> None:
    """Let the broker correct its newest execution to a part of its quantity and a price some ticks on, or take it back."""
    latest = {fill.root: fill for fill in broker.executions()}
    standing = [fill for fill in latest.values() if fill.quantity > 0 and is_ours(fill.order_ref)]
    if standing:
        fill = standing[-1]
        instrument = contracts.instrument(fill.contract_id)
        quantity = fill.quantity * part // instrument.lot * instrument.lot
        price = fill.price + ticks * instrument.tick_at(fill.price)
        change_execution(broker, "drawn", fill.execution_id, quantity, price)
        broker.commit()


def reject_newest(broker: SimulatedBroker) -> bool:
    """Let the broker reject the newest order that it had acknowledged, filled in part or not, its cancel under way or not."""
    alive = (ChildStatus.WORKING, ChildStatus.CANCEL_PENDING)
    working = [
        order
        for order in broker.state.open_orders()
        if order.status in alive and is_ours(order.child.order_ref)
    ]
    if not working:
        return False
    text = "error 201: order rejected: margin"
    _complete(broker.state, working[-1], ChildStatus.REJECTED, TransportEventKind.REJECTED, text)
    broker.commit()
    return True


def fill_late(broker: SimulatedBroker) -> BrokerOrder | None:
    """Let an order trade once more that was told to be cancelled; the order, or ``None`` where there is none."""
    ended = [
        order
        for _, order in broker.state.orders.items()
        if order.status is ChildStatus.CANCELLED
        and order.remaining > 0
        and order.child.near is None
        and is_ours(order.child.order_ref)
    ]
    if not ended:
        return None
    order = ended[-1]
    lot = broker.terms.instrument(order.child.contract_id).lot
    traded = _execute(broker.state, broker.terms, order, Match(price=order.child.limit_price, quantity=lot))
    broker.state.put_order(replace(traded, status=ChildStatus.CANCELLED, completed_at=order.completed_at))
    broker.commit()
    return order
