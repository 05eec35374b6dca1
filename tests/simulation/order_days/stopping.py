"""A day of thirty orders that is halted, or whose process is asked to end, after every single effect.

``python -m tests.simulation.order_days.stopping [--every N]`` prints what broke.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import DrawnDay
from tests.simulation.order_days.judging import Violation, judge
from tests.simulation.order_days.killing import effects
from tests.simulation.order_days.scenarios import SCENARIOS

STOPS: Mapping[str, Callable[[FaultedDay], None]] = {
    "halted": FaultedDay.halt,
    "asked to end": FaultedDay.ask_to_end,
}
"""What is done to the day, by its name."""


def stopped(drawn: DrawnDay, at: int, stop: Callable[[FaultedDay], None]) -> FaultedDay:
    """The day with a stop after its effect of this number, counted over all its attempts."""
    day = FaultedDay.begin(drawn)

    def choice() -> bool:
        if day.dice.moments == at:
            stop(day)
        return False

    day.dice.choice = choice
    return day.live()


def stops(drawn: DrawnDay, name: str, every: int = 1) -> list[tuple[int, Violation]]:
    """What a stop of one kind after every effect of the day, or every so many, breaks."""
    return [
        (at, found)
        for at in range(1, effects(drawn) + 1, every)
        for found in judge(stopped(drawn, at, STOPS[name]))
    ]


def main(arguments: Sequence[str]) -> int:
    """Stop every scenario in every way and print every violation; 1 when there was one."""
    parser = argparse.ArgumentParser(prog="stopping")
    parser.add_argument("--every", type=int, default=1)
    asked = parser.parse_args(arguments)
    started, broken = time.process_time(), 0
    for scenario, drawn in SCENARIOS.items():
        for name in STOPS:
            found = stops(drawn, name, asked.every)
            broken += len(found)
            for at, violation in found:
                print(f"{scenario}, {name} after {at}: {violation.invariant}: {violation.detail}")
            print(f"{scenario}, {name}: {-(-effects(drawn) // asked.every)} days, {len(found)} violations")
    print(f"{time.process_time() - started:.1f} s of processor time")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
