"""Five days of the whole fund, from an empty book on: what must hold whatever the market did."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from engine.composition.day import STEP_TYPES, decide_steps
from engine.composition.stages import TargetStep
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode, encode
from engine.model.orders import JobStatus
from tasks.runtime import World
from tests import factories as fund
from tests.factories import DAYS, ZERO, DaysRun

CENT = Decimal("0.01")
EACH_DAY = pytest.mark.parametrize("day", DAYS, ids=str)
LATER_DAYS = pytest.mark.parametrize("day", DAYS[1:], ids=str)


@pytest.fixture(scope="module")
def days() -> DaysRun:
    return fund.days_run()


@pytest.fixture(scope="module")
def world(days: DaysRun) -> Iterator[World]:
    opened = fund.new_world(days.home)
    yield opened
    opened.close()


@pytest.fixture
def home(days: DaysRun, tmp_path: Path) -> Path:
    """A copy of the five days that a test may go on with."""
    shutil.copytree(days.home, tmp_path / "home")
    return tmp_path / "home"


def test_full_daily_cycle(days: DaysRun) -> None:
    assert len(days.outcomes) == 3 * len(DAYS)
    assert {outcome.status for outcome in days.outcomes.values()} == {RunStatus.COMPLETED}


@EACH_DAY
def test_book_equals_the_broker_s_account_at_each_close(days: DaysRun, day: date) -> None:
    close = days.closes[day]
    assert close.ours == close.broker
    assert len(close.ours["positions"]) > 30


@LATER_DAYS
def test_positions_are_carried_over_the_night(days: DaysRun, world: World, day: date) -> None:
    evening = days.closes[DAYS[DAYS.index(day) - 1]].ours["positions"]
    morning = fund.recorded_inputs(world, day).portfolio.positions
    assert {name: held.quantity for name, held in morning.items() if held.quantity != 0} == evening


@EACH_DAY
@pytest.mark.parametrize("kind", [RunKind.DECISION, RunKind.CLOSE])
def test_nav_bridge_closes_to_a_cent(world: World, day: date, kind: RunKind) -> None:
    found = fund.valued(world, day, kind)
    if found.bridge is None:
        assert (day, kind) == (DAYS[0], RunKind.DECISION)
        assert found.valuation.nav == 10_000_000
        return
    assert abs(found.bridge.residual) < CENT


def test_no_order_reference_was_accepted_twice(days: DaysRun, world: World) -> None:
    references = Counter(order.order_ref for order in fund.accepted_orders(days.home, world.account))
    assert len(references) > 50
    assert max(references.values()) == 1
    assert references.keys() <= world.order_refs()


def test_every_fill_is_booked_once(days: DaysRun, world: World) -> None:
    executions = fund.executions_at_broker(days.home, world.account)
    booked = [e.entry_id for e in world.ledger.entries(world.account) if e.entry_id.startswith("trade:")]
    assert Counter(booked) == Counter(f"trade:{execution}" for execution in executions)
    assert {fill.execution_id for fill in world.fills()} == set(executions)


@EACH_DAY
def test_flow_and_composition_give_identical_bytes(world: World, day: date) -> None:
    composed = {
        name: encode(value)
        for name, value in decide_steps(world.setup(day), fund.recorded_inputs(world, day))
    }
    assert composed == fund.step_outputs(world, day)
    assert list(composed) == list(STEP_TYPES)


def test_every_sleeve_is_within_five_percent_of_its_target_on_the_fourth_day(world: World) -> None:
    """R-108: an empty book is built within the caps in three days, and no gate keeps a sleeve small."""
    day = DAYS[3]
    targets = decode(TargetStep, fund.step_outputs(world, day)["targets"]).book
    lines = {line.contract_id: line for line in fund.valued(world, day, RunKind.DECISION).valuation.lines}
    wanted: dict[str, Decimal] = {}
    for line in targets.lines:
        wanted[line.sleeve] = wanted.get(line.sleeve, ZERO) + abs(line.notional_usd)
    held = dict.fromkeys(wanted, ZERO)
    for name, position in fund.recorded_inputs(world, day).portfolio.positions.items():
        for sleeve, quantity in position.sleeves.items():
            if sleeve.value in held and position.quantity != 0:
                held[sleeve.value] += abs(lines[name].exposure_usd * quantity / position.quantity)
    assert set(wanted) == {"core_index_rv", "sector_rv", "single_name", "credit_carry"}
    for sleeve, usd in wanted.items():
        assert abs(held[sleeve] / usd - 1) < Decimal("0.05"), sleeve


def test_second_run_of_a_finished_day_changes_nothing(home: Path) -> None:
    world = fund.new_world(home)
    before, books = fund.row_counts(world), fund.book_at_close(world)
    outcomes = fund.run_day(world, DAYS[-1])
    assert {outcome.status for outcome in outcomes.values()} == {RunStatus.COMPLETED}
    assert all("nothing changed" in outcome.text for outcome in outcomes.values())
    assert (fund.row_counts(world), fund.book_at_close(world)) == (before, books)
    world.close()


def test_halt_blocks_execution(home: Path) -> None:
    """Document 002: a foreign position halts the day; a rerun halts again, and nothing leaves."""
    day = date(2026, 11, 19)
    world = fund.new_world(home, last=day, fault="foreign-position")
    planned, accepted = world.order_refs(), _accepted_of_ours(world)
    decision = fund.run(world, day, RunKind.DECISION)
    again = fund.run(world, day, RunKind.DECISION)
    execution = fund.run(world, day, RunKind.EXECUTION)
    assert {outcome.status for outcome in (decision, again, execution)} == {RunStatus.HALTED}
    assert decision.halt_id == again.halt_id == execution.halt_id
    (halt,) = world.halts.open_halts(world.account)
    assert json.loads(halt.evidence)[0]["kind"] == "foreign-position"
    assert (world.order_refs(), _accepted_of_ours(world)) == (planned, accepted)
    assert "jobs" not in fund.step_outputs(world, day)
    world.close()


def _accepted_of_ours(world: World) -> list[str]:
    ours = world.order_refs()
    orders = fund.accepted_orders(world.options.home, world.account)
    return sorted(order.order_ref for order in orders if order.order_ref in ours)


def test_begun_job_whose_window_has_passed_is_done_with_what_it_did(home: Path) -> None:
    """A window was left in its middle and taken up a day late: the job ends, the untouched ones are skipped."""
    day = date(2026, 11, 19)
    world = fund.new_world(home, last=day)
    fund.run(world, day, RunKind.DECISION)
    store = fund.order_store(world)
    begun, *untouched = [record.job.job_id for record in store.jobs(trade_date=day)]
    for status in (JobStatus.CLAIMED, JobStatus.RUNNING):
        store.set_job_status(begun, status, world.broker.now)
    world.broker.advance(world.close_time(day))
    assert fund.run(world, day, RunKind.EXECUTION).status is RunStatus.COMPLETED
    ends = {record.job.job_id: record.status for record in store.jobs(trade_date=day)}
    assert ends == {begun: JobStatus.DONE, **dict.fromkeys(untouched, JobStatus.SKIPPED)}
    assert fund.run(world, day, RunKind.CLOSE).status is RunStatus.COMPLETED
    world.close()
