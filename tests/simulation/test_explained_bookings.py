"""What known facts explain is booked as what it is, and the books agree afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.accounting.adoption import adoption, caused_entries
from engine.accounting.explained import may_be_booked
from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.accounting.sides import Evidence
from engine.model.breaks import BreakKind
from engine.simulation import interventions as acts
from tests.engine.simulation.exchange_world import OPTION, utc
from tests.simulation import test_every_break_is_named as made
from tests.simulation.two_sides import Comparison

D = Decimal
K = BreakKind
Made = tuple[Comparison, Evidence]


@pytest.mark.parametrize(
    ("make", "kind", "booked"),
    [
        (made.missed_fill, K.MISSED_FILL, [EntryKind.TRADE, EntryKind.COMMISSION]),
        (made.dividend, K.DIVIDEND, [EntryKind.DIVIDEND]),
        (made.dividend_paid_early, K.DIVIDEND, [EntryKind.DIVIDEND]),
        (made.late_commission, K.COMMISSION, [EntryKind.COMMISSION]),
        (made.assignment, K.ASSIGNMENT, [EntryKind.ADOPTION, EntryKind.EXPIRY]),
        (made.expiry, K.EXPIRY, [EntryKind.EXPIRY]),
    ],
)
def test_explained_break_is_booked_as_what_it_is(
    make: Callable[[], Made], kind: BreakKind, booked: list[EntryKind]
) -> None:
    two, evidence = make()
    report, (sides, _) = two.compare(evidence), two.sides()
    assert may_be_booked(report, {kind})
    assert not may_be_booked(report, set(BreakKind) - {kind})
    entries = adoption(sides, report, two.broker.now, "facts", None, two.entries)
    two.post(entries)
    for fill in two.broker.executions():
        two.fills[fill.execution_id] = fill
    assert [entry.kind for entry in entries] == booked
    assert two.compare(evidence).can_trade


def test_known_split_is_booked_at_unchanged_cost() -> None:
    two, evidence = made.split("2", known=True)()
    report, (sides, _) = two.compare(evidence), two.sides()
    before = two.portfolio.positions["AAA"]
    (entry,) = adoption(sides, report, two.broker.now, "facts", None, two.entries)
    two.post((entry,))
    after = two.portfolio.positions["AAA"]
    assert entry.kind is EntryKind.SPLIT
    assert (after.quantity, after.cost) == (2 * before.quantity, before.cost)


def test_dividend_that_was_paid_early_is_not_paid_again_on_its_pay_date() -> None:
    two, evidence = made.dividend_paid_early()
    report, (sides, _) = two.compare(evidence), two.sides()
    two.post(adoption(sides, report, two.broker.now, "facts", None, two.entries))
    two.live(utc(date(2024, 3, 21), 6))
    assert not any(two.portfolio.accruals.values())
    assert two.compare().can_trade


def test_dividend_that_is_booked_and_paid_twice_is_left_to_a_person() -> None:
    """3,100 USD were owed since Wednesday and are paid on the next Tuesday: once by our book, twice by the broker."""
    paid = made.MONDAY + timedelta(days=8)
    row = replace(made.PAID, ex_date=made.MONDAY + timedelta(days=2), pay_date=paid)
    two = made.held(world=made.World(depth=D(1_000_000), dividend_list=(row,)), until=paid)
    acts.change_cash(two.broker, "fault", "USD", D(3_100))
    lately = tuple(entry for entry in two.entries if entry.booked_at > utc(paid - timedelta(days=1), 6))
    assert "dividend-paid:AAA:2024-03-06" in {entry.entry_id for entry in lately}
    report = two.compare(Evidence(dividends=(row,), recent=lately))
    assert [found.cause for found in report.breaks] == [K.DIVIDEND]
    assert not may_be_booked(report, set(BreakKind))


@pytest.mark.parametrize(
    "make",
    [
        made.cash_movement,
        made.manual_trade,
        made.liquidation,
        made.transfer,
        made.told_twice(book=False),
        made.split("2", known=False),
        made.withheld,
        made.conversion,
        made.drifted,
    ],
)
def test_what_facts_do_not_explain_is_left_to_a_person(make: Callable[[], Made]) -> None:
    two, evidence = make()
    assert not may_be_booked(two.compare(evidence), set(BreakKind))


def booked_without_asking(two: Comparison, evidence: Evidence) -> tuple[LedgerEntry, ...]:
    report, (sides, _) = two.compare(evidence), two.sides()
    assert may_be_booked(report, set(BreakKind))
    return caused_entries(sides, report, two.broker.now, "facts", None, two.entries)


def test_money_without_a_cause_stays_apart_beside_an_explained_break_however_small() -> None:
    """900 USD are below the limit of a break, and no fact explains them: only a person may adopt them."""
    two, evidence = made.missed_fill()
    acts.change_cash(two.broker, "fault", "USD", D(-900))
    two.post(booked_without_asking(two, evidence))
    for fill in two.broker.executions():
        two.fills[fill.execution_id] = fill
    after = two.compare(evidence)
    assert after.can_trade
    assert {row.currency: row.unexplained for row in after.cash if row.unexplained} == {"USD": D(900)}
    sides, _ = two.sides()
    (adopted,) = adoption(sides, after, two.broker.now, "chosen", None, two.entries)
    assert (adopted.kind, adopted.cash) == (EntryKind.ADOPTION, {"USD": D(-900)})


@given(off=st.integers(-400_000, 400_000))
@settings(max_examples=60, deadline=None)
def test_dividend_explains_only_its_own_amount(off: int) -> None:
    """10,000 × 0.31 = 3,100 USD and something else of ``off`` cents: a part of a break is never booked as the whole."""
    two, evidence = made.dividend()
    acts.change_cash(two.broker, "fault", "USD", D(off) / 100)
    report = two.compare(evidence)
    assert may_be_booked(report, set(BreakKind)) is (abs(off) <= 1)


def test_two_breaks_that_only_sum_to_a_fact_are_not_booked() -> None:
    """1,550 USD and 1,240 GBP at 1.25 are worth the dividend of 3,100 USD."""
    two, evidence = made.held(), Evidence(dividends=(made.PAID,))
    acts.change_cash(two.broker, "fault", "USD", D(1_550))
    acts.change_cash(two.broker, "fault", "GBP", D(1_240))
    report = two.compare(evidence)
    assert [found.subject for found in report.breaks] == ["GBP", "USD"]
    assert not any(found.is_explained for found in report.breaks)


def test_explained_break_beside_an_unexplained_one_is_not_booked() -> None:
    two, evidence = made.dividend()
    acts.change_cash(two.broker, "fault", "GBP", D(-30_000))
    assert [found.is_explained for found in two.compare(evidence).breaks] == [False, True]
    assert not may_be_booked(two.compare(evidence), set(BreakKind))


def test_amount_that_two_facts_explain_is_left_to_a_person() -> None:
    """3,100 USD of a commission came back, on the pay date of a dividend of 3,100 USD."""
    two = made.held()
    name = next(fill.execution_id for fill in two.fills.values() if fill.contract_id == "AAA")
    acts.charge_execution(two.broker, "fault", name, D(-3_100))
    assert [found.is_explained for found in two.compare().breaks] == [True]
    (found,) = two.compare(Evidence(dividends=(made.PAID,))).breaks
    assert {cause.cause for cause in found.explanations[:2]} == {K.DIVIDEND, K.COMMISSION}
    assert not found.is_explained


def test_missed_execution_and_a_trade_by_hand_that_cancel_out_are_not_booked() -> None:
    """Both books hold 10,000: 300 were bought without our knowledge under our reference, and sold by hand."""
    two = made.held()
    made.foreign(two, "300", ref="AF1.LOST.0")
    made.foreign(two, "-300")
    report = two.compare()
    assert [found.cause for found in report.breaks] == [K.MISSED_FILL, K.MANUAL_TRADE]
    assert not any(found.is_explained for found in report.breaks)


def test_emergency_is_left_to_a_person() -> None:
    two, evidence = made.held(), Evidence()
    for number in range(12):
        made.foreign(two, "9000", ref=f"AF1.LOST{number}.0", price="130")
    # 108,000 shares bought at 130 and worth 100: 3.24 millions of ten
    report = two.compare(evidence)
    assert all(found.is_explained for found in report.breaks)
    assert not may_be_booked(report, set(BreakKind))


def test_explanations_tell_the_booking_and_the_runner_up() -> None:
    two, evidence = made.expiry()
    (found,) = two.compare(evidence).breaks
    assert found.explanations[0].resolution == f"books {OPTION} closed at 12"
    assert found.told.startswith("its last trade was on 2024-03-08")
    assert "; or " in found.told
