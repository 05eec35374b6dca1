"""A held price nine times its former one stops the day with its evidence, until a person says what it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.accounting.investors import FlowKind, InvestorOrder
from engine.composition.stages import PreviousDay
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode, encode
from engine.model.halts import ALLOWED_CHOICES, HaltChoice, HaltKind
from engine.model.money import Money
from engine.report import BreakRow
from engine.simulation.interventions import transfer_cash
from state.investors import InvestorStore
from tasks.day import CLOSED, VALUED, wall_clock
from tasks.investors import order_states
from tasks.operator import scripted_answer
from tasks.reporting_prices import flagged_prices, price_notes
from tasks.resolution import apply, preview
from tasks.run_view import run_view
from tasks.runtime import World
from tests.factories import DAYS, new_world, recorded_inputs, run, run_day, run_id_of, valued
from tests.halted_days import DAY_BEFORE, HALTED_DAY, decide_again, home_after_a_day, open_halt

LINE = "MSFT"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Yesterday's price of a held company was a ninth of today's, at the broker's too, who takes the same feed."""
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, HALTED_DAY)
    payload = world.runs.memory(world.account, VALUED, HALTED_DAY)
    assert payload is not None
    previous = decode(PreviousDay, payload)
    mark = recorded_inputs(world, DAY_BEFORE).market.marks[LINE]
    marks = {**previous.marks, LINE: replace(mark, price=(mark.price / 9).quantize(Decimal("0.01")))}
    world.runs.record_memory(world.account, VALUED, DAY_BEFORE, encode(replace(previous, marks=marks)))
    assert decide_again(world).is_halted
    yield world
    world.close()


def test_jump_of_a_held_price_halts_with_its_evidence(world: World) -> None:
    halt = open_halt(world)
    assert halt.kind == HaltKind.PRICE_JUMP.value
    assert tuple(halt.choices) == ALLOWED_CHOICES[HaltKind.PRICE_JUMP]
    (row,) = decode(tuple[BreakRow, ...], halt.evidence)
    inputs, fund = recorded_inputs(world, HALTED_DAY), valued(world, HALTED_DAY, RunKind.DECISION)
    assert inputs.previous is not None
    before, now = inputs.previous.marks[LINE], inputs.market.marks[LINE]
    quantity = inputs.portfolio.quantity(LINE)
    assert row.subject == LINE
    assert row.difference_usd == quantity * (now.price - before.price)
    assert row.price is not None
    assert (row.price.last_price, row.price.last_date) == (before.price, before.session_date)
    assert row.price.exposure_usd == quantity * now.price
    assert str(now.price.normalize()) in row.ours
    assert LINE in halt.message
    assert fund.jumps.effect_usd == abs(quantity * (now.price - before.price)) > fund.jumps.limit_usd


def test_price_that_a_person_confirms_is_traded_on(world: World) -> None:
    halt = open_halt(world)
    price = recorded_inputs(world, HALTED_DAY).market.marks[LINE].price
    again = preview(world, halt.halt_id, HaltChoice.RETRY, {})
    assert LINE in again.stops
    assert preview(world, halt.halt_id, HaltChoice.MARK_MANUALLY, {LINE: price}).stops == ""
    apply(world, halt.halt_id, HaltChoice.MARK_MANUALLY, "a merger, confirmed", "Ada", {LINE: price})
    assert decide_again(world).status is RunStatus.COMPLETED
    assert LINE not in valued(world, HALTED_DAY, RunKind.DECISION).frozen


def test_scripted_operator_abandons_the_day(world: World) -> None:
    assert scripted_answer(world, HALTED_DAY)
    assert decide_again(world).status is RunStatus.COMPLETED
    assert LINE in valued(world, HALTED_DAY, RunKind.DECISION).frozen
    record = world.runs.run(run_id_of(world, HALTED_DAY, RunKind.DECISION))
    assert record is not None
    (told,) = price_notes(flagged_prices(run_view(world, record).fund, world.contracts))
    assert told.startswith(f"{LINE}: its price moved by +8")
    assert told.endswith("it may only be reduced")


