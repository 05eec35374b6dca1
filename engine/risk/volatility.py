"""How much does the book move? Realised and ex-ante volatility at scale 1, and the scale they allow.

Both estimates are of the *unscaled* strategy: measuring the returns of a book that was already scaled would feed
the scale back into itself and settle at √(target·σ) instead of the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from engine.errors import NonFiniteValue
from engine.model.encoding import significant
from engine.model.market import BASE_CURRENCY, MarketHistory
from engine.model.policy import RiskPolicy, VolatilityPolicy
from engine.model.universe import Universe

MEASURED_GROSS_MINIMUM = 0.5
"""Below this share of the book's gross with a price history the ex-ante estimate says nothing."""


class Estimator(Enum):
    """Which estimate decided the volatility."""

    REALISED = "realised"
    EX_ANTE = "ex_ante"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class RealisedVolatility:
    """Annual volatility of daily returns: EWMA, rolling (``None`` while too short) and their blend."""

    observations: int
    ewma: float | None
    rolling: float | None
    blended: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolatilityEstimate:
    """Annual volatility of the book at scale 1.

    ``measured`` is the deciding estimate before the floor, ``annual`` after it; both ``None`` when neither
    returns nor a covariance exist. ``is_valid`` is false with fewer observations than required: the scale is
    then capped and may not rise.
    """

    realised: RealisedVolatility
    ex_ante: float | None
    measured: float | None
    annual: float | None
    estimator: Estimator
    is_valid: bool


def ewma_volatility(returns: np.ndarray, span_days: int) -> float:
    """Daily zero-mean EWMA volatility: v_t = (1−α)·v_{t−1} + α·r_t², v_0 = r_0², α = 2/(span+1)."""
    alpha = 2.0 / (span_days + 1.0)
    weights = alpha * (1.0 - alpha) ** np.arange(len(returns) - 1, -1, -1, dtype=np.float64)
    weights[0] /= alpha
    return math.sqrt(float(weights @ (returns * returns)))


def realised_volatility(returns: np.ndarray, policy: VolatilityPolicy) -> RealisedVolatility:
    """Blend of EWMA and rolling volatility of unscaled daily returns, oldest first.

    Fewer than ``minimum_observations``: no estimate. Fewer than ``rolling_days``: EWMA alone. Otherwise
    ``w·EWMA + (1−w)·rolling`` with the sample standard deviation of the last ``rolling_days`` returns.
    """
    count = len(returns)
    if not np.all(np.isfinite(returns)):
        raise NonFiniteValue("expected finite strategy returns; a NaN here would become leverage")
    if count < policy.minimum_observations:
        return RealisedVolatility(observations=count, ewma=None, rolling=None, blended=None)
    annual = math.sqrt(policy.annualisation_days)
    ewma = ewma_volatility(returns, policy.ewma_span_days) * annual
    if count < policy.rolling_days:
        return RealisedVolatility(observations=count, ewma=ewma, rolling=None, blended=ewma)
    rolling = float(np.std(returns[-policy.rolling_days :], ddof=1)) * annual
    blended = policy.blend_weight * ewma + (1.0 - policy.blend_weight) * rolling
    return RealisedVolatility(observations=count, ewma=ewma, rolling=rolling, blended=blended)


def usd_returns(
    history: MarketHistory, universe: Universe, lines: tuple[str, ...], hedge_ratio: float
) -> np.ndarray:
    """Daily USD returns of instruments, shape (days, lines), NaN where a day brought no price.

    A future earns its local return (the rate sets the level of the gain only). A security earns its local
    return plus the unhedged part of its currency's return: local + (1 − ``hedge_ratio``)·fx.
    """
    column = {name: number for number, name in enumerate(history.instrument_ids)}
    money = {name: number for number, name in enumerate(history.currencies)}
    result = history.returns[:, [column[name] for name in lines]].copy()
    unhedged = 1.0 - hedge_ratio
    for number, name in enumerate(lines):
        instrument = universe[name]
        currency = instrument.exposure_currency
        if instrument.is_future or currency == BASE_CURRENCY or unhedged == 0.0:
            continue
        result[:, number] += unhedged * np.nan_to_num(history.fx_returns[:, money[currency]])
    return result


