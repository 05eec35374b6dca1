"""NAV of days that were run is one number: by our settled ledger, by our trades alone, and by the broker's cash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.cash_bases import basis_navs, cost_ledger
from engine.accounting.ledger import EntryKind
from engine.accounting.nav import ValuationContext, option_risks
from engine.composition.stages import DayInputs, ValuedFund, contract_book, day_marks, fx_hedge_instruments
from engine.model.context import RunKind
from engine.model.portfolio import CashBasis
from tasks.opening import begin
from tasks.runtime import World
from tests.factories import DAYS, days_run, new_world, recorded_inputs, valued

CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The fund after its five days; these tests only read."""
    world = new_world(days_run().home)
    yield world
    world.close()


def close_of(world: World, day: date) -> tuple[DayInputs, ValuedFund]:
    return recorded_inputs(world, day, RunKind.CLOSE), valued(world, day, RunKind.CLOSE)


@pytest.mark.parametrize("day", DAYS)
def test_close_has_one_nav_under_every_basis(world: World, day: date) -> None:
    inputs, fund = close_of(world, day)
    setup = begin(world, day, RunKind.CLOSE).setup
    contracts = contract_book(setup, inputs)
    entries = world.ledger.entries(world.account, until=inputs.context.as_of)
    context = ValuationContext(
        trade_date=day,
        as_of=inputs.context.as_of,
        basis=CashBasis.SETTLED,
        fx_hedges=fx_hedge_instruments(setup.policy),
    )
    marks, fx = day_marks(inputs), inputs.market.fx
    found = basis_navs(entries, marks, fx, contracts, context, option_risks(inputs.market.option_chains))
    assert found.settled == fund.valuation.nav
    assert found.spread < CENT / 100
    futures = [line for line in fund.valuation.lines if contracts.instrument(line.contract_id).is_future]
    assert futures, "the day holds no future: its bases could not differ"
    assert cost_ledger(entries, context.as_of, contracts).cash != inputs.portfolio.cash


@pytest.mark.parametrize("day", DAYS)
def test_brokers_cash_at_our_marks_is_the_same_nav(world: World, day: date) -> None:
    inputs, fund = close_of(world, day)
    contracts, fx = contract_book(begin(world, day, RunKind.CLOSE).setup, inputs), inputs.market.fx
    marks, broker = day_marks(inputs), inputs.broker
    nav = in_usd(broker.cash, inputs) + in_usd(broker.accrued, inputs)
    for name, held in broker.positions.items():
        instrument = contracts.instrument(name)
        price = marks[name].price
        if instrument.is_future:
            # The broker's cash holds the gain up to its own mark; the way from there to ours is not in it.
            assert held.mark is not None
            price -= held.mark
        nav += fx.to_base(instrument.notional(held.quantity, price), instrument.currency)
    assert abs(nav - fund.valuation.nav) < CENT


def in_usd(amounts: Mapping[str, Decimal], inputs: DayInputs) -> Decimal:
    return sum((inputs.market.fx.to_base(amount, name) for name, amount in amounts.items()), Decimal(0))


@pytest.mark.parametrize("day", DAYS[1:])
def test_results_of_instruments_sleeves_and_currencies_are_the_change_of_nav(world: World, day: date) -> None:
    for kind in (RunKind.DECISION, RunKind.CLOSE):
        bridge = valued(world, day, kind).bridge
        assert bridge is not None
        assert bridge.closes
        assert abs(bridge.residual) < CENT / 100
        explained = bridge.closing_nav - bridge.opening_nav - bridge.residual
        for parts in (bridge.by_component, bridge.by_instrument, bridge.by_sleeve, bridge.by_currency):
            assert sum(parts.values(), Decimal(0)) == explained


def test_days_settled_futures_and_traded_them(world: World) -> None:
    kinds = {entry.kind for entry in world.ledger.entries(world.account)}
    assert {EntryKind.VARIATION, EntryKind.TRADE, EntryKind.COMMISSION, EntryKind.INTEREST} <= kinds
