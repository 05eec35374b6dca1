"""Things that happen to the account without the fund: executions changed, holdings moved, orders of others, wrong reports.

Each is a primitive of the broker's own world and knows nothing of how the fund will name it. What changes the account
is real: cash, positions and executions stay changed. What only distorts reports lasts until it is cleared.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from engine.errors import ConfigurationError
from engine.model.instruments import Instrument
from engine.model.money import ZERO, round_money
from engine.model.orders import ChildOrder, Fill, OrderType, Side
from engine.simulation.account import AccountPosition, Fault, FaultKind, PostingKind, Receivable
from engine.simulation.bookkeeping import book_trade, charge_tax, post, sequence_key, store_position
from engine.simulation.broker import SimulatedBroker
from engine.simulation.desk import accept, execution_id

REPORT_FAULTS = frozenset(
    {
        FaultKind.WITHHELD_ANSWER,
        FaultKind.DELAYED_ANSWER,
        FaultKind.OTHER_ACCOUNT,
        FaultKind.UNLISTED_HOLDING,
        FaultKind.UNLISTED_CASH,
        FaultKind.UNLISTED_ORDER,
        FaultKind.HIDDEN_EXECUTION,
        FaultKind.RENAMED_HOLDING,
        FaultKind.SCALED_QUANTITY,
        FaultKind.SCALED_MARK,
        FaultKind.SCALED_CASH,
        FaultKind.SCALED_RATE,
        FaultKind.SHIFTED_CASH,
        FaultKind.UNREADABLE_CASH,
        FaultKind.ADDED_NET_LIQUIDATION,
        FaultKind.FIXED_NET_LIQUIDATION,
    }
)


def remember(
    broker: SimulatedBroker, name: str, kind: FaultKind, subject: str, amount: Decimal, *, active: bool = True
) -> None:
    """Keep what was done to the account or its reports."""
    fault = Fault(name=name, kind=kind, injected_at=broker.now, subject=subject, amount=amount, active=active)
    broker.state.faults.put(sequence_key(len(broker.state.faults) + 1), fault)


def distort_report(
    broker: SimulatedBroker, name: str, kind: FaultKind, subject: str = "", amount: Decimal = ZERO
) -> None:
    """Let the account's reports be wrong in one way, until it is cleared.

    Raises `ConfigurationError` for a kind that is no fault of a report.
    """
    if kind not in REPORT_FAULTS:
        raise ConfigurationError(f"expected a fault of a report, found {kind.value}")
    remember(broker, name, kind, subject, amount)


def move_holding(
    broker: SimulatedBroker, name: str, contract_id: str, quantity: Decimal, *, average_cost: Decimal = ZERO
) -> None:
    """Change a holding by a signed quantity without a trade; ``average_cost`` is that of a new one."""
    state, instrument = broker.state, broker.terms.instrument(contract_id)
    held = state.positions.get(contract_id) or AccountPosition(
        contract_id=contract_id,
        quantity=ZERO,
        average_cost=average_cost,
        futures_cost=ZERO,
        last_settlement=None,
    )
    after = held.quantity + quantity
    store_position(
        state,
        replace(held, quantity=after, futures_cost=_futures_cost(held, after, instrument)),
    )
    remember(broker, name, FaultKind.CHANGED_HOLDING, contract_id, quantity, active=False)


def _futures_cost(held: AccountPosition, after: Decimal, instrument: Instrument) -> Decimal:
    """What is left to settle stays in proportion to what is left."""
    if not instrument.is_future or held.quantity == 0:
        return held.futures_cost
    return round_money(held.futures_cost * after / held.quantity)


def change_cash(broker: SimulatedBroker, name: str, currency: str, amount: Decimal) -> None:
    """Move cash for good, without a reason that the customer is told."""
    post(broker.state, PostingKind.ADJUSTMENT, currency, amount, name)
    remember(broker, name, FaultKind.CHANGED_CASH, currency, amount, active=False)


def transfer_cash(broker: SimulatedBroker, currency: str, amount: Decimal) -> None:
    """Let money come from a bank (positive) or go to one, as the customer is told.

    Raises `ConfigurationError` for a currency that the broker keeps no account in.
    """
    if currency not in broker.terms.carry.financing.benchmark_annual:
        known = ", ".join(sorted(broker.terms.carry.financing.benchmark_annual))
        raise ConfigurationError(f"expected a currency among {known}, found {currency}")
    post(broker.state, PostingKind.DEPOSIT, currency, amount, "transfer")
    broker.commit()


def change_execution(
    broker: SimulatedBroker, name: str, execution: str, quantity: Decimal, price: Decimal
) -> Fill:
    """Correct an execution under the next suffix of its id; a quantity of 0 takes it back.

    Raises `ConfigurationError` for an execution that is not listed.
    """
    state = broker.state
    wrong = state.executions.get(execution)
    if wrong is None:
        raise ConfigurationError(f"expected a listed execution, found {execution!r}")
    instrument = broker.terms.instrument(wrong.contract_id)
    _take_back(broker, wrong)
    number, correction = (int(part) for part in execution.split(".")[1:])
    right = replace(
        wrong,
        execution_id=execution_id(number, correction + 1),
        quantity=quantity,
        price=price,
        commission=ZERO if quantity == 0 else wrong.commission,
    )
    book_trade(state, instrument, right)
    charge_tax(state, broker.terms.costs, instrument, right)
    state.executions.put(right.execution_id, right)
    remember(broker, name, FaultKind.CHANGED_EXECUTION, right.execution_id, quantity, active=False)
    return right


def withdraw_execution(broker: SimulatedBroker, name: str, execution: str) -> None:
    """Take an execution back without a trace in the list: holding and cash are as before it."""
    wrong = broker.state.executions.get(execution)
    if wrong is None:
        raise ConfigurationError(f"expected a listed execution, found {execution!r}")
    _take_back(broker, wrong)
    broker.state.executions.retire(execution)
    remember(broker, name, FaultKind.CHANGED_EXECUTION, execution, ZERO, active=False)


def _take_back(broker: SimulatedBroker, fill: Fill) -> None:
    """Undo an execution with its commission and its tax."""
    instrument = broker.terms.instrument(fill.contract_id)
    side = Side.SELL if fill.side is Side.BUY else Side.BUY
    charge_tax(broker.state, broker.terms.costs, instrument, fill, refund=True)
    book_trade(broker.state, instrument, replace(fill, side=side, commission=-(fill.commission or ZERO)))


def list_again(broker: SimulatedBroker, name: str, execution: str, *, book: bool) -> Fill:
    """List an execution a second time under a new id; with ``book`` it also counts a second time."""
    state = broker.state
    known = state.executions.get(execution)
    if known is None:
        raise ConfigurationError(f"expected a listed execution, found {execution!r}")
    state.head = replace(state.head, executions=state.head.executions + 1)
    twin = replace(known, execution_id=execution_id(state.head.executions))
    state.executions.put(twin.execution_id, twin)
    if book:
        instrument = broker.terms.instrument(twin.contract_id)
        book_trade(state, instrument, twin)
        charge_tax(state, broker.terms.costs, instrument, twin)
    remember(broker, name, FaultKind.CHANGED_EXECUTION, twin.execution_id, twin.quantity, active=False)
    return twin


def promise_cash(
    broker: SimulatedBroker, name: str, contract_id: str, amount: Decimal, pay_date: date
) -> None:
    """Count money as owed to the account (negative: by it) until it is paid, in the contract's currency."""
    promise = Receivable(
        instrument_id=contract_id,
        currency=broker.terms.instrument(contract_id).currency,
        amount=amount,
        pay_date=pay_date,
    )
    broker.state.receivables.put(f"{contract_id}|{name}", promise)
    remember(broker, name, FaultKind.CHANGED_PROMISE, contract_id, amount, active=False)


