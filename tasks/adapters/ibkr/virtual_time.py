"""Virtual time of a simulated venue: it moves only when the executor asks, one event of the venue at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class VenueLine(Protocol):
    """A line to who holds the venue's clock."""

    def advance(
        self, until: datetime, client_id: int | None = None, barrier: int | None = None
    ) -> tuple[datetime, bool]:
        """Go to the next event up to a time, once the client's barrier-th question for the time was read.

        Answers the time then, and whether there was an event.
        """


class VirtualClock:
    """The venue's time as it was told last, and who may move it."""

    def __init__(self, line: VenueLine, client_id: int, started: datetime) -> None:
        self._line, self._client_id, self._now = line, client_id, started

    def now(self) -> datetime:
        """Virtual time, UTC."""
        return self._now

    def advance(self, until: datetime, barrier: int) -> bool:
        """Let the venue go on, not before it has read all that was written ahead of a barrier; whether it had news."""
        self._now, has_news = self._line.advance(max(until, self._now), self._client_id, barrier)
        return has_news
