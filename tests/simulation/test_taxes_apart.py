"""A tax on a trade that one side forgot, or took twice: named, with its booking, and booked as a tax."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from engine.accounting.adoption import adoption
from engine.accounting.charges import TAX_ACCOUNT
from engine.accounting.explained import may_be_booked
from engine.accounting.ledger import EntryKind
from engine.accounting.reconciliation import ReconciliationReport, ReconciliationStatus
from engine.model.breaks import BreakKind
from engine.model.orders import Side
from engine.model.policy import TransactionTax
from engine.simulation import interventions as acts
from tests.engine.simulation.exchange_world import MONDAY, UNIVERSE
from tests.simulation.test_every_break_is_named import foreign
from tests.simulation.two_sides import Comparison, at_six

D = Decimal
TUESDAY = MONDAY + timedelta(days=1)
TAX = TransactionTax(
    venue=UNIVERSE["AAA"].venue, side=Side.BUY, rate=D("0.005"), first=MONDAY, last=None, source="test"
)
DUE = D("5000.50")
"""Half a percent of 10,000 shares at 100.01."""


def bought(
    *,
    booked: bool = True,
    charged: tuple[TransactionTax, ...] = (TAX,),
    quantities: tuple[int, ...] = (10_000,),
) -> Comparison:
    two = Comparison.begin(taxes=(TAX,), charged=charged)
    two.books_taxes = booked
    two.trade(*(("AAA", quantity) for quantity in quantities))
    return two


def named(two: Comparison) -> ReconciliationReport:
    report = two.compare()
    (found,) = report.breaks
    assert found.cause is BreakKind.TAX
    assert not report.can_trade
    return report


def adopted(two: Comparison) -> list[tuple[str, EntryKind, Decimal]]:
    """Ids, kinds and cash of what adopting the broker books; the books agree afterwards."""
    sides, _ = two.sides()
    entries = adoption(sides, two.compare(), two.broker.now, "facts", None, two.entries, two.taxes)
    two.post(entries)
    for fill in two.broker.executions():
        two.fills[fill.execution_id] = fill
    assert two.compare().status is ReconciliationStatus.PASS
    assert two.portfolio.cash["USD"] == two.broker.state.balance("USD")
    return [(x.entry_id, x.kind, x.cash.get("USD", D(0))) for x in entries]


def test_forgotten_tax_of_yesterday_is_named_beside_the_interest_on_it() -> None:
    """5,000.50 at 4.5 % for a day of 360 is 0.63: beyond a cent, so a person is asked."""
    two = bought(booked=False)
    two.live(at_six(TUESDAY))
    report = named(two)
    assert "-0.63 USD more are like its interest since" in report.breaks[0].told
    assert not may_be_booked(report, {BreakKind.TAX})
    assert [kind for _, kind, _ in adopted(two)] == [EntryKind.TAX, EntryKind.ADOPTION]


def test_both_sides_with_the_tax_agree() -> None:
    assert bought().compare().status is ReconciliationStatus.PASS


def test_tax_that_our_book_forgot_is_complete_and_booked_on_its_execution() -> None:
    two = bought(booked=False)
    (name,) = two.fills
    report = named(two)
    booking = report.breaks[0].explanations[0].booking
    assert booking is not None
    assert (booking.kind, booking.account, booking.amount) == (EntryKind.TAX, TAX_ACCOUNT, -DUE)
    assert may_be_booked(report, {BreakKind.TAX})
    assert adopted(two)[0] == (f"tax:{name}", EntryKind.TAX, -DUE)


def test_taxes_of_several_executions_are_booked_on_each_of_them() -> None:
    two = bought(booked=False, quantities=(10_000, 4_000))
    first, second = sorted(two.fills)
    named(two)
    # 14,000 × 100.01 × 0.005 = 7,000.70
    assert adopted(two)[:2] == [
        (f"tax:{first}", EntryKind.TAX, -DUE),
        (f"tax:{second}", EntryKind.TAX, D("-2000.20")),
    ]


def test_tax_that_the_broker_did_not_take_is_named_and_left_to_a_person() -> None:
    two = bought(charged=())
    report = named(two)
    assert "did not charge" in report.breaks[0].told
    assert f"cash +{DUE:,.2f} USD against {TAX_ACCOUNT}" in report.breaks[0].told
    assert not may_be_booked(report, set(BreakKind))
    assert adopted(two)[0][1:] == (EntryKind.TAX, DUE)


def test_tax_that_the_broker_took_twice_is_named_and_left_to_a_person() -> None:
    two = bought()
    acts.change_cash(two.broker, "fault", "USD", -DUE)
    report = named(two)
    assert "twice" in report.breaks[0].told
    assert not may_be_booked(report, set(BreakKind))
    assert adopted(two)[0][1:] == (EntryKind.TAX, -DUE)


@pytest.mark.parametrize(("more", "is_tax"), [("-5000.49", True), ("-5000.48", False), ("-5100", False)])
def test_amount_is_the_tax_only_to_the_cent(more: str, is_tax: bool) -> None:
    two = bought()
    acts.change_cash(two.broker, "fault", "USD", D(more))
    (found,) = two.compare().breaks
    assert (found.explanations[0].booking is not None) is is_tax


def test_missed_purchase_of_a_taxed_share_is_explained_with_its_tax() -> None:
    """Its tax is no second break; it is booked once."""
    two = bought()
    foreign(two, "300", ref="AF1.LOST.0")
    report = two.compare()
    assert [found.cause for found in report.breaks] == [BreakKind.MISSED_FILL]
    assert may_be_booked(report, {BreakKind.MISSED_FILL})
    # 300 × 100 × 0.005 = 150
    assert [kind for _, kind, _ in adopted(two)] == [EntryKind.TRADE, EntryKind.COMMISSION, EntryKind.TAX]
    assert sum(x.cash["USD"] for x in two.entries if x.kind is EntryKind.TAX) == -DUE - 150


def test_purchase_by_hand_of_a_taxed_share_is_one_break() -> None:
    two = bought()
    foreign(two, "50000")
    # Its tax alone, 25,000 USD, would be a break of cash.
    assert [found.cause for found in two.compare().breaks] == [BreakKind.MANUAL_TRADE]
    adopted(two)


@pytest.mark.parametrize(
    ("quantity", "cause"), [(9_000, BreakKind.CORRECTED_EXECUTION), (0, BreakKind.BUSTED_EXECUTION)]
)
def test_correction_of_a_taxed_purchase_changes_its_tax(quantity: int, cause: BreakKind) -> None:
    two = bought()
    (name,) = two.fills
    acts.change_execution(two.broker, "fault", name, D(quantity), D("100.01"))
    assert [found.cause for found in two.compare().breaks] == [cause]
    adopted(two)
    assert sum(x.cash["USD"] for x in two.entries if x.kind is EntryKind.TAX) == -DUE * quantity / 10_000
