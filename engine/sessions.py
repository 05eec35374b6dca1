"""When each venue trades: a table of sessions as a value, made outside from exchange calendars.

All times are UTC. ``venue`` is an id of venues.yaml. Dates outside the table raise: a session is never guessed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum

from engine.errors import DataError, InvariantError
from engine.model.venues import PhasePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One trading day of a venue, continuous trading from ``open`` to ``close`` in UTC."""

    venue: str
    session_date: date
    open: datetime
    close: datetime
    early_close: bool

    def __post_init__(self) -> None:
        if self.open >= self.close:
            raise InvariantError(f"{self.venue} {self.session_date}: a session must close after it opens")

    def contains(self, at: datetime) -> bool:
        """Whether the venue trades at this time (open inclusive, close exclusive)."""
        return self.open <= at < self.close


class SessionPhase(Enum):
    """What a venue does at a time (EXEC-65)."""

    PRE = "PRE"
    OPEN_AUCTION = "OPEN_AUCTION"
    CONTINUOUS = "CONTINUOUS"
    CLOSE_AUCTION = "CLOSE_AUCTION"
    POST = "POST"
    CLOSED = "CLOSED"


def avoided(session: Session, at: datetime, after_open: int, before_close: int) -> bool:
    """Whether a time lies within so many minutes after the open or before the close."""
    early = at < session.open + timedelta(minutes=after_open)
    return early or at >= session.close - timedelta(minutes=before_close)


def phase_of(session: Session, at: datetime, lengths: PhasePolicy) -> SessionPhase:
    """Phase of one session at a time; CLOSED before its first and after its last."""
    call = session.open - timedelta(minutes=lengths.open_auction_minutes)
    cleared = session.close + timedelta(minutes=lengths.close_auction_minutes)
    steps = (
        (call - timedelta(minutes=lengths.pre_minutes), SessionPhase.CLOSED),
        (call, SessionPhase.PRE),
        (session.open, SessionPhase.OPEN_AUCTION),
        (session.close, SessionPhase.CONTINUOUS),
        (cleared, SessionPhase.CLOSE_AUCTION),
        (cleared + timedelta(minutes=lengths.post_minutes), SessionPhase.POST),
    )
    return next((phase for ends, phase in steps if at < ends), SessionPhase.CLOSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTable:
    """Sessions of every venue over one range of dates, in order."""

    first: date
    last: date
    venues: Mapping[str, tuple[Session, ...]]
    _dates: Mapping[str, tuple[date, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        dates = {venue: tuple(s.session_date for s in sessions) for venue, sessions in self.venues.items()}
        object.__setattr__(self, "_dates", dates)

    def _row(self, venue: str, day: date) -> tuple[tuple[date, ...], int]:
        if venue not in self._dates:
            raise DataError(
                f"expected a venue of the session table, found {venue!r} (known: {', '.join(sorted(self._dates))})"
            )
        if not self.first <= day <= self.last:
            raise DataError(f"{day} lies outside the session table {self.first} to {self.last}")
        dates = self._dates[venue]
        return dates, bisect_left(dates, day)

    def session(self, venue: str, day: date) -> Session | None:
        """Session of a date, or ``None`` on a closed day."""
        dates, row = self._row(venue, day)
        return self.venues[venue][row] if row < len(dates) and dates[row] == day else None

    def is_session(self, venue: str, day: date) -> bool:
        """Whether the venue trades on a date."""
        return self.session(venue, day) is not None

    def previous(self, venue: str, day: date) -> Session:
        """Last session before a date; raises `DataError` before the table."""
        _, row = self._row(venue, day)
        if row == 0:
            raise DataError(f"{venue} has no session before {day} in the table")
        return self.venues[venue][row - 1]

    def next(self, venue: str, day: date) -> Session:
        """First session after a date; raises `DataError` after the table."""
        dates, row = self._row(venue, day)
        row += row < len(dates) and dates[row] == day
        if row >= len(dates):
            raise DataError(f"{venue} has no session after {day} in the table")
        return self.venues[venue][row]

    def last_closed(self, venue: str, at: datetime) -> Session:
        """Latest session whose close is at or before a time."""
        dates, _ = self._row(venue, at.date())
        row = bisect_right(dates, at.date())
        sessions = self.venues[venue]
        while row > 0 and sessions[row - 1].close > at:
            row -= 1
        if row == 0:
            raise DataError(f"{venue} has no closed session before {at} in the table")
        return sessions[row - 1]

    def sessions_between(self, venue: str, start: date, end: date) -> int:
        """Number of sessions after ``start`` up to and including ``end`` (0 when end ≤ start)."""
        dates, _ = self._row(venue, start)
        self._row(venue, end)
        return max(0, bisect_right(dates, end) - bisect_right(dates, start))

    def in_session(self, venue: str, at: datetime) -> Session | None:
        """Session running at a time; sessions of futures may open on the evening before their date."""
        _, row = self._row(venue, at.date())
        for candidate in self.venues[venue][max(0, row - 1) : row + 2]:
            if candidate.contains(at):
                return candidate
        return None

    def phase(self, venue: str, at: datetime, lengths: PhasePolicy) -> SessionPhase:
        """What a venue does at a time; what belongs to no session is CLOSED."""
        _, row = self._row(venue, at.date())
        around = self.venues[venue][max(0, row - 1) : row + 2]
        phases = (phase_of(session, at, lengths) for session in around)
        return next((phase for phase in phases if phase is not SessionPhase.CLOSED), SessionPhase.CLOSED)

    def any_session(self, day: date) -> bool:
        """Whether at least one venue trades on a date (R-24)."""
        return any(self.is_session(venue, day) for venue in self.venues)
