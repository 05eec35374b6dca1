"""What a run does next and when, by the venue's clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime

from engine.execution.schedule import Action


class Agenda:
    """Actions by the time at which they are due, those of one time in the order in which they came."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._latest = clock()
        self._heap: list[tuple[datetime, int, Action]] = []
        self._pushed = 0

    def now(self) -> datetime:
        """The venue's time, which stands still where its clock steps back: no deadline comes twice, none in the past."""
        self._latest = max(self._latest, self._clock())
        return self._latest

    @property
    def seen(self) -> datetime:
        """The venue's time when it was last asked for: what a run that failed still knows."""
        return self._latest

    def push(self, at: datetime, action: Action) -> None:
        """Wake an action at a time."""
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, action))

    @property
    def next_at(self) -> datetime:
        """When the next action is due."""
        return self._heap[0][0]

    def is_due(self, now: datetime) -> bool:
        """Whether an action waits whose time has come."""
        return bool(self._heap) and self._heap[0][0] <= now

    def take(self) -> Action:
        """The next action, which waits no longer."""
        return heapq.heappop(self._heap)[2]
