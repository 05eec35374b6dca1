"""What a decision may know of a panel: everything up to the last closed session of each venue, and nothing later.

Comes in: a panel, the decision's date and time and what is held. Goes out: `MarketInputs`. Indices and exchange
rates are known from 22:00 UTC of their day, accounts from the day after their filing, dividends 30 days ahead.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np

from engine.accounting.restated import restated_close
from engine.errors import DataError
from engine.model.instruments import CollarClass, Contract, Instrument
from engine.model.market import (
    BorrowInfo,
    FundamentalRecord,
    FxRate,
    FxRates,
    Mark,
    MarketHistory,
    MarketInputs,
    OptionRange,
    Source,
)
from engine.model.money import decimal_from_float
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.ages import mark_age
from engine.simulation.dividend_facts import announced_dividends, dividend_infos
from engine.simulation.option_quotes import OptionBoard, OptionRequest, read_options
from engine.simulation.panel import MarketPanel
from engine.simulation.panel_index import PanelIndex, build_index, can_be_borrowed

HISTORY_DAYS = 300
VOLUME_SESSIONS = 20
NOTED_DAYS = 5
"""Rows of the panel for which recorded data problems are told again."""
DAY_END = time(22, 0)
"""UTC time from which a day's index levels and exchange rates are known."""

_BORROWABLE_VOLUME_FRACTION = 0.2
_BORROWABLE_WITHOUT_VOLUME = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInTimeMarket:
    """A panel read as of a time; implements `MarketDataSource`."""

    panel: MarketPanel
    universe: Universe
    sessions: SessionTable
    _index: PanelIndex = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", build_index(self.panel, self.universe, self.sessions))

    def inputs(
        self, trade_date: date, as_of: datetime, held: Sequence[str], options: Mapping[str, OptionRange]
    ) -> MarketInputs:
        """All that was known at ``as_of``; raises `DataError` before the panel's first closed session."""
        cut = _cut(self._index, self.universe, self.sessions, as_of)
        marks = _marks(self, cut, trade_date, frozenset(held))
        board = _options(self, cut, OptionRequest(trade_date=trade_date, ranges=options, held=held))
        volumes = _average_volumes(self, cut, marks)
        return MarketInputs(
            as_of=as_of,
            trade_date=trade_date,
            marks={**marks, **board.marks},
            fx=_fx(self, cut, as_of),
            history=_history(self, cut),
            chains=_chains(self, marks, trade_date),
            option_chains=board.chains,
            fundamentals=_fundamentals(self._index, as_of.date()),
            borrow=_borrow(self, volumes),
            dividends=announced_dividends(self.panel, trade_date),
            dividend_infos=dividend_infos(self.panel, trade_date),
            splits=tuple(split for split in self.panel.splits if split.ex_date == trade_date),
            average_daily_volume=volumes,
            data_notes=_notes(self, cut, marks, frozenset(held)),
        )


