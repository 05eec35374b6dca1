"""Futures of the generated market: every contract of a chain from the spot behind it.

Index, currency and bond futures: ``F = S·e^{c·T}`` with the annual cost of carry c. Volatility futures revert to a
long-run level: ``F = L + (V − L)·e^{−κT}``. All reach the spot at T = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.model.instruments import Contract, Instrument
from engine.simulation.chains import LISTING_DAYS
from engine.simulation.factors import MarketFactors
from engine.simulation.generated_names import FutureName
from engine.simulation.panel import DailySeries
from engine.simulation.processes import Bars, PanelWindow, rounded_bars, usual_volume

_VOLATILITY_LEVEL = {"VIX": 20.0, "V2X": 21.5}
_VOLATILITY_REVERSION = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FutureHistory:
    """All contracts of one future, and the return of the contract held under its roll rule."""

    series: tuple[DailySeries, ...]
    returns: np.ndarray


def make_future(
    instrument: Instrument,
    name: FutureName,
    contracts: tuple[Contract, ...],
    spot: Bars,
    factors: MarketFactors,
    window: PanelWindow,
) -> FutureHistory:
    """Bars of every listed contract, NaN outside its listing, and the rolled return series."""
    days = factors.days[window.start : window.stop]
    expiries = np.array([c.last_trade_date for c in contracts], dtype="datetime64[D]")
    remaining = (expiries[:, None] - days[None, :]).astype(np.int64)
    listed = (remaining >= 0) & (remaining <= LISTING_DAYS) & window.is_session
    years = np.maximum(remaining, 0) / 365.0
    fields = {
        field: future_price(prices[None, window.start : window.stop], years, name)
        for field, prices in (
            ("open", spot.open),
            ("high", spot.high),
            ("low", spot.low),
            ("close", spot.close),
        )
    }
    grid = {
        field: np.where(listed, values, np.nan) for field, values in rounded_bars(instrument, fields).items()
    }
    volumes = _volumes(name, remaining, listed, spot.noise, factors, window)
    series = tuple(
        DailySeries(
            contract=contract,
            open=grid["open"][row],
            high=grid["high"][row],
            low=grid["low"][row],
            close=grid["close"][row],
            volume=volumes[row],
        )
        for row, contract in enumerate(contracts)
    )
    return FutureHistory(
        series=series, returns=rolled_returns(instrument, contracts, grid["close"], days, window.calendar)
    )


def future_price(spot: np.ndarray | float, years: np.ndarray | float, name: FutureName) -> np.ndarray:
    """Fair price of a contract with ``years`` to its last trade."""
    if name.spot in _VOLATILITY_LEVEL:
        level = _VOLATILITY_LEVEL[name.spot]
        return np.asarray(
            level + (np.asarray(spot) - level) * np.exp(-_VOLATILITY_REVERSION * np.asarray(years))
        )
    return np.asarray(spot * np.exp(name.carry * np.asarray(years)))


def _volumes(
    name: FutureName,
    remaining: np.ndarray,
    listed: np.ndarray,
    noise: np.ndarray,
    factors: MarketFactors,
    window: PanelWindow,
) -> np.ndarray:
    """Volume of each contract: most in the nearest with more than a week to go, a tenth in each later one."""
    liquid = listed & (remaining > 7)
    order = np.cumsum(liquid, axis=0)
    share = np.where(liquid, 0.9 * 0.1 ** np.maximum(order - 1, 0), np.where(listed, 0.05, 0.0))
    total = usual_volume(name.volume, noise, factors.activity)[window.start : window.stop]
    return np.where(listed, np.maximum(np.rint(total * share), 1.0), np.nan)


def rolled_returns(
    instrument: Instrument,
    contracts: tuple[Contract, ...],
    closes: np.ndarray,
    days: np.ndarray,
    calendar: np.busdaycalendar,
) -> np.ndarray:
    """Return of the contract held overnight against its own previous price; rolling makes no return.

    A contract is held until its roll day, ``roll_days_before`` business days before the earlier of last trade and
    first notice. ``closes`` has shape (contracts, days). NaN where the held contract has no price.
    """
    returns = np.full(len(days), np.nan)
    rows = np.flatnonzero(np.isfinite(closes).any(axis=0))
    if not contracts or len(rows) < 2:
        return returns
    deadlines = np.array([contract.roll_deadline for contract in contracts], dtype="datetime64[D]")
    roll_days = np.busday_offset(deadlines, -instrument.roll_days_before, roll="backward", busdaycal=calendar)
    held = np.searchsorted(roll_days, days[rows[:-1]], side="right")
    known = held < len(contracts)
    held = np.minimum(held, len(contracts) - 1)
    change = closes[held, rows[1:]] / closes[held, rows[:-1]] - 1.0
    returns[rows[1:]] = np.where(known, change, np.nan)
    return returns
