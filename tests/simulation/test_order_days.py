"""Execution days under drawn faults: no order twice, no fill lost, book and broker equal, and every seeded bug caught."""

from __future__ import annotations

import os

import pytest

from tests.simulation.order_days.campaign import command, narrowed, simulate, smaller
from tests.simulation.order_days.canaries import CANARIES, Canary
from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import draw
from tests.simulation.order_days.judging import judge
from tests.simulation.order_days.killing import drawn_pairs, effects, killed, singles
from tests.simulation.order_days.scenarios import ORDERS, SCENARIOS

WHOLE = os.environ.get("FUND_CAMPAIGN") == "1"
SEEDS_HERE = 2_000 if WHOLE else 150
PAIRS_HERE = 500 if WHOLE else 30
EVERY_EFFECT_HERE = 1 if WHOLE else 3
SEEDS_OF_A_CANARY = 60


def test_drawn_days_break_no_invariant_and_every_fault_fires() -> None:
    found = simulate(draw(seed) for seed in range(SEEDS_HERE))
    assert found.violations == []
    assert found.silent_faults == []


def test_same_seed_is_the_same_day_to_the_last_event() -> None:
    first = [FaultedDay.begin(draw(seed)).live().digest for seed in range(20, 30)]
    again = [FaultedDay.begin(draw(seed)).live().digest for seed in range(20, 30)]
    assert first == again
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_seeded_bug_is_caught(canary: Canary) -> None:
    with canary.alive():
        caught = next((seed for seed in range(SEEDS_OF_A_CANARY) if _breaks(seed, canary)), None)
    assert caught is not None, f"{SEEDS_OF_A_CANARY} days under {canary.faults} did not show it"
    assert judge(FaultedDay.begin(draw(caught, canary.faults)).live()) == []


def _breaks(seed: int, canary: Canary) -> bool:
    return judge(FaultedDay.begin(draw(seed, canary.faults)).live()) != []


@pytest.mark.parametrize("name", SCENARIOS)
def test_undisturbed_scenario_sends_thirty_parents_and_breaks_nothing(name: str) -> None:
    day = FaultedDay.begin(SCENARIOS[name]).live()
    assert judge(day) == []
    sent = {order.child.intent_id for _, order in day.broker.state.orders.items()}
    assert ORDERS - 6 <= len(sent) <= ORDERS


def test_process_killed_after_one_effect_sends_nothing_twice_and_loses_no_fill() -> None:
    one = SCENARIOS["filled at once"]
    # Each of 30 orders is claimed and sent, and its two messages arrive and are journaled: 6 effects, 180 in all.
    assert effects(one) >= 180
    assert singles(one, EVERY_EFFECT_HERE) == []


def test_process_killed_twice_sends_nothing_twice_and_loses_no_fill() -> None:
    broken = {
        (name, kills): killed(SCENARIOS[name], kills) for name, kills in drawn_pairs(PAIRS_HERE, seed=1)
    }
    assert {pair: found for pair, found in broken.items() if found} == {}


def test_failing_day_is_made_smaller_and_repeated_by_one_command() -> None:
    canary = next(one for one in CANARIES if one.name == "half of each commission is forgotten")
    with canary.alive():
        least = smaller(draw(3), "I4 same cash")
    assert least.rates == {}
    assert len(least.jobs) == 1
    told = command(least)
    without = told.partition("--without ")[2].partition(" ")[0].split(",")
    kept = told.partition("--jobs ")[2]
    jobs = {int(number) for number in kept.split(",")} if kept else None
    assert narrowed(3, without, jobs) == least
