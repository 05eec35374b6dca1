"""Held lines of which a broker told no history: their last good prices, and what a decision makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.composition.day import DayDecisions, decide_day
from engine.composition.stages import DayInputs
from engine.model.halts import HaltKind
from engine.model.market import MarketInputs
from engine.model.portfolio import Sleeve
from tasks.last_good import with_last_good_marks
from tasks.runtime import World
from tests.factories import DAYS, days_run, new_world, recorded_inputs

WHY = "the broker refused: 162 pacing violation"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    opened = new_world(days_run().home)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def inputs(world: World) -> DayInputs:
    return recorded_inputs(world, DAYS[-1])


def without(inputs: DayInputs, *names: str, world: World) -> MarketInputs:
    """The market as it is read when the broker tells no history of some held contracts."""
    lines = {world.contracts.instrument(name).instrument_id for name in names}
    return replace(
        inputs.market,
        marks={name: mark for name, mark in inputs.market.marks.items() if name not in names},
        chains={
            line: tuple(contract for contract in chain if contract.contract_id not in names)
            for line, chain in inputs.market.chains.items()
        },
        untold=dict.fromkeys(lines, WHY),
    )


def held_by(inputs: DayInputs, sleeve: Sleeve) -> dict[str, Decimal]:
    return {
        name: position.sleeves[sleeve]
        for name, position in inputs.portfolio.positions.items()
        if position.sleeves.get(sleeve)
    }


def read(world: World, inputs: DayInputs, *names: str) -> DayInputs:
    market = without(inputs, *names, world=world)
    return replace(inputs, market=with_last_good_marks(world, market, inputs.portfolio, inputs.previous))


def decided(world: World, inputs: DayInputs) -> DayDecisions:
    return decide_day(world.setup(DAYS[-1]), inputs)


def test_held_line_has_the_mark_of_the_last_valued_day_a_session_old(world: World, inputs: DayInputs) -> None:
    name = min(held_by(inputs, Sleeve.CREDIT))
    assert inputs.previous is not None
    old, found = inputs.previous.marks[name], read(world, inputs, name).market
    assert (found.marks[name].price, found.marks[name].session_date) == (old.price, old.session_date)
    assert found.marks[name].age_sessions == 1
    assert f"{name}: valued at {old.price.normalize():f}, its last good price, of {old.session_date}" in (
        found.data_notes
    )


def test_held_future_stands_in_its_chain_again(world: World, inputs: DayInputs) -> None:
    name = next(n for n in inputs.portfolio.positions if world.contracts.instrument(n).is_future)
    line = world.contracts.instrument(name).instrument_id
    found = read(world, inputs, name).market
    assert found.chains[line] == inputs.market.chains[line]


def test_sleeve_of_a_held_untold_line_keeps_its_quantities_and_orders_nothing(
    world: World, inputs: DayInputs
) -> None:
    held = held_by(inputs, Sleeve.CREDIT)
    smallest = min(held, key=lambda name: abs(exposure(inputs, world, name)))
    found = decided(world, read(world, inputs, smallest))
    book = found.targets.book
    assert book.held[Sleeve.CREDIT.value] == f"the broker told no history of {smallest}: {WHY}"
    kept = {line.contract_id: line.quantity for line in book.lines if line.sleeve == Sleeve.CREDIT.value}
    assert kept == held
    assert smallest in found.nav.frozen
    assert found.nav.marks.halt_kind is None
    ordered = {
        i.contract_id for job in found.jobs.jobs for i in job.intents if Sleeve.CREDIT.value in i.sleeves
    }
    assert ordered == set()


def test_everything_held_at_old_prices_is_more_than_the_fund_bears(world: World, inputs: DayInputs) -> None:
    names = [n for n in inputs.portfolio.positions if not world.contracts.instrument(n).is_option]
    found = decided(world, read(world, inputs, *names))
    assert found.nav.marks.halt_kind is HaltKind.STALE_MARK


def exposure(inputs: DayInputs, world: World, name: str) -> Decimal:
    instrument = world.contracts.instrument(name)
    value = instrument.notional(inputs.portfolio.quantity(name), inputs.market.marks[name].price)
    return inputs.market.fx.to_base(value, instrument.currency)
