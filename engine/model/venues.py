"""When a venue's orders may be worked: windows, auctions, phases, the broker's resets, and which trade takes which style.

Offsets are whole minutes from an anchor of the venue's own session, so that daylight saving and half-days move
everything by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from engine.model.instruments import CollarClass, Instrument, InstrumentType
from engine.model.orders import OrderType, Reason, Trade, Urgency
from engine.model.windows import ExecutionStyle

ORDER_TYPES: Mapping[ExecutionStyle, OrderType] = {
    ExecutionStyle.MIDDAY: OrderType.LIMIT,
    ExecutionStyle.OPEN_AUCTION: OrderType.LIMIT_ON_OPEN,
    ExecutionStyle.CLOSE_AUCTION: OrderType.LIMIT_ON_CLOSE,
}
"""Type of the child orders of each style."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuctionPolicy:
    """When an auction takes our orders, in minutes from the session's open or close; before it they are negative.

    Orders are sent from ``first_minutes``. At ``cutoff_minutes`` the venue, by our own earlier clock, takes nothing
    and gives nothing back any more (R-42). By ``result_minutes`` the outcome is told, also of an auction that was moved
    by a few minutes. ``listed_only``: not every line of the venue may use it, only those whose contract lists the
    order type (`Instrument.auction_orders`).
    """

    first_minutes: int
    cutoff_minutes: int
    result_minutes: int
    listed_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePolicy:
    """Lengths in minutes of the phases around continuous trading; 0 where the venue has no such phase (EXEC-65).

    ``pre`` comes before the call of the opening auction, ``post`` after the closing auction.
    """

    pre_minutes: int
    open_auction_minutes: int
    close_auction_minutes: int
    post_minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPolicy:
    """Liquidity window of a venue: minutes after the local open, minutes before the close (R-69, R-115).

    ``after_new_york_open_minutes`` moves the start for lines whose underlying trades in New York; ``start_utc`` and
    ``end_utc`` (``HH:MM``) fix the clock of venues without a daily open (FX). A venue without an auction, or one that
    takes no orders of ours into it, has none.
    """

    open_offset_minutes: int
    close_offset_minutes: int
    after_new_york_open_minutes: int | None
    start_utc: str | None
    end_utc: str | None
    open_auction: AuctionPolicy | None = None
    close_auction: AuctionPolicy | None = None

    def auction(self, style: ExecutionStyle) -> AuctionPolicy | None:
        """Terms of a style's auction, ``None`` where there is none."""
        if style is ExecutionStyle.OPEN_AUCTION:
            return self.open_auction
        return self.close_auction if style is ExecutionStyle.CLOSE_AUCTION else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleRule:
    """One line of the choice of styles: trades that every given list names; an empty list names all."""

    style: ExecutionStyle
    instruments: tuple[str, ...]
    venues: tuple[str, ...]
    asset_classes: tuple[CollarClass, ...]
    reasons: tuple[Reason, ...]
    urgencies: tuple[Urgency, ...]

    def names(self, trade: Trade, instrument: Instrument, urgency: Urgency) -> bool:
        """Whether the rule is about a trade."""
        return all(
            not listed or found in listed
            for listed, found in (
                (self.instruments, instrument.instrument_id),
                (self.venues, instrument.venue),
                (self.asset_classes, instrument.collar_class),
                (self.reasons, trade.reason),
                (self.urgencies, urgency),
            )
        )


def joins_auctions(instrument: Instrument) -> bool:
    """Whether a line may ever trade in an auction: shares and funds; futures, currencies and options never (R-95)."""
    return instrument.kind in (InstrumentType.STK, InstrumentType.ETF)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindow:
    """When the broker may be away.

    ``days`` are weekdays of the start (Monday 0); an end before the start lies on the next day. Times are
    ``HH:MM`` of ``timezone``; the start is included, the end is not.
    """

    name: str
    timezone: str
    days: tuple[int, ...]
    start: str
    end: str

    def contains(self, at: datetime) -> bool:
        """Whether a time lies in the window, by the clock of the window's own zone."""
        local = at.astimezone(ZoneInfo(self.timezone))
        clock, today = f"{local:%H:%M}", local.weekday()
        if self.start <= self.end:
            return today in self.days and self.start <= clock < self.end
        began_yesterday = (today - 1) % 7 in self.days and clock < self.end
        return began_yesterday or (today in self.days and clock >= self.start)

    def on(self, day: date) -> tuple[datetime, datetime] | None:
        """Start and end of the window that begins on a local date; ``None`` when none does."""
        if day.weekday() not in self.days:
            return None
        zone, last = ZoneInfo(self.timezone), day + timedelta(days=self.end < self.start)
        begins = datetime.combine(day, time.fromisoformat(self.start), zone)
        ends = datetime.combine(last, time.fromisoformat(self.end), zone).replace(fold=1)
        return begins.astimezone(UTC), ends.astimezone(UTC)


@lru_cache(maxsize=8192)
def resets_around(resets: tuple[MaintenanceWindow, ...], day: date) -> tuple[tuple[datetime, datetime], ...]:
    """Every reset that may meet a UTC date, in order: those that begin on the local dates around it."""
    days = [day + timedelta(days=ahead) for ahead in (-1, 0, 1)]
    return tuple(sorted(found for reset in resets for near in days if (found := reset.on(near)) is not None))


def outside_resets(
    start: datetime, end: datetime, resets: tuple[MaintenanceWindow, ...]
) -> tuple[datetime, datetime] | None:
    """Longest part of a stretch of time in which the broker is there throughout, ``None`` when there is none."""
    free = [(start, end)]
    near = {*resets_around(resets, start.date()), *resets_around(resets, end.date())}
    for away, back in sorted(reset for reset in near if reset[0] < end and start < reset[1]):
        free = [part for lot in free for part in ((lot[0], min(lot[1], away)), (max(lot[0], back), lot[1]))]
        free = [part for part in free if part[0] < part[1]]
    return max(free, key=lambda part: part[1] - part[0], default=None)


def guarded_start(at: datetime, resets: tuple[MaintenanceWindow, ...]) -> datetime:
    """Earliest time from ``at`` on at which a run may begin: not while the broker may be away (R-41)."""
    for away, back in resets_around(resets, at.date()):
        if away <= at < back:
            at = back
    return at
