"""Bars of the past as the broker counts them, and in which pieces they are asked for (DATA-08, R-76).

Days are asked for in one piece: in days up to a year, in years beyond. Hours are asked for by the month, backwards from
the end; the next piece ends where the earliest bar began, so that nothing is doubled and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import NamedTuple, TypeVar

from ib_insync.objects import BarData

from engine.errors import NonFiniteValue
from engine.model.instruments import Instrument, InstrumentType
from tasks.adapters.ibkr.records import exact, exact_if_set
from tasks.adapters.ibkr.units import WireUnits

YEAR_DAYS, MONTH_DAYS = 365, 28
"""Longer than a year is asked for in years; no month is shorter than 28 days."""


class BarPrice(Enum):
    """What a bar is made of, by the broker's names."""

    TRADES = "TRADES"
    MIDPOINT = "MIDPOINT"
    ADJUSTED = "ADJUSTED_LAST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Prices of a while, in quote units. ``volume`` is in the broker's count, ``None`` where nothing is traded."""

    contract_id: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyBar(Bar):
    """Bar of one session."""

    session_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyBar(Bar):
    """Bar of one hour; it starts at a time, UTC."""

    starts_at: datetime


OneBar = TypeVar("OneBar", DailyBar, HourlyBar)


class Piece(NamedTuple):
    """One request: until when (``None`` for now) and how far back, in the broker's words."""

    end: datetime | None
    duration: str


def price_of(instrument: Instrument) -> BarPrice:
    """What bars of a line are made of, where nothing else is asked: currencies have no trades."""
    spot = instrument.kind in (InstrumentType.CASH, InstrumentType.FX_SPOT)
    return BarPrice.MIDPOINT if spot else BarPrice.TRADES


def in_regular_hours(instrument: Instrument) -> bool:
    """Whether only the venue's own session counts: futures and currencies trade around the clock."""
    return instrument.kind in (
        InstrumentType.STK,
        InstrumentType.ETF,
        InstrumentType.OPT,
        InstrumentType.IND,
    )


def daily_piece(first: date, last: date, end: datetime | None, today: date) -> Piece:
    """The request of daily bars; what ends now reaches back from today."""
    days = ((today if end is None else last) - first).days + 1
    years = -(-days // YEAR_DAYS)
    return Piece(end, f"{days} D" if days <= YEAR_DAYS else f"{years} Y")


def hourly_piece(first: datetime, end: datetime) -> Piece:
    """The next request of hourly bars backwards from an end."""
    days = -(-(end - first) // timedelta(days=1))
    return Piece(end, "1 M" if days > MONTH_DAYS else f"{days} D")


def daily_bar(contract_id: str, instrument: Instrument, told: BarData, units: WireUnits) -> DailyBar:
    """A day's bar in our words; raises `NonFiniteValue` for what is no price."""
    session_date = told.date.date() if isinstance(told.date, datetime) else told.date
    return DailyBar(
        session_date=session_date,
        contract_id=contract_id,
        open=_price(contract_id, instrument, told.open, units),
        high=_price(contract_id, instrument, told.high, units),
        low=_price(contract_id, instrument, told.low, units),
        close=_price(contract_id, instrument, told.close, units),
        volume=_volume(told),
    )


def hourly_bar(contract_id: str, instrument: Instrument, told: BarData, units: WireUnits) -> HourlyBar:
    """An hour's bar in our words; raises `NonFiniteValue` for what is no price or has no time."""
    starts_at = told.date
    if not isinstance(starts_at, datetime) or starts_at.tzinfo is None:
        raise NonFiniteValue(f"{contract_id}: expected the time of a bar in UTC, found {starts_at}")
    return HourlyBar(
        starts_at=starts_at,
        contract_id=contract_id,
        open=_price(contract_id, instrument, told.open, units),
        high=_price(contract_id, instrument, told.high, units),
        low=_price(contract_id, instrument, told.low, units),
        close=_price(contract_id, instrument, told.close, units),
        volume=_volume(told),
    )


def in_order(bars: Iterable[OneBar]) -> tuple[OneBar, ...]:
    """Oldest first, each once; of two of one time the one that came last holds."""
    latest = {_when(bar): bar for bar in bars}
    return tuple(latest[when] for when in sorted(latest))


def _when(bar: DailyBar | HourlyBar) -> str:
    when = bar.session_date if isinstance(bar, DailyBar) else bar.starts_at
    return when.isoformat()


def _price(contract_id: str, instrument: Instrument, told: float, units: WireUnits) -> Decimal:
    found = exact(told)
    if found <= 0 and not instrument.is_future:  # the price of a future may be negative
        raise NonFiniteValue(f"{contract_id}: expected a positive price in a bar, found {found}")
    return units.ticked(instrument, found)


def _volume(told: BarData) -> Decimal | None:
    volume = exact_if_set(told.volume)
    return volume if volume is not None and volume >= 0 else None
