"""A day of thirty orders that is halted, or whose process is asked to end, after any of its effects."""

from __future__ import annotations

import os

import pytest

from tests.simulation.order_days.scenarios import SCENARIOS
from tests.simulation.order_days.stopping import STOPS, stops

EVERY_EFFECT_HERE = 1 if os.environ.get("FUND_CAMPAIGN") == "1" else 37


@pytest.mark.parametrize("name", STOPS)
def test_nothing_leaves_once_the_stop_holds_and_nothing_is_left_alone(name: str) -> None:
    assert stops(SCENARIOS["filled in parts"], name, EVERY_EFFECT_HERE) == []
