"""The index futures of September 2026 roll on the 11th: as spreads, as legs where no spread trades, and through kills."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal as D
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.model.context import RunKind, RunStatus
from engine.model.orders import ChildOrder, ChildStatus, Fill, Side
from engine.model.portfolio import Portfolio
from engine.report import DayReport
from engine.simulation.faults import inject
from flows.replaying import replay_recorded
from state.order_reading import OrderView, account_orders
from tasks.adapters.report_page import render_page
from tasks.reporting import build_report
from tasks.runtime import World
from tests import factories as fund
from tests.scenarios.killed_rolls import DAY, FIRST, MOMENTS
from tests.shared_data import REPOSITORY

pytestmark = pytest.mark.slow
OLD, NEW = "FESX_20260918", "FESX_20261218"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollDay:
    """The day of the roll as it ended: orders, executions, postings, both books, and the report."""

    statuses: tuple[RunStatus, ...]
    before: Portfolio
    orders: tuple[OrderView, ...]
    fills: tuple[Fill, ...]
    closed: fund.BookAtClose
    report: DayReport
    replayed: bool

    def children(self, *contract_ids: str) -> list[ChildOrder]:
        return [v.record.child for v in self.orders if set(v.record.child.contract_ids) & set(contract_ids)]

    def filled(self, contract_id: str) -> D:
        return sum((f.signed_quantity for f in self.fills if f.contract_id == contract_id), D(0))


@cache
def decided() -> Path:
    """A home whose first day is over and whose roll is decided, for every way of working it."""
    home = Path(tempfile.mkdtemp(prefix="fund-roll-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    world = fund.new_world(home, DAY, first=FIRST)
    fund.run_day(world, FIRST)
    fund.run(world, DAY, RunKind.DECISION)
    world.close()
    return home


@cache
def rolled(fault: str | None = None) -> RollDay:
    home = Path(tempfile.mkdtemp(prefix="fund-rolled-"))
    shutil.copytree(decided(), home, dirs_exist_ok=True)
    world = fund.new_world(home, DAY, first=FIRST)
    if fault is not None:
        inject(world.broker, fault)
    try:
        before = world.ledger.portfolio(world.account, world.decision_time(DAY))
        statuses = tuple(fund.run(world, DAY, kind).status for kind in (RunKind.EXECUTION, RunKind.CLOSE))
        return _seen(world, before, statuses)
    finally:
        world.close()
        shutil.rmtree(home)


def _seen(world: World, before: Portfolio, statuses: tuple[RunStatus, ...]) -> RollDay:
    orders = account_orders(world.database, world.account, DAY)
    references = {view.record.child.order_ref for view in orders}
    return RollDay(
        statuses=statuses,
        before=before,
        orders=orders,
        fills=tuple(fill for fill in world.fills() if fill.order_ref in references),
        closed=fund.book_at_close(world),
        report=build_report(world, DAY),
        replayed=replay_recorded(world.runs, fund.run_id_of(world, DAY, RunKind.DECISION)).is_identical,
    )


def test_roll_goes_as_spreads_and_the_strategy_s_wish_outright() -> None:
    day = rolled()
    old, new = day.children(OLD), day.children(NEW)
    # The old contract trades in the spread alone; what the sleeve wants beyond it is an order of the new one.
    assert [child.contract_ids for child in old] == [(NEW, OLD)]
    beyond = abs(day.filled(NEW)) - day.filled(OLD)
    assert [child.contract_ids for child in new] == [(NEW, OLD), *([(NEW,)] if beyond else [])]
    assert day.filled(OLD) == old[0].quantity > 0 > day.before.quantity(OLD)
    assert day.statuses == (RunStatus.COMPLETED, RunStatus.COMPLETED)


def test_legs_of_a_spread_keep_to_its_limit() -> None:
    day = rolled()
    (child,) = day.children(OLD)
    prices = {fill.contract_id: fill.price for fill in day.fills if fill.order_ref == child.order_ref}
    # A short is rolled: the spread is sold, and never for less than its limit.
    assert child.side is Side.SELL
    assert prices[NEW] - prices[OLD] >= child.limit_price


def test_both_books_agree_after_the_roll() -> None:
    day = rolled()
    assert day.closed.ours == day.closed.broker


def test_decision_of_a_roll_replays_to_the_byte() -> None:
    assert rolled().replayed


def test_report_shows_a_roll_as_one_row_of_both_contracts() -> None:
    day = rolled()
    (row,) = [row for row in day.report.rolls if row.instrument_id == "FESX"]
    assert (row.old_contract, row.new_contract, row.held, row.days_left) == (
        OLD,
        NEW,
        day.before.quantity(OLD),
        5,
    )
    assert (row.closed, row.opened, row.spreads) == (day.filled(OLD), day.filled(NEW), day.filled(OLD))
    orders = [order for order in day.report.orders if OLD in order.contract_id]
    assert [(order.contract_id, order.filled) for order in orders] == [(f"{NEW} and {OLD}", row.spreads)]
    page = render_page(day.report)
    assert "Rolls into the next contract" in page
    trades = {trade.contract_id: trade.filled for trade in day.report.trades}
    assert (trades[OLD], trades[NEW]) == (row.closed, row.opened)


def test_instrument_without_a_listed_spread_rolls_by_its_legs() -> None:
    day = rolled()
    assert {child.near for child in day.children("Z_20260918", "Z_20261218")} == {None}


@pytest.mark.parametrize(
    ("fault", "ends"), [("spread-rejected", ChildStatus.REJECTED), ("spread-unfilled", ChildStatus.CANCELLED)]
)
def test_spread_that_is_not_taken_gives_way_to_the_legs_the_same_day(fault: str, ends: ChildStatus) -> None:
    day, usual = rolled(fault), rolled()
    spreads = [v.record for v in day.orders if v.record.child.near is not None]
    assert {record.status for record in spreads} == {ends}
    assert {record.whole for record in spreads} == {D(0)}
    assert day.filled(OLD) == usual.filled(OLD)
    assert day.filled(NEW) == usual.filled(NEW)
    assert day.closed.ours == day.closed.broker
    assert {fill.order_ref for fill in day.fills}.isdisjoint({r.child.order_ref for r in spreads})


# ---------------------------------------------------------------- kills in the middle of a spread


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.scenarios.killed_rolls", str(folder)]
    played = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False)
    assert played.returncode == 0, played.stderr[-4000:]
    told: dict[str, Any] = json.loads(played.stdout.splitlines()[-1])
    return told


KILLS = pytest.mark.parametrize("at", range(len(MOMENTS)), ids=MOMENTS)


@KILLS
def test_killed_roll_has_no_order_twice_and_no_leg_lost(scene: dict[str, Any], at: int) -> None:
    kill = scene["kills"][at]
    end = kill["end"]
    assert kill["killed"]
    assert end["statuses"] == ["COMPLETED", "COMPLETED"]
    assert end["ours"] == end["broker"]
    assert Counter(end["booked"]) == Counter(f"trade:{execution}" for execution in end["executions"])
    assert len(end["references"]) == len(set(end["references"]))


@KILLS
def test_killed_roll_ends_as_the_undisturbed_one(scene: dict[str, Any], at: int) -> None:
    end, undisturbed = scene["kills"][at]["end"], scene["undisturbed"]
    assert (end["unknown"], end["ours"]["positions"]) == ([], undisturbed["ours"]["positions"])
    if at == 0:
        # Claimed and never written: nobody knows, until it is proved that it never arrived; then another takes its place.
        (lost,) = end["doubted"]
        assert lost not in end["references"]