def exante_volatility(
    weights: Mapping[str, float],
    history: MarketHistory,
    universe: Universe,
    *,
    hedge_ratio: float,
    annualisation_days: int,
) -> float | None:
    """Annual volatility of a book of ``weights`` (fractions of NAV) over the last year of history.

    ``σ² = (1−δ)·var(X·w) + δ·Σ wᵢ²·var(xᵢ)`` with δ = lines / (lines + days): the fewer days per line, the
    less its sample correlations are believed. No matrix is built. Days without a price count as 0 (the next
    return holds their move); lines listed later are scaled to their own length. Lines without any history widen
    the estimate by the share of gross they are. ``None`` when more than half of the gross has none.
    """
    known = set(history.instrument_ids)
    lines = tuple(sorted(name for name, weight in weights.items() if weight != 0.0 and name in known))
    gross = sum(abs(weight) for weight in weights.values())
    if not lines or len(history.dates) < 2:
        return None
    returns = usd_returns(history, universe, lines, hedge_ratio)[-annualisation_days:]
    priced = np.isfinite(returns)
    has_price = priced.any(axis=0)
    book = np.array([weights[name] for name in lines]) * has_price
    measured = float(np.abs(book).sum())
    if measured < MEASURED_GROSS_MINIMUM * gross:
        return None
    days = len(returns)
    listed = days - np.where(has_price, priced.argmax(axis=0), 0)
    filled = np.where(priced, returns, 0.0) * np.sqrt(days / listed)
    variance = _shrunk_variance(filled, book)
    return math.sqrt(variance * annualisation_days) * float(gross / measured)


def _shrunk_variance(returns: np.ndarray, book: np.ndarray) -> float:
    days, lines = returns.shape
    intensity = float(lines / (lines + days))
    joint = float(np.var(returns @ book, ddof=1))
    diagonal = float(np.sum(book * book * np.var(returns, axis=0, ddof=1)))
    return (1.0 - intensity) * joint + intensity * diagonal


def estimate_volatility(returns: np.ndarray, ex_ante: float | None, policy: RiskPolicy) -> VolatilityEstimate:
    """Choose between realised and ex-ante volatility.

    Realised decides; where the two differ by more than ``exante_gap_fraction`` the larger does. With too few
    observations ex-ante decides and the estimate is not valid.
    """
    realised = realised_volatility(returns, policy.volatility)
    blended = realised.blended
    if blended is None:
        measured, estimator = ex_ante, Estimator.NONE if ex_ante is None else Estimator.EX_ANTE
    elif ex_ante is not None and ex_ante > significant(blended * (1.0 + policy.exante_gap_fraction)):
        measured, estimator = ex_ante, Estimator.EX_ANTE
    else:
        measured, estimator = blended, Estimator.REALISED
    if measured is not None:
        measured = significant(measured)
    return VolatilityEstimate(
        realised=realised,
        ex_ante=ex_ante,
        measured=measured,
        annual=None if measured is None else max(policy.volatility.floor_annual, measured),
        estimator=estimator,
        is_valid=blended is not None,
    )


def volatility_scale(annual: float, policy: RiskPolicy) -> float:
    """``clip(target / max(floor, σ), 0, scale_max)``; raises `NonFiniteValue` on NaN."""
    if not math.isfinite(annual):
        raise NonFiniteValue(f"expected a finite volatility, found {annual}; no scale follows from it")
    floored = max(policy.volatility.floor_annual, annual)
    return significant(min(policy.scale_max, max(0.0, policy.volatility_target_annual / floored)))
