"""How much risk may the fund carry today? Unit price, VIX and history in; scale, regime and loss ladder out.

Cuts never multiply: the volatility scale is one upper bound, the state's factor another, and the lower one holds.
The memory keeps the record before and after its last decision date, so that deciding a date again starts from
the same record and counts the date once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum

import numpy as np

from engine.errors import InvariantError
from engine.model.encoding import significant
from engine.model.market import MarketHistory
from engine.model.policy import RiskPolicy
from engine.model.universe import Universe
from engine.risk.expectation import BindingDays, ScaleBinding, expected_volatility_words
from engine.risk.momentum import spread_momentum, spread_ratio
from engine.risk.regime import RegimeMemory, RegimeReading, RiskRegime, next_regime, regime_in_force
from engine.risk.volatility import (
    VolatilityEstimate,
    estimate_volatility,
    exante_volatility,
    volatility_scale,
)

RETURNS_KEPT = 120
"""Unscaled returns kept: twice the rolling window; older ones weigh less than 1e-5 in the EWMA."""


class RiskState(Enum):
    """State of the risk machine; RECOVERY is NORMAL without leverage."""

    NORMAL = "NORMAL"
    ELEVATED = "ELEVATED"
    CRISIS = "CRISIS"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskInputs:
    """Facts of one risk decision.

    ``unit_price`` in USD is net of subscriptions. ``weights`` are the last targets at scale 1 (fractions of NAV
    by instrument), ``None`` before the first. ``currency_hedge_ratio`` is the hedged part of securities' currency
    (1 = fully). ``core_long``/``core_short`` are the core legs in order of preference.
    """

    trade_date: date
    unit_price: Decimal
    vix: float | None
    weights: Mapping[str, float] | None
    history: MarketHistory
    universe: Universe
    currency_hedge_ratio: float
    core_long: tuple[str, ...]
    core_short: tuple[str, ...]
    strategy_return: float | None = None
    """Return of the scaled sleeves alone since the last decision (fraction of NAV); ``None``: the fund's own.

    Protection is not scaled, so dividing its gain by the scale would read a rescue as risk."""

    def __post_init__(self) -> None:
        if not self.unit_price.is_finite() or self.unit_price <= 0:
            raise InvariantError(
                f"expected a positive unit price, found {self.unit_price}; value the fund first"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskRecord:
    """What one decision date leaves to the next; returns are unscaled, oldest first."""

    regime: RegimeMemory = field(default_factory=RegimeMemory)
    unit_price: Decimal | None = None
    peak_unit_price: Decimal | None = None
    trough_drawdown: float = 0.0
    maximum_drawdown: float = 0.0
    returns: tuple[float, ...] = ()
    scaling_factor: float | None = None
    volatility_scale: float | None = None
    momentum: float | None = None
    kill_since: date | None = None
    days: BindingDays = field(default_factory=BindingDays)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskMemory:
    """Records before and after the last decision date (``None`` before the first)."""

    trade_date: date | None = None
    opening: RiskRecord = field(default_factory=RiskRecord)
    closing: RiskRecord = field(default_factory=RiskRecord)

    def record_for(self, trade_date: date) -> RiskRecord:
        """Record to start a date from; raises `InvariantError` for a date before the last one decided."""
        if self.trade_date is None or trade_date > self.trade_date:
            return self.closing
        if trade_date == self.trade_date:
            return self.opening
        raise InvariantError(f"risk was decided for {self.trade_date}; {trade_date} lies before it")


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskDecision:
    """Risk of one day.

    ``scaling_factor`` multiplies the notionals of the risk sleeves, ``core_scale`` those of the core sleeve.
    ``reduce_factor`` (0.3 to 1) caps the core scale while its momentum is negative. ``reduce_only`` forbids new
    risk until the next session, ``kill`` asks for the kill switch, ``emergency_derisk`` says CRISIS is in force.
    ``drawdown`` and ``daily_return`` are fractions; ``volatility.is_valid`` false blocks scale-ups.
    """

    trade_date: date
    scaling_factor: float
    core_scale: float
    regime: RiskRegime
    previous_regime: RiskRegime
    state: RiskState
    vix: float | None
    daily_return: float | None
    drawdown: float
    maximum_drawdown: float
    peak_unit_price: Decimal
    volatility: VolatilityEstimate
    volatility_scale: float | None
    binding: ScaleBinding
    momentum: float | None
    reduce_core_exposure: bool
    reduce_factor: float
    increase_hedges: bool
    emergency_derisk: bool
    reduce_only: bool
    kill: bool
    explanation: str
    warnings: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0.3 <= self.reduce_factor <= 1.0:
            raise InvariantError(f"expected a reduce factor from 0.3 to 1, found {self.reduce_factor}")
        if not 0.0 <= self.core_scale <= self.scaling_factor:
            raise InvariantError(
                f"expected 0 ≤ core scale ≤ scale, found {self.core_scale}, {self.scaling_factor}"
            )


def risk_state(regime: RiskRegime) -> RiskState:
    """State of a regime; RECOVERY maps to NORMAL."""
    return RiskState.NORMAL if regime is RiskRegime.RECOVERY else RiskState(regime.value)


def final_scale(scale: float, regime: RiskRegime, policy: RiskPolicy) -> float:
    """The lower of volatility scale and state factor; NORMAL alone may exceed its factor (leverage)."""
    if regime is RiskRegime.NORMAL:
        return scale
    return min(scale, policy.state_scales[risk_state(regime).value])


def drawdown_of(unit_price: Decimal, peak: Decimal) -> float:
    """(price − peak) / peak, at most 0."""
    return significant(min(0.0, float(unit_price / peak - 1)))


def decide_risk(
    inputs: RiskInputs, policy: RiskPolicy, memory: RiskMemory
) -> tuple[RiskDecision, RiskMemory]:
    """Decide the day's scale, regime and loss limits."""
    opening = memory.record_for(inputs.trade_date)
    fall = _measure_fall(inputs, opening)
    regime_memory, regime = _decide_regime(inputs, fall, opening, policy)
    returns = _unscaled_returns(inputs, fall, opening)
    estimate = _estimate(inputs, returns, policy)
    allowed = _allowed_scale(estimate, opening, policy)
    scale = _scale(allowed, opening, regime, policy)
    momentum = spread_momentum(
        spread_ratio(inputs.history, inputs.universe, inputs.core_long, inputs.core_short), policy
    )
    reduce_core = momentum is not None and momentum < 0
    binding = _binding(scale, allowed, estimate, policy)
    days = opening.days.plus(binding)
    kill = fall.drawdown <= policy.drawdown_kill
    decision = RiskDecision(
        trade_date=inputs.trade_date,
        scaling_factor=scale,
        core_scale=min(scale, policy.momentum_reduce_factor) if reduce_core else scale,
        regime=regime,
        previous_regime=opening.regime.regime,
        state=risk_state(regime),
        vix=fall.reading.known_vix,
        daily_return=fall.daily_return,
        drawdown=fall.drawdown,
        maximum_drawdown=min(fall.drawdown, opening.maximum_drawdown),
        peak_unit_price=fall.peak,
        volatility=estimate,
        volatility_scale=allowed,
        binding=binding,
        momentum=momentum,
        reduce_core_exposure=reduce_core,
        reduce_factor=policy.momentum_reduce_factor if reduce_core else 1.0,
        increase_hedges=regime is RiskRegime.ELEVATED,
        emergency_derisk=regime is RiskRegime.CRISIS,
        reduce_only=fall.daily_return is not None and fall.daily_return <= policy.daily_reduce_only,
        kill=kill,
        explanation=expected_volatility_words(scale, estimate.measured, binding, days, policy),
        warnings=_warnings(fall, estimate, momentum, kill, policy),
    )
    closing = RiskRecord(
        regime=regime_memory,
        unit_price=inputs.unit_price,
        peak_unit_price=fall.peak,
        trough_drawdown=fall.reading.trough,
        maximum_drawdown=decision.maximum_drawdown,
        returns=returns,
        scaling_factor=scale,
        volatility_scale=allowed if allowed is not None else opening.volatility_scale,
        momentum=momentum,
        kill_since=(opening.kill_since or inputs.trade_date) if kill else None,
        days=days,
    )
    return decision, RiskMemory(trade_date=inputs.trade_date, opening=opening, closing=closing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fall:
    """Where the unit price stands against yesterday and its peak."""

    daily_return: float | None
    drawdown: float
    peak: Decimal
    reading: RegimeReading


def _measure_fall(inputs: RiskInputs, opening: RiskRecord) -> _Fall:
    before, peak = opening.unit_price, max(inputs.unit_price, opening.peak_unit_price or inputs.unit_price)
    daily = None if before is None else significant(float(inputs.unit_price / before - 1))
    drawdown = drawdown_of(inputs.unit_price, peak)
    trough = 0.0 if drawdown == 0.0 else min(drawdown, opening.trough_drawdown)
    reading = RegimeReading(vix=inputs.vix, drawdown=drawdown, trough=trough)
    return _Fall(daily_return=daily, drawdown=drawdown, peak=peak, reading=reading)


def _decide_regime(
    inputs: RiskInputs, fall: _Fall, opening: RiskRecord, policy: RiskPolicy
) -> tuple[RegimeMemory, RiskRegime]:
    by_day = fall.daily_return is not None and fall.daily_return <= policy.daily_crisis
    reading = RegimeReading(
        vix=inputs.vix,
        drawdown=fall.drawdown,
        trough=fall.reading.trough,
        daily_loss_is_crisis=by_day or fall.drawdown <= policy.drawdown_crisis,
    )
    memory = next_regime(reading, opening.regime, policy.regime)
    return memory, regime_in_force(reading, memory)


def _unscaled_returns(inputs: RiskInputs, fall: _Fall, opening: RiskRecord) -> tuple[float, ...]:
    if fall.daily_return is None or not opening.scaling_factor:
        return opening.returns
    earned = fall.daily_return if inputs.strategy_return is None else inputs.strategy_return
    unscaled = significant(earned / opening.scaling_factor)
    return (*opening.returns, unscaled)[-RETURNS_KEPT:]


def _estimate(inputs: RiskInputs, returns: tuple[float, ...], policy: RiskPolicy) -> VolatilityEstimate:
    ex_ante = None
    if inputs.weights:
        ex_ante = exante_volatility(
            inputs.weights,
            inputs.history,
            inputs.universe,
            hedge_ratio=inputs.currency_hedge_ratio,
            annualisation_days=policy.volatility.annualisation_days,
        )
    return estimate_volatility(np.array(returns, dtype=np.float64), ex_ante, policy)


def _allowed_scale(estimate: VolatilityEstimate, opening: RiskRecord, policy: RiskPolicy) -> float | None:
    if estimate.annual is None:
        return None
    scale = volatility_scale(estimate.annual, policy)
    if estimate.is_valid:
        return scale
    before = opening.volatility_scale
    limit = policy.scale_without_history_max
    return min(scale, limit if before is None else min(limit, before))


def _scale(allowed: float | None, opening: RiskRecord, regime: RiskRegime, policy: RiskPolicy) -> float:
    """Scale under its state; without any volatility the last one holds, and an empty fund stays empty."""
    if allowed is None:
        allowed = min(opening.scaling_factor or 0.0, policy.scale_without_history_max)
    return final_scale(allowed, regime, policy)


def _binding(
    scale: float, allowed: float | None, estimate: VolatilityEstimate, policy: RiskPolicy
) -> ScaleBinding:
    if allowed is None or estimate.measured is None:
        return ScaleBinding.UNKNOWN
    if scale < allowed:
        return ScaleBinding.STATE
    if not estimate.is_valid and allowed < volatility_scale(estimate.measured, policy):
        return ScaleBinding.SHORT_HISTORY
    if allowed >= policy.scale_max:
        return ScaleBinding.CAP
    return ScaleBinding.FLOOR if estimate.measured < policy.volatility.floor_annual else ScaleBinding.TARGET


def _warnings(
    fall: _Fall, estimate: VolatilityEstimate, momentum: float | None, kill: bool, policy: RiskPolicy
) -> tuple[str, ...]:
    texts = []
    if fall.reading.known_vix is None:
        texts.append("VIX is missing: the regime is at least ELEVATED and does not improve")
    if not estimate.is_valid:
        count, needed = estimate.realised.observations, policy.volatility.minimum_observations
        texts.append(f"only {count} of {needed} returns: ex-ante volatility, no scale-up")
    if momentum is None:
        texts.append("too little history for the core spread's momentum: neutral")
    if fall.daily_return is not None and fall.daily_return <= policy.daily_reduce_only:
        texts.append(
            f"CRITICAL: the day lost {100 * -fall.daily_return:.1f} % of NAV; reduce-only until the next session"
        )
    if kill:
        texts.append(
            f"CRITICAL: drawdown {100 * fall.drawdown:.1f} % reaches the kill limit {100 * policy.drawdown_kill:.0f} %"
        )
    elif fall.drawdown <= policy.drawdown_crisis:
        texts.append(f"drawdown {100 * fall.drawdown:.1f} % forces CRISIS")
    return tuple(texts)
