"""Bars of the past: days as they were recorded, everything smaller from the quotes that were shown.

The day that is not over has a bar of what it has shown so far, and no close of its own. Prices are those of the day,
restated for splits that have taken effect since; adjusted ones also for dividends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine.accounting.restated import STEP
from engine.errors import MissingMark
from engine.model.instruments import Instrument
from engine.model.market import Dividend, Quote, Split
from engine.ports import MarketFacts
from engine.sessions import Session
from tasks.adapters.simulated_gateway.bar_requests import DAY, BarRequest, What, shown_day, shown_time
from tasks.adapters.simulated_gateway.forms import Record
from tasks.adapters.simulated_gateway.sessions import plain
from tasks.adapters.simulated_gateway.tape import GLANCE, REFRESH, Tape, glances, has_trades, traded_at

_LONGEST_STEP, _GLANCES = timedelta(minutes=15), 4
"""A bar within the day is made of this many quotes and its last, a long one of a quote every quarter of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Prices of a while in quote units; ``volume`` is ``None`` where no trades are told."""

    starts: datetime
    session_date: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None = None

    def scaled(self, factor: Decimal, shares: Decimal) -> Bar:
        """The same per share of today: prices times a factor, volume times shares of today per share of then."""
        if factor == shares == 1:
            return self
        prices = {
            name: (getattr(self, name) * factor).quantize(STEP) for name in ("open", "high", "low", "close")
        }
        return replace(self, volume=None if self.volume is None else self.volume * shares, **prices)


@dataclass(frozen=True, slots=True, kw_only=True)
class BarSource:
    """One contract's bars at one time."""

    tape: Tape
    facts: MarketFacts
    instrument: Instrument
    contract_id: str
    now: datetime
    zone: ZoneInfo

    def bars(self, asked: BarRequest) -> list[Bar]:
        """Bars of a request, oldest first; empty where nothing was recorded or shown."""
        if asked.what in (What.TRADES, What.ADJUSTED_LAST) and not has_trades(self.instrument):
            return []
        sessions = self._sessions(asked)
        if asked.size == DAY:
            found = [] if self.instrument.is_option else [self._day(session, asked) for session in sessions]
        else:
            first = self._first(asked)
            found = [bar for session in sessions for bar in self._within(session, asked, first)]
        adjusted = asked.what is What.ADJUSTED_LAST
        return [self._restated(bar, dividends=adjusted) for bar in found if bar is not None]

    def head(self) -> datetime | None:
        """When its first recorded session opened."""
        series = self.tape.panel.series.get(self.contract_id)
        if series is None:
            return None
        for row, day in enumerate(self.tape.panel.dates):
            session = self._session_of(day)
            if session is not None and session.close <= self.now and series.close[row] == series.close[row]:
                return session.open
        return None

    # ------------------------------------------------------------ which sessions

    def _sessions(self, asked: BarRequest) -> Sequence[Session]:
        """Sessions that a request reaches, oldest first: by their number for days, else by the calendar."""
        begun = [s for s in self.facts.sessions.venues[self.instrument.venue] if s.open < asked.end]
        if asked.duration.unit == "D":
            return begun[-asked.duration.count :]
        first = self._first(asked)
        return [session for session in begun if session.close > first]

    def _first(self, asked: BarRequest) -> datetime:
        """Where a request begins; seconds count back from the last moment at which the venue was open."""
        if asked.duration.unit == "D":
            return datetime.min.replace(tzinfo=UTC)
        end = asked.end
        if asked.duration.unit == "S" and self.facts.sessions.in_session(self.instrument.venue, end) is None:
            end = self.facts.sessions.last_closed(self.instrument.venue, end).close
        return asked.duration.before(end)

    def _session_of(self, day: date) -> Session | None:
        sessions = self.facts.sessions
        return (
            sessions.session(self.instrument.venue, day) if sessions.first <= day <= sessions.last else None
        )

    # ------------------------------------------------------------ bars

    def _day(self, session: Session, asked: BarRequest) -> Bar | None:
        """Bar of one session: the recorded one when it is over, else what it has shown so far."""
        shown_until = min(asked.end, session.close - REFRESH)
        if session.close > self.now or asked.what not in (What.TRADES, What.ADJUSTED_LAST, What.MIDPOINT):
            return self._shown(session, asked.what, session.open, shown_until, GLANCE)
        close = self.facts.official_close(self.contract_id, session.session_date)
        if close is None:
            return None
        if asked.what is What.MIDPOINT and has_trades(self.instrument):
            return self._shown(session, asked.what, session.open, shown_until, GLANCE)
        return self._recorded(session, asked.what, close)

    def _recorded(self, session: Session, what: What, close: Decimal) -> Bar | None:
        """The recorded bar; where only a close was recorded, around what the session showed."""
        day = self.tape.recorded(self.contract_id, session.session_date)
        opened, high, low = day.open, day.high, day.low
        if opened is None or high is None or low is None:
            shown = self._shown(session, What.MIDPOINT, session.open, session.close - REFRESH, GLANCE)
            known = [close] if shown is None else [shown.open, shown.high, shown.low, close]
            opened = known[0] if opened is None else opened
            high, low = max(known) if high is None else high, min(known) if low is None else low
        return Bar(
            starts=session.open, session_date=session.session_date, open=opened, high=high, low=low, close=close,
            volume=day.volume if what is not What.MIDPOINT else None,
        )  # fmt: skip

    def _within(self, session: Session, asked: BarRequest, first: datetime) -> Iterator[Bar]:
        """Bars within a session, on the clock's own multiples of their size; the last one may still run."""
        starts, end = session.open, min(session.close, asked.end)
        while starts < end:
            following = min(_next_multiple(starts, asked.size), session.close)
            if following > first:
                step = max(REFRESH, min(_LONGEST_STEP, asked.size / _GLANCES))
                bar = self._shown(session, asked.what, starts, min(following - REFRESH, end), step)
                if bar is not None:
                    yield bar
            starts = following

    def _shown(
        self, session: Session, what: What, first: datetime, last: datetime, step: timedelta
    ) -> Bar | None:
        """Bar of the quotes from first to last; ``None`` where none of them had what is asked for."""
        quotes = list(glances(self.facts, self.contract_id, first, max(first, last), step))
        if what is What.BID_ASK:
            return _spread_bar(quotes, session, first)
        prices = [price for quote in quotes if (price := self._price(quote, what)) is not None]
        if not prices:
            return None
        return Bar(
            starts=first, session_date=session.session_date,
            open=prices[0], high=max(prices), low=min(prices), close=prices[-1],
        )  # fmt: skip

    def _price(self, quote: Quote, what: What) -> Decimal | None:
        match what:
            case What.BID:
                return quote.bid
            case What.ASK:
                return quote.ask
            case What.MIDPOINT:
                return quote.mid if quote.is_two_sided else None
            case _:
                return traded_at(self.instrument, quote)

    # ------------------------------------------------------------ corporate actions

    def _restated(self, bar: Bar, *, dividends: bool) -> Bar:
        """Per share of today: for splits since the bar, and dividends as a fraction of the close before them."""
        factor = shares = Decimal(1)
        for action in self.tape.actions(self.instrument):
            if not bar.session_date < action.ex_date <= self.now.date():
                continue
            if isinstance(action, Split):
                factor, shares = factor / action.ratio, shares * action.ratio
            elif dividends:
                factor *= self._without(action)
        return bar.scaled(factor, shares)

    def _without(self, dividend: Dividend) -> Decimal:
        """What is left of a price without a dividend, as a fraction of the close before it."""
        before = self.tape.close_before(self.contract_id, dividend.ex_date)
        if before is None:
            raise MissingMark(f"{self.contract_id}: expected a close before {dividend.ex_date}, found none")
        return 1 - dividend.amount / self.instrument.effective_multiplier / before


