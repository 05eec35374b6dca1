"""A fund process of its own, struck at a moment: ``python -m tests.scenarios.fund_process PLAN COMMAND ...``.

The rest of the line is the command line of the fund, run as it is. ``PLAN`` is a JSON object: ``kill`` is the moment at
which the process ends by SIGKILL, ``stop`` the one at which it stands still until it is woken, ``told`` a file that gets a
line once recovery is over: the times (of the system's monotonic clock) of then, and of when everything was imported.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from flows.commands.__main__ import main
from tasks.step import Step
from tests.scenarios.kill_moments import Strike, hear_effects, stop_here

RECOVERED = "recover open orders"


def tell_when_recovered(told: Path) -> None:
    """Write down when a process knew what had become of every order, and when it had started."""
    call, up = Step.__call__, time.monotonic()

    def timed(self: Step[..., object], *arguments: object, **named: object) -> object:
        value = call(self, *arguments, **named)
        if self.name == RECOVERED and not told.exists():
            told.write_text(f"{time.monotonic()!r} {up!r}", encoding="utf-8")
        return value

    Step.__call__ = timed  # type: ignore[method-assign, assignment]


def run(plan: dict[str, object], command: Sequence[str]) -> int:
    """The command, with what the plan says."""
    if "kill" in plan:
        hear_effects(Strike(int(str(plan["kill"]))))
    if "stop" in plan:
        hear_effects(Strike(int(str(plan["stop"])), stop_here))
    if "told" in plan:
        tell_when_recovered(Path(str(plan["told"])))
    return main(list(command))


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1]), sys.argv[2:]))
