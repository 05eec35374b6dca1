"""Which kills of a day of thirty orders are lived in a run of the tests; `whole` lives all of them."""

from __future__ import annotations

import random
from functools import cache

from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import DrawnDay
from tests.simulation.order_days.scenarios import SCENARIOS

SETTLING = 20
"""Effects of a restart beyond those of the undisturbed day, within which a second kill may fall."""

SECONDS = 10
"""Second kills that are lived from the snapshot at one first kill."""


def effects(drawn: DrawnDay) -> int:
    """How many places an undisturbed day has at which its process may end, the evening left out."""
    return FaultedDay.begin(drawn).live().effects


@cache
def _effects_of(name: str) -> int:
    return effects(SCENARIOS[name])


def drawn_pairs(number: int, seed: int) -> list[tuple[str, int, frozenset[int]]]:
    """Ordered pairs of kills, drawn from a seed: a scenario, a first kill, and the kills that follow it."""
    chance = random.Random(seed)
    pairs = []
    for _ in range(-(-number // SECONDS)):
        name = chance.choice(list(SCENARIOS))
        count = _effects_of(name)
        first = chance.randint(1, count)
        later = range(first + 1, count + SETTLING)
        pairs.append((name, first, frozenset(chance.sample(later, min(SECONDS, number, len(later))))))
    return pairs
