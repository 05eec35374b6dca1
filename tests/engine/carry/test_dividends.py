"""Dividends with the tax that is kept back of them, who is warned of them, and what a new short sets aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.book import apply, fold
from engine.accounting.bridge import BridgeComponent
from engine.accounting.charges import withholding_rate
from engine.carry.calendar import DayFacts, calendar_entries
from engine.carry.corporate_actions import CorporateActionsService
from engine.errors import ConfigurationError
from engine.model.carry import CarryPolicy, WithholdingTax
from engine.model.instruments import InstrumentType
from engine.model.market import Dividend, DividendInfo
from tests.engine.accounting.builders import BOOK, D, at, bought, capital
from tests.engine.accounting.policies import CARRY
from tests.engine.carry.test_corporate_days import bridge

DAY = date(2025, 12, 2)
US_SHARES = WithholdingTax(
    country="US", kind=InstrumentType.STK, rate=D("0.15"), first=date(1998, 1, 1), last=None, source="test"
)
TAXED = replace(CARRY, dividends=replace(CARRY.dividends, withholding=(US_SHARES,)))
PAID = Dividend(instrument_id="AAPL", ex_date=DAY, pay_date=date(2025, 12, 4), amount=D("0.333"))


def facts(day: int, *dividends: Dividend) -> DayFacts:
    known = {"AAPL": D(200)}
    return DayFacts(
        day=date(2025, 12, day), closes=known, last_closes=known, dividends=dividends, splits=(),
        borrow_fee_bps={"AAPL": D(0)},
    )  # fmt: skip


def test_holder_is_owed_the_dividend_less_the_tax_and_is_paid_both_on_the_pay_date() -> None:
    book = fold([capital(), bought("AAPL", "101", "200")], at(1))
    days = {date(2025, 12, day): facts(day, *([PAID] if day == 2 else [])) for day in (2, 3, 4)}
    owed = calendar_entries(book, at(1, 23), at(2, 6), days, BOOK, TAXED)
    after = apply(book, *owed)
    # 101 × 0.333 = 33.633, of which 15 % is 5.04495
    assert [entry.entry_id for entry in owed] == [
        "dividend:AAPL:2025-12-02",
        "withholding:dividend:AAPL:2025-12-02",
    ]
    assert (after.accruals["USD"], after.cash["USD"] - book.cash["USD"]) == (D("28.58805"), 0)
    later = calendar_entries(after, at(2, 6), at(4, 6), days, BOOK, TAXED, unpaid=owed)
    paid = [entry for entry in later if "paid" in entry.entry_id or "withheld" in entry.entry_id]
    assert sum(line.amount for entry in paid for line in entry.lines if line.account == "cash") == D(
        "28.58805"
    )
    assert apply(after, *later).accruals["USD"] == 0


def test_tax_is_a_line_of_its_own_in_the_bridge() -> None:
    book = fold([capital(), bought("AAPL", "101", "200")], at(1))
    made = calendar_entries(book, at(1, 23), at(2, 6), {DAY: facts(2, PAID)}, BOOK, TAXED)
    found = bridge(book, made, "200", AAPL="199.667")
    assert found.by_component[BridgeComponent.DIVIDENDS] == D("33.633")
    assert found.by_component[BridgeComponent.TAXES] == D("-5.04495")
    assert found.residual == 0


def test_short_owes_the_gross_dividend() -> None:
    book = fold([capital(), bought("AAPL", "-101", "200")], at(1))
    (owed,) = calendar_entries(book, at(1, 23), at(2, 6), {DAY: facts(2, PAID)}, BOOK, TAXED)
    assert apply(book, owed).accruals["USD"] == D("-33.633")


@pytest.mark.parametrize(
    ("taxes", "why"),
    [
        ((), "no rate at all"),
        ((replace(US_SHARES, kind=InstrumentType.ETF),), "a rate of funds only"),
        ((replace(US_SHARES, first=date(2025, 12, 3)),), "not in force yet"),
        ((replace(US_SHARES, last=date(2025, 12, 1)),), "no longer in force"),
        ((US_SHARES, US_SHARES), "two at once"),
    ],
)
def test_dividend_whose_tax_is_not_known_is_no_guess(taxes: tuple[WithholdingTax, ...], why: str) -> None:
    policy: CarryPolicy = replace(CARRY, dividends=replace(CARRY.dividends, withholding=taxes))
    book = fold([bought("AAPL", "1", "200")], at(1))
    with pytest.raises(ConfigurationError, match="withholding on dividends of AAPL"):
        calendar_entries(book, at(1, 23), at(2, 6), {DAY: facts(2, PAID)}, BOOK, policy)


def test_share_without_a_country_is_refused() -> None:
    stateless = replace(BOOK.instrument("AAPL"), issuer_country=None)
    with pytest.raises(ConfigurationError, match="no country"):
        withholding_rate(stateless, DAY, (US_SHARES,))


def service(day: date, *announced: Dividend) -> CorporateActionsService:
    return CorporateActionsService(day=day, announced=announced, infos={}, config=TAXED.dividends)


@pytest.mark.parametrize(
    ("day", "warned"),
    [
        (date(2025, 11, 29), True),
        (date(2025, 11, 30), True),
        (date(2025, 12, 2), True),
        (date(2025, 11, 28), False),
        (date(2025, 12, 3), False),
    ],
)
def test_corporate_actions_service_warns_within_three_days(day: date, warned: bool) -> None:
    held = fold([bought("AAPL", "-100", "200")], at(1))
    found = service(day, PAID).warnings(held, BOOK)
    assert [(row.days, row.cash, row.withheld) for row in found] == (
        [((DAY - day).days, D("-33.3"), 0)] if warned else []
    )


def test_warning_of_a_holder_names_the_tax() -> None:
    held = fold([bought("AAPL", "100", "200")], at(1))
    (found,) = service(DAY, PAID).warnings(held, BOOK)
    assert (found.cash, found.withheld) == (D("33.3"), D("4.995"))  # 15 %


def test_share_that_is_not_held_warns_nobody() -> None:
    assert service(DAY, PAID).warnings(fold([], at(1)), BOOK) == ()


@pytest.mark.parametrize(
    ("name", "value", "reserve"),
    [("AAPL", "20000", "10"), ("AAPL", "-5", "0"), ("ES_20251219", "20000", "0")],
)
def test_new_short_of_a_share_sets_five_basis_points_aside(name: str, value: str, reserve: str) -> None:
    assert service(DAY).short_reserve(BOOK.instrument(name), D(value)) == D(reserve)


def test_yield_is_the_last_years_cash_over_the_value_of_a_share() -> None:
    info = DividendInfo(instrument_id="AAPL", ex_date=None, paid_annual=D("2.4"), payments_annual=4)
    assert info.yield_annual(Decimal(40)) == D("0.06")
