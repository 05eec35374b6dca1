"""Daily bars of one generated price: from factors to open, high, low, close and volume on the tick grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.model.instruments import Instrument
from engine.simulation.factors import DAYS_PER_YEAR, FACTOR_VOLATILITY, MarketFactors, stream
from engine.simulation.generated_names import Name

CONTINUOUS_GAP, DAYTIME_GAP = 0.04, 0.40
"""Share of a day's move that happens before the open: almost none where trading resumes an hour after the close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Unrounded daily bars over all weekdays since the world's first, quote units; ``returns`` are log returns.

    ``noise`` holds a standard normal per day for volumes.
    """

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    returns: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelWindow:
    """Which rows of the world go into the panel, and which of them are sessions of the instrument's venue."""

    start: int
    stop: int
    calendar: np.busdaycalendar
    is_session: np.ndarray
    """Shape (stop − start,)."""

    def cut(self, values: np.ndarray) -> np.ndarray:
        """Rows of the panel, NaN on closed days."""
        return np.where(self.is_session, values[self.start : self.stop], np.nan)


def draw_log_returns(label: str, name: Name, factors: MarketFactors, seed: int) -> np.ndarray:
    """Daily log returns of a name: its factors, its own noise and its drift."""
    returns = factors.combine(name.loadings) + name.drift / DAYS_PER_YEAR
    if name.idiosyncratic:
        own = stream(seed, f"own|{label}").standard_normal(len(factors.days))
        # A company's own news depends less on the regime than the market does.
        scale = name.idiosyncratic / math.sqrt(DAYS_PER_YEAR) * (0.5 + 0.5 * factors.activity)
        returns = returns + own * scale
    return returns


def daily_volatility(name: Name, factors: MarketFactors) -> np.ndarray:
    """Expected standard deviation of each day's return, taking the factors as uncorrelated."""
    variance = sum((loading * FACTOR_VOLATILITY[factor]) ** 2 for factor, loading in name.loadings.items())
    return math.sqrt((variance + name.idiosyncratic**2) / DAYS_PER_YEAR) * factors.activity


def bars_from_levels(
    label: str,
    levels: np.ndarray,
    volatility: np.ndarray,
    seed: int,
    gap: float,
    jumps: np.ndarray | float = 0.0,
) -> Bars:
    """Bars around closing levels.

    ``gap`` is the share of the move before the open; ``jumps`` are log moves that belong to the open entirely
    (dividends and splits).
    """
    normals = stream(seed, f"bars|{label}").standard_normal((len(levels), 4))
    logs = np.log(levels)
    moves = np.diff(logs, prepend=logs[0]) - jumps
    opens = logs - moves * (1.0 - gap) + gap * volatility * 0.6 * normals[:, 0]
    top = np.maximum(opens, logs) + 0.45 * volatility * np.abs(normals[:, 1])
    bottom = np.minimum(opens, logs) - 0.45 * volatility * np.abs(normals[:, 2])
    return Bars(
        open=np.exp(opens),
        high=np.exp(top),
        low=np.exp(bottom),
        close=levels,
        returns=np.diff(logs, prepend=logs[0]),
        noise=normals[:, 3],
    )


def draw_spot(label: str, name: Name, factors: MarketFactors, seed: int, gap: float) -> Bars:
    """Bars of a price without dividends that stands at ``name.level`` on the anchor day."""
    cumulative = np.cumsum(draw_log_returns(label, name, factors, seed))
    levels = name.level * np.exp(cumulative - cumulative[factors.anchor])
    return bars_from_levels(label, levels, daily_volatility(name, factors), seed, gap)


def index_bars(label: str, levels: np.ndarray, factors: MarketFactors, seed: int) -> Bars:
    """Bars of a volatility index."""
    return bars_from_levels(label, levels, 0.05 * factors.activity, seed, CONTINUOUS_GAP)


def on_grid(instrument: Instrument, prices: np.ndarray) -> np.ndarray:
    """Prices rounded to the nearest tick of their band; NaN stays NaN."""
    bounds = np.array([float(band.from_price) for band in instrument.tick_bands])
    ticks = np.array([float(band.tick) for band in instrument.tick_bands])
    if len(ticks) == 1:
        return np.asarray(np.round(np.rint(prices / ticks[0]) * ticks[0], 10))
    band = np.clip(np.searchsorted(bounds, prices, side="right") - 1, 0, len(ticks) - 1)
    tick = ticks[band]
    return np.asarray(np.round(np.rint(prices / tick) * tick, 10))


def rounded_bars(instrument: Instrument, bars: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Open, high, low and close on the tick grid, with the high highest and the low lowest."""
    grid = {field: on_grid(instrument, bars[field]) for field in ("open", "high", "low", "close")}
    grid["high"] = np.maximum(grid["high"], np.maximum(grid["open"], grid["close"]))
    grid["low"] = np.minimum(grid["low"], np.minimum(grid["open"], grid["close"]))
    return grid


def usual_volume(volume: float, noise: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """Daily volume around its usual figure: busier in stressed regimes, whole units."""
    return np.maximum(np.rint(volume * np.exp(0.30 * noise - 0.045) * (0.6 + 0.5 * activity)), 1.0)
