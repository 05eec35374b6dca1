"""The day on which the scale falls to that of a crisis: the cut is urgent and ends in the day's windows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from engine.model.orders import OrderIntent, Reason, Urgency
from engine.report import DayReport
from state.order_reading import account_orders
from tasks.options import WorldOptions
from tasks.reporting import build_report
from tasks.runtime import World
from tests.factories import run_day

DAYS = (date(2026, 3, 23), date(2026, 3, 24), date(2026, 3, 25), date(2026, 3, 26))
CUT = DAYS[-1]
"""The generated market's VIX is above 40 on this date: the scale falls to 0.3."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("cut")
    made = World(WorldOptions(profile="fund", first=DAYS[0], last=CUT, home=home))
    for day in DAYS:
        run_day(made, day)
    yield made
    made.close()


@pytest.fixture(scope="module")
def report(world: World) -> DayReport:
    return build_report(world, CUT)


def worked(world: World) -> dict[str, OrderIntent]:
    views = account_orders(world.database, world.account, CUT)
    return {view.intent.intent_id: view.intent for view in views}


def test_every_reduction_of_the_targets_carries_the_cut_and_its_urgency(world: World) -> None:
    cut = [intent for intent in worked(world).values() if intent.reason is Reason.DERISK]
    assert len(cut) > 20
    assert {intent.urgency for intent in cut} == {Urgency.HIGH}
    assert all(intent.reduce_only for intent in cut)
    assert not [
        intent
        for intent in worked(world).values()
        if intent.reduce_only and intent.reason is Reason.REBALANCE
    ]


def test_cut_is_complete_when_the_first_day_s_windows_close(world: World, report: DayReport) -> None:
    filled: dict[str, Decimal] = {}
    for view in account_orders(world.database, world.account, CUT):
        name = view.intent.intent_id
        filled[name] = filled.get(name, Decimal(0)) + view.record.filled
    cut = {name: intent for name, intent in worked(world).items() if intent.reason is Reason.DERISK}
    assert {name: filled[name] for name in cut} == {name: intent.quantity for name, intent in cut.items()}
    assert not [row for row in report.trades if row.purpose == "derisk" and row.decision != "done"]
