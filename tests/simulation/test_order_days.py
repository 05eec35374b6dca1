"""What the faulted days are worth: every seeded bug is caught, and a failing day is made small and lived again."""

from __future__ import annotations

import pytest

from tests.simulation.order_days.campaign import Findings, arrows, command, narrowed, smaller
from tests.simulation.order_days.canaries import CANARIES, Canary
from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import Fault, draw, often
from tests.simulation.order_days.judging import judge
from tests.simulation.order_days.scenarios import ORDERS, SCENARIOS

SEEDS_OF_A_CANARY = 60


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_seeded_bug_is_caught(canary: Canary) -> None:
    with canary.alive():
        caught = next((seed for seed in range(SEEDS_OF_A_CANARY) if _breaks(seed, canary)), None)
    assert caught is not None, f"{SEEDS_OF_A_CANARY} days under {canary.faults} did not show it"
    assert judge(FaultedDay.begin(draw(caught, canary.faults)).live()) == []


def _breaks(seed: int, canary: Canary) -> bool:
    return judge(FaultedDay.begin(draw(seed, canary.faults)).live()) != []


def test_run_that_never_ends_is_broken_off_and_named() -> None:
    canary = next(one for one in CANARIES if one.name == "a run waits until every doubt is decided")
    with canary.alive():
        days = (FaultedDay.begin(draw(seed, canary.faults)).live() for seed in range(SEEDS_OF_A_CANARY))
        day = next(day for day in days if day.lived_on)
    assert "I13 every process ends" in {broken.invariant for broken in judge(day)}
    assert day.now.date() == day.drawn.day


@pytest.mark.parametrize("name", SCENARIOS)
def test_undisturbed_scenario_sends_thirty_parents_and_breaks_nothing(name: str) -> None:
    day = FaultedDay.begin(SCENARIOS[name]).live()
    assert judge(day) == []
    sent = {order.child.intent_id for _, order in day.broker.state.orders.items()}
    assert ORDERS - 6 <= len(sent) <= ORDERS


def test_orders_count_as_sent_under_a_halt_until_it_was_lifted_and_no_longer() -> None:
    day = FaultedDay.begin(SCENARIOS["filled at once"]).live()
    day.halted_at = day.resumed_at = 0  # halted and lifted before the first order
    assert judge(day) == []
    day.resumed_at = 2
    assert {broken.invariant for broken in judge(day)} == {"I7 nothing after a halt"}
    assert len(judge(day)) == 2


WAYS = (
    often(Fault.DEATH, Fault.SEND_UNKNOWN, Fault.QUERY_EMPTY),
    often(Fault.REJECT_LATE, Fault.CANCEL_LOST, Fault.MESSAGE_LOST),
    often(Fault.LATE_FILL),
    often(Fault.HALT, Fault.DEATH),
    often(Fault.SEND_SILENT, Fault.SEND_LOST, Fault.REJECT),
    often(Fault.REJECT_LATE, Fault.LINE_DOWN, Fault.DISCONNECT, Fault.SEND_UNKNOWN),
    often(Fault.MESSAGE_LOST, Fault.CANCEL_LOST, Fault.HALF_OPEN),
)
"""Faults that lead an order to the rarer of its states."""


def test_every_arrow_of_an_order_is_taken_on_some_day() -> None:
    found = Findings()
    for seed in range(120):
        day = FaultedDay.begin(draw(seed, WAYS[seed % len(WAYS)])).live()
        assert judge(day) == []
        found.arrows.update(arrows(day))
        if not found.unvisited:
            break
    assert found.unvisited == []


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
