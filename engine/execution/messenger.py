"""What a run tells whoever watches it, and the alarms that its report repeats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from engine.execution.outcome import ExecutionWorld, Progress, ProgressKind
from engine.model.orders import JobStatus


class Messenger:
    """Progress with its time; every alarm is kept in ``alarms`` too."""

    def __init__(self, world: ExecutionWorld, now: Callable[[], datetime]) -> None:
        self._world, self._now = world, now
        self.alarms: list[str] = []

    def alarm(self, subject: str, text: str) -> None:
        """A person should know."""
        self.alarms.append(text)
        self.tell(ProgressKind.ALARM, subject, text)

    def tell(self, kind: ProgressKind, subject: str, text: str, status: JobStatus | None = None) -> None:
        """Something went on."""
        self._world.observer(Progress(kind, self._now(), subject, text, status))
