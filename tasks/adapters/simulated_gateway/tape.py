"""What the simulated market has shown up to a time: quotes, the day so far, last quotes before a close.

Everything is read from the exchange's own facts. A day that is not over is told from the quotes that it has shown, never
from what its panel row says of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np

from engine.accounting.restated import Action
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import MarketInputs, Quote
from engine.model.money import decimal_from_float
from engine.ports import MarketDataSource, MarketFacts
from engine.sessions import Session, SessionTable
from engine.simulation.chains import business_calendar
from engine.simulation.panel import MarketPanel
from engine.simulation.panel_index import actions_by_instrument
from tasks.adapters.simulated_gateway.references import References

REFRESH = timedelta(seconds=5)
"""How long a quote holds."""

GLANCE = timedelta(hours=1)
"""How often the day so far is looked at for its open, high and low: a line is asked for with hundreds of others."""


_MOST_KEPT = 2000
"""Sessions of contracts whose looks are kept, before all are forgotten and made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """A session so far, or the whole of one that is over: in quote units, ``None`` where it has none."""

    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal | None = None


@dataclass(slots=True, kw_only=True)
class Tape:
    """Reads a panel and the exchange's facts over it.

    ``known`` is what is published of the market (volumes, loans, dividends), point in time. ``references`` are shown
    beside what the exchange trades.
    """

    panel: MarketPanel
    known: MarketDataSource
    references: References | None = None
    _published: tuple[datetime, object, MarketInputs] | None = field(init=False, repr=False, default=None)
    _actions: dict[str, tuple[Action, ...]] = field(init=False, repr=False)
    _calendars: dict[str, np.busdaycalendar] = field(init=False, repr=False, default_factory=dict)
    _kept: dict[tuple[str, str, date], list[Decimal | None]] = field(
        init=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        self._actions = actions_by_instrument(self.panel)

    def facts_of(self, facts: MarketFacts, instrument: Instrument) -> MarketFacts:
        """Where the prices of an instrument are: the exchange's, or those of what is only shown."""
        if self.references is not None and instrument.instrument_id in self.references.universe:
            return self.references.facts
        return facts

    def actions(self, instrument: Instrument) -> tuple[Action, ...]:
        """Dividends and splits of a line, in the order in which they take effect."""
        return self._actions.get(instrument.instrument_id, ())

    def calendar(self, sessions: SessionTable, venue: str) -> np.busdaycalendar:
        """Business days of a venue; made once."""
        if venue not in self._calendars:
            self._calendars[venue] = business_calendar(sessions, venue)
        return self._calendars[venue]

    def close_before(self, contract_id: str, day: date) -> Decimal | None:
        """The last recorded close before a date."""
        series = self.panel.series.get(contract_id)
        if series is None:
            return None
        before = series.close[: bisect_left(self.panel.dates, day)]
        known = before[np.isfinite(before)]
        return decimal_from_float(float(known[-1])) if len(known) else None

    def published(self, facts: MarketFacts, at: datetime) -> MarketInputs:
        """What is published at a time; read once for all times between two that change it."""
        if self._published is not None and self._published[0] == at:
            return self._published[2]
        closed = tuple(
            facts.sessions.last_closed(venue, at).session_date for venue in sorted(facts.sessions.venues)
        )
        key = (closed, at.date(), at.hour >= 22)
        known = self._published
        if known is not None and known[1] == key:
            self._published = (at, key, known[2])
        else:
            self._published = (at, key, self.known.inputs(at.date(), at, (), {}))
        return self._published[2]

    def last_quote(
        self, facts: MarketFacts, instrument: Instrument, contract_id: str, at: datetime
    ) -> Quote | None:
        """The last quote before the venue closed."""
        session = facts.sessions.last_closed(instrument.venue, at)
        return facts.quote(contract_id, session.close - REFRESH)

    def last_close(
        self, facts: MarketFacts, instrument: Instrument, contract_id: str, at: datetime
    ) -> Decimal | None:
        """Official close of the last session that is over."""
        day = facts.sessions.last_closed(instrument.venue, at).session_date
        return facts.official_close(contract_id, day)

    def day(self, facts: MarketFacts, instrument: Instrument, contract_id: str, at: datetime) -> DayFigures:
        """The running session so far; while the venue is closed the last one."""
        session = facts.sessions.in_session(instrument.venue, at)
        if session is None:
            last = facts.sessions.last_closed(instrument.venue, at)
            return self.recorded(contract_id, last.session_date)
        prints = self._prints(facts, instrument, contract_id, session, at)
        if not prints:
            return DayFigures()
        usual = self.published(facts, at).average_daily_volume.get(contract_id)
        return DayFigures(
            open=prints[0],
            high=max(prints),
            low=min(prints),
            volume=None if usual is None else _share_of(usual, session, at),
        )

    def _prints(
        self, facts: MarketFacts, instrument: Instrument, contract_id: str, session: Session, at: datetime
    ) -> list[Decimal]:
        """Prices at every glance since the open, and now. What was looked at before is kept, for it does not change."""
        key = (contract_id, session.venue, session.session_date)
        if len(self._kept) > _MOST_KEPT:
            self._kept.clear()
        kept = self._kept.setdefault(key, [])
        passed = (at - session.open) // GLANCE + 1
        for number in range(len(kept), passed):
            quote = facts.quote(contract_id, session.open + number * GLANCE)
            kept.append(None if quote is None else traded_at(instrument, quote))
        now = facts.quote(contract_id, at)
        prints = [*kept[:passed], None if now is None else traded_at(instrument, now)]
        return [price for price in prints if price is not None]

    def recorded(self, contract_id: str, day: date) -> DayFigures:
        """What was recorded of a session that is over; nothing for options, of which only closes are known."""
        series, row = self.panel.series.get(contract_id), self._row(day)
        if series is None or row is None:
            return DayFigures()
        return DayFigures(
            open=_exact(series.open[row]),
            high=_exact(series.high[row]),
            low=_exact(series.low[row]),
            volume=_exact(series.volume[row]),
        )

    def _row(self, day: date) -> int | None:
        row = bisect_left(self.panel.dates, day)
        return row if row < len(self.panel.dates) and self.panel.dates[row] == day else None


def glances(
    facts: MarketFacts, contract_id: str, first: datetime, last: datetime, step: timedelta
) -> Iterator[Quote]:
    """Quotes from a time on, one a step, and the one at the end; moments without a quote are left out."""
    at = first
    while at < last:
        quote = facts.quote(contract_id, at)
        if quote is not None:
            yield quote
        at += step
    quote = facts.quote(contract_id, last)
    if quote is not None:
        yield quote


def traded_at(instrument: Instrument, quote: Quote) -> Decimal | None:
    """Price of the trade that a quote shows; currencies, indices and what did not trade count at the middle.

    ``None`` where neither is there.
    """
    if has_trades(instrument) and not is_level(instrument) and quote.last is not None:
        return quote.last
    return None if quote.bid is None or quote.ask is None else quote.mid


def has_trades(instrument: Instrument) -> bool:
    """Whether trades of it are told: of spot currencies only quotes are."""
    return instrument.kind not in (InstrumentType.CASH, InstrumentType.FX_SPOT)


def is_level(instrument: Instrument) -> bool:
    """Whether it is an index: a level, which nobody bids for."""
    return instrument.kind is InstrumentType.IND


def refreshed(at: datetime) -> datetime:
    """When the quote of a time was made."""
    return at - timedelta(seconds=at.timestamp() % REFRESH.total_seconds())


def crossed(quote: Quote) -> Quote:
    """The same quote with its sides changed."""
    return replace(quote, bid=quote.ask, ask=quote.bid, bid_size=quote.ask_size, ask_size=quote.bid_size)


def one_sided(quote: Quote, missing: str) -> Quote:
    """The same quote without one side."""
    nothing = Decimal(0)
    if missing == "bid":
        return replace(quote, bid=None, bid_size=nothing)
    return replace(quote, ask=None, ask_size=nothing)


def _share_of(usual: Decimal, session: Session, at: datetime) -> Decimal:
    """What of a usual day's volume has traded by now, at an even pace: whole units."""
    share = Decimal((at - session.open) // REFRESH) / Decimal((session.close - session.open) // REFRESH)
    return (usual * share).to_integral_value()


def _exact(value: float) -> Decimal | None:
    return decimal_from_float(float(value)) if np.isfinite(value) else None
