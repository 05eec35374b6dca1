"""Until when a process of a drawn day may live: a run has to end by itself, and not by what breaks first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta

from engine.model.absence import AbsencePolicy
from engine.model.orders import ExecutionJob
from tests.simulation.order_days.drawing import DrawnDay

LONGEST = timedelta(hours=1)
"""How long after the end of the day's last job, or after its own begin, a process may still wait for something.

By its policies a run needs minutes: its drain, and before it begins the quiet time of a book that was restored. The rest
is for clocks that jump by minutes in the midst of a turn, or catch up with a step back.
"""


LATEST_START = time(22)
"""Windows are over by then. The broker settles the day at 22:30 UTC, and what it books then no execution run books."""


class LivesOn(BaseException):
    """A process waits though it should be over: nothing that it does would end it."""


def must_end_by(begun: datetime, jobs: Iterable[ExecutionJob]) -> datetime:
    """When a process that begins now has to be over."""
    return max((begun, *(job.ends_at for job in jobs))) + LONGEST


def late_start(now: datetime, later: timedelta) -> datetime:
    """When a person begins the next process who comes so much later: not after `LATEST_START`, and at once after that."""
    return max(now, min(now + later, datetime.combine(now.date(), LATEST_START, now.tzinfo)))


def turns_of_doubt(drawn: DrawnDay, alarms: Iterable[str]) -> int:
    """Turns of the loop of a process that stands in doubt from its begin to its last job's end: it asks every 30 seconds.

    While another process stands between its claim and the line no answer proves an absence, so a whole day may go so.
    """
    if not any("is still in doubt" in alarm for alarm in alarms):
        return 0
    longest = max(job.ends_at for job in drawn.jobs) - drawn.starts
    return longest // timedelta(seconds=AbsencePolicy(broker_zone="UTC").looks_apart_seconds)
