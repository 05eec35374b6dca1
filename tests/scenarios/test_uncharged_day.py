"""A day whose commissions the broker does not tell: its NAV is an estimate and says so, until they come or are stated.

The simulated broker charges each order by the cost model from which they are expected; where a test says so, one
execution costs 7 more: so far the estimate is wrong.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from engine.model.context import RunKind, RunStatus
from engine.model.orders import Fill, TransportEvent
from engine.model.portfolio import BrokerSnapshot
from engine.report import DayReport
from engine.simulation.broker import SimulatedBroker
from engine.simulation.interventions import charge_execution
from flows.commands.terminal import print_report
from state.verification import verify
from tasks.adapters.report_json import to_result_json
from tasks.adapters.report_page import render_page
from tasks.portfolio_state import FILE
from tasks.reporting import build_report
from tasks.runtime import World
from tests.factories import DAYS, book_at_close, new_world, run, run_day
from tests.statements import imported, outcomes

D = Decimal
DEARER = D(7)


def untold(fill: Fill) -> Fill:
    return replace(fill, commission=None, commission_currency=None)


def tell_no_commissions(patch: pytest.MonkeyPatch) -> None:
    """Every message and every list of the broker comes without them; its books have them."""
    next_event, executions, snapshot = (
        SimulatedBroker.next_event,
        SimulatedBroker.executions,
        SimulatedBroker.snapshot,
    )

    def event(self: SimulatedBroker, *until: object) -> TransportEvent | None:
        told = next_event(self, *until)  # type: ignore[arg-type]
        return told if told is None or told.fill is None else replace(told, fill=untold(told.fill))

    def account(self: SimulatedBroker, *at: object) -> BrokerSnapshot:
        told = snapshot(self, *at)  # type: ignore[arg-type]
        return replace(told, executions=tuple(map(untold, told.executions)))

    patch.setattr(SimulatedBroker, "next_event", event)
    patch.setattr(SimulatedBroker, "executions", lambda self: tuple(map(untold, executions(self))))
    patch.setattr(SimulatedBroker, "snapshot", account)


@pytest.fixture(scope="module")
def day_without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FUND_HOME with one finished day that heard of no commission."""
    home = tmp_path_factory.mktemp("uncharged")
    with pytest.MonkeyPatch.context() as patch:
        tell_no_commissions(patch)
        world = new_world(home, DAYS[0])
        statuses = {outcome.status for outcome in run_day(world, DAYS[0]).values()}
        world.close()
    assert statuses == {RunStatus.COMPLETED}
    return home


@pytest.fixture
def world(day_without: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(day_without, tmp_path, dirs_exist_ok=True)
    opened = new_world(tmp_path, DAYS[1])
    yield opened
    opened.close()


def charge_more(world: World) -> None:
    """The broker takes more for one execution than the cost model says."""
    charge_execution(world.broker, "dearer", world.fills()[0].execution_id, DEARER)
    world.broker.commit()


def estimate_of(report: DayReport) -> tuple[int, Decimal, Decimal]:
    """Executions, their notional and what is taken for their commissions, in USD."""
    assert report.closing_estimate is not None
    rows = report.closing_estimate.uncharged
    return len(rows), sum((row.notional_usd for row in rows), D(0)), sum((row.expected for row in rows), D(0))


def test_day_without_commissions_takes_what_is_expected_and_says_that_its_nav_is_an_estimate(
    world: World,
) -> None:
    report = build_report(world, DAYS[0])
    number, notional, expected = estimate_of(report)
    told = {fill.execution_id: fill.commission or D(0) for fill in world.broker.executions()}
    assert number == len(world.fills()) == len(told) > 20
    assert not any(fill.is_charged for fill in world.fills())
    assert expected == sum(told.values(), D(0)), "the simulated broker charges by the same cost model"
    books = book_at_close(world)
    assert books.ours == books.broker
    assert abs(notional - report.costs.traded_usd) < 1
    assert report.estimate is None, "nothing had traded at the decision"
    [note] = [note for note in report.notes if "is an estimate" in note]
    assert note.startswith(f"the NAV at the close is an estimate: {number} executions for ")

    result = to_result_json(report, None)
    assert result["estimate"] is None
    assert isinstance(result["closing_estimate"], dict)
    assert json.loads((world.options.home / FILE).read_text())["nav_is_estimate"] is True
    page = render_page(report)
    assert "NAV at the close, an estimate" in page
    assert "NAV at the decision, an estimate" not in page
    terminal = io.StringIO()
    print_report(report, Console(file=terminal, width=100))
    assert "USD, an estimate" in terminal.getvalue()
    alerts = [row["message"] for row in world.records.rows("alerts")]
    assert any("is an estimate" in str(text) for text in alerts)


def test_commissions_that_come_on_the_next_day_make_nav_and_cash_exact(world: World) -> None:
    """One of them is 7 more than was expected, since midnight: the interest of the day before knows nothing of it."""
    world.broker.advance(world.decision_time(DAYS[1]))
    charge_more(world)
    outcomes_of_the_day = run_day(world, DAYS[1])
    assert {outcome.status for outcome in outcomes_of_the_day.values()} == {RunStatus.COMPLETED}
    assert all(fill.is_charged for fill in world.fills())
    books = book_at_close(world)
    assert books.ours == books.broker
    report = build_report(world, DAYS[1])
    assert (report.estimate, report.closing_estimate) == (None, None)
    assert not [note for note in report.notes if "is an estimate" in note]
    assert json.loads((world.options.home / FILE).read_text())["nav_is_estimate"] is False
    assert report.bridge is not None
    assert abs(report.bridge.residual) < D("0.01")
    expected = {
        e.entry_id for e in world.ledger.entries(world.account) if "commission-expected:" in e.entry_id
    }
    given_back = {name for name in expected if name.startswith("reversal:")}
    assert expected == given_back | {name.removeprefix("reversal:") for name in given_back}
    assert verify(world.database) == ()


def test_commissions_that_never_come_stay_an_estimate_until_the_statement_trues_them_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        tell_no_commissions(patch)
        assert run(world, DAYS[1], RunKind.DECISION).status is RunStatus.COMPLETED
        entries = [e.entry_id for e in world.ledger.entries(world.account)]
        assert len(entries) == len(set(entries)), "nothing is expected twice"
    report = build_report(world, DAYS[1])
    assert report.estimate is not None
    assert report.bridge is not None
    assert abs(report.bridge.residual) < D("0.01")
    number = len(report.estimate.uncharged)
    assert outcomes(imported(world, DAYS[0])) == {("commission", "BOOKED"): number}
    assert all(fill.is_charged for fill in world.fills())
    assert outcomes(imported(world, DAYS[0])) == {}
    books = book_at_close(world)
    assert books.ours["cash"] == books.broker["cash"]
