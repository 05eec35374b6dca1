"""Live progress of a day: one line a step, as a trader would say it, with what came out and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.status import Status
from rich.text import Text

STEP_TITLES = {
    "maintenance": "Settle what the night left",
    "fx": "Check the exchange rates",
    "sync": "Ask the broker",
    "nav": "Value the fund",
    "reconcile": "Compare with the broker",
    "roll": "Roll the futures",
    "risk": "Judge the risk",
    "targets": "Set the targets",
    "tail": "Plan the tail hedges",
    "crisis": "Check the crisis playbook",
    "wishes": "Collect the wishes",
    "fx_hedge": "Hedge the currencies",
    "trades": "Net and gate the trades",
    "safety": "Check the safety limits",
    "jobs": "Plan the jobs",
    "execution": "Work the orders",
    "close": "Close the day",
    "report": "Write the report",
}
"""Steps of a day by their names in the journal."""

_STYLES = {"done": "green", "kept": "green", "HALT": "bold red", "failed": "bold red", "skipped": "yellow"}
_TITLE_WIDTH = 28


@dataclass(slots=True)
class StepLine:
    """What a step says about itself while it runs; ``state`` is done, kept, skipped, HALT or failed."""

    fact: str = ""
    state: str = "done"


@dataclass(slots=True)
class DayProgress:
    """Prints each step when it ends and, on a terminal, the one that runs; says nothing when ``silent``.

    ``clock`` answers seconds. Steps may contain steps; the inner ones are shown while they run.
    """

    console: Console
    silent: bool = False
    clock: Callable[[], float] = time.monotonic
    _running: list[str] = field(default_factory=list)
    _status: Status | None = None

    def __enter__(self) -> DayProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def title(self, text: str) -> None:
        """A heading, as the date of the day or the venue of a window."""
        if not self.silent:
            self._print(Text(text, style="bold"))

    @contextmanager
    def step(self, name: str) -> Iterator[StepLine]:
        """One step: it is shown while it runs and told when it ends, also when it fails."""
        line, started = StepLine(), self.clock()
        self._running.append(step_title(name))
        self._show()
        try:
            yield line
        except BaseException:
            line.state = "failed" if line.state == "done" else line.state
            raise
        finally:
            title = self._running.pop()
            self.finished(title, line, self.clock() - started)
            self._show()

    def finished(self, title: str, line: StepLine, seconds: float) -> None:
        """The line of a step that has ended."""
        if self.silent:
            return
        text = Text("  ")
        text.append(f"{line.state:<8}", style=_STYLES.get(line.state, ""))
        text.append(f"{title:<{_TITLE_WIDTH}}{seconds:7.2f} s")
        if line.fact:
            text.append(f"  {line.fact}", style="" if line.state == "HALT" else "dim")
        self._print(text)

    def _print(self, text: Text) -> None:
        # A plain file gets whole lines: nobody wants a log cut to the width of a terminal that is not there.
        self.console.print(text, soft_wrap=True, highlight=False)

    def _show(self) -> None:
        if self.silent or not self.console.is_terminal:
            return
        if not self._running:
            self._stop()
        elif self._status is None:
            self._status = self.console.status(Text(f"{self._running[-1]} …"), spinner="dots")
            self._status.start()
        else:
            self._status.update(Text(f"{self._running[-1]} …"))

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def step_title(name: str) -> str:
    """A step as a trader would say it; a name that is not known is told as words."""
    words = name.replace("_", " ").strip()
    return STEP_TITLES.get(name, words[:1].upper() + words[1:])