def market_inputs(
    panel: MarketPanel,
    universe: Universe,
    sessions: SessionTable,
    trade_date: date,
    as_of: datetime,
    held: Sequence[str],
    options: Mapping[str, OptionRange],
) -> MarketInputs:
    """Inputs of one decision; use `PointInTimeMarket` where many days are read from one panel."""
    return PointInTimeMarket(panel=panel, universe=universe, sessions=sessions).inputs(
        trade_date, as_of, held, options
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """Last visible rows: by venue (with its last closed session), and of indices and rates."""

    venue_rows: Mapping[str, int]
    session_dates: Mapping[str, date]
    day_row: int

    @property
    def newest(self) -> int:
        return max(self.venue_rows.values())


def _cut(index: PanelIndex, universe: Universe, sessions: SessionTable, as_of: datetime) -> _Cut:
    venues = sorted({instrument.venue for instrument in universe})
    dates = {venue: sessions.last_closed(venue, as_of).session_date for venue in venues}
    rows = {venue: index.row(day) for venue, day in dates.items()}
    last_day = (
        as_of.date() if as_of.timetz() >= DAY_END.replace(tzinfo=UTC) else as_of.date() - timedelta(days=1)
    )
    day_row = index.row(last_day)
    if min([*rows.values(), day_row]) < 0:
        raise DataError(
            f"no closed session lies between the market data's first day and {as_of:%Y-%m-%d %H:%M}Z"
        )
    return _Cut(venue_rows=rows, session_dates=dates, day_row=day_row)


def _source(panel: MarketPanel) -> Source:
    return Source.SIMULATED if panel.generated else Source.RESEARCH


def _marks(market: PointInTimeMarket, cut: _Cut, trade_date: date, held: frozenset[str]) -> dict[str, Mark]:
    """Last price of every line, unexpired contract and held contract, per share as counted on the trade date."""
    index, source = market._index, _source(market.panel)
    alive = index.last_trade >= np.datetime64(trade_date)
    marks: dict[str, Mark] = {}
    for row in np.flatnonzero(alive | np.isin(index.contract_ids, list(held))).tolist():
        contract_id, venue = index.contract_ids[row], index.instruments[row].venue
        last = int(index.last_rows[row, cut.venue_rows[venue]])
        if last < 0:
            continue
        day = market.panel.dates[last]
        price, actions = decimal_from_float(float(index.closes[row, last])), index.actions.get(contract_id)
        if actions is not None:
            price = restated_close(price, index.instruments[row], day, trade_date, actions)
        marks[contract_id] = Mark(
            contract_id=contract_id,
            price=price,
            session_date=day,
            age_sessions=mark_age(market.sessions, venue, day, cut.session_dates[venue]),
            source=source,
        )
    for change in market.panel.symbol_changes:
        # Until it has a close of its own, a renamed share counts at the one of its old id.
        known = marks.get(change.instrument_id) if change.effective <= trade_date else None
        if known is not None and change.new_instrument_id not in marks:
            marks[change.new_instrument_id] = replace(known, contract_id=change.new_instrument_id)
    return marks


def _options(market: PointInTimeMarket, cut: _Cut, request: OptionRequest) -> OptionBoard:
    known: dict[str, tuple[int, date]] = {}
    for instrument in market.universe:
        if not instrument.is_option:
            continue
        row = cut.venue_rows[instrument.venue]
        known[instrument.instrument_id] = (row, cut.session_dates[instrument.venue])
    return read_options(
        market.panel,
        market.universe,
        market.sessions,
        market._index.calendars,
        known,
        request,
        _source(market.panel),
    )


def _chains(
    market: PointInTimeMarket, marks: Mapping[str, Mark], trade_date: date
) -> dict[str, tuple[Contract, ...]]:
    """Unexpired contracts that have had a price, nearest first."""
    return {
        instrument.instrument_id: tuple(
            contract
            for contract in market.panel.chains.get(instrument.instrument_id, ())
            if contract.contract_id in marks
            and contract.last_trade_date is not None
            and contract.last_trade_date >= trade_date
        )
        for instrument in market.universe
        if instrument.is_future
    }


def _fx(market: PointInTimeMarket, cut: _Cut, as_of: datetime) -> FxRates:
    """Last rates of complete days, observed at the end of their day."""
    index = market._index
    rates = {}
    for pair in sorted(index.fx):
        row = int(index.fx_rows[pair][cut.day_row])
        if row < 0:
            continue
        rates[pair] = FxRate(
            pair=pair,
            rate=decimal_from_float(float(index.fx[pair][row])),
            observed_at=datetime.combine(market.panel.dates[row], DAY_END, tzinfo=UTC),
            source=market.panel.name,
        )
    return FxRates(as_of=as_of, rates=rates)


def _history(market: PointInTimeMarket, cut: _Cut) -> MarketHistory:
    """Up to `HISTORY_DAYS` rows on which anything traded; what a venue has not closed yet is NaN."""
    index, panel = market._index, market.panel
    start = max(0, cut.newest + 1 - HISTORY_DAYS - 30)
    rows = np.arange(start, cut.newest + 1)
    last = np.array([cut.venue_rows[instrument.venue] for instrument in market.universe])
    returns = np.where(rows[:, None] <= last[None, :], index.returns[rows], np.nan)
    kept = np.flatnonzero(np.isfinite(returns).any(axis=1))[-HISTORY_DAYS:]
    rows, returns = rows[kept], returns[kept]
    known = rows <= cut.day_row
    return MarketHistory(
        dates=tuple(panel.dates[row] for row in rows.tolist()),
        instrument_ids=market.universe.ids,
        currencies=market.universe.currencies,
        returns=returns,
        fx_returns=np.where(known[:, None], index.fx_returns[rows], np.nan),
        vix=np.where(known, panel.vix[rows], np.nan),
        v2x=np.where(known, panel.v2x[rows], np.nan),
    )


def _average_volumes(market: PointInTimeMarket, cut: _Cut, marks: Mapping[str, Mark]) -> dict[str, Decimal]:
    """Median volume of the last complete sessions: of each line over all its contracts, and of each contract."""
    index = market._index
    volumes: dict[str, Decimal] = {}
    for column, instrument in enumerate(market.universe):
        row = cut.venue_rows[instrument.venue]
        _put_median(
            volumes, instrument.instrument_id, index.instrument_volume[max(0, row - 39) : row + 1, column]
        )
    for contract_id in marks:
        series = index.row_of[contract_id]
        if index.instruments[series].is_future:
            row = cut.venue_rows[index.instruments[series].venue]
            _put_median(volumes, contract_id, index.volumes[series, max(0, row - 39) : row + 1])
    return volumes


def _put_median(volumes: dict[str, Decimal], name: str, recent: np.ndarray) -> None:
    known = recent[np.isfinite(recent)][-VOLUME_SESSIONS:]
    if len(known):
        ordered = np.sort(known)
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        volumes[name] = Decimal(int(middle))


def _borrow(market: PointInTimeMarket, volumes: Mapping[str, Decimal]) -> dict[str, BorrowInfo]:
    """Shares to borrow: a fifth of a usual day's volume where the panel says that the line can be borrowed."""
    quotes = {}
    for instrument in market.universe:
        name = instrument.instrument_id
        if not can_be_borrowed(instrument) or name not in market.panel.borrow_available:
            continue
        shares = _borrowable(instrument, volumes) if market.panel.borrow_available[name] else Decimal(0)
        quotes[name] = BorrowInfo(
            instrument_id=name,
            available_shares=shares,
            fee_bps_annual=decimal_from_float(market.panel.borrow_fee_bps.get(name, 0.0)),
        )
    return quotes


def _borrowable(instrument: Instrument, volumes: Mapping[str, Decimal]) -> Decimal:
    volume = volumes.get(instrument.instrument_id)
    if volume is None:
        return _BORROWABLE_WITHOUT_VOLUME
    return Decimal(int(float(volume) * _BORROWABLE_VOLUME_FRACTION))


def _fundamentals(index: PanelIndex, day: date) -> tuple[FundamentalRecord, ...]:
    """Latest accounts of each company that were filed before the day."""
    latest = []
    for name in sorted(index.accounts):
        filings = index.accounts[name]
        count = bisect_left(filings, day, key=lambda record: record.filed_on)
        if count:
            latest.append(filings[count - 1])
    return tuple(latest)


def _notes(
    market: PointInTimeMarket, cut: _Cut, marks: Mapping[str, Mark], held: frozenset[str]
) -> tuple[str, ...]:
    """Quirks of the data that a reader of the report should know: stale marks, gaps, impossible bars.

    Companies that are not held are counted, not named: there are hundreds of them.
    """
    watched = _watched(market, held)
    notes = list(market.panel.notes) if market.panel.generated else []
    old_companies = 0
    for contract_id, mark in sorted(marks.items()):
        if _instrument_of(market, contract_id) not in watched:
            old_companies += mark.age_sessions > 0
            continue
        if mark.age_sessions:
            notes.append(
                f"{contract_id}: stale, last price of {mark.session_date}, {mark.age_sessions} sessions old"
            )
        if mark.price <= 0:
            notes.append(f"{contract_id}: last price {mark.price} is not positive")
        if _is_impossible_bar(market, mark):
            notes.append(f"{contract_id}: the bar of {mark.session_date} has its close outside low to high")
    if old_companies:
        notes.append(f"{old_companies} companies that are not held have no price of their last session")
    return (*notes, *_gap_notes(market, cut, watched), *_recorded_problems(market, cut, watched))


def _watched(market: PointInTimeMarket, held: frozenset[str]) -> frozenset[str]:
    """Instruments whose data are reported line by line: all but companies, and what is held."""
    lines = {i.instrument_id for i in market.universe if i.collar_class is not CollarClass.STK}
    return frozenset(lines | {_instrument_of(market, contract_id) for contract_id in held})


def _instrument_of(market: PointInTimeMarket, contract_id: str) -> str:
    row = market._index.row_of.get(contract_id)
    return contract_id if row is None else market._index.instruments[row].instrument_id


def _recorded_problems(market: PointInTimeMarket, cut: _Cut, watched: frozenset[str]) -> list[str]:
    """What the records' own list of problems says of the last days, of watched lines, pairs and indices."""
    dates = market.panel.dates
    oldest, newest = dates[max(0, cut.newest + 1 - NOTED_DAYS)], dates[cut.newest]
    pairs = {f"{currency}USD" for currency in market.universe.currencies}
    subjects = watched | pairs | {"VIX", "V2X"}
    return [
        problem.text
        for problem in market.panel.problems
        if problem.subject in subjects and problem.first <= newest and problem.last >= oldest
    ]


def _is_impossible_bar(market: PointInTimeMarket, mark: Mark) -> bool:
    series, row = market.panel.series[mark.contract_id], market._index.row(mark.session_date)
    high, low, close = float(series.high[row]), float(series.low[row]), float(series.close[row])
    # A NaN compares false: bars without a recorded range are not impossible.
    return high < low or close > high or close < low


def _gap_notes(market: PointInTimeMarket, cut: _Cut, watched: frozenset[str]) -> list[str]:
    """Lines that had no price on some of the last 20 or so sessions although their venue was open."""
    notes = []
    for column, instrument in enumerate(market.universe):
        row = cut.venue_rows[instrument.venue]
        start = row - 28
        if instrument.is_option or instrument.instrument_id not in watched:
            continue
        if start < 0 or market.panel.dates[start] < market.sessions.first:
            continue
        expected = market.sessions.sessions_between(
            instrument.venue, market.panel.dates[start], cut.session_dates[instrument.venue]
        )
        found = int(np.isfinite(market._index.returns[start + 1 : row + 1, column]).sum())
        if 0 < found < expected:
            notes.append(
                f"{instrument.instrument_id}: {expected - found} of the last {expected} sessions without a price"
            )
    return notes
