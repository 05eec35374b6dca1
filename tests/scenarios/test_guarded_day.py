"""A day on which the guard fires: new risk waits, reductions go, and the report says why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from engine.model.context import RunKind
from engine.report import DayReport
from tasks.options import WorldOptions
from tasks.reporting import build_report
from tasks.runtime import World
from tests.factories import run_day

BEFORE = (date(2026, 3, 23), date(2026, 3, 24), date(2026, 3, 25))
SHORT_OF_MARGIN = date(2026, 3, 26)
"""The generated market's VIX is above 40 on this date: the scale falls to 0.3."""
NEVER_ENOUGH = ("execution_safety.min_excess_liquidity_pct=0.95",)
THREE_ORDERS = ("execution_safety.max_orders_per_day=3",)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DayReport]:
    home: Path = tmp_path_factory.mktemp("guarded")
    first = World(WorldOptions(profile="fund", first=BEFORE[0], last=SHORT_OF_MARGIN, home=home))
    for day in BEFORE:
        run_day(first, day)
    first.close()
    options = WorldOptions(
        profile="fund", first=BEFORE[0], last=SHORT_OF_MARGIN, home=home, overrides=NEVER_ENOUGH
    )
    world = World(options)
    outcomes = run_day(world, SHORT_OF_MARGIN)
    assert not any(outcome.is_halted for outcome in outcomes.values()), outcomes[RunKind.DECISION].text
    yield build_report(world, SHORT_OF_MARGIN)
    world.close()


def test_reductions_of_a_crisis_go_although_margin_is_short(report: DayReport) -> None:
    done = [row for row in report.trades if row.decision == "done"]
    assert len(done) > 5
    assert report.fills


def test_what_adds_risk_is_not_done_and_says_why(tmp_path: Path) -> None:
    day = BEFORE[0]
    world = World(WorldOptions(profile="fund", first=day, last=day, home=tmp_path, overrides=THREE_ORDERS))
    run_day(world, day)
    found = build_report(world, day)
    world.close()
    assert found.orders == ()
    refused = [row for row in found.trades if "exceed the day" in row.reason]
    assert refused
    assert {row.decision for row in found.trades} == {"not done"}


def test_first_day_of_a_crisis_adds_no_risk_and_the_second_goes_to_the_small_scale(tmp_path: Path) -> None:
    first, second = date(2026, 3, 2), date(2026, 3, 3)
    world = World(WorldOptions(profile="fund", first=first, last=second, home=tmp_path))
    run_day(world, first)
    began = build_report(world, first)
    run_day(world, second)
    after = build_report(world, second)
    world.close()
    waiting = [row for row in began.trades if "a crisis began today" in row.reason]
    assert len(waiting) > 20
    assert {row.decision for row in waiting} == {"not done"}
    assert not [row for row in began.trades if row.decision == "done" and row.purpose == "rebalance"]
    assert [row for row in after.trades if row.decision == "done" and row.purpose == "rebalance"]
