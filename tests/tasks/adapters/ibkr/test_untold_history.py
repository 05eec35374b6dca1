"""Decisions of mode paper over TCP while the broker does not tell some history: that sleeve stands still, flagged.

The past is said to be a record, so that every last close is asked of the gateway. Nothing is held: a sleeve that keeps
its book has no order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import pytest

from engine.composition.stages import TargetStep
from engine.execution.jobs import JobPlan
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from flows.outcome import Outcome
from tasks.adapters.ibkr.history import HistoryDesk
from tasks.gateway import GatewayOptions, open_gateway
from tasks.options import WorldOptions
from tasks.reporting import build_report
from tasks.runtime import World
from tests.factories import run, step_outputs
from tests.tasks.adapters.gateways import running
from tests.tasks.adapters.ibkr.test_whole_day import SEED, point_to

REFUSED, SILENT, PACED = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)
LINE, SLEEVE = "LQDE", "credit_carry"


@dataclass(frozen=True)
class Decision:
    outcome: Outcome
    held: dict[str, str]
    sleeves: frozenset[str]
    notes: tuple[str, ...]


def decided(world: World, day: date) -> Decision:
    outcome = run(world, day, RunKind.DECISION)
    steps = step_outputs(world, day)
    plan = decode(JobPlan, steps["jobs"])
    asked = {sleeve for job in plan.jobs for intent in job.intents for sleeve in intent.sleeves}
    held = dict(decode(TargetStep, steps["targets"]).book.held)
    return Decision(outcome, held, frozenset(asked), build_report(world, day).notes)


@pytest.fixture(scope="module")
def decisions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[date, Decision]]:
    home = tmp_path_factory.mktemp("untold")
    opened = datetime.combine(REFUSED, datetime.min.time(), tzinfo=UTC)
    options = GatewayOptions(first=opened, last=date(2026, 11, 27), seed=SEED, speed=None)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUND_HOME", str(home / "gateway"))
        patch.setitem(HistoryDesk.__init__.__kwdefaults__, "answer_seconds", 0.5)
        with running(lambda: open_gateway(options)) as gateway:
            point_to(gateway, patch)
            options_of_days = WorldOptions(
                profile="paper", first=REFUSED, last=PACED, seed=SEED, home=home / "paper"
            )
            world = World(options_of_days)
            try:
                world.outside.check()
                world.past.__dict__["panel"] = replace(world.panel, generated=False)
                gateway.control.ask("market_data", contract=LINE, kind="none")
                found[REFUSED] = decided(world, REFUSED)
                gateway.control.ask("market_data", contract=LINE, kind="silent")
                found[SILENT] = decided(world, SILENT)
                gateway.control.ask("market_data", contract=LINE)
                gateway.control.ask("pace_requests", times=10_000)
                found[PACED] = decided(world, PACED)
            finally:
                world.close()
        yield found


@pytest.mark.parametrize(
    ("day", "why"),
    [(REFUSED, "No market data permissions"), (SILENT, "no answer of the broker in 0.5 seconds")],
)
def test_sleeve_of_an_untold_line_keeps_its_book_is_flagged_and_the_others_trade(
    decisions: dict[date, Decision], day: date, why: str
) -> None:
    found = decisions[day]
    assert found.outcome.status is RunStatus.COMPLETED
    assert found.held.keys() == {SLEEVE}
    assert found.held[SLEEVE].startswith(f"the broker told no history of {LINE}: ")
    assert why in found.held[SLEEVE]
    assert SLEEVE not in found.sleeves
    assert {"core_index_rv", "sector_rv", "single_name"} <= found.sleeves
    assert f"{SLEEVE} keeps its book: {found.held[SLEEVE]}" in found.notes
    assert any(note.startswith(f"{LINE}: no price at the broker: ") for note in found.notes)


def test_day_without_any_history_orders_nothing_and_names_every_sleeve(
    decisions: dict[date, Decision],
) -> None:
    found = decisions[PACED]
    assert found.outcome.status is RunStatus.COMPLETED
    assert found.held.keys() == {"core_index_rv", "sector_rv", "single_name", SLEEVE}
    assert not found.sleeves & found.held.keys()
    assert "pacing violation" in " ".join(found.notes)
