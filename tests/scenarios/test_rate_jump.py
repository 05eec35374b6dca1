"""Exchange rates that jump or contradict one another stop the day; a jump that a future confirms does not (R-116)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.composition.stages import PreviousDay
from engine.model.context import RunStatus
from engine.model.encoding import decode, encode
from engine.model.halts import HaltChoice, HaltKind
from engine.model.market import FxRate, MarketInputs
from engine.report import BreakRow
from tasks.adapters.simulated_market import PanelMarket
from tasks.day import VALUED
from tasks.reporting import build_report
from tasks.resolution import apply
from tasks.runtime import World
from tests.factories import accepted_orders, new_world
from tests.halted_days import DAY_BEFORE, HALTED_DAY, decide_again, home_after_a_day, open_halt

TENTH_LESS = Decimal("0.9")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The pound is worth 11 % more than at the last decision: 1 / 0.9 - 1."""
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, HALTED_DAY)
    payload = world.runs.memory(world.account, VALUED, HALTED_DAY)
    assert payload is not None
    previous = decode(PreviousDay, payload)
    pound = previous.fx.rates["GBPUSD"]
    less = replace(pound, rate=(pound.rate * TENTH_LESS).quantize(Decimal("0.0001")))
    fx = replace(previous.fx, rates={**previous.fx.rates, "GBPUSD": less})
    world.runs.record_memory(world.account, VALUED, DAY_BEFORE, encode(replace(previous, fx=fx)))
    yield world
    world.close()


def read_through(monkeypatch: pytest.MonkeyPatch, change: Callable[[MarketInputs], MarketInputs]) -> None:
    sound = PanelMarket.inputs
    monkeypatch.setattr(PanelMarket, "inputs", lambda self, *given: change(sound(self, *given)))


def without_pound_futures(found: MarketInputs) -> MarketInputs:
    names = {c.contract_id for line in ("6B", "M6B") for c in found.chains.get(line, ())}
    assert names
    return replace(found, marks={name: mark for name, mark in found.marks.items() if name not in names})


def with_broken_cross(found: MarketInputs) -> MarketInputs:
    rates = found.fx.rates
    euro, pound = rates["EURUSD"], rates["GBPUSD"]
    cross = (euro.rate / pound.rate * Decimal("1.02")).quantize(Decimal("0.000001"))
    row = FxRate(pair="EURGBP", rate=cross, observed_at=euro.observed_at, source=euro.source)
    same = replace(pound, observed_at=euro.observed_at)
    return replace(found, fx=replace(found.fx, rates={**rates, "GBPUSD": same, "EURGBP": row}))


def test_jump_that_the_future_confirms_is_told_and_traded_on(world: World) -> None:
    outcome = decide_again(world)
    assert outcome.status is RunStatus.COMPLETED, outcome.text
    notes = build_report(world, HALTED_DAY).notes
    assert any(
        note.startswith("GBP/USD moved +11.") and "confirmed by a second source" in note for note in notes
    )


def test_jump_of_one_source_stops_the_day_and_sends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = len(accepted_orders(world.options.home, world.account))
    read_through(monkeypatch, without_pound_futures)
    assert decide_again(world).is_halted
    halt = open_halt(world)
    (row,) = decode(tuple[BreakRow, ...], halt.evidence)
    assert (halt.kind, row.subject) == (HaltKind.FX_JUMP.value, "GBP/USD")
    assert "moved +11." in row.ours
    assert len(accepted_orders(world.options.home, world.account)) == sent
    apply(world, halt.halt_id, HaltChoice.ABANDON_DAY, "a vote, the desk says", "Ada", {})
    assert decide_again(world).status is RunStatus.COMPLETED


def test_cross_rate_that_contradicts_its_legs_stops_the_day_with_its_three_rates(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_through(monkeypatch, with_broken_cross)
    assert decide_again(world).is_halted
    halt = open_halt(world)
    (row,) = decode(tuple[BreakRow, ...], halt.evidence)
    assert (halt.kind, row.subject) == (HaltKind.FX_DIFFERENCE.value, "EUR/USD")
    assert "differs from its cross rate by +2.0" in row.ours
    assert "EURGBP" in halt.message
    assert "GBPUSD" in halt.message
