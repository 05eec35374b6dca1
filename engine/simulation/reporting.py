"""What the simulated broker tells its customer: the account snapshot, with active faults in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from engine.errors import MissingFxRate
from engine.model.market import BASE_CURRENCY, FxRates
from engine.model.money import round_money
from engine.model.orders import Fill, OpenOrder
from engine.model.portfolio import BrokerPosition, BrokerSnapshot
from engine.simulation.account import AccountState, BrokerOrder, FaultKind
from engine.simulation.distortion import EVERY, distorted
from engine.simulation.margin import (
    accrued_by_currency,
    closing_marks,
    margin_total,
    net_liquidation,
    total_cash,
)
from engine.simulation.terms import BrokerTerms

ANSWERED = frozenset({"positions", "cash", "open_orders", "completed_orders", "executions", "account"})
LISTED_DAYS = timedelta(days=1)
"""Completed orders and executions are listed on their own UTC day and on the next one."""


def listed_order(order: BrokerOrder) -> OpenOrder:
    """An order in the customer's words."""
    return OpenOrder(
        order_ref=order.child.order_ref or None,
        broker_order_id=order.broker_order_id,
        contract_id=order.child.contract_id,
        side=order.child.side,
        quantity=order.child.quantity,
        filled=order.filled,
        limit_price=order.child.limit_price,
        status=order.status,
        near_contract_id=None if order.child.near is None else order.child.near.contract_id,
    )


def listed_orders(state: AccountState) -> tuple[OpenOrder, ...]:
    """Open orders and those completed today or yesterday, without those that a fault leaves out."""
    hidden = _hidden(state, FaultKind.UNLISTED_ORDER)
    return tuple(
        listed_order(order)
        for _, order in state.orders.items()
        if not hidden.intersection((order.child.order_ref, EVERY))
    )


def listed_executions(state: AccountState) -> tuple[Fill, ...]:
    """Executions of today and yesterday, without those that a fault hides."""
    hidden = _hidden(state, FaultKind.HIDDEN_EXECUTION)
    return tuple(fill for key, fill in state.executions.items() if not hidden.intersection((key, EVERY)))


def _hidden(state: AccountState, kind: FaultKind) -> set[str]:
    return {fault.subject for _, fault in state.faults.items() if fault.kind is kind and fault.active}


def archive_old(state: AccountState) -> None:
    """Move what is no longer listed into the history: completed orders, executions, stale depth."""
    oldest = state.head.virtual_time.date() - LISTED_DAYS
    for key, order in state.orders.items():
        if order.completed_at is not None and order.completed_at.date() < oldest:
            state.orders.retire(key)
    for key, fill in state.executions.items():
        if fill.executed_at.date() < oldest:
            state.executions.retire(key)
    for key, _ in state.depth.items():
        state.depth.retire(key)


def account_snapshot(state: AccountState, terms: BrokerTerms, as_of: datetime) -> BrokerSnapshot:
    """The account as the broker reports it: live marks where a venue trades, else the last official close."""
    marks, in_session = _broker_marks(state, terms, as_of)
    fx = terms.facts.fx(as_of)
    value = net_liquidation(state, terms, marks, fx)
    margin = margin_total(state, terms, closing_marks(state, terms), fx)
    orders = listed_orders(state)
    faults = [fault for _, fault in state.faults.items()]
    snapshot = BrokerSnapshot(
        account=state.head.account,
        as_of=as_of,
        answered=ANSWERED,
        cash=total_cash(state, terms, marks),
        accrued=accrued_by_currency(state),
        positions={
            contract_id: BrokerPosition(
                contract_id=contract_id,
                quantity=held.quantity,
                average_cost=held.average_cost,
                mark=marks[contract_id],
                in_session=in_session[contract_id],
            )
            for contract_id, held in state.positions.items()
            if held.quantity != 0
        },
        fx=_reported_rates(state, terms, fx),
        net_liquidation=round_money(value * (1 + _reported_shift(state))),
        excess_liquidity=value - margin,
        open_orders=tuple(order for order in orders if not order.status.is_terminal),
        completed_orders=tuple(order for order in orders if order.status.is_terminal),
        executions=listed_executions(state),
        liquidations=frozenset(fault.subject for fault in faults if fault.kind is FaultKind.CLOSED_BY_BROKER),
    )
    return distorted(snapshot, [fault for fault in faults if fault.active])


def _broker_marks(
    state: AccountState, terms: BrokerTerms, at: datetime
) -> tuple[dict[str, Decimal], dict[str, bool]]:
    marks: dict[str, Decimal] = {}
    live: dict[str, bool] = {}
    for contract_id, held in state.positions.items():
        if held.quantity == 0:
            continue
        quote = terms.facts.quote(contract_id, at)
        live[contract_id] = quote is not None and quote.is_two_sided
        if quote is not None and quote.is_two_sided:
            marks[contract_id] = quote.mid
        else:
            marks[contract_id] = terms.required_closing(contract_id, at)
    return marks, live


def _reported_rates(state: AccountState, terms: BrokerTerms, fx: FxRates) -> dict[str, Decimal]:
    needed = {currency for currency, _ in state.cash.items()} | {BASE_CURRENCY}
    needed |= {terms.instrument(contract_id).currency for contract_id, _ in state.positions.items()}
    rates = {currency: fx.get_rate(currency, BASE_CURRENCY) for currency in sorted(needed)}
    for currency in terms.universe.currencies:
        # Currencies that the account does not touch are told only where the market quotes them.
        try:
            rates.setdefault(currency, fx.get_rate(currency, BASE_CURRENCY))
        except MissingFxRate:
            continue
    return rates


def _reported_shift(state: AccountState) -> Decimal:
    return sum(
        (
            fault.amount
            for _, fault in state.faults.items()
            if fault.kind is FaultKind.SHIFTED_NET_LIQUIDATION and fault.active
        ),
        Decimal(0),
    )
