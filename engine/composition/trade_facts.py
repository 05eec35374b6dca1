"""What is known of each trade before it is judged: its cost, its risk, its carry, and what it does to the fund."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from engine.composition.readings import corporate_actions
from engine.composition.stages import (
    DayInputs,
    DaySetup,
    ValuedFund,
    contract_book,
    expected_carry,
)
from engine.execution.caps import SizedTrade
from engine.execution.establishing import gate_unit, unfinished_units
from engine.execution.gating import GateCandidate, GateInputs
from engine.execution.netting import PriceBook
from engine.execution.slippage import REFERENCE_VOLATILITY, TradeSize, expected_cost
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO, decimal_from_float
from engine.model.orders import Reason, Trade
from engine.risk.decision import RiskDecision
from engine.roll import days_left

BETA_DAYS = 250
BETA_OBSERVATIONS = 60
VOLATILITY_DAYS = 60
YEAR_DAYS = 252
GATE_SHRINKAGE = 0.1
"""Share of the diagonal in the gate's covariance: enough to keep twins such as ES and MES apart."""


def held_by_instrument(setup: DaySetup, inputs: DayInputs) -> Mapping[str, Decimal]:
    """Quantity held of every instrument, over its contracts."""
    contracts, held = contract_book(setup, inputs), dict[str, Decimal]()
    for contract_id, position in inputs.portfolio.positions.items():
        name = contracts.contract(contract_id).instrument_id
        held[name] = held.get(name, ZERO) + position.quantity
    return held


def gate_inputs(
    setup: DaySetup, inputs: DayInputs, fund: ValuedFund, risk: RiskDecision, trades: Sequence[Trade]
) -> GateInputs:
    """Market and book as the gate sees them; which trades belong to what is still being built."""
    history = inputs.market.history
    rows = {name: row for row, name in enumerate(history.instrument_ids)}
    weights = np.zeros(len(rows))
    for line in fund.valuation.lines:
        weights[rows[line.instrument_id]] += float(line.exposure_usd / fund.valuation.nav)
    unfinished = unfinished_units(inputs.memory.gate, held_by_instrument(setup, inputs), setup.policy.gate)
    return GateInputs(
        nav=fund.valuation.nav,
        instrument_ids=history.instrument_ids,
        weights=weights,
        returns=history.returns,
        shrinkage=GATE_SHRINKAGE,
        carry_annual=expected_carry(setup, inputs),
        regime=risk.regime.value,
        unfinished=frozenset(trade.contract_id for trade in trades if gate_unit(trade) in unfinished),
    )


def gate_candidates(
    setup: DaySetup, inputs: DayInputs, trades: Sequence[Trade], prices: PriceBook
) -> tuple[GateCandidate, ...]:
    """Trades with their exposure and their expected cost."""
    return tuple(
        GateCandidate(
            trade=trade,
            notional_usd=prices.notional_usd(trade.contract_id, trade.quantity),
            cost_usd=_cost(setup, inputs, trade, prices) + _short_buffer(setup, inputs, trade, prices),
        )
        for trade in trades
    )


def sized_trade(setup: DaySetup, inputs: DayInputs, trade: Trade, prices: PriceBook) -> SizedTrade:
    """A trade with what it does to the fund, for the caps."""
    instrument = setup.universe[trade.instrument_id]
    notional = prices.notional_usd(trade.contract_id, trade.quantity)
    volume = inputs.market.average_daily_volume.get(trade.contract_id)
    limit = None if volume is None else volume * setup.policy.safety.max_adv_fraction
    # A currency future moves the fund's currency by its notional; a security is paid in its own currency.
    moves_currency = instrument.is_future and instrument.exposure_currency != BASE_CURRENCY
    currency = {instrument.exposure_currency: notional} if moves_currency else {}
    hedges_currency = instrument.instrument_id in {
        name for pair in setup.policy.fx.hedge_contracts.values() for name in pair
    }
    beta = ZERO if hedges_currency else decimal_from_float(_beta(setup, inputs, trade.instrument_id))
    return SizedTrade(
        trade=trade,
        lot=instrument.lot,
        notional_usd=notional,
        beta_usd=beta * notional,
        currency_usd=currency if hedges_currency else {},
        largest_quantity=limit,
        ends=trade.reduce_only and _is_at_its_end(setup, inputs, trade, prices),
    )


def _is_at_its_end(setup: DaySetup, inputs: DayInputs, trade: Trade, prices: PriceBook) -> bool:
    """Whether a trade rolls or closes a future on its last allowed days."""
    instrument = setup.universe[trade.instrument_id]
    if trade.reason is not Reason.ROLL or not instrument.is_future:
        return False
    contract = prices.contracts.contract(trade.contract_id)
    days = days_left(contract, instrument, setup.sessions, inputs.context.trade_date, setup.policy.roll)
    return days is not None and days <= setup.policy.roll.critical_days


def _cost(setup: DaySetup, inputs: DayInputs, trade: Trade, prices: PriceBook) -> Decimal:
    size = TradeSize(
        quantity=trade.quantity,
        price=prices.price(trade.contract_id),
        volatility_annual=_volatility(inputs, trade.instrument_id),
        average_daily_volume=inputs.market.average_daily_volume.get(trade.contract_id),
    )
    return expected_cost(
        size, setup.universe[trade.instrument_id], setup.policy.costs, inputs.market.fx
    ).total_usd


def _short_buffer(setup: DaySetup, inputs: DayInputs, trade: Trade, prices: PriceBook) -> Decimal:
    """Reserve in USD for dividends that a new or larger short of a share will owe (CARRY-03)."""
    held = inputs.portfolio.quantity(trade.contract_id)
    added = max(ZERO, -(held + trade.quantity)) - max(ZERO, -held)
    if added <= 0:
        return ZERO
    value = abs(prices.notional_usd(trade.contract_id, added))
    return corporate_actions(inputs.market, setup.policy).short_reserve(
        setup.universe[trade.instrument_id], value
    )


def _column(inputs: DayInputs, instrument_id: str, days: int) -> np.ndarray:
    history = inputs.market.history
    if instrument_id not in history.instrument_ids:
        return np.empty(0)
    return history.returns[-days:, history.instrument_ids.index(instrument_id)]


def _volatility(inputs: DayInputs, instrument_id: str) -> float:
    """Annual volatility of an instrument for its impact; without history that of the cost model's reference."""
    column = _column(inputs, instrument_id, VOLATILITY_DAYS)
    known = column[np.isfinite(column)]
    if len(known) < 2:
        return REFERENCE_VOLATILITY
    return float(known.std(ddof=1) * np.sqrt(YEAR_DAYS))


def _beta(setup: DaySetup, inputs: DayInputs, instrument_id: str) -> float:
    """Beta to the core's long leg over a year; 1 where too little history is known."""
    market = next((name for name in setup.policy.sleeves.core_long), instrument_id)
    mine, base = _column(inputs, instrument_id, BETA_DAYS), _column(inputs, market, BETA_DAYS)
    if len(mine) != len(base) or len(mine) == 0:
        return 1.0
    both = np.isfinite(mine) & np.isfinite(base)
    if both.sum() < BETA_OBSERVATIONS or base[both].std() == 0.0:
        return 1.0
    return float(np.cov(mine[both], base[both])[0, 1] / base[both].var(ddof=1))
