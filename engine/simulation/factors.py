"""What moves the generated markets: regimes and the common factors of returns, from one seed.

The world begins on `EPOCH` for every seed and each random stream is drawn day after day from it, so that a later
last day never changes an earlier one. All arrays have one row per weekday since `EPOCH`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from engine.errors import DataError

EPOCH = date(2015, 1, 1)
ANCHOR = date(2026, 10, 30)
"""Day on which generated prices stand at the levels of `generated_names`."""

DAYS_PER_YEAR = 261
CALM, STRESSED, CRISIS = 0, 1, 2

ACTIVITY = np.array([0.75, 1.4, 3.0])
"""Size of all moves by regime, relative to the annual volatilities below."""

_TRANSITIONS = ((0.982, 0.018, 0.0), (0.035, 0.945, 0.020), (0.0, 0.060, 0.940))
_DRIFT_ANNUAL = np.array([0.12, -0.02, -0.60])
_VIX_CENTRE = np.log([14.5, 23.0, 42.0])
_V2X_CENTRE = np.log([16.5, 25.0, 44.0])

FACTOR_VOLATILITY: Mapping[str, float] = {
    "WORLD": 0.13,  # global equity
    "EUROPE": 0.085,  # Europe less United States
    "TECHNOLOGY": 0.085,
    "SEMICONDUCTOR": 0.13,
    "ENERGY": 0.16,
    "HEALTH": 0.08,
    "QUALITY": 0.03,
    "UK": 0.06,
    "YIELD_US": 0.0095,  # change of yield per year, 1 = 100 %
    "YIELD_EU": 0.0075,
    "BANK": 0.11,
    "SPREAD_OAT": 0.0020,
    "SPREAD_BTP": 0.0050,
    "CREDIT": 0.0090,  # change of the credit spread
    "EURUSD": 0.070,
    "GBPUSD": 0.055,
    "CHFUSD": 0.045,
    "SEKUSD": 0.055,
}
"""Annual volatility of each factor's own part, in the order of the random draws."""

_COMMON: Mapping[str, Mapping[str, float]] = {
    "YIELD_US": {"WORLD": 0.015},
    "YIELD_EU": {"WORLD": 0.010, "YIELD_US": 0.45},
    "SPREAD_OAT": {"WORLD": -0.004},
    "SPREAD_BTP": {"WORLD": -0.014, "SPREAD_OAT": 1.0},
    "CREDIT": {"WORLD": -0.055},
    "BANK": {"YIELD_EU": 3.0},
    "EURUSD": {"WORLD": 0.10},
    "GBPUSD": {"WORLD": 0.10, "EURUSD": 0.55},
    "CHFUSD": {"WORLD": -0.10, "EURUSD": 0.75},
    "SEKUSD": {"WORLD": 0.25, "EURUSD": 1.0},
}
"""What a factor takes from factors before it: units per unit."""


SHORT_RATES: Mapping[str, float] = {"USD": 0.040, "EUR": 0.022, "GBP": 0.040, "CHF": 0.002, "SEK": 0.022}
"""Annual risk-free rates of the generated world, for discounting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFactors:
    """Common moves of one world.

    Attributes
    ----------
    days : ndarray (days,), datetime64[D]
        Weekdays since `EPOCH`.
    regime : ndarray (days,), int
        0 calm, 1 stressed, 2 crisis.
    activity : ndarray (days,)
        Scale of all volatilities that day.
    returns : mapping factor → ndarray (days,)
        Log return of the day (yields and spreads: absolute change).
    vix, v2x : ndarray (days,)
        Volatility indices in points.
    """

    days: np.ndarray
    regime: np.ndarray
    activity: np.ndarray
    returns: Mapping[str, np.ndarray]
    vix: np.ndarray
    v2x: np.ndarray

    def row(self, day: date) -> int:
        """Row of the first weekday at or after a date."""
        return int(np.searchsorted(self.days, np.datetime64(day)))

    @property
    def anchor(self) -> int:
        """Row at which prices stand at their table levels."""
        return self.row(ANCHOR)

    def combine(self, loadings: Mapping[str, float]) -> np.ndarray:
        """Log returns of a portfolio of factors."""
        total = np.zeros(len(self.days))
        for factor, loading in loadings.items():
            total += loading * self.returns[factor]
        return total


def stream(seed: int, label: str) -> np.random.Generator:
    """Random stream of one purpose in one world, the same on every run and machine."""
    key = hashlib.sha256(f"{seed}|{label}".encode()).digest()[:16]
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))


def weekdays(first: date, last: date) -> np.ndarray:
    """Mondays to Fridays from ``first`` to ``last``, datetime64[D]."""
    days = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    return days[np.is_busday(days)]


def draw_factors(seed: int, last: date) -> MarketFactors:
    """Common moves of the world of a seed from `EPOCH` to ``last``; raises `DataError` before `EPOCH`."""
    if last < EPOCH:
        raise DataError(f"the generated market begins on {EPOCH}; {last} lies before it")
    days = weekdays(EPOCH, last)
    regime = _draw_regimes(stream(seed, "regime").random(len(days)))
    activity = ACTIVITY[regime]
    normals = stream(seed, "factors").standard_normal((len(days), len(FACTOR_VOLATILITY)))
    returns: dict[str, np.ndarray] = {}
    for column, (factor, volatility) in enumerate(FACTOR_VOLATILITY.items()):
        own = normals[:, column] * activity * volatility / math.sqrt(DAYS_PER_YEAR)
        for other, loading in _COMMON.get(factor, {}).items():
            own = own + loading * returns[other]
        if factor == "WORLD":
            own = own + _DRIFT_ANNUAL[regime] / DAYS_PER_YEAR
        returns[factor] = own
    noise = stream(seed, "volatility").standard_normal((len(days), 2)) * 0.03
    european = returns["WORLD"] + 0.6 * returns["EUROPE"]
    return MarketFactors(
        days=days,
        regime=regime,
        activity=activity,
        returns=returns,
        vix=_volatility_index(_VIX_CENTRE[regime], returns["WORLD"], noise[:, 0]),
        v2x=_volatility_index(_V2X_CENTRE[regime], european, 0.7 * noise[:, 0] + 0.7 * noise[:, 1]),
    )


def _draw_regimes(uniform: np.ndarray) -> np.ndarray:
    """Markov chain over calm, stressed, crisis, beginning calm."""
    bounds = [(row[0], row[0] + row[1]) for row in _TRANSITIONS]
    state, states = CALM, []
    for draw in uniform.tolist():
        stay_calm, stay_stressed = bounds[state]
        state = CALM if draw < stay_calm else STRESSED if draw < stay_stressed else CRISIS
        states.append(state)
    return np.array(states, dtype=np.int64)


def _volatility_index(centre: np.ndarray, equity: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Log level pulled to the regime's centre by 12 % a day and pushed up by falling equity, in [9, 90]."""
    level, levels = float(centre[0]), []
    low, high = math.log(9.0), math.log(90.0)
    shocks = (0.12 * centre - 4.5 * equity + noise).tolist()
    for shock in shocks:
        level = min(high, max(low, 0.88 * level + shock))
        levels.append(level)
    return np.asarray(np.round(np.exp(np.array(levels)), 2))
