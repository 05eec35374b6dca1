from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from engine.accounting.book import fold
from engine.accounting.charges import fee, tax_rate, transaction_tax, withholding, withholding_payment
from engine.accounting.corporate_actions import dividend_accrual, dividend_payment, unpaid_dividends
from engine.accounting.ledger import EntryKind, LedgerEntry, corrected, reverse
from engine.errors import InvariantError, NonFiniteValue
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import Dividend
from engine.model.money import Money
from engine.model.orders import Side
from engine.model.policy import TransactionTax
from tests.engine.accounting.builders import (
    BOOK,
    DAY,
    NOW,
    D,
    at,
    bought,
    capital,
    make_fill,
    make_instrument,
)

BUY, SELL = Side.BUY, Side.SELL
STAMP = TransactionTax(
    venue="LSE", side=BUY, rate=D("0.005"), first=date(1986, 10, 27), last=None, source="test"
)
PARIS = TransactionTax(
    venue="PARIS", side=BUY, rate=D("0.003"), first=date(2017, 1, 1), last=date(2025, 3, 31), source="test"
)
PARIS_NOW = replace(PARIS, rate=D("0.004"), first=date(2025, 4, 1), last=None)
TAXES = (STAMP, PARIS, PARIS_NOW)
BARCLAYS = make_instrument("BARC", currency="GBP", magnifier="100", venue="LSE")
BNP = make_instrument("BNP", currency="EUR", venue="PARIS")


@pytest.mark.parametrize(
    ("instrument", "side", "day", "rate"),
    [
        (BARCLAYS, BUY, DAY, "0.005"),
        (BARCLAYS, SELL, DAY, "0"),
        (BNP, BUY, date(2016, 12, 31), "0"),
        (BNP, BUY, date(2017, 1, 1), "0.003"),
        (BNP, BUY, date(2025, 3, 31), "0.003"),
        (BNP, BUY, date(2025, 4, 1), "0.004"),
        (replace(BARCLAYS, kind=InstrumentType.ETF), BUY, DAY, "0"),
        (make_instrument("AAPL"), BUY, DAY, "0"),
    ],
)
def test_rate_follows_listing_side_and_day(instrument: Instrument, side: Side, day: date, rate: str) -> None:
    assert tax_rate(instrument, side, day, TAXES) == D(rate)


def test_two_rules_for_one_day_are_refused() -> None:
    with pytest.raises(InvariantError, match="expected one transaction tax of LSE"):
        tax_rate(BARCLAYS, BUY, DAY, (STAMP, STAMP))


def test_stamp_duty_is_half_a_percent_of_the_pounds_of_a_pence_line() -> None:
    # 1,000 shares at 212.5 pence are 2,125 pounds; 0.5 % of them are 10.625 pounds.
    fill = make_fill("AAPL", "1000", "212.5")
    entry = transaction_tax(replace(fill, contract_id="BARC"), BARCLAYS, TAXES, NOW)
    assert entry is not None
    assert entry.kind is EntryKind.TAX
    assert fold((capital(currency="GBP"), entry), NOW).cash == {"GBP": D(10_000_000) - D("10.625")}
    assert transaction_tax(make_fill("AAPL", "-1000", "212.5"), BARCLAYS, TAXES, NOW) is None


def test_tax_is_rounded_once_to_the_micro_unit() -> None:
    # 3 x 33.3333 = 99.9999 EUR; 0.4 % of it is 0.3999996 EUR, half-even at six decimals 0.4.
    entry = transaction_tax(make_fill("AAPL", "3", "33.3333"), BNP, TAXES, NOW)
    assert entry is not None
    assert entry.lines[0].amount == D("0.400000")


def test_fee_is_paid_and_a_refund_comes_back() -> None:
    charged = fee(Money(amount=D("4.5"), currency="USD"), NOW, DAY, "T-1")
    refunded = fee(Money(amount=D("-1.25"), currency="USD"), NOW, DAY, "T-2")
    assert fold((charged, refunded), NOW).cash == {"USD": D("-3.25")}


def test_money_that_is_no_number_is_refused_before_it_is_booked() -> None:
    with pytest.raises(NonFiniteValue):
        fee(Money(amount=D("NaN"), currency="USD"), NOW, DAY, "T-1")
    with pytest.raises(InvariantError, match="rate from 0 to 1"):
        withholding(_accrued("100"), D(15), NOW)


def _accrued(quantity: str) -> LedgerEntry:
    held = fold((bought("AAPL", quantity, "100"),), NOW).positions["AAPL"]
    dividend = Dividend(
        instrument_id="AAPL",
        ex_date=date(2025, 12, 2),
        pay_date=date(2025, 12, 9),
        amount=D("0.26"),
    )
    return dividend_accrual(held, BOOK.instrument("AAPL"), dividend, at(2, 0))


def test_withheld_dividend_is_accrued_and_paid_net() -> None:
    # 100 shares x 0.26 = 26.00 gross; 15 % = 3.90 withheld; 22.10 net.
    gross = _accrued("100")
    kept = withholding(gross, D("0.15"), at(2, 0))
    assert kept is not None
    assert fold((gross, kept), at(2)).accruals == {"USD": D("22.10")}
    paid = (dividend_payment(gross, at(9, 0)), withholding_payment(kept, at(9, 0)))
    after = fold((gross, kept, *paid), at(9))
    assert (after.accruals, after.cash) == ({"USD": D(0)}, {"USD": D("22.10")})
    assert len({entry.entry_id for entry in (gross, kept, *paid)}) == 4


def test_short_pays_the_gross_dividend_in_lieu() -> None:
    gross = _accrued("-100")
    assert fold((gross,), at(2)).accruals == {"USD": D("-26")}
    assert withholding(gross, D("0.15"), at(2, 0)) is None


# ---------------------------------------------------------------- corrections


def test_corrected_dividend_leaves_only_what_is_right() -> None:
    wrong = _accrued("100")
    right = replace(wrong, lines=tuple(replace(line, amount=line.amount / 2) for line in wrong.lines))
    once = corrected(wrong, right, at(3))
    assert [entry.entry_id for entry in once] == [
        "reversal:dividend:AAPL:2025-12-02",
        "dividend:AAPL:2025-12-02#2",
    ]
    assert fold((wrong, *once), at(3)).accruals == {"USD": D(13)}
    assert fold((wrong, *once), at(2)).accruals == {"USD": D(26)}  # as it was known then
    assert unpaid_dividends((wrong, *once)) == (once[1],)
    again = corrected(once[1], wrong, at(4))
    assert again[1].entry_id == "dividend:AAPL:2025-12-02#3"
    assert fold((wrong, *once, *again), at(4)).accruals == {"USD": D(26)}


def test_correction_to_the_same_books_nothing() -> None:
    assert corrected(_accrued("100"), _accrued("100"), at(3)) == ()


def test_reversal_is_never_corrected() -> None:
    with pytest.raises(InvariantError, match="found a reversal"):
        corrected(reverse(_accrued("1"), NOW), _accrued("2"), at(3))
