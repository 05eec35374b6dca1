"""The facts behind a halt: which price or figure, how far off, and how much of the fund hangs on it."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.composition.stages import DayInputs, PreviousDay, ValuedFund, value_fund
from engine.errors import HaltError
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.halts import (
    ALLOWED_CHOICES,
    CHOICE_MEANINGS,
    HALT_NAMES,
    WHAT_TO_DO,
    HaltChoice,
    HaltKind,
)
from engine.report import NOT_COMPARED, BreakRow
from state.runs import run_identifier
from tasks.day import CLOSED, INPUTS, run_key
from tasks.doubtful import marks_text
from tasks.halt_evidence import stale_mark_rows
from tasks.resolution import apply, preview
from tasks.runtime import World
from tests.factories import new_world
from tests.halted_days import HALTED_DAY, decide_again, halted_world, open_halt, undisturbed_home

D = Decimal
FAULTS = (
    "cash-break",
    "cash-break:emergency",
    "foreign-position",
    "missed-fill",
    "nan-price",
    "nlv-drift",
    "stale-fx",
)


def evidence(world: World) -> tuple[BreakRow, ...]:
    return decode(tuple[BreakRow, ...], open_halt(world).evidence)


def yesterday(world: World) -> PreviousDay:
    payload = world.runs.memory(world.account, CLOSED, HALTED_DAY)
    assert payload is not None
    return decode(PreviousDay, payload)


@pytest.mark.parametrize("kind", HaltKind)
def test_every_kind_of_halt_has_a_name_an_advice_and_an_answer(kind: HaltKind) -> None:
    assert HALT_NAMES[kind][0].isupper()
    assert WHAT_TO_DO[kind]
    assert set(ALLOWED_CHOICES[kind]) <= set(CHOICE_MEANINGS)
    assert len(ALLOWED_CHOICES[kind]) > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_halt_says_what_was_expected_what_was_found_and_what_to_do(fault: str, tmp_path: Path) -> None:
    with halted_world(fault, tmp_path) as world:
        halt = open_halt(world)
        outcome = decide_again(world)

        assert len(evidence(world)) > 0
        assert halt.message.startswith("expected ")
        assert ", found " in halt.message
        assert "nan" not in halt.message.split()
        assert halt.message.endswith(WHAT_TO_DO[HaltKind(halt.kind)])
        assert f"./fund resolve {halt.halt_id} --choice {halt.choices[0].value}" in outcome.text
        assert outcome.text.endswith("./fund resume")
        assert ("--operator NAME" in outcome.text) is (fault == "cash-break:emergency")


@pytest.mark.parametrize("fault", FAULTS)
def test_no_choice_is_offered_that_stops_at_the_same_place(fault: str, tmp_path: Path) -> None:
    with halted_world(fault, tmp_path) as world:
        halt = open_halt(world)
        doubted = {row.subject: row.price.last_price for row in evidence(world) if row.price is not None}
        lasting = {HaltKind.CASH_BREAK, HaltKind.FOREIGN_POSITION, HaltKind.MISSED_FILL}

        for choice in halt.choices:
            marks = doubted if choice is HaltChoice.MARK_MANUALLY else {}
            effect = preview(world, halt.halt_id, choice, {k: v for k, v in marks.items() if v is not None})
            still_there = choice is HaltChoice.RETRY and HaltKind(halt.kind) in lasting
            assert (effect.stops != "") is still_there, choice


def test_old_rate_shows_its_age_its_limit_and_what_is_held_in_the_currency(tmp_path: Path) -> None:
    with halted_world("stale-fx", tmp_path) as world:
        rows = {row.subject: row for row in evidence(world)}
        limit = world.policy(HALTED_DAY).fx.stale_invalid_hours
        recorded = world.runs.inputs(open_halt(world).run_id)[INPUTS]
        inputs = decode(DayInputs, recorded.payload)
        valuation = value_fund(world.setup(HALTED_DAY), inputs).valuation

    assert {"EUR/USD", "GBP/USD"} <= set(rows)
    fact = rows["EUR/USD"].price
    rate = inputs.market.fx.rates["EURUSD"]
    assert fact is not None
    assert fact.age is not None
    assert fact.age > limit
    assert (fact.age_unit, fact.limit) == ("market hours", f"{limit:g} market hours")
    assert (fact.last_price, fact.unit, fact.last_date) == (
        rate.rate,
        "USD per EUR",
        rate.observed_at.date(),
    )
    worth = valuation.currency_values["EUR"] * rate.rate
    assert fact.exposure_usd == pytest.approx(worth, abs=D("0.000001"))
    assert fact.nav_fraction == pytest.approx(float(abs(worth) / valuation.nav))


def test_impossible_price_shows_the_last_good_one_and_the_position_on_it(tmp_path: Path) -> None:
    with halted_world("nan-price", tmp_path) as world:
        (row,) = evidence(world)
        known = yesterday(world)

    fact = row.price
    assert fact is not None
    assert (row.ours, row.broker, fact.age) == ("not a number", NOT_COMPARED, None)
    mark = known.marks[row.subject]
    assert (fact.last_price, fact.last_date) == (mark.price, mark.session_date)
    (line,) = [line for line in known.valuation.lines if line.contract_id == row.subject]
    assert fact.exposure_usd == line.exposure_usd
    assert fact.nav_fraction == pytest.approx(float(abs(line.exposure_usd) / known.valuation.nav))


def test_impossible_price_is_replaced_by_one_that_a_person_gives(tmp_path: Path) -> None:
    with halted_world("nan-price", tmp_path) as world:
        halt, (row,) = open_halt(world), evidence(world)
        assert row.price is not None
        assert row.price.last_price is not None
        given = {row.subject: row.price.last_price}
        effect = preview(world, halt.halt_id, HaltChoice.MARK_MANUALLY, given)

        apply(world, halt.halt_id, HaltChoice.MARK_MANUALLY, "seen on a screen", "Ada", given, shown=effect)

        assert decide_again(world).status is RunStatus.COMPLETED
        fund = world.runs.step(halt.run_id, "nav")
        assert fund is not None
        valued = decode(ValuedFund, fund.output)
        assert valued.valuation.nav == effect.nav_after
        (line,) = [line for line in valued.valuation.lines if line.contract_id == row.subject]
        assert line.mark == row.price.last_price


def test_impossible_price_can_not_be_abandoned(tmp_path: Path) -> None:
    with halted_world("nan-price", tmp_path) as world:
        assert HaltChoice.ABANDON_DAY not in open_halt(world).choices
        assert "so the day can not be abandoned" in open_halt(world).message


def test_old_marks_stand_one_row_each_with_age_price_exposure_and_limit() -> None:
    world = new_world(undisturbed_home(), HALTED_DAY)
    recorded = world.runs.inputs(run_identifier(run_key(world, HALTED_DAY, RunKind.DECISION)))[INPUTS]
    inputs = decode(DayInputs, recorded.payload)
    names = sorted(inputs.portfolio.positions)[:2]
    ages = {names[0]: 2, names[1]: 5}
    marks = {
        name: replace(mark, age_sessions=ages.get(name, mark.age_sessions))
        for name, mark in inputs.market.marks.items()
    }
    old = replace(inputs, market=replace(inputs.market, marks=marks))
    setup = world.setup(HALTED_DAY)
    fund = value_fund(setup, old)
    rows = stale_mark_rows(fund, old, world.contracts, setup.policy.marks)
    world.close()

    assert fund.marks.halt_kind is HaltKind.STALE_MARK
    assert [(row.subject, row.ours) for row in rows] == [(names[1], "5 sessions"), (names[0], "2 sessions")]
    fact = rows[0].price
    assert fact is not None
    lines = {line.contract_id: line for line in fund.valuation.lines}
    assert (fact.last_price, fact.last_date) == (marks[names[1]].price, marks[names[1]].session_date)
    assert fact.exposure_usd == lines[names[1]].exposure_usd
    assert fact.nav_fraction == pytest.approx(float(abs(lines[names[1]].exposure_usd) / fund.valuation.nav))
    # 5 % of NAV may stand at old prices, none older than 3 sessions
    assert fact.limit.startswith(f"3 sessions, and {fund.valuation.nav / 20:,.2f} USD (5.00% of NAV)")
    assert "allowed are 3" in rows[0].explanation
    assert "frozen" in rows[1].explanation
    assert "found older than 3 sessions: " + names[1] in marks_text(fund.marks, setup.policy.marks)


def test_halt_error_names_its_subject() -> None:
    error = HaltError("nan-price", "expected a number", subject="AAPL")
    assert (error.kind, error.subject, error.exit_status) == ("nan-price", "AAPL", 3)
