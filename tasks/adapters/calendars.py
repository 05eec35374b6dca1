"""Exchange calendars as a `SessionTable`: the only module that asks exchange_calendars.

The library is slow to import and to build, so its answer for all venues is kept in one file of whole numbers,
named by the library's version, the venues' calendars and its last year. Only a missing file imports the library.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from config.universe import load_venues
from engine.errors import DataError
from engine.sessions import Session, SessionTable

FIRST_DAY = date(1990, 1, 1)
FX_WEEK = "fx_week"
_LAYOUT = 1
_EPOCH = date(1970, 1, 1)
_NEW_YORK = ZoneInfo("America/New_York")
_FX_CLOSED = ((1, 1), (12, 25))
"""New Year's Day and Christmas Day: no bank settles, and the broker's currency market is shut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRows:
    """Sessions of one calendar: days since 1970, open and close in seconds since 1970 UTC, half-days; int64."""

    days: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    early: np.ndarray


def session_table(first: date, last: date, cache: Path | None) -> SessionTable:
    """Sessions of every venue of venues.yaml from ``first`` to ``last``.

    Parameters
    ----------
    first, last : date
        Range of session dates, both included.
    cache : Path, optional
        Folder of the stored calendars; ``None`` asks the library each time.

    Raises
    ------
    DataError
        When the range begins before 1990 or ends before it begins.
    """
    if first < FIRST_DAY or last < first:
        raise DataError(f"expected a range of dates from {FIRST_DAY} on, found {first} to {last}")
    calendars = load_venues().calendars
    rows = _calendar_rows(tuple(sorted(set(calendars.values()))), _horizon(last), cache)
    venues = {venue: _sessions(venue, rows[name], first, last) for venue, name in sorted(calendars.items())}
    return SessionTable(first=first, last=last, venues=venues)


def _horizon(last: date) -> int:
    """Last year of the stored calendars: rounded up to five years, so that one file serves for long."""
    return -(-(last.year + 1) // 5) * 5


def _calendar_rows(names: tuple[str, ...], horizon: int, cache: Path | None) -> Mapping[str, CalendarRows]:
    if cache is None:
        return _ask_library(names, horizon)
    key = hashlib.sha256(f"{_LAYOUT}|{FIRST_DAY}|{','.join(names)}".encode()).hexdigest()[:12]
    path = cache / f"sessions-{version('exchange_calendars')}-{horizon}-{key}.npy"
    stored = _read(path, names)
    if stored is not None:
        return stored
    rows = _ask_library(names, horizon)
    _write(path, names, rows)
    return rows


def _read(path: Path, names: tuple[str, ...]) -> Mapping[str, CalendarRows] | None:
    """Stored calendars, ``None`` when there are none or the file is damaged."""
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if table.dtype != np.int64 or table.ndim != 2 or table.shape[0] != 5:
        return None
    bounds = np.searchsorted(table[0], np.arange(len(names) + 1))
    if bounds[0] != 0 or bounds[-1] != table.shape[1] or (np.diff(bounds) < 1).any():
        return None
    return {
        name: CalendarRows(
            days=table[1, start:stop],
            opens=table[2, start:stop],
            closes=table[3, start:stop],
            early=table[4, start:stop],
        )
        for name, start, stop in zip(names, bounds[:-1], bounds[1:], strict=True)
    }


def _write(path: Path, names: tuple[str, ...], rows: Mapping[str, CalendarRows]) -> None:
    """Store calendars under their name at once: a reader sees a whole file or none."""
    columns = []
    for number, name in enumerate(names):
        part = rows[name]
        columns.append(
            np.stack([np.full(len(part.days), number), part.days, part.opens, part.closes, part.early])
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.save(file, np.concatenate(columns, axis=1).astype(np.int64))
    os.replace(file.name, path)


def _ask_library(names: tuple[str, ...], horizon: int) -> Mapping[str, CalendarRows]:
    return {name: _fx_week(horizon) if name == FX_WEEK else _exchange(name, horizon) for name in names}


def _exchange(name: str, horizon: int) -> CalendarRows:
    """One calendar of the library, from 1990 on: without a start it would begin twenty years ago."""
    import exchange_calendars

    with warnings.catch_warnings():
        # The library reads its own columns in a way that pandas calls outdated; the values are right.
        warnings.simplefilter("ignore", DeprecationWarning)
        calendar = exchange_calendars.get_calendar(name, start=FIRST_DAY.isoformat(), end=f"{horizon}-12-31")
    schedule = calendar.schedule
    return CalendarRows(
        days=schedule.index.to_numpy().astype("datetime64[D]").astype(np.int64),
        opens=_seconds(schedule["open"].dt.tz_convert(None).to_numpy()),
        closes=_seconds(schedule["close"].dt.tz_convert(None).to_numpy()),
        early=schedule.index.isin(calendar.early_closes).astype(np.int64),
    )


def _seconds(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[s]").astype(np.int64)


def _fx_week(horizon: int) -> CalendarRows:
    """Weekdays, each from 17:00 New York on the day before to 17:00 New York."""
    days = np.arange(np.datetime64(FIRST_DAY), np.datetime64(date(horizon + 1, 1, 1)))
    open_days: list[date] = [
        day for day in days[np.is_busday(days)].tolist() if (day.month, day.day) not in _FX_CLOSED
    ]
    return CalendarRows(
        days=np.array([(day - _EPOCH).days for day in open_days], dtype=np.int64),
        opens=np.array([_new_york_five(day - timedelta(days=1)) for day in open_days], dtype=np.int64),
        closes=np.array([_new_york_five(day) for day in open_days], dtype=np.int64),
        early=np.zeros(len(open_days), dtype=np.int64),
    )


def _new_york_five(day: date) -> int:
    return int(datetime.combine(day, time(17), tzinfo=_NEW_YORK).timestamp())


def _sessions(venue: str, rows: CalendarRows, first: date, last: date) -> tuple[Session, ...]:
    start, stop = np.searchsorted(rows.days, [(first - _EPOCH).days, (last - _EPOCH).days + 1])
    ordinals = rows.days[start:stop] + _EPOCH.toordinal()
    found = zip(
        map(date.fromordinal, ordinals.tolist()),
        rows.opens[start:stop].tolist(),
        rows.closes[start:stop].tolist(),
        rows.early[start:stop].tolist(),
        strict=True,
    )
    return tuple(
        Session(
            venue=venue,
            session_date=day,
            open=datetime.fromtimestamp(opened, UTC),
            close=datetime.fromtimestamp(closed, UTC),
            early_close=bool(early),
        )
        for day, opened, closed, early in found
    )
