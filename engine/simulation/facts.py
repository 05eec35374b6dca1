"""The world's prices as the exchange knows them: quotes through the day, official closes, corporate actions.

`PanelFacts` reads a panel with open eyes, the day's close included. The simulated exchange trades on it; the fund
never sees it, only `engine.simulation.pointintime`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np

from engine.errors import MissingFxRate, UnknownContract
from engine.model.instruments import Contract, Instrument
from engine.model.market import Dividend, FxRate, FxRates, Quote, Source, Split, SymbolChange
from engine.model.money import decimal_from_float
from engine.model.universe import Universe
from engine.sessions import Session, SessionTable
from engine.simulation.books import depth, price_two_sided, widening
from engine.simulation.generated_names import CURRENCY_SPOT
from engine.simulation.generated_share_names import path_root, path_sign
from engine.simulation.market import option_name
from engine.simulation.option_market import contract_value, has_options, parse_option_id
from engine.simulation.option_quotes import two_sided
from engine.simulation.panel import DailySeries, MarketPanel
from engine.simulation.paths import (
    DayShape,
    draw,
    draw_key,
    intraday_path,
    minutes_of,
    session_noise,
)
from engine.simulation.processes import on_grid

_CACHED_PATHS = 4096
_FX_DAY_END = time(22, 0)
_QUOTE_SECONDS = 5
"""A quote holds for this many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """One contract's session: mids by minute and what stays the same all day."""

    mids: np.ndarray
    previous: float
    vix: float


