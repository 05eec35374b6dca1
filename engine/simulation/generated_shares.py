"""Shares and funds of the generated market: prices with their dividends and splits, and total returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import numpy as np

from engine.model.instruments import Instrument, spot_contract
from engine.model.market import Dividend, Split
from engine.model.money import decimal_from_float
from engine.simulation.chains import months_between
from engine.simulation.factors import EPOCH, MarketFactors
from engine.simulation.generated_names import Name
from engine.simulation.panel import DailySeries
from engine.simulation.processes import (
    DAYTIME_GAP,
    PanelWindow,
    bars_from_levels,
    daily_volatility,
    draw_log_returns,
    rounded_bars,
    usual_volume,
)

ANNOUNCED_WEEKDAYS = 30
"""Weekdays between the announcement of a dividend and its ex-date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareHistory:
    """One share's panel rows and corporate actions."""

    series: DailySeries
    returns: np.ndarray
    dividends: tuple[Dividend, ...]
    splits: tuple[Split, ...]


def make_share(
    instrument: Instrument,
    name: Name,
    splits: Sequence[tuple[str, int, int]],
    factors: MarketFactors,
    window: PanelWindow,
    seed: int,
) -> ShareHistory:
    """History of a share: the price falls by each dividend on its ex-date and by each split's ratio."""
    label = instrument.instrument_id
    base = np.cumsum(draw_log_returns(label, name, factors, seed))
    actions = np.zeros(len(base))
    split_rows = _split_rows(splits, factors, window)
    for row, new_shares, old_shares in split_rows:
        actions[row] -= np.log(new_shares / old_shares)
    paid = _dividend_rows(name, factors, window, label)
    fraction = name.dividend_yield / max(1, len(name.dividend_months))
    announced = np.maximum(paid - ANNOUNCED_WEEKDAYS, 0)
    drops = fraction * np.exp(base[announced] - base[paid])
    np.add.at(actions, paid, np.log1p(-drops))
    adjustment = np.cumsum(actions)
    logs = base + adjustment
    levels = name.level * np.exp(logs - logs[factors.anchor])
    # Per share as counted on the ex-date: the price of the announcement, restated for a split since.
    amounts = levels[paid] * drops / (1.0 - drops)
    bars = bars_from_levels(label, levels, daily_volatility(name, factors), seed, DAYTIME_GAP, actions)
    grid = rounded_bars(
        instrument, {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
    )
    shares_per_old = np.exp(-(np.cumsum(_split_logs(split_rows, len(base)))))
    volume = usual_volume(name.volume, bars.noise, factors.activity)
    volume = np.rint(volume * shares_per_old / shares_per_old[factors.anchor])
    series = DailySeries(
        contract=spot_contract(instrument),
        open=window.cut(grid["open"]),
        high=window.cut(grid["high"]),
        low=window.cut(grid["low"]),
        close=window.cut(grid["close"]),
        volume=window.cut(np.maximum(volume, 1.0)),
    )
    dividends = _dividends(instrument, paid, announced, amounts, factors, window)
    split_values = tuple(
        Split(instrument_id=label, ex_date=_day(factors, row), new_shares=new, old_shares=old)
        for row, new, old in split_rows
        if window.start <= row < window.stop
    )
    return ShareHistory(
        series=series,
        returns=_total_returns(instrument, series.close, dividends, split_values, factors, window),
        dividends=dividends,
        splits=split_values,
    )


def _day(factors: MarketFactors, row: int) -> date:
    day = factors.days[row].item()
    assert isinstance(day, date)
    return day


def _split_rows(
    splits: Sequence[tuple[str, int, int]], factors: MarketFactors, window: PanelWindow
) -> list[tuple[int, int, int]]:
    rows = []
    for text, new_shares, old_shares in splits:
        day = np.busday_offset(np.datetime64(text), 0, roll="forward", busdaycal=window.calendar)
        row = int(np.searchsorted(factors.days, day))
        if row < len(factors.days):
            rows.append((row, new_shares, old_shares))
    return rows


def _split_logs(rows: Sequence[tuple[int, int, int]], days: int) -> np.ndarray:
    logs = np.zeros(days)
    for row, new_shares, old_shares in rows:
        logs[row] -= np.log(new_shares / old_shares)
    return logs


def _dividend_rows(name: Name, factors: MarketFactors, window: PanelWindow, label: str) -> np.ndarray:
    """Rows of the ex-dates: the first session at or after the name's own day of its months."""
    own_day = 4 + sum(label.encode()) % 20
    last = factors.days[-1].item()
    days = [
        np.datetime64(date(year, month, own_day))
        for year, month in months_between(EPOCH, last)
        if month in name.dividend_months
    ]
    if not days:
        return np.zeros(0, dtype=np.int64)
    open_days = np.busday_offset(np.array(days), 0, roll="forward", busdaycal=window.calendar)
    rows = np.searchsorted(factors.days, open_days)
    return np.asarray(rows[(rows > 0) & (rows < len(factors.days))])


def _dividends(
    instrument: Instrument,
    paid: np.ndarray,
    announced: np.ndarray,
    amounts: np.ndarray,
    factors: MarketFactors,
    window: PanelWindow,
) -> tuple[Dividend, ...]:
    """Dividends that were announced by the panel's last day, in currency per share."""
    magnifier = float(instrument.price_magnifier)
    values = []
    for row, known, amount in zip(paid.tolist(), announced.tolist(), amounts.tolist(), strict=True):
        if row < window.start or known >= window.stop:
            continue
        ex_date = _day(factors, row)
        pay_date = ex_date + timedelta(days=21)
        pay_date += timedelta(days=max(0, 7 - pay_date.weekday()) if pay_date.weekday() >= 5 else 0)
        values.append(
            Dividend(
                instrument_id=instrument.instrument_id,
                ex_date=ex_date,
                pay_date=pay_date,
                amount=decimal_from_float(round(amount / magnifier, 4)),
            )
        )
    return tuple(value for value in values if value.amount > Decimal(0))


def _total_returns(
    instrument: Instrument,
    closes: np.ndarray,
    dividends: Sequence[Dividend],
    splits: Sequence[Split],
    factors: MarketFactors,
    window: PanelWindow,
) -> np.ndarray:
    """(P·ratio + D) / P₋₁ − 1 from session to session, from the rounded facts themselves."""
    value = closes.copy()
    for split in splits:
        row = factors.row(split.ex_date) - window.start
        value[row] *= float(split.ratio)
    for dividend in dividends:
        row = factors.row(dividend.ex_date) - window.start
        if 0 <= row < len(value):
            value[row] += float(dividend.amount * instrument.price_magnifier)
    rows = np.flatnonzero(np.isfinite(closes))
    returns = np.full(len(closes), np.nan)
    returns[rows[1:]] = value[rows[1:]] / closes[rows[:-1]] - 1.0
    return returns
