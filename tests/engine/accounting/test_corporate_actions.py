from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.book import apply, fold
from engine.accounting.corporate_actions import (
    dividend_accrual,
    dividend_payment,
    dividend_warnings,
    snapped_split_ratio,
    split_entry,
    unpaid_dividends,
)
from engine.model.market import Dividend, Split
from engine.model.portfolio import Sleeve
from tests.engine.accounting.builders import BOOK, NOW, D, at, bought

EX, PAY = date(2025, 12, 3), date(2025, 12, 20)


def dividend(amount: str = "0.5", instrument_id: str = "AAPL", ex_date: date = EX) -> Dividend:
    return Dividend(instrument_id=instrument_id, ex_date=ex_date, pay_date=PAY, amount=D(amount))


@pytest.mark.parametrize("quantity", ["100", "-100"])
def test_dividend_is_owed_on_the_ex_date_and_cash_on_the_pay_date(quantity: str) -> None:
    before = fold([bought("AAPL", quantity, "200")], NOW)
    owed = dividend_accrual(before.positions["AAPL"], BOOK.instrument("AAPL"), dividend(), at(3, 0))
    after_ex = apply(before, owed)
    assert after_ex.accruals == {"USD": D(quantity) / 2}
    assert after_ex.cash == before.cash
    paid = apply(after_ex, dividend_payment(owed, at(20, 0)))
    assert paid.accruals == {"USD": D(0)}
    assert paid.cash["USD"] - before.cash["USD"] == D(quantity) / 2


def test_unpaid_dividends_are_those_without_a_payment() -> None:
    before = fold([bought("AAPL", "100", "200")], NOW)
    owed = dividend_accrual(before.positions["AAPL"], BOOK.instrument("AAPL"), dividend(), at(3, 0))
    assert unpaid_dividends([owed]) == (owed,)
    assert unpaid_dividends([owed, dividend_payment(owed, at(20, 0))]) == ()
    assert owed.value_date == PAY


def test_split_scales_every_sleeve_and_keeps_cost() -> None:
    before = fold(
        [bought("AAPL", "10", "700"), bought("AAPL", "3", "700", "e2.01", sleeve="single_name")], NOW
    )
    split = Split(instrument_id="AAPL", ex_date=EX, new_shares=7, old_shares=1)
    held = apply(before, split_entry(before.positions["AAPL"], split, at(3, 0))).positions["AAPL"]
    assert held.sleeves == {Sleeve.CORE: D(70), Sleeve.SINGLE_NAME: D(21)}
    assert (held.cost, held.average_price) == (D(9100), D(100))


def test_reverse_split_keeps_fractions_to_six_decimals() -> None:
    before = fold([bought("AAPL", "10", "1")], NOW)
    split = Split(instrument_id="AAPL", ex_date=EX, new_shares=1, old_shares=3)
    assert apply(before, split_entry(before.positions["AAPL"], split, at(3, 0))).quantity("AAPL") == D(
        "3.333333"
    )


@pytest.mark.parametrize(
    ("ratio", "shares"),
    [
        ("6.999997", (7, 1)),
        ("0.5", (1, 2)),
        ("1.5", (3, 2)),
        ("0.0500001", (1, 20)),
        ("1.0027", None),  # a recorded ratio that is no split
        ("1", None),
        ("101", None),
    ],
)
def test_recorded_ratio_snaps_to_whole_shares(ratio: str, shares: tuple[int, int] | None) -> None:
    assert snapped_split_ratio(Decimal(ratio)) == shares


@pytest.mark.parametrize(("day", "warned"), [(1, True), (29, False), (3, True), (4, False)])
def test_ex_dividend_warns_within_three_days(day: int, warned: bool) -> None:
    month = 11 if day == 29 else 12
    portfolio = fold([bought("AAPL", "-100", "200")], NOW)
    found = dividend_warnings(portfolio, [dividend()], date(2025, month, day), 3)
    assert [row.cash for row in found] == ([D(-50)] if warned else [])


def test_share_that_is_not_held_warns_nobody() -> None:
    assert dividend_warnings(fold([], NOW), [dividend()], date(2025, 12, 2), 3) == ()