@dataclass(slots=True, kw_only=True)
class PanelFacts:
    """Market facts over a panel; implements `MarketFacts`. Same panel and seed, same quotes."""

    panel: MarketPanel
    universe: Universe
    sessions: SessionTable
    seed: int
    _contracts: dict[str, Contract] = field(init=False, repr=False)
    _rows: dict[date, int] = field(init=False, repr=False)
    _paths: OrderedDict[tuple[str, str, date], _Path | None] = field(init=False, repr=False)
    _keys: dict[str, int] = field(init=False, repr=False)
    _days: np.ndarray = field(init=False, repr=False)
    _spot_lines: dict[str, tuple[str, bool]] = field(init=False, repr=False)
    _last_rates: FxRates | None = field(init=False, repr=False, default=None)
    _last_quote: tuple[str, datetime, Quote | None] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self._contracts = {
            name: series.contract
            for name, series in self.panel.series.items()
            if series.contract.instrument_id in self.universe
        }
        self._rows = {day: row for row, day in enumerate(self.panel.dates)}
        self._paths = OrderedDict()
        self._keys = {}
        self._days = np.array(self.panel.dates, dtype="datetime64[D]")
        self._spot_lines = {
            pair: (line, inverse)
            for line, (pair, inverse) in CURRENCY_SPOT.items()
            if line in self.universe and line in self.panel.series
        }

    def contract(self, contract_id: str) -> Contract:
        """Listed contract, options parsed from their id; raises `UnknownContract`."""
        found = self._contracts.get(contract_id)
        if found is None:
            found = self._option_contract(contract_id)
            self._contracts[contract_id] = found
        return found

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        """Two-sided quote at a time; ``None`` while the venue is closed or the contract is not listed."""
        last = self._last_quote
        if last is None or last[0] != contract_id or last[1] != at:
            # Many orders in one contract look at it at one moment.
            last = self._last_quote = (contract_id, at, self._quote_at(contract_id, at))
        return last[2]

    def _quote_at(self, contract_id: str, at: datetime) -> Quote | None:
        contract = self.contract(contract_id)
        instrument = self.universe[contract.instrument_id]
        session = self.sessions.in_session(instrument.venue, at)
        if session is None or _is_expired(contract, session.session_date):
            return None
        if instrument.is_option:
            return self._option_quote(instrument, contract, session, at)
        path = self._path(contract_id, session)
        return None if path is None else self._quote(instrument, contract_id, path, session, at)

    def official_close(self, contract_id: str, session_date: date) -> Decimal | None:
        """Close of a session: recorded, or the model's for options; ``None`` where the day has none."""
        contract = self.contract(contract_id)
        row = self._rows.get(session_date)
        if row is None or _is_expired(contract, session_date):
            return None
        instrument = self.universe[contract.instrument_id]
        if instrument.is_option:
            return self._option_close(instrument, contract, session_date, row)
        close = float(self.panel.series[contract_id].close[row])
        return decimal_from_float(close) if np.isfinite(close) else None

    def fx(self, at: datetime) -> FxRates:
        """Rates at a time: moving from Sunday to Friday 22:00 UTC, the last ones over the weekend."""
        if self._last_rates is not None and self._last_rates.as_of == at:
            return self._last_rates
        rates = {}
        for pair in sorted(self.panel.fx):
            known = self._fx_rate(pair, at)
            if known is not None:
                rates[pair] = known
        if not rates and self.panel.fx:
            raise MissingFxRate("any currency", "USD", tuple(sorted(self.panel.fx)))
        self._last_rates = FxRates(as_of=at, rates=rates)
        return self._last_rates

    def dividends(self, ex_date: date) -> tuple[Dividend, ...]:
        """Dividends whose ex-date is this date."""
        rows = self.panel.dividends
        first = bisect_left(rows, ex_date, key=lambda row: row.ex_date)
        return rows[first : bisect_right(rows, ex_date, key=lambda row: row.ex_date)]

    def splits(self, ex_date: date) -> tuple[Split, ...]:
        """Splits whose ex-date is this date."""
        return tuple(split for split in self.panel.splits if split.ex_date == ex_date)

    def symbol_changes(self, day: date) -> tuple[SymbolChange, ...]:
        """Shares that trade under another id from this date."""
        return tuple(change for change in self.panel.symbol_changes if change.effective == day)

    def borrow_available(self, instrument_id: str, day: date) -> bool:
        """Whether new shorts can be borrowed; a line of which the panel says nothing can not."""
        return self.panel.borrow_available.get(instrument_id, False)

    def borrow_fee_bps(self, instrument_id: str, day: date) -> Decimal:
        """Annual fee of a short, as the fund reads it from the same panel."""
        return decimal_from_float(self.panel.borrow_fee_bps.get(instrument_id, 0.0))

    def _option_contract(self, contract_id: str) -> Contract:
        contract = parse_option_id(contract_id)
        name = contract.instrument_id
        if (
            name not in self.universe
            or not self.universe[name].is_option
            or not has_options(self.panel, name)
        ):
            raise UnknownContract(f"expected a listed contract, found {contract_id!r}")
        return contract

    def _path(self, contract_id: str, session: Session) -> _Path | None:
        """Path of a contract, or of an option's underlying, over a session; kept for the next question."""
        key = (contract_id, session.venue, session.session_date)
        if key in self._paths:
            self._paths.move_to_end(key)
            return self._paths[key]
        path = self._draw_path(self.panel.series[contract_id], session)
        self._paths[key] = path
        if len(self._paths) > _CACHED_PATHS:
            self._paths.popitem(last=False)
        return path

    def _draw_path(self, series: DailySeries, session: Session) -> _Path | None:
        row = self._rows.get(session.session_date)
        if row is None or not np.isfinite(series.close[row]):
            return None
        before = series.close[max(0, row - 60) : row]
        before = before[np.isfinite(before)]
        previous = float(before[-1]) if len(before) else float(series.close[row])
        root, sign = path_root(series.contract.instrument_id), path_sign(series.contract.instrument_id)
        noise, turn = session_noise(self.seed, root, session.session_date, session.open, session.close)
        return _Path(
            mids=intraday_path(_shape(series, row, before, session), sign * noise, turn),
            previous=previous,
            vix=_last_finite(self.panel.vix[max(0, row - 5) : row]),
        )

    def _quote(
        self, instrument: Instrument, contract_id: str, path: _Path, session: Session, at: datetime
    ) -> Quote:
        mid, _, factor = _moment(path, session, at)
        bid, ask = price_two_sided(instrument, mid, factor)
        key = self._keys.setdefault(contract_id, draw_key(self.seed, contract_id))
        stamp = int(at.timestamp()) // 60
        return Quote(
            contract_id=contract_id,
            observed_at=at,
            bid=bid,
            ask=ask,
            bid_size=depth(instrument, mid, factor, draw(key, 2 * stamp)),
            ask_size=depth(instrument, mid, factor, draw(key, 2 * stamp + 1)),
            last=bid if draw(key, -stamp) < 0.5 else ask,
            close=decimal_from_float(path.previous),
            source=Source.SIMULATED,
        )

    def _option_quote(
        self, instrument: Instrument, contract: Contract, session: Session, at: datetime
    ) -> Quote | None:
        """Model quote on the underlying's mid, with the volatility on its way from the last close to today's."""
        name = option_name(instrument)
        row = self._rows.get(session.session_date)
        path = self._path(name.spot, session) if name.spot in self.panel.series else None
        if row is None or path is None:
            return None
        spot, minute, factor = _moment(path, session, at)
        volatilities = self.panel.implied_volatility[instrument.instrument_id]
        today = float(volatilities[row])
        before = _last_finite(volatilities[max(0, row - 5) : row], today)
        elapsed = minute / minutes_of(session.open, session.close)
        values = self._option_premium(
            instrument, contract, spot, before + (today - before) * elapsed, session
        )
        bids, asks = two_sided(instrument, name, values, factor)
        key = self._keys.setdefault(contract.contract_id, draw_key(self.seed, contract.contract_id))
        stamp = int(at.timestamp()) // 60
        previous = self._option_premium(instrument, contract, path.previous, before, session)
        bid = decimal_from_float(float(bids[0])) if bids[0] > 0 else None
        return Quote(
            contract_id=contract.contract_id,
            observed_at=at,
            bid=bid,
            ask=decimal_from_float(float(asks[0])),
            bid_size=depth(instrument, spot, factor, draw(key, 2 * stamp)) if bid is not None else Decimal(0),
            ask_size=depth(instrument, spot, factor, draw(key, 2 * stamp + 1)),
            last=decimal_from_float(float(on_grid(instrument, values)[0])),
            close=decimal_from_float(float(on_grid(instrument, previous)[0])),
            source=Source.SIMULATED,
        )

    def _option_premium(
        self, instrument: Instrument, contract: Contract, spot: float, at_the_money: float, session: Session
    ) -> np.ndarray:
        """Model premium with whole days to expiry, shape (1,)."""
        years = _years(contract, session.session_date)
        return contract_value(
            instrument, option_name(instrument), contract, spot, at_the_money, years
        ).premium

    def _option_close(
        self, instrument: Instrument, contract: Contract, session_date: date, row: int
    ) -> Decimal | None:
        name = option_name(instrument)
        series = self.panel.series.get(name.spot)
        at_the_money = float(self.panel.implied_volatility[instrument.instrument_id][row])
        if series is None or not np.isfinite(series.close[row]) or not np.isfinite(at_the_money):
            return None
        years = _years(contract, session_date)
        values = contract_value(instrument, name, contract, float(series.close[row]), at_the_money, years)
        return decimal_from_float(float(on_grid(instrument, values.premium)[0]))

    def _fx_rate(self, pair: str, at: datetime) -> FxRate | None:
        """Rate of a pair: the spot line's mid while it trades, else the last complete day's rate."""
        line = self._spot_lines.get(pair)
        if line is not None:
            contract_id, inverse = line
            session = self.sessions.in_session(self.universe[contract_id].venue, at)
            path = None if session is None else self._path(contract_id, session)
            if session is not None and path is not None:
                mid, _, _ = _moment(path, session, at)
                return _rate(pair, 1.0 / mid if inverse else mid, at, self.panel)
        rates = self.panel.fx[pair]
        last_day = at.date() if at.time() >= _FX_DAY_END else at.date() - timedelta(days=1)
        row = int(np.searchsorted(self._days, np.datetime64(last_day), side="right")) - 1
        known = np.flatnonzero(np.isfinite(rates[: row + 1]))
        if not len(known):
            return None
        observed_at = datetime.combine(self.panel.dates[int(known[-1])], _FX_DAY_END, tzinfo=UTC)
        return _rate(pair, float(rates[known[-1]]), observed_at, self.panel)


