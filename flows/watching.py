"""What a person at the terminal sees while days run: one line a step, orders counted as they are worked."""

from __future__ import annotations

import time
from datetime import date

from flows.commands.progress import DayProgress, StepLine, step_title

ORDER_EVENTS = frozenset(
    {"order_sent", "order_filled", "parent_finished", "job_started", "job_finished", "alarm"}
)


class Watcher:
    """Turns the world's observations into progress lines; long runs show one line a day."""

    def __init__(self, progress: DayProgress, *, brief: bool) -> None:
        self._progress, self._brief = progress, brief
        self._since = self._day_since = time.monotonic()
        self._sent = self._filled = 0

    def observe(self, step: str, fact: str) -> None:
        """One observation of the world."""
        if step in ORDER_EVENTS:
            self._sent += step == "order_sent"
            self._filled += step == "order_filled"
            return
        now = time.monotonic()
        if not self._brief:
            line = StepLine(state="HALT" if step == "halted" else "done", fact=fact)
            self._progress.finished(step_title(step), line, now - self._since)
        self._since = now

    def begin_day(self, day: date) -> None:
        """A day starts."""
        self._since = self._day_since = time.monotonic()
        self._sent = self._filled = 0
        if not self._brief:
            self._progress.title(f"{day:%A} {day}")

    def flow_done(self, name: str, text: str) -> None:
        """A flow of the day ended."""
        self.observe(
            name, text if name != "execution" else f"{text}, {self._sent} orders, {self._filled} fills"
        )

    def end_day(self, day: date, text: str, *, halted: bool) -> None:
        """A day ended."""
        if self._brief:
            line = StepLine(state="HALT" if halted else "done", fact=text)
            self._progress.finished(str(day), line, time.monotonic() - self._day_since)