def pay_now(broker: SimulatedBroker, name: str) -> None:
    """Pay everything that is owed at once, whatever its pay date."""
    for key, due in broker.state.receivables.items():
        post(broker.state, due.kind, due.currency, due.amount, key)
        broker.state.receivables.retire(key)
        remember(broker, name, FaultKind.CHANGED_PROMISE, due.instrument_id, due.amount, active=False)


def charge_execution(broker: SimulatedBroker, name: str, execution: str, more: Decimal) -> None:
    """Raise the commission of a listed execution after the fact, in the currency it was charged in."""
    known = broker.state.executions.get(execution)
    if known is None or known.commission_currency is None:
        raise ConfigurationError(f"expected a listed execution with a commission, found {execution!r}")
    post(broker.state, PostingKind.COMMISSION, known.commission_currency, -more, execution)
    broker.state.executions.put(execution, replace(known, commission=(known.commission or ZERO) + more))
    remember(broker, name, FaultKind.CHANGED_EXECUTION, execution, more, active=False)


def mark_as_broker_trade(broker: SimulatedBroker, name: str, execution: str) -> None:
    """Say of an execution that the broker itself made it."""
    remember(broker, name, FaultKind.CLOSED_BY_BROKER, execution, ZERO, active=False)


def place_order(
    broker: SimulatedBroker,
    name: str,
    contract_id: str,
    quantity: Decimal,
    limit: Decimal,
    order_ref: str = "",
) -> None:
    """Let somebody else's order work in the account; the quantity is signed, the limit in quote units."""
    child = ChildOrder(
        order_ref=order_ref,
        intent_id="",
        attempt=0,
        contract_id=contract_id,
        side=Side.of(quantity),
        quantity=abs(quantity),
        order_type=OrderType.LIMIT,
        limit_price=limit,
        time_in_force="GTC",
        good_till=broker.now + timedelta(days=5),
    )
    accept(broker.state, broker.terms, child)
    remember(broker, name, FaultKind.PLACED_ORDER, contract_id, quantity, active=False)


def change_order(
    broker: SimulatedBroker, name: str, order_ref: str, quantity: Decimal, limit: Decimal
) -> None:
    """Change the terms of an open order by hand; raises `ConfigurationError` when none is open under the reference."""
    for order in broker.state.open_orders():
        if order.child.order_ref == order_ref:
            changed = replace(order.child, quantity=quantity, limit_price=limit)
            broker.state.put_order(replace(order, child=changed))
            remember(broker, name, FaultKind.CHANGED_ORDER, order_ref, quantity, active=False)
            return
    raise ConfigurationError(f"expected an open order, found none under {order_ref!r}")
