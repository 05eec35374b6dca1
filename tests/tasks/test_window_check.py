"""The comparison before each window, and what is booked without asking."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest

from engine.accounting.reconciliation import ReconciliationReport
from engine.errors import HaltError
from engine.execution.outcome import AskAgain, ExecutionReport, ExecutionWorld, Progress, ProgressKind
from engine.model.breaks import BreakKind
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.halts import HaltChoice, HaltKind
from engine.model.orders import ExecutionJob
from engine.simulation.account import FaultKind
from engine.simulation.faults import inject, shift_net_liquidation
from engine.simulation.interventions import change_cash, distort_report, withdraw_execution
from tasks.asking import asking_of
from tasks.day import TradingDay
from tasks.opening import begin
from tasks.options import WorldOptions
from tasks.resolution import apply
from tasks.runtime import World
from tasks.window_check import ON_ITS_WAY, check_window
from tests.factories import accepted_orders, recorded_inputs, run, run_id_of, step_outputs
from tests.halted_days import DAY_BEFORE, HALTED_DAY, home_after_a_day, open_halt, undisturbed_home


@contextmanager
def world_of(home: Path, folder: Path, *overrides: str) -> Iterator[World]:
    shutil.copytree(home, folder / "home")
    world = World(
        WorldOptions(
            profile="fund", first=DAY_BEFORE, last=HALTED_DAY, home=folder / "home", overrides=overrides
        )
    )
    try:
        yield world
    finally:
        world.close()


def look(day: TradingDay) -> None:
    """The comparison before a window, asked again for as long as it says so."""
    asking, inputs = asking_of(day), recorded_inputs(day.world, day.trade_date)
    while isinstance(answer := check_window(day, inputs, asking, day.world.now), AskAgain):
        day.world.outside.advance(answer.at)


def test_window_stops_before_its_first_order_when_money_left_since_the_decision(tmp_path: Path) -> None:
    with world_of(undisturbed_home(), tmp_path) as world:
        before = world.broker.state.head.orders
        change_cash(world.broker, "wire", "USD", D(-30_000))

        outcome = run(world, HALTED_DAY, RunKind.EXECUTION)

        halt = open_halt(world)
        assert outcome.is_halted
        assert halt.kind == HaltKind.CASH_BREAK.value
        assert "before the window of" in halt.message
        assert halt.evidence is not None
        assert world.broker.state.head.orders == before

        apply(world, halt.halt_id, HaltChoice.ADOPT_BROKER, "the wire is known", "Ann", {})
        resumed = run(world, HALTED_DAY, RunKind.EXECUTION)

        assert resumed.status is RunStatus.COMPLETED
        assert world.broker.state.head.orders > before


def test_alarms_of_a_window_that_was_stopped_are_kept_for_everybody_who_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = "roll:ES has stood on one leg for 25 s when the run ended"

    def stopped(_: Sequence[ExecutionJob], executed: ExecutionWorld) -> ExecutionReport:
        executed.observer(Progress(ProgressKind.ALARM, executed.transport.now(), "roll:ES", alone))
        raise HaltError(HaltKind.CASH_BREAK.value, "money left before the second window")

    with world_of(undisturbed_home(), tmp_path) as world:
        monkeypatch.setattr("tasks.execute.execute", stopped)

        assert run(world, HALTED_DAY, RunKind.EXECUTION).is_halted

        kept = [(row["level"], row["message"]) for row in world.records.rows("alerts")]
        assert ("CRITICAL", alone) in kept


@pytest.mark.parametrize(
    ("share", "stopped"),
    [("0.0020", False), ("0.0030", True)],  # of NLV; 25 bps are borne
)
def test_window_stops_when_the_net_liquidation_value_moved_by_more_than_25_basis_points(
    share: str, stopped: bool, tmp_path: Path
) -> None:
    with world_of(undisturbed_home(), tmp_path) as world:
        shift_net_liquidation(world.broker, "moved", D(share))
        day = begin(world, HALTED_DAY, RunKind.EXECUTION)

        found: HaltError | None = None
        try:
            look(day)
        except HaltError as error:
            found = error

        assert (None if found is None else found.kind) == (HaltKind.NLV_DRIFT.value if stopped else None)


def test_broker_that_does_not_answer_stops_the_window(tmp_path: Path) -> None:
    with world_of(undisturbed_home(), tmp_path) as world:
        distort_report(world.broker, "silence", FaultKind.WITHHELD_ANSWER, "positions")
        day = begin(world, HALTED_DAY, RunKind.EXECUTION)

        with pytest.raises(HaltError, match="expected the broker's positions, found no answer") as stopped:
            look(day)

        assert stopped.value.kind == HaltKind.UNANSWERED.value


@pytest.mark.parametrize(
    ("configured", "is_booked"), [("[missed-fill]", True), ("[dividend]", False), ("[]", False)]
)
def test_missed_fill_is_booked_without_asking_only_where_configured(
    configured: str, is_booked: bool, tmp_path: Path
) -> None:
    setting = f"reconciliation.book_explained={configured}"
    with world_of(home_after_a_day(), tmp_path, setting) as world:
        world.broker.advance(world.decision_time(HALTED_DAY))
        inject(world.broker, "missed-fill")
        lost = world.broker.executions()[-1]

        outcome = run(world, HALTED_DAY, RunKind.DECISION)

        ids = {entry.entry_id for entry in world.ledger.entries(world.account)}
        assert (f"trade:{lost.execution_id}" in ids) is is_booked
        assert outcome.is_halted is not is_booked


def test_small_money_without_a_cause_is_left_apart_when_a_missed_fill_is_booked(tmp_path: Path) -> None:
    """90 USD are no break: they stay a difference that the record shows, and nobody adopts them."""
    with world_of(home_after_a_day(), tmp_path, "reconciliation.book_explained=[missed-fill]") as world:
        world.broker.advance(world.decision_time(HALTED_DAY))
        inject(world.broker, "missed-fill")
        change_cash(world.broker, "wire", "USD", D(-90))

        assert not run(world, HALTED_DAY, RunKind.DECISION).is_halted

        entries = world.ledger.entries(world.account)
        assert "ADOPTION" not in {entry.kind.value for entry in entries}
        run_id = run_id_of(world, HALTED_DAY, RunKind.DECISION)
        (row,) = world.records.rows("reconciliations", run_id=run_id)
        assert (row["outcome"], row["quantity_usd"], row["cash_usd"]) == ("PASS", D(0), D(90))


def test_execution_that_the_venue_took_back_is_named(tmp_path: Path) -> None:
    with world_of(home_after_a_day(), tmp_path) as world:
        world.broker.advance(world.decision_time(HALTED_DAY))
        taken = next(
            fill for fill in world.broker.executions() if fill.contract_id in world.broker.terms.universe
        )
        withdraw_execution(world.broker, "bust", taken.execution_id)

        outcome = run(world, HALTED_DAY, RunKind.DECISION)

        report = decode(ReconciliationReport, step_outputs(world, HALTED_DAY)["reconcile"])
        named = {found.subject: found.cause for found in report.breaks}
        assert outcome.is_halted
        assert named[taken.contract_id] is BreakKind.BUSTED_EXECUTION


def test_money_without_a_cause_is_never_booked_without_asking(tmp_path: Path) -> None:
    everything = (
        "[missed-fill,corrected-execution,busted-execution,split,assignment,expiry,dividend,commission]"
    )
    with world_of(home_after_a_day(), tmp_path, f"reconciliation.book_explained={everything}") as world:
        world.broker.advance(world.decision_time(HALTED_DAY))
        inject(world.broker, "missed-fill")
        inject(world.broker, "cash-break")
        before = len(world.ledger.entries(world.account))

        outcome = run(world, HALTED_DAY, RunKind.DECISION)

        assert outcome.is_halted
        # the night's own postings only: no trade, no adoption
        added = world.ledger.entries(world.account)[before:]
        assert {entry.kind.value for entry in added} & {"TRADE", "ADOPTION", "COMMISSION"} == set()


def test_young_execution_of_an_order_that_the_book_has_lost_stops_the_window(tmp_path: Path) -> None:
    """A book that lost its last commits has no row that the message of an execution could belong to."""
    with world_of(undisturbed_home(), tmp_path / "traded") as traded:
        run(traded, HALTED_DAY, RunKind.EXECUTION)
        fill = next(f for f in traded.broker.executions() if f.executed_at.date() == HALTED_DAY)
        orders = accepted_orders(traded.options.home, traded.account)
        child = next(order for order in orders if order.order_ref == fill.order_ref)
    with world_of(undisturbed_home(), tmp_path / "lost") as world:
        day = begin(world, HALTED_DAY, RunKind.EXECUTION)
        world.broker.advance(fill.executed_at - timedelta(seconds=30))
        world.broker.submit(child)
        while not (done := [f for f in world.broker.executions() if f.order_ref == child.order_ref]):
            world.broker.advance(world.broker.now + timedelta(seconds=5))
        assert world.order_refs({child.order_ref}) == frozenset()
        assert world.broker.now - done[0].executed_at < ON_ITS_WAY

        with pytest.raises(HaltError, match=f"of {child.contract_id} as in our book"):
            look(day)
