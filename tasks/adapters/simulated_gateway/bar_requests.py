"""Requests of bars: what may be asked for, in which words, and how often (the broker's step sizes and pacing)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tasks.adapters.simulated_gateway.faults import Refusal
from tasks.adapters.simulated_gateway.forms import Record, flag, text

DAY = timedelta(days=1)
_SECOND, _MINUTE, _HOUR, _WEEK, _MONTH = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=7),
    timedelta(days=31),
)
BAR_SIZES: Mapping[str, timedelta] = {
    **{f"{count} secs": count * _SECOND for count in (5, 10, 15, 30)},
    "1 min": _MINUTE,
    **{f"{count} mins": count * _MINUTE for count in (2, 3, 5, 10, 15, 20, 30)},
    "1 hour": _HOUR,
    **{f"{count} hours": count * _HOUR for count in (2, 3, 4, 8)},
    "1 day": DAY,
}
"""Sizes of bars that are served."""

_LONGEST = (
    (30 * _SECOND, 8 * _HOUR),
    (_MINUTE, DAY),
    (2 * _MINUTE, 2 * DAY),
    (20 * _MINUTE, _WEEK),
    (8 * _HOUR, _MONTH),
)
"""How much may be asked for at once, by the size of the bars; days have no limit."""

REQUESTS_PER_WINDOW, WINDOW, SAME_AGAIN = 60, timedelta(minutes=10), timedelta(seconds=15)
_DURATION = re.compile(r"([1-9][0-9]{0,4}) ([SDWMY])")
_END = re.compile(r"([0-9]{8})[- ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?: ([A-Za-z0-9_+/-]+))?")
_UNITS = {"S": _SECOND, "D": DAY, "W": _WEEK, "M": _MONTH, "Y": 365 * DAY}
_MOST_DAYS = 365
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


class What(Enum):
    """What bars are made of, by the wire's names."""

    TRADES = "TRADES"
    MIDPOINT = "MIDPOINT"
    BID = "BID"
    ASK = "ASK"
    BID_ASK = "BID_ASK"
    ADJUSTED_LAST = "ADJUSTED_LAST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How far back a request reaches: ``count`` of seconds, sessions, weeks, months or years."""

    count: int
    unit: str

    def before(self, end: datetime) -> datetime:
        """Where it begins, by the calendar; sessions are counted by whoever knows them."""
        if self.unit in ("M", "Y"):
            return _months_before(end, self.count * (12 if self.unit == "Y" else 1))
        return end - min(self.count * _UNITS[self.unit], end - _EARLIEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRequest:
    """A request that can be served: bars of a size until ``end``. ``in_seconds`` is how times are told."""

    what: What
    size: timedelta
    duration: Duration
    end: datetime
    in_seconds: bool


def read_request(record: Record, now: datetime, zone: ZoneInfo) -> BarRequest | Refusal:
    """What a client asks; an end without a zone is in the venue's, and none at all means now."""
    what, size, duration = (text(record, name) for name in ("what", "bar_size", "duration"))
    if flag(record, "keep_up_to_date"):
        return _invalid("Bars that are kept up to date are not served here")
    if what not in [kind.value for kind in What]:
        return _invalid(f"Invalid what to show {what!r}; served are {', '.join(kind.value for kind in What)}")
    if size not in BAR_SIZES:
        return _invalid(f"Invalid bar size {size!r}; served are {', '.join(BAR_SIZES)}")
    length = _DURATION.fullmatch(duration)
    if length is None:
        return _invalid(f"Invalid duration {duration!r}: expected a number and S, D, W, M or Y")
    asked_end = text(record, "end")
    if what == What.ADJUSTED_LAST.value and asked_end:
        return _invalid("End date not supported with adjusted last")
    end = _end(asked_end, now, zone)
    if end is None:
        return _invalid(f"Invalid end {asked_end!r}: expected yyyymmdd-hh:mm:ss in UTC or with a time zone")
    reach = Duration(count=int(length.group(1)), unit=length.group(2))
    if reach.unit == "D" and reach.count > _MOST_DAYS:
        return _invalid("Historical data request for durations longer than 365 days must be made in years.")
    if _too_long(reach, BAR_SIZES[size]):
        return _refused("Time length exceed max.")
    return BarRequest(
        what=What(what),
        size=BAR_SIZES[size],
        duration=reach,
        end=min(end, now),
        in_seconds=text(record, "date_format") == "2",
    )


def is_paced(asked: list[tuple[datetime, Record]], record: Record, now: datetime) -> bool:
    """Whether a request comes too soon: the 61st within ten minutes, or the same again within 15 seconds.

    ``asked`` are the earlier ones of the same client; those that count no more are dropped from it, and this one is added.
    """
    asked[:] = [(at, other) for at, other in asked if now - at < WINDOW]
    same = {**record, "request_id": ""}
    too_soon = len(asked) >= REQUESTS_PER_WINDOW or any(
        now - at < SAME_AGAIN and other == same for at, other in asked
    )
    asked.append((now, same))
    return too_soon


def pacing_violation() -> Refusal:
    """What a request that comes too soon is refused by."""
    return _refused("Historical data request pacing violation")


def no_data(name: str) -> Refusal:
    """What a request is refused by when there is nothing."""
    return _refused(f"HMDS query returned no data: {name}")


def shown_time(at: datetime, zone: ZoneInfo, *, in_seconds: bool) -> str:
    """A time as bars tell it: seconds since 1970, or the venue's own time with its zone."""
    return str(int(at.timestamp())) if in_seconds else f"{at.astimezone(zone):%Y%m%d %H:%M:%S} {zone.key}"


def shown_day(day: date) -> str:
    """The date of a day's bar."""
    return f"{day:%Y%m%d}"


def _invalid(cause: str) -> Refusal:
    return Refusal(321, f"Error validating request.-'bT' : cause - {cause}")


def _refused(cause: str) -> Refusal:
    return Refusal(162, f"Historical Market Data Service error message:{cause}")


def _end(asked: str, now: datetime, zone: ZoneInfo) -> datetime | None:
    if not asked:
        return now
    found = _END.fullmatch(asked)
    if found is None:
        return None
    day, clock, name = found.groups()
    try:
        told = UTC if "-" in asked[:9] else zone if name is None else ZoneInfo(name)
        return datetime.strptime(day + clock, "%Y%m%d%H:%M:%S").replace(tzinfo=told).astimezone(UTC)
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        return None


def _too_long(reach: Duration, size: timedelta) -> bool:
    longest: Sequence[timedelta] = [most for bars, most in _LONGEST if size <= bars]
    return bool(longest) and reach.count * _UNITS[reach.unit] > longest[0]


def _months_before(end: datetime, months: int) -> datetime:
    """The same day and time so many months earlier, or the last day of a shorter month."""
    number = end.year * 12 + end.month - 1 - months
    if number // 12 < _EARLIEST.year:
        return _EARLIEST
    year, month = number // 12, number % 12 + 1
    following = date(year + month // 12, month % 12 + 1, 1)
    last = (following - DAY).day
    return end.replace(year=year, month=month, day=min(end.day, last))
