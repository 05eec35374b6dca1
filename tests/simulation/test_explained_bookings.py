"""What known facts explain is booked as what it is, and the books agree afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.adoption import adoption
from engine.accounting.explained import may_be_booked
from engine.accounting.ledger import EntryKind
from engine.accounting.sides import Evidence
from engine.model.breaks import BreakKind
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
