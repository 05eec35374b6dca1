"""A day of thirty orders whose process is killed after every effect, once and twice: nothing twice, nothing lost."""

from __future__ import annotations

import pytest

from tests.simulation.order_days.exploring import NOWHERE, Tally, explore
from tests.simulation.order_days.killing import drawn_pairs, effects
from tests.simulation.order_days.scenarios import SCENARIOS
from tests.simulation.order_days.sizes import EVERY_EFFECT, PAIRS

GROUPS = 5


def test_process_killed_after_one_effect_sends_nothing_twice_and_loses_no_fill() -> None:
    one = SCENARIOS["filled at once"]
    # Each of 30 orders is claimed, sent, acknowledged, filled and ended, and each message is a place of its own.
    assert effects(one) >= 150
    firsts = range(1, effects(one) + 1, EVERY_EFFECT)
    found = explore(one, firsts, NOWHERE)
    assert (found.singles, found.pairs, found.shown) == (len(firsts), 0, [])


@pytest.mark.parametrize("group", range(GROUPS))
def test_process_killed_twice_sends_nothing_twice_and_loses_no_fill(group: int) -> None:
    found, wanted = Tally(), 0
    for name, first, seconds in drawn_pairs(PAIRS // GROUPS, seed=group):
        wanted += len(seconds)
        found.add(explore(SCENARIOS[name], (first,), seconds))
    assert found.shown == []
    assert 0 < found.pairs <= wanted
