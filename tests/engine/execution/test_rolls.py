"""Rolls among the other trades of a day: merged with what the strategy wants, and more eager near the end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.execution.jobs import precompute_jobs
from engine.execution.netting import net_trades, proposals_from_targets
from engine.execution.windows import WindowRules
from engine.model.market import Mark, Source
from engine.model.orders import OrderIntent, Reason, TargetBook, TargetLine, Trade, Urgency
from engine.model.policy import RollPolicy
from engine.model.portfolio import Portfolio, Sleeve
from engine.roll import RollPlan, plan_roll
from engine.sessions import SessionTable
from tests.engine.execution.market import (
    CONTRACTS,
    DAY,
    ES_JUN,
    ES_SEP,
    PRICES,
    context,
    execution_policy,
    holdings,
    session,
    trade,
    window_policies,
)

SLEEVES = (Sleeve.CORE, Sleeve.SECTOR, Sleeve.CRISIS_ALPHA)
POLICY = RollPolicy(days_before=5, overrides={"ES": 5}, critical_days=1)
LAST = date(2026, 9, 30)


def weekdays() -> SessionTable:
    days = [DAY + timedelta(days=ahead) for ahead in range((LAST - DAY).days + 1)]
    open_days = [day for day in days if day.weekday() < 5]
    return SessionTable(
        first=DAY,
        last=LAST,
        venues={"CME": tuple(session("CME", day, "00:00", "21:00") for day in open_days)},
    )


def rolled(portfolio: Portfolio, day: date = DAY) -> RollPlan:
    chains = {"ES": (CONTRACTS.contract(ES_JUN), CONTRACTS.contract(ES_SEP))}
    marks = {
        name: Mark(contract_id=name, price=D(5000), session_date=day, age_sessions=0, source=Source.SIMULATED)
        for name in (ES_JUN, ES_SEP)
    }
    return plan_roll(portfolio, chains, weekdays(), CONTRACTS, day, POLICY, marks)


def wanted(quantities: Mapping[Sleeve, int]) -> TargetBook:
    lines = tuple(
        TargetLine(
            sleeve=sleeve.value,
            instrument_id="ES",
            contract_id=ES_SEP,
            weight=0.0,
            notional_usd=D(0),
            quantity=D(quantity),
            group=None,
            expected_carry_annual=0.0,
        )
        for sleeve, quantity in quantities.items()
        if quantity != 0
    )
    return TargetBook(lines=lines, held={}, notes=())


LOTS = st.fixed_dictionaries({sleeve: st.integers(-9, 9) for sleeve in SLEEVES})


@given(old=LOTS, new=LOTS, goal=LOTS)
def test_roll_and_strategy_make_one_trade_a_contract_that_leaves_each_sleeve_what_it_wants(
    old: dict[Sleeve, int], new: dict[Sleeve, int], goal: dict[Sleeve, int]
) -> None:
    assume(sum(old.values()) != 0)
    book = holdings({ES_JUN: old, ES_SEP: new})
    plan = rolled(book)
    turns = {row.old_contract: row.new_contract for row in plan.rolls if row.new_contract is not None}
    wishes = proposals_from_targets(wanted(goal), book, CONTRACTS, frozenset(), turns)
    found = net_trades((*wishes, *plan.proposals), book, PRICES, execution_policy())

    names = [made.contract_id for made in found.trades]
    assert len(names) == len(set(names))
    after = {(name, sleeve.value): D(owned[sleeve]) for name, owned in ((ES_JUN, old), (ES_SEP, new)) for sleeve in SLEEVES}  # fmt: skip
    for contract_id, moves in [
        *((made.contract_id, made.sleeves) for made in found.trades),
        *((cross.contract_id, cross.sleeves) for cross in found.crosses),
    ]:
        for sleeve, quantity in moves.items():
            after[contract_id, sleeve] += quantity
    assert {name: left for name, left in after.items() if name[0] == ES_JUN and left != 0} == {}
    assert {sleeve: after[ES_SEP, sleeve.value] for sleeve in SLEEVES} == goal


@given(old=LOTS)
def test_roll_alone_keeps_every_sleeve_s_exposure(old: dict[Sleeve, int]) -> None:
    book = holdings({ES_JUN: old})
    moved: dict[tuple[str, str], D] = {}
    for row in rolled(book).proposals:
        moved[row.contract_id, row.sleeve] = moved.get((row.contract_id, row.sleeve), D(0)) + row.quantity
    for sleeve in SLEEVES:
        closed, opened = moved.get((ES_JUN, sleeve.value), D(0)), moved.get((ES_SEP, sleeve.value), D(0))
        assert closed == -opened
        assert opened == (old[sleeve] if sum(old.values()) != 0 else 0)


def legs(day: date, *trades: Trade) -> dict[str, OrderIntent]:
    rules = WindowRules(sessions=weekdays(), policies=window_policies(), new_york="CME", urgent_roll_days=2)
    moment = context(trade_date=day, as_of=session("CME", day, "06:00", "07:00").open)
    jobs = precompute_jobs(trades, PRICES, rules, moment).jobs
    return {intent.contract_id: intent for job in jobs for intent in job.intents}


ROLL = (
    trade(ES_JUN, -5, reason=Reason.ROLL, group="roll:ES", reduce_only=True),
    trade(ES_SEP, 5, reason=Reason.ROLL, group="roll:ES"),
)


@pytest.mark.parametrize(
    ("day", "closing", "opening", "why"),
    [
        (15, Urgency.NORMAL, Urgency.NORMAL, "16, 17, 18, 19: four sessions are left"),
        (16, Urgency.NORMAL, Urgency.NORMAL, "three"),
        (17, Urgency.HIGH, Urgency.HIGH, "two: it must not stay behind"),
        (
            18,
            Urgency.EMERGENCY,
            Urgency.HIGH,
            "one: what ends is closed, whether the new one is bought or not",
        ),
        (19, Urgency.EMERGENCY, Urgency.HIGH, "the last"),
    ],
)
def test_legs_of_a_roll_become_urgent_on_the_last_sessions(
    day: int, closing: Urgency, opening: Urgency, why: str
) -> None:
    found = legs(date(2026, 6, day), *ROLL)
    assert {name: made.urgency for name, made in found.items()} == {ES_JUN: closing, ES_SEP: opening}, why


def test_rebalancing_of_a_contract_near_its_end_is_not_urgent() -> None:
    assert legs(date(2026, 6, 18), trade(ES_SEP, 5))[ES_SEP].urgency is Urgency.NORMAL


@pytest.mark.parametrize("day", [15, 16, 17, 18, 19])
def test_roll_that_does_not_finish_is_planned_anew_every_day_until_the_end(day: int) -> None:
    plan = rolled(holdings({ES_JUN: {Sleeve.CORE: 5}}), date(2026, 6, day))
    assert [(row.old_contract, row.new_contract) for row in plan.rolls] == [(ES_JUN, ES_SEP)]
    assert plan.rolls[0].is_critical is (day >= 18)


def test_leg_that_went_ahead_is_followed_by_the_other_the_next_day() -> None:
    # Yesterday 5 were bought and only 2 sold: today 3 are sold, and the 8 that are held are what is wanted.
    book = holdings({ES_JUN: {Sleeve.CORE: 3}, ES_SEP: {Sleeve.CORE: 5}})
    plan = rolled(book, date(2026, 6, 16))
    turns = {row.old_contract: row.new_contract for row in plan.rolls if row.new_contract is not None}
    wishes = proposals_from_targets(wanted({Sleeve.CORE: 5}), book, CONTRACTS, frozenset(), turns)
    found = net_trades((*wishes, *plan.proposals), book, PRICES, execution_policy())
    assert {made.contract_id: made.quantity for made in found.trades} == {ES_JUN: D(-3)}
