"""A process killed after every effect of a day of thirty orders, singly and in pairs.

``python -m tests.simulation.order_days.killing --singles SCENARIO`` and ``--pairs N`` print what broke.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable, Sequence

from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import DrawnDay
from tests.simulation.order_days.judging import Violation, judge
from tests.simulation.order_days.scenarios import SCENARIOS

SETTLING = 60
"""Effects of a restart beyond those of the undisturbed day, within which a second kill may fall."""


def effects(drawn: DrawnDay) -> int:
    """How many places an undisturbed day has at which its process may end."""
    return FaultedDay.begin(drawn).live().dice.moments


def killed(drawn: DrawnDay, kills: Iterable[int]) -> list[Violation]:
    """What a day breaks whose process ends after these effects, counted over all its attempts."""
    return judge(FaultedDay.begin(drawn, kills).live())


def singles(drawn: DrawnDay, every: int = 1) -> list[tuple[int, Violation]]:
    """Every effect of the day, or every so many, one kill each."""
    return [(at, found) for at in range(1, effects(drawn) + 1, every) for found in killed(drawn, (at,))]


def drawn_pairs(number: int, seed: int) -> list[tuple[str, tuple[int, int]]]:
    """Ordered pairs of kills over all scenarios, drawn from a seed."""
    chance = random.Random(seed)
    counts = {name: effects(drawn) for name, drawn in SCENARIOS.items()}
    pairs = []
    for _ in range(number):
        name = chance.choice(list(SCENARIOS))
        first = chance.randint(1, counts[name])
        pairs.append((name, (first, first + chance.randint(1, counts[name] - first + SETTLING))))
    return pairs


def main(arguments: Sequence[str]) -> int:
    """Kill as asked and print every violation; 1 when there was one."""
    parser = argparse.ArgumentParser(prog="killing")
    parser.add_argument("--singles", choices=sorted(SCENARIOS), default=None)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    started, days, found = time.process_time(), 0, []
    if asked.singles is not None:
        drawn = SCENARIOS[asked.singles]
        days += effects(drawn)
        found += [f"killed after {at}: {v.invariant}: {v.detail}" for at, v in singles(drawn)]
    for name, kills in drawn_pairs(asked.pairs, asked.seed) if asked.pairs else ():
        days += 1
        found += [
            f"{name}, killed after {kills}: {v.invariant}: {v.detail}" for v in killed(SCENARIOS[name], kills)
        ]
    print("\n".join(found))
    print(f"{days} days, {len(found)} violations, {time.process_time() - started:.1f} s of processor time")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
