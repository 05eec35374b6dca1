"""What a day says and reckons of dividends that are to come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from engine.accounting.charges import tax_rate
from engine.composition.stages import DayInputs
from engine.composition.trade_facts import gate_candidates
from engine.composition.trading import price_book
from engine.model.context import RunKind
from engine.model.market import Dividend
from engine.model.orders import Reason, Side, Trade
from tasks.reporting_trades import dividend_notes
from tasks.run_view import RunView, run_view
from tasks.runtime import World
from tests.factories import DAYS, days_run, new_world, recorded_inputs, run_id_of

DAY = DAYS[2]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    opened = new_world(days_run().home)
    yield opened
    opened.close()


@pytest.fixture
def inputs(world: World) -> DayInputs:
    return recorded_inputs(world, DAY)


def shares_held(world: World, inputs: DayInputs, sign: int) -> str:
    """A share or fund that the fund holds long (1) or short (-1)."""
    return next(
        name
        for name, position in sorted(inputs.portfolio.positions.items())
        if not world.contracts.instrument(name).is_future
        and not world.contracts.instrument(name).is_option
        and position.quantity * sign > 0
    )


def notes(world: World, inputs: DayInputs, name: str, ex_date: date) -> tuple[str, ...]:
    """Notes of the day when one share goes ex of 0.50 and no other does."""
    paid = Dividend(instrument_id=name, ex_date=ex_date, pay_date=ex_date, amount=Decimal("0.5"))
    market = replace(inputs.market, dividends=(paid,))
    record = world.runs.run(run_id_of(world, DAY, RunKind.DECISION))
    assert record is not None
    view: RunView = replace(run_view(world, record), inputs=replace(inputs, market=market))
    return dividend_notes(world, view)


@pytest.mark.parametrize(("sign", "words"), [(1, "its holder receives"), (-1, "a short owes")])
def test_held_share_that_goes_ex_in_two_days_is_in_the_report(
    world: World, inputs: DayInputs, sign: int, words: str
) -> None:
    name = shares_held(world, inputs, sign)
    cash = abs(inputs.portfolio.quantity(name)) / 2
    (told,) = notes(world, inputs, name, DAY + timedelta(days=2))
    assert told.startswith(f"{name} goes ex on {DAY + timedelta(days=2)}, in 2 days: {words} {cash:,.2f} ")


def test_share_that_goes_ex_in_four_days_is_not_yet_named(world: World, inputs: DayInputs) -> None:
    assert notes(world, inputs, shares_held(world, inputs, 1), DAY + timedelta(days=4)) == ()


def cost(world: World, inputs: DayInputs, name: str, quantity: Decimal) -> tuple[Decimal, Decimal]:
    """Cost and unsigned notional of a trade as the gate sees them, in USD."""
    setup = world.setup(DAY)
    made = Trade(
        contract_id=name,
        instrument_id=name,
        quantity=quantity,
        reason=Reason.REBALANCE,
        group=None,
        reduce_only=False,
        sleeves={"single_name": quantity},
    )
    (found,) = gate_candidates(setup, inputs, (made,), price_book(setup, inputs))
    return found.cost_usd, abs(found.notional_usd)


def test_larger_short_of_a_share_reserves_five_basis_points_for_its_dividends(
    world: World, inputs: DayInputs
) -> None:
    name = shares_held(world, inputs, -1)
    sale, notional = cost(world, inputs, name, Decimal(-10))
    purchase, _ = cost(world, inputs, name, Decimal(10))
    taxes = world.policy(DAY).costs.transaction_taxes  # some countries tax the purchase and not the sale
    rates = [tax_rate(world.universe[name], side, DAY, taxes) for side in (Side.SELL, Side.BUY)]
    assert sale - purchase == pytest.approx(
        notional * (5 / Decimal(10_000) + rates[0] - rates[1]), abs=Decimal("1e-9")
    )


def test_sale_of_a_long_reserves_nothing_and_one_through_zero_only_for_its_short_part(
    world: World, inputs: DayInputs
) -> None:
    name = shares_held(world, inputs, 1)
    held = inputs.portfolio.quantity(name)
    for quantity, short in ((-held, Decimal(0)), (-held - 10, Decimal(10))):
        sale, notional = cost(world, inputs, name, quantity)
        purchase, _ = cost(world, inputs, name, -quantity)
        assert sale - purchase == notional * short / abs(quantity) * 5 / 10_000
