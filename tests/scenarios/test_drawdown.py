"""The last rung of the loss ladder: the day stops for a person, who abandons it or closes everything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from engine.model.context import RunKind, RunStatus
from engine.model.halts import HaltChoice, HaltKind
from engine.report import DayReport
from flows.outcome import Outcome
from state.halts import HaltSeverity
from tasks.options import WorldOptions
from tasks.reporting import build_report
from tasks.resolution import apply, preview
from tasks.runtime import World
from tests.factories import run_day

FIRST, KILLED = date(2026, 3, 24), date(2026, 3, 25)
TINY_LADDER = (
    "max_drawdown_pct=0.00001",
    "loss_ladder.dd_crisis=-0.00001",
    "loss_ladder.dd_kill=-0.00002",
    "trading_config.max_drawdown=-0.00002",
)
"""Any loss after the first day is a loss beyond the last rung."""


def open_killed(home: Path) -> World:
    return World(WorldOptions(profile="fund", first=FIRST, last=KILLED, home=home, overrides=TINY_LADDER))


@pytest.fixture(scope="module")
def killed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fund that traded one day and woke up below its limit."""
    home: Path = tmp_path_factory.mktemp("killed")
    world = open_killed(home)
    run_day(world, FIRST)
    outcomes = run_day(world, KILLED)
    assert outcomes[RunKind.DECISION].status is RunStatus.EMERGENCY, outcomes[RunKind.DECISION].text
    world.close()
    return home


@pytest.fixture
def killed(killed_home: Path, tmp_path: Path) -> Iterator[World]:
    home = tmp_path / "home"
    shutil.copytree(killed_home, home)
    world = open_killed(home)
    yield world
    world.close()


def answer(world: World, choice: HaltChoice) -> tuple[dict[RunKind, Outcome], DayReport]:
    (halt,) = world.halts.open_halts(world.account)
    apply(world, halt.halt_id, choice, "talked to the investors", "anna", {})
    return run_day(world, KILLED), build_report(world, KILLED)


def test_drawdown_beyond_the_kill_limit_halts_with_the_plan_to_close_everything(killed: World) -> None:
    (halt,) = killed.halts.open_halts(killed.account)
    assert (halt.kind, halt.severity) == (HaltKind.DRAWDOWN.value, HaltSeverity.EMERGENCY)
    assert "found" in halt.message
    report = build_report(killed, KILLED)
    held = {
        name
        for name, p in killed.ledger.portfolio(killed.account, killed.broker.now).positions.items()
        if p.quantity != 0
    }
    assert {row.subject for row in report.halts[0].evidence} >= held
    assert report.orders == ()


def test_flattening_shows_its_orders_before_and_closes_everything_after(killed: World) -> None:
    (halt,) = killed.halts.open_halts(killed.account)
    effect = preview(killed, halt.halt_id, HaltChoice.FLATTEN, {})
    held = killed.ledger.portfolio(killed.account, killed.broker.now).positions
    hedges = {"M6E", "6E", "M6B", "6B"}
    shown = {(order.contract_id, order.quantity * order.side.sign) for order in effect.orders_after or ()}
    wanted = {
        (name, -position.quantity)
        for name, position in held.items()
        if position.quantity != 0 and name.split("_")[0] not in hedges
    }
    assert wanted <= shown
    assert effect.stops == ""

    outcomes, _ = answer(killed, HaltChoice.FLATTEN)
    assert outcomes[RunKind.CLOSE].status is RunStatus.COMPLETED
    left = killed.ledger.portfolio(killed.account, killed.broker.now).positions
    assert not [name for name, p in left.items() if p.quantity != 0 and name.split("_")[0] not in hedges]


def test_abandoned_day_only_shrinks_what_is_held(killed: World) -> None:
    before = killed.ledger.portfolio(killed.account, killed.broker.now)
    outcomes, report = answer(killed, HaltChoice.ABANDON_DAY)
    assert outcomes[RunKind.CLOSE].status is RunStatus.COMPLETED
    after = killed.ledger.portfolio(killed.account, killed.broker.now)
    assert all(
        abs(position.quantity) <= abs(before.quantity(name)) for name, position in after.positions.items()
    )
    assert not [row for row in report.trades if row.decision == "planned"]