def test_price_a_hundred_times_too_high_is_found_again_and_never_abandoned_to(tmp_path: Path) -> None:
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, HALTED_DAY)
    payload = world.runs.memory(world.account, VALUED, HALTED_DAY)
    assert payload is not None
    previous = decode(PreviousDay, payload)
    mark = recorded_inputs(world, DAY_BEFORE).market.marks[LINE]
    marks = {**previous.marks, LINE: replace(mark, price=(mark.price / 100).quantize(Decimal("0.0001")))}
    world.runs.record_memory(world.account, VALUED, DAY_BEFORE, encode(replace(previous, marks=marks)))
    assert decide_again(world).is_halted
    halt = open_halt(world)
    assert halt.kind == HaltKind.PRICE_UNIT.value
    assert HaltChoice.ABANDON_DAY not in halt.choices
    assert "a hundredfold of one another, as pence and pounds are" in halt.message
    assert not scripted_answer(world, HALTED_DAY)
    price = recorded_inputs(world, HALTED_DAY).market.marks[LINE].price
    apply(world, halt.halt_id, HaltChoice.MARK_MANUALLY, "it is that, the desk says", "Ada", {LINE: price})
    assert decide_again(world).status is RunStatus.COMPLETED
    kept = world.runs.memory(world.account, VALUED, DAYS[2])
    assert kept is not None
    assert decode(PreviousDay, kept).marks[LINE].price == price
    world.close()


@pytest.fixture
def before_the_close(tmp_path: Path) -> Iterator[World]:
    """The second day is traded; nothing of it is valued at its close yet."""
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, DAYS[2])
    for kind in (RunKind.DECISION, RunKind.EXECUTION):
        assert run(world, HALTED_DAY, kind).status is RunStatus.COMPLETED
    yield world
    world.close()


def lower_the_last_close(world: World, factor: int) -> None:
    """The price of a held company at the close before was so many times lower than at the decision."""
    payload = world.runs.memory(world.account, CLOSED, HALTED_DAY)
    assert payload is not None
    previous = decode(PreviousDay, payload)
    price = recorded_inputs(world, HALTED_DAY).market.marks[LINE].price
    wrong = replace(previous.marks[LINE], price=(price / factor).quantize(Decimal("0.0001")))
    marks = {**previous.marks, LINE: wrong}
    world.runs.record_memory(world.account, CLOSED, DAY_BEFORE, encode(replace(previous, marks=marks)))


def test_close_in_another_unit_is_no_official_nav_until_a_person_gives_the_price(
    before_the_close: World,
) -> None:
    world = before_the_close
    lower_the_last_close(world, 100)
    assert run(world, HALTED_DAY, RunKind.CLOSE).is_halted
    halt = open_halt(world)
    assert halt.kind == HaltKind.PRICE_UNIT.value
    (row,) = decode(tuple[BreakRow, ...], halt.evidence)
    assert row.subject == LINE
    price = recorded_inputs(world, HALTED_DAY, RunKind.CLOSE).market.marks[LINE].price
    apply(world, halt.halt_id, HaltChoice.MARK_MANUALLY, "it is that, the desk says", "Ada", {LINE: price})
    assert run(world, HALTED_DAY, RunKind.CLOSE).status is RunStatus.COMPLETED


def test_close_that_jumped_is_told_and_no_units_are_dealt_at_it(before_the_close: World) -> None:
    """A subscription of 1,000,000 USD whose money is there waits for a close that nobody doubts."""
    world = before_the_close
    lower_the_last_close(world, 9)
    order = InvestorOrder(
        order_id="O-1",
        kind=FlowKind.SUBSCRIPTION,
        investor="Pension fund",
        money=Money(amount=Decimal(1_000_000), currency="USD"),
        value_date=HALTED_DAY,
        evidence="form 7",
    )
    InvestorStore(world.database).give(world.account, order, "anna", wall_clock())
    transfer_cash(world.broker, "USD", Decimal(1_000_000))

    def units() -> Decimal | None:
        (state,) = order_states(world.database, world.ledger, world.account)
        return state.units

    assert run(world, HALTED_DAY, RunKind.CLOSE).status is RunStatus.COMPLETED
    assert units() is None
    assert any("waits for the next close" in row["message"] for row in world.records.rows("alerts"))
    assert all(outcome.status is RunStatus.COMPLETED for outcome in run_day(world, DAYS[2]).values())
    assert units() is not None