def bar_record(bar: Bar, asked: BarRequest, source: BarSource) -> Record:
    """A bar as the wire tells it; what is not known of it (average, number of trades) is −1."""
    told = (
        shown_day(bar.session_date)
        if asked.size == DAY
        else shown_time(bar.starts, source.zone, in_seconds=asked.in_seconds)
    )
    return {
        "date": told, "open": plain(bar.open), "high": plain(bar.high), "low": plain(bar.low),
        "close": plain(bar.close), "volume": "-1" if bar.volume is None else plain(bar.volume), "average": "-1",
        "count": "-1",
    }  # fmt: skip


def _spread_bar(quotes: Sequence[Quote], session: Session, starts: datetime) -> Bar | None:
    """Bid and ask in one bar: their averages as open and close, the lowest bid and the highest ask."""
    bids = [quote.bid for quote in quotes if quote.bid is not None]
    asks = [quote.ask for quote in quotes if quote.ask is not None]
    if not bids or not asks:
        return None
    return Bar(
        starts=starts, session_date=session.session_date,
        open=(sum(bids, Decimal(0)) / len(bids)).quantize(STEP), high=max(asks), low=min(bids),
        close=(sum(asks, Decimal(0)) / len(asks)).quantize(STEP),
    )  # fmt: skip


def _next_multiple(at: datetime, size: timedelta) -> datetime:
    """The next multiple of a size on the clock."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + ((at - midnight) // size + 1) * size
