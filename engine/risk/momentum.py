"""Is the core spread still going our way? Trend of the long index against the short one, in one currency."""

from __future__ import annotations

import numpy as np

from engine.model.encoding import significant
from engine.model.market import BASE_CURRENCY, MarketHistory
from engine.model.policy import RiskPolicy
from engine.model.universe import Universe


def spread_momentum(ratio: np.ndarray, policy: RiskPolicy) -> float | None:
    """Trend score of a price ratio, oldest first.

    With MA_s and MA_l the short and long means and slope = (MA_s[-1] − MA_s[-lag]) / MA_s[-lag]:
    +1 when MA_s > MA_l and slope > 0, +0.5 when MA_s > MA_l, −1 when slope < 0, else −0.5.
    ``None`` (neutral) with fewer than long + lag − 1 finite rows.
    """
    short, long, lag = policy.momentum_short_days, policy.momentum_long_days, policy.momentum_slope_lag_days
    finite = ratio[np.isfinite(ratio)]
    if len(finite) < long + lag - 1:
        return None
    now = float(finite[-short:].mean())
    before = float(finite[-short - lag + 1 : len(finite) - lag + 1].mean())
    anchor = float(finite[-long:].mean())
    above, slope = significant(now) > significant(anchor), significant((now - before) / before)
    if above:
        return 1.0 if slope > 0 else 0.5
    return -1.0 if slope < 0 else -0.5


def spread_ratio(
    history: MarketHistory, universe: Universe, long: tuple[str, ...], short: tuple[str, ...]
) -> np.ndarray:
    """Total-return index of the long leg divided by that of the short leg, both in USD.

    Each leg is its first instrument with history. Rows begin when both have a price; empty when one has none.
    """
    long_index, short_index = _usd_returns(history, universe, long), _usd_returns(history, universe, short)
    if long_index is None or short_index is None:
        return np.empty(0)
    priced = np.isfinite(long_index) & np.isfinite(short_index)
    if not priced.any():
        return np.empty(0)
    start = int(priced.argmax())
    growth = (1.0 + np.nan_to_num(long_index[start:])) / (1.0 + np.nan_to_num(short_index[start:]))
    return np.cumprod(growth)


def _usd_returns(history: MarketHistory, universe: Universe, leg: tuple[str, ...]) -> np.ndarray | None:
    for name in leg:
        if name not in history.instrument_ids:
            continue
        local = history.returns[:, history.instrument_ids.index(name)]
        if not np.isfinite(local).any():
            continue
        currency = universe[name].exposure_currency
        if currency == BASE_CURRENCY:
            return local
        rate = np.nan_to_num(history.fx_returns[:, history.currencies.index(currency)])
        converted: np.ndarray = (1.0 + local) * (1.0 + rate) - 1.0
        return converted
    return None
