"""Until when a process of a drawn day may live: a run has to end by itself, and not by what breaks first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from engine.model.orders import ExecutionJob

LONGEST = timedelta(hours=1)
"""How long after the end of the day's last job, or after its own begin, a process may still wait for something.

By its policies a run needs minutes: its drain, and before it begins the quiet time of a book that was restored. The rest
is for clocks that jump by minutes in the midst of a turn, or catch up with a step back.
"""


class LivesOn(BaseException):
    """A process waits though it should be over: nothing that it does would end it."""


def must_end_by(begun: datetime, jobs: Iterable[ExecutionJob]) -> datetime:
    """When a process that begins now has to be over."""
    return max((begun, *(job.ends_at for job in jobs))) + LONGEST
