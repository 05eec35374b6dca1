"""A panel laid out for questions "as of": last known rows, stacked prices and returns, computed once per panel.

Every array is causal in its rows: row t holds nothing of a later row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from engine.accounting.restated import Action, in_order
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import BASE_CURRENCY, FundamentalRecord
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.chains import business_calendar
from engine.simulation.panel import MarketPanel

_NEVER = np.datetime64("9999-12-31")


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelIndex:
    """Lookups over a panel.

    Attributes
    ----------
    contract_ids : tuple of str
        Series of instruments of the universe: the first axis of ``closes``, ``last_rows``.
    closes, volumes : ndarray (series, days)
    last_rows : ndarray (series, days), int
        Row of the last price at or before each day, −1 before the first.
    last_trade : ndarray (series,), datetime64[D]
        Last trade date; far in the future for lines without expiry.
    returns : ndarray (days, instruments)
    instrument_volume : ndarray (days, instruments)
        Volume of a line over all its contracts, NaN where none was recorded.
    fx : mapping pair → ndarray (days,) carried forward; ``fx_rows`` the row each value comes from.
    fx_returns : ndarray (days, currencies)
    actions : mapping instrument id → dividends and splits of the panel, in the order in which they take effect
    """

    days: np.ndarray
    contract_ids: tuple[str, ...]
    row_of: Mapping[str, int]
    instruments: tuple[Instrument, ...]
    closes: np.ndarray
    volumes: np.ndarray
    last_rows: np.ndarray
    last_trade: np.ndarray
    returns: np.ndarray
    instrument_volume: np.ndarray
    fx: Mapping[str, np.ndarray]
    fx_rows: Mapping[str, np.ndarray]
    fx_returns: np.ndarray
    accounts: Mapping[str, tuple[FundamentalRecord, ...]]
    calendars: Mapping[str, np.busdaycalendar]
    actions: Mapping[str, tuple[Action, ...]]

    def row(self, day: date) -> int:
        """Row of the last panel date at or before a day, −1 before the first."""
        return int(np.searchsorted(self.days, np.datetime64(day), side="right")) - 1


def build_index(panel: MarketPanel, universe: Universe, sessions: SessionTable) -> PanelIndex:
    """Lay a panel out for point-in-time reads."""
    series = {
        contract_id: item
        for contract_id, item in panel.series.items()
        if item.contract.instrument_id in universe
    }
    days = np.array(panel.dates, dtype="datetime64[D]")
    shape = (0, len(days))
    closes = np.stack([item.close for item in series.values()]) if series else np.empty(shape)
    volumes = np.stack([item.volume for item in series.values()]) if series else np.empty(shape)
    fx_rows = {pair: _last_rows(rates) for pair, rates in panel.fx.items()}
    fx = {pair: _carried(rates, fx_rows[pair]) for pair, rates in panel.fx.items()}
    venues = {
        i.venue for i in universe if i.is_option and panel.implied_volatility.get(i.instrument_id) is not None
    }
    return PanelIndex(
        days=days,
        contract_ids=tuple(series),
        row_of={contract_id: row for row, contract_id in enumerate(series)},
        instruments=tuple(universe[item.contract.instrument_id] for item in series.values()),
        closes=closes,
        volumes=volumes,
        last_rows=_last_rows(closes),
        last_trade=np.array(
            [item.contract.last_trade_date or _NEVER for item in series.values()], dtype="datetime64[D]"
        ),
        returns=_returns(panel, universe, len(days)),
        instrument_volume=_instrument_volume(panel, universe, len(days)),
        fx=fx,
        fx_rows=fx_rows,
        fx_returns=_fx_returns(fx, universe.currencies, len(days)),
        accounts=_accounts(panel),
        calendars={venue: business_calendar(sessions, venue) for venue in sorted(venues)},
        actions=actions_by_instrument(panel),
    )


def actions_by_instrument(panel: MarketPanel) -> dict[str, tuple[Action, ...]]:
    """Dividends and splits of each share, in the order in which they take effect."""
    found: dict[str, list[Action]] = {}
    known: tuple[Action, ...] = (*panel.dividends, *panel.splits)
    for action in known:
        found.setdefault(action.instrument_id, []).append(action)
    return {name: in_order(actions) for name, actions in found.items()}


def _last_rows(values: np.ndarray) -> np.ndarray:
    rows = np.where(np.isfinite(values), np.arange(values.shape[-1]), -1)
    return np.asarray(np.maximum.accumulate(rows, axis=-1))


def _carried(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)


def _returns(panel: MarketPanel, universe: Universe, days: int) -> np.ndarray:
    returns = np.full((days, len(universe)), np.nan)
    for column, instrument_id in enumerate(universe.ids):
        if instrument_id in panel.returns:
            returns[:, column] = panel.returns[instrument_id]
    return returns


def _instrument_volume(panel: MarketPanel, universe: Universe, days: int) -> np.ndarray:
    volume = np.full((days, len(universe)), np.nan)
    for series in panel.series.values():
        instrument_id = series.contract.instrument_id
        if instrument_id not in universe:
            continue
        column = volume[:, universe.index(instrument_id)]
        known = np.isfinite(series.volume)
        column[known] = np.where(np.isfinite(column[known]), column[known], 0.0) + series.volume[known]
    return volume


def _fx_returns(fx: Mapping[str, np.ndarray], currencies: tuple[str, ...], days: int) -> np.ndarray:
    """Daily return of one unit in USD; 0 for USD, NaN where no rate is known."""
    returns = np.full((days, len(currencies)), np.nan)
    for column, currency in enumerate(currencies):
        if currency == BASE_CURRENCY:
            returns[:, column] = 0.0
        elif f"{currency}{BASE_CURRENCY}" in fx:
            rates = fx[f"{currency}{BASE_CURRENCY}"]
            returns[1:, column] = rates[1:] / rates[:-1] - 1.0
    return returns


def _accounts(panel: MarketPanel) -> dict[str, tuple[FundamentalRecord, ...]]:
    """Filings by company, oldest first."""
    accounts: dict[str, list[FundamentalRecord]] = {}
    for record in sorted(panel.fundamentals, key=lambda record: (record.filed_on, record.period_end)):
        accounts.setdefault(record.instrument_id, []).append(record)
    return {name: tuple(records) for name, records in accounts.items()}


def can_be_borrowed(instrument: Instrument) -> bool:
    """Whether a line is a share or fund, which a short seller borrows."""
    return instrument.kind in (InstrumentType.STK, InstrumentType.ETF)
