"""Money of investors in whole days: pending until it is at the broker, dealt at the official NAV per unit, no return."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from engine.accounting.bridge import BridgeComponent
from engine.accounting.investors import FlowKind, FlowState, InvestorOrder
from engine.accounting.statement_findings import Finding
from engine.carry.calendar import DAY_START
from engine.composition.stages import ValuedFund
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.money import Money
from engine.simulation.interventions import transfer_cash
from flows.replaying import replay_recorded
from state.investors import InvestorStore
from state.verification import verify
from tasks.day import wall_clock
from tasks.investors import order_states
from tasks.runtime import World
from tests.factories import DAYS, new_world, run, run_day, run_id_of
from tests.halted_days import home_after_a_day
from tests.statements import imported, outcomes

D = Decimal


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fund with one finished day."""
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    opened = new_world(tmp_path, DAYS[3])
    yield opened
    opened.close()


def give(
    world: World, kind: FlowKind, amount: str, currency: str, day: date, name: str = "O-1"
) -> InvestorOrder:
    order = InvestorOrder(
        order_id=name,
        kind=kind,
        investor="Pension fund",
        money=Money(amount=D(amount), currency=currency),
        value_date=day,
        evidence="form 7",
    )
    InvestorStore(world.database).give(world.account, order, "anna", wall_clock())
    return order


def state_of(world: World, name: str = "O-1") -> FlowState:
    return next(
        row.state
        for row in order_states(world.database, world.ledger, world.account)
        if row.order.order_id == name
    )


def fund_at(world: World, day: date, kind: RunKind) -> ValuedFund:
    step = world.runs.step(run_id_of(world, day, kind), "nav")
    assert step is not None
    return decode(ValuedFund, step.output)


def test_subscription_waits_for_its_money_and_is_dealt_at_the_close_of_the_day_it_came(world: World) -> None:
    give(world, FlowKind.SUBSCRIPTION, "1000000", "EUR", DAYS[1])
    run_day(world, DAYS[1])
    assert state_of(world) is FlowState.PENDING
    before = fund_at(world, DAYS[1], RunKind.CLOSE)

    transfer_cash(world.broker, "EUR", D(1_000_000))
    run_day(world, DAYS[2])
    assert state_of(world) is FlowState.DONE
    decision, close = (fund_at(world, DAYS[2], kind) for kind in (RunKind.DECISION, RunKind.CLOSE))
    # the money was there in the morning and belonged to the investor until the close: neither NAV nor units had it
    assert decision.bridge is not None
    assert BridgeComponent.FLOWS not in decision.bridge.by_component
    assert decision.valuation.units == close.valuation.units == before.valuation.units

    run_day(world, DAYS[3])
    (dealt,) = order_states(world.database, world.ledger, world.account)
    after = fund_at(world, DAYS[3], RunKind.DECISION)
    worth = close.valuation.fx["EUR"] * 1_000_000
    assert dealt.unit_price == close.valuation.unit_price.quantize(D("0.000000000001"))
    assert dealt.units == round(worth / close.valuation.unit_price, 6)
    assert after.valuation.units - close.valuation.units == dealt.units
    assert after.bridge is not None
    flows = after.bridge.by_component[BridgeComponent.FLOWS]
    assert (abs(flows - after.valuation.fx["EUR"] * 1_000_000) < D("0.01"), after.bridge.closes) == (
        True,
        True,
    )
    # what came is no return: the change per unit is that of the fund without it
    result = after.valuation.nav - decision.valuation.nav - flows
    assert after.bridge.unit_return is not None
    assert abs(after.bridge.unit_return - result / decision.valuation.nav) < D("0.0005")


def test_redemption_is_owed_from_its_dealing_day_until_it_is_paid_and_every_day_replays(world: World) -> None:
    give(world, FlowKind.REDEMPTION, "250000", "USD", DAYS[1])
    run_day(world, DAYS[1])
    assert state_of(world) is FlowState.DEALT
    assert world.ledger.portfolio(world.account, world.broker.now).investors == {}
    run_day(world, DAYS[2])
    book = world.ledger.portfolio(world.account, world.broker.now)
    assert book.investors == {"USD": D(-250_000)}

    transfer_cash(world.broker, "USD", D(-250_000))
    run_day(world, DAYS[3])
    assert state_of(world) is FlowState.DONE
    assert world.ledger.portfolio(world.account, world.broker.now).investors == {"USD": D(0)}
    for day in DAYS[1:4]:
        assert replay_recorded(world.runs, run_id_of(world, day, RunKind.DECISION)).is_identical
    assert verify(world.database) == ()
    told = imported(world, DAYS[1], DAYS[3])
    assert outcomes(told) == {}
    assert [row.line.finding for row in told.lines if "investor-cash" in row.line.text] == [Finding.MATCHED]


def test_second_of_two_redemptions_waits_when_both_together_want_more_than_there_is(world: World) -> None:
    # 6,000,000 of about 10,000,000 USD each
    give(world, FlowKind.REDEMPTION, "6000000", "USD", DAYS[1], "A")
    give(world, FlowKind.REDEMPTION, "6000000", "USD", DAYS[1], "B")
    run_day(world, DAYS[1])
    assert (state_of(world, "A"), state_of(world, "B")) == (FlowState.DEALT, FlowState.PENDING)
    book = world.ledger.portfolio(world.account, datetime.combine(DAYS[2], DAY_START))
    assert (book.units > 0, book.investors) == (True, {"USD": D(-6_000_000)})


@pytest.mark.parametrize("amount", ["5000", "999999.98"])
def test_money_that_no_order_explains_stays_a_break(world: World, amount: str) -> None:
    give(world, FlowKind.SUBSCRIPTION, "1000000", "USD", DAYS[1])
    transfer_cash(world.broker, "USD", D(amount))
    outcome = run(world, DAYS[1], RunKind.DECISION)
    assert outcome.status in (RunStatus.HALTED, RunStatus.EMERGENCY)
    (halt,) = world.halts.open_halts(world.account)
    assert halt.kind == "cash-break"
    assert state_of(world) is FlowState.PENDING