def _is_expired(contract: Contract, session_date: date) -> bool:
    return contract.last_trade_date is not None and session_date > contract.last_trade_date


def _years(contract: Contract, day: date) -> float:
    if contract.last_trade_date is None:
        raise UnknownContract(f"{contract.contract_id} has no expiry")
    return (contract.last_trade_date - day).days / 365.0


def _rate(pair: str, rate: float, observed_at: datetime, panel: MarketPanel) -> FxRate:
    return FxRate(
        pair=pair, rate=decimal_from_float(round(rate, 6)), observed_at=observed_at, source=panel.name
    )


def _last_finite(values: np.ndarray, otherwise: float = float("nan")) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else otherwise


def _shape(series: DailySeries, row: int, before: np.ndarray, session: Session) -> DayShape:
    """Recorded facts of a session; without a recorded open, trading resumes where it stopped the evening before."""
    close = float(series.close[row])
    previous = float(before[-1]) if len(before) else close
    start = float(series.open[row])
    if not np.isfinite(start):
        # A daytime venue opens half way to its close: news came overnight.
        overnight = session.open.date() < session.session_date
        start = previous if overnight else (previous + close) / 2
    moves = np.diff(before[-21:])
    spread = float(np.std(moves)) if len(moves) >= 5 else abs(close - previous)
    high, low = float(series.high[row]), float(series.low[row])
    recorded = np.isfinite(high) and np.isfinite(low)
    return DayShape(
        start=start,
        high=high if recorded else None,
        low=low if recorded else None,
        close=close,
        spread=max(spread, 0.25 * abs(close - previous)),
    )


def _moment(path: _Path, session: Session, at: datetime) -> tuple[float, int, float]:
    """Mid, minute of the session and widening of the book at a time."""
    seconds = (at - session.open).total_seconds() // _QUOTE_SECONDS * _QUOTE_SECONDS
    minutes = len(path.mids) - 1
    minute = min(int(seconds // 60), minutes - 1)
    share = min(1.0, (seconds - 60 * minute) / 60.0)
    mid = float(path.mids[minute] + (path.mids[minute + 1] - path.mids[minute]) * share)
    return mid, minute, widening(minute, minutes, at.hour, path.vix)
