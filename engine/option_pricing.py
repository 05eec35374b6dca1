"""What an option is worth: Black-76 on the forward, Black-Scholes on the spot, and the volatility back from a price.

All functions are vectorised over float64 arrays that broadcast against each other. Times are years (days / 365),
volatilities and rates are annual and continuously compounded, prices are per unit of the underlying.

Sources: F. Black, M. Scholes, "The Pricing of Options and Corporate Liabilities", 1973; F. Black, "The pricing of
commodity contracts", 1976.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from engine.errors import InvariantError
from engine.model.instruments import OptionRight

Floats = float | np.ndarray
_LOWEST_VOLATILITY, _HIGHEST_VOLATILITY = 1e-4, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """How implied volatility leaves its at-the-money level as the strike leaves the forward.

    ``σ(K) = σ₀ · (1 + slope·m + curvature·m²)`` with ``m = ln(K/F) / (σ₀·√T)``, the strike's distance in
    standard deviations; held within ``floor`` and ``cap`` times σ₀ and flat beyond ``reach`` deviations, where no
    listing is. A negative slope makes low strikes dearer (equities), a positive one high strikes (volatility).
    """

    slope: float
    curvature: float
    floor: float = 0.6
    cap: float = 2.0
    reach: float = 4.0


def skewed_volatility(
    at_the_money: Floats, forward: Floats, strike: Floats, years: Floats, skew: Skew
) -> np.ndarray:
    """Implied volatility of a strike under a skew; at expiry the at-the-money level."""
    deviation = np.asarray(at_the_money) * np.sqrt(np.maximum(years, 0.0))
    distance = np.divide(
        np.log(np.asarray(strike) / forward),
        deviation,
        out=np.zeros(np.broadcast(strike, forward, deviation).shape),
        where=deviation > 0,
    )
    distance = np.clip(distance, -skew.reach, skew.reach)
    factor = 1.0 + skew.slope * distance + skew.curvature * distance**2
    return np.asarray(at_the_money * np.clip(factor, skew.floor, skew.cap))


def _distances(
    forward: Floats, strike: Floats, years: Floats, volatility: Floats
) -> tuple[np.ndarray, np.ndarray]:
    """d₁ and d₂; ±∞ without time or volatility, so that prices become intrinsic values."""
    forward, strike = np.asarray(forward, dtype=float), np.asarray(strike, dtype=float)
    if np.any(forward <= 0) or np.any(strike <= 0):
        raise InvariantError("expected positive forwards and strikes to price an option")
    deviation = np.asarray(volatility, dtype=float) * np.sqrt(np.maximum(years, 0.0))
    moneyness = np.log(forward / strike)
    shape = np.broadcast(moneyness, deviation).shape
    limit = np.where(moneyness > 0, np.inf, np.where(moneyness < 0, -np.inf, 0.0))
    limit = np.broadcast_to(limit, shape).copy()
    first = np.divide(moneyness, deviation, out=limit, where=deviation > 0) + deviation / 2
    return first, first - deviation


def _sign(right: OptionRight | np.ndarray) -> Floats:
    """+1 for calls and −1 for puts; an array of signs passes through."""
    if isinstance(right, OptionRight):
        return 1.0 if right is OptionRight.CALL else -1.0
    return right


def black_76_price(
    forward: Floats,
    strike: Floats,
    years: Floats,
    volatility: Floats,
    rate: Floats,
    right: OptionRight | np.ndarray,
) -> np.ndarray:
    """Premium of a European option on a forward.

    ``e^{−rT} · s·(F·N(s·d₁) − K·N(s·d₂))``, s = +1 call, −1 put, ``d₁ = (ln(F/K) + σ²T/2) / (σ√T)``,
    ``d₂ = d₁ − σ√T``. ``right`` is one right or an array of signs. At expiry the intrinsic value.
    """
    sign = _sign(right)
    first, second = _distances(forward, strike, years, volatility)
    value = sign * (forward * ndtr(sign * first) - strike * ndtr(sign * second))
    return np.asarray(np.exp(-np.asarray(rate) * np.maximum(years, 0.0)) * np.maximum(value, 0.0))


def black_76_delta(
    forward: Floats,
    strike: Floats,
    years: Floats,
    volatility: Floats,
    rate: Floats,
    right: OptionRight | np.ndarray,
) -> np.ndarray:
    """Change of the premium per unit of the forward, ``s·e^{−rT}·N(s·d₁)``: positive calls, negative puts."""
    sign = _sign(right)
    first, _ = _distances(forward, strike, years, volatility)
    return np.asarray(sign * np.exp(-np.asarray(rate) * np.maximum(years, 0.0)) * ndtr(sign * first))


def forward_price(spot: Floats, years: Floats, rate: Floats, dividend_yield: Floats = 0.0) -> np.ndarray:
    """Forward of a spot, ``S·e^{(r−q)T}``."""
    return np.asarray(spot * np.exp((np.asarray(rate) - dividend_yield) * np.maximum(years, 0.0)))


def black_scholes_price(
    spot: Floats,
    strike: Floats,
    years: Floats,
    volatility: Floats,
    rate: Floats,
    right: OptionRight | np.ndarray,
    dividend_yield: Floats = 0.0,
) -> np.ndarray:
    """Premium of a European option on a spot with a continuous dividend yield: Black-76 on its forward."""
    forward = forward_price(spot, years, rate, dividend_yield)
    return black_76_price(forward, strike, years, volatility, rate, right)


def black_scholes_delta(
    spot: Floats,
    strike: Floats,
    years: Floats,
    volatility: Floats,
    rate: Floats,
    right: OptionRight | np.ndarray,
    dividend_yield: Floats = 0.0,
) -> np.ndarray:
    """Change of the premium per unit of spot, ``s·e^{−qT}·N(s·d₁)``."""
    forward = forward_price(spot, years, rate, dividend_yield)
    return np.asarray(black_76_delta(forward, strike, years, volatility, rate, right) * forward / spot)


def implied_volatility(
    premium: Floats,
    forward: Floats,
    strike: Floats,
    years: Floats,
    rate: Floats,
    right: OptionRight | np.ndarray,
) -> np.ndarray:
    """Volatility at which Black-76 gives a premium, by bisection between 0.01 % and 500 %.

    NaN where no volatility gives it: at or below the discounted intrinsic value, above what 500 % is worth, or at
    expiry.
    """
    premium, forward, strike, years = np.broadcast_arrays(
        *(np.asarray(value, dtype=float) for value in (premium, forward, strike, years))
    )
    low = np.full(premium.shape, _LOWEST_VOLATILITY)
    high = np.full(premium.shape, _HIGHEST_VOLATILITY)
    reachable = (
        (years > 0)
        & (premium > black_76_price(forward, strike, years, low, rate, right))
        & (premium < black_76_price(forward, strike, years, high, rate, right))
    )
    for _ in range(60):  # 5 / 2⁶⁰ is below the last bit of the result
        middle = (low + high) / 2
        dear = black_76_price(forward, strike, years, middle, rate, right) > premium
        high = np.where(dear, middle, high)
        low = np.where(dear, low, middle)
    return np.asarray(np.where(reachable, (low + high) / 2, np.nan))
