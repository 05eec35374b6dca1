"""What a client may see of a line now: live, frozen, delayed, broken on purpose, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.model.instruments import Instrument
from engine.model.market import Quote
from engine.ports import MarketFacts
from tasks.adapters.simulated_gateway.faults import (
    SYSTEM_TEXTS,
    MarketFault,
    MarketTrouble,
    Refusal,
)
from tasks.adapters.simulated_gateway.tape import (
    REFRESH,
    DayFigures,
    Tape,
    crossed,
    is_level,
    one_sided,
    refreshed,
    traded_at,
)
from tasks.adapters.simulated_gateway.ticks import DataType, Showing

DELAY = timedelta(minutes=15)
"""How late delayed data comes."""

NO_LIVE_DATA, DELAYED_INSTEAD, COMPETING_SESSION = 354, 10167, 10197


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is told of a line: perhaps a notice or a refusal, perhaps what it shows, perhaps nothing at all."""

    notice: Refusal | None = None
    showing: Showing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One contract at one time, as one client wants it: ``wanted`` is the type of data that it asked for."""

    facts: MarketFacts
    instrument: Instrument
    contract_id: str
    at: datetime
    wanted: DataType


def view(tape: Tape, line: Line, trouble: MarketTrouble | None) -> View:
    """What a client is told of a line. Live data always come instead of delayed ones where it may see them."""
    if trouble is None:
        return View(showing=_live(tape, line))
    match trouble.kind:
        case MarketFault.CROSSED | MarketFault.ONE_SIDED:
            return View(showing=_broken(_live(tape, line), trouble))
        case MarketFault.STALE:
            return View(showing=_live(tape, replace(line, at=trouble.since)))
        case MarketFault.FROZEN:
            return View(showing=_last(tape, line, DataType.FROZEN))
        case MarketFault.COMPETING:
            return View(notice=Refusal(COMPETING_SESSION, SYSTEM_TEXTS[COMPETING_SESSION]))
        case MarketFault.NONE:
            told = "Requested market data is not subscribed."
            return View(notice=Refusal(NO_LIVE_DATA, told + "Delayed market data is not available."))
        case MarketFault.DELAYED:
            return _delayed(tape, line)
        case MarketFault.SILENT:
            return View()


def _live(tape: Tape, line: Line) -> Showing:
    quote = line.facts.quote(line.contract_id, line.at)
    if quote is None and line.wanted in (DataType.FROZEN, DataType.DELAYED_FROZEN):
        return _last(tape, line, DataType.FROZEN)
    return _showing(tape, line, quote, DataType.LIVE)


def _delayed(tape: Tape, line: Line) -> View:
    if not line.wanted.is_delayed:
        told = "Requested market data is not subscribed.Delayed market data is available."
        return View(notice=Refusal(NO_LIVE_DATA, f"{told}{line.instrument.ib_symbol}"))
    notice = Refusal(
        DELAYED_INSTEAD, "Requested market data is not subscribed. Displaying delayed market data."
    )
    late = replace(line, at=line.at - DELAY)
    quote = late.facts.quote(late.contract_id, late.at)
    if quote is None and line.wanted is DataType.DELAYED_FROZEN:
        return View(notice=notice, showing=_last(tape, late, DataType.DELAYED_FROZEN))
    return View(notice=notice, showing=_showing(tape, late, quote, DataType.DELAYED))


def _last(tape: Tape, line: Line, kind: DataType) -> Showing:
    """The last quote before the venue closed, as data of that kind."""
    session = line.facts.sessions.last_closed(line.instrument.venue, line.at)
    quote = tape.last_quote(line.facts, line.instrument, line.contract_id, line.at)
    return replace(
        _showing(tape, line, quote, kind),
        at=session.close - REFRESH,
        made_at=session.close,
        day=_day(tape, line, session.close),
    )


def _showing(tape: Tape, line: Line, quote: Quote | None, kind: DataType) -> Showing:
    """What a quote shows, with the day around it; without a quote the last close is all that is left."""
    close = tape.last_close(line.facts, line.instrument, line.contract_id, line.at)
    return Showing(
        instrument=line.instrument,
        kind=kind,
        quote=None if is_level(line.instrument) else quote,
        close=close if quote is None else quote.close,
        last=close if quote is None else traded_at(line.instrument, quote),
        day=_day(tape, line, line.at),
        at=line.at,
        made_at=refreshed(line.at)
        if quote is not None
        else line.facts.sessions.last_closed(line.instrument.venue, line.at).close,
    )


def _day(tape: Tape, line: Line, at: datetime) -> DayFigures:
    return tape.day(line.facts, line.instrument, line.contract_id, at)


def _broken(showing: Showing, trouble: MarketTrouble) -> Showing:
    """The same with its sides changed or one of them missing."""
    if showing.quote is None:
        return showing
    if trouble.kind is MarketFault.CROSSED:
        return replace(showing, quote=crossed(showing.quote))
    return replace(showing, quote=one_sided(showing.quote, trouble.missing))
