from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.book import apply, fold
from engine.accounting.corporate_actions import (
    cash_in_lieu_entry,
    dividend_accrual,
    dividend_payment,
    fraction_after_split,
    snapped_split_ratio,
    split_entry,
    symbol_change_entries,
    unpaid_dividends,
)
from engine.accounting.ledger import EntryKind
from engine.model.market import Dividend, Split, SymbolChange
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


ONE_FOR_THREE = Split(instrument_id="AAPL", ex_date=EX, new_shares=1, old_shares=3)


def test_reverse_split_keeps_fractions_to_six_decimals_until_they_are_paid() -> None:
    before = fold([bought("AAPL", "10", "1")], NOW)
    after = apply(before, split_entry(before.positions["AAPL"], ONE_FOR_THREE, at(3, 0)))
    assert after.quantity("AAPL") == D("3.333333")
    assert fraction_after_split(after.positions["AAPL"]) == D("0.333333")


@pytest.mark.parametrize(("quantity", "kept", "cash"), [("10", "3", "1.999998"), ("-10", "-3", "-1.999998")])
def test_fraction_of_a_share_becomes_cash_in_lieu(quantity: str, kept: str, cash: str) -> None:
    # 10 / 3 = 3.333333; 0.333333 at 6 USD is 1.999998, received by a holder and paid by a short
    before = fold([bought("AAPL", quantity, "2")], NOW)
    split = split_entry(before.positions["AAPL"], ONE_FOR_THREE, at(3, 0))
    after = apply(before, split)
    lieu = cash_in_lieu_entry(after.positions["AAPL"], BOOK.instrument("AAPL"), ONE_FOR_THREE, D(6), at(3, 0))
    assert lieu is not None
    assert (lieu.kind, lieu.quantity) == (EntryKind.CASH_IN_LIEU, D(kept) - after.quantity("AAPL"))
    paid = apply(after, lieu)
    assert paid.quantity("AAPL") == D(kept)
    assert paid.cash["USD"] - before.cash["USD"] == D(cash)
    # 20 paid for 3.333333 shares: those that stay cost 20 × 3 / 3.333333
    assert paid.positions["AAPL"].cost == D("18.000002") * (1 if D(quantity) > 0 else -1)


def test_whole_shares_stay_whole_in_every_sleeve() -> None:
    before = fold([bought("AAPL", "10", "2"), bought("AAPL", "7", "2", "e2.01", sleeve="single_name")], NOW)
    after = apply(before, split_entry(before.positions["AAPL"], ONE_FOR_THREE, at(3, 0)))
    lieu = cash_in_lieu_entry(after.positions["AAPL"], BOOK.instrument("AAPL"), ONE_FOR_THREE, D(6), at(3, 0))
    assert lieu is not None
    # 3.333333 + 2.333333 = 5.666666: five whole shares, of which the largest remainder goes to the first name
    held = apply(after, lieu).positions["AAPL"]
    assert held.sleeves == {Sleeve.CORE: D(3), Sleeve.SINGLE_NAME: D(2)}


def test_split_without_a_fraction_pays_nothing() -> None:
    before = fold([bought("AAPL", "9", "1")], NOW)
    after = apply(before, split_entry(before.positions["AAPL"], ONE_FOR_THREE, at(3, 0)))
    held = after.positions["AAPL"]
    assert cash_in_lieu_entry(held, BOOK.instrument("AAPL"), ONE_FOR_THREE, D(6), at(3, 0)) is None


@pytest.mark.parametrize("quantity", ["100", "-100"])
def test_new_symbol_takes_over_quantity_cost_and_sleeves(quantity: str) -> None:
    before = fold([bought("AAPL", quantity, "200")], NOW)
    change = SymbolChange(instrument_id="AAPL", new_instrument_id="CSPX", effective=EX)
    made = symbol_change_entries(before.positions["AAPL"], BOOK.instrument("AAPL"), change, D(210), at(3, 0))
    after = apply(before, *made)
    assert set(after.positions) == {"CSPX"}
    old, new = before.positions["AAPL"], after.positions["CSPX"]
    assert (new.quantity, new.cost, new.sleeves) == (old.quantity, old.cost, old.sleeves)
    assert after.cash == before.cash


@pytest.mark.parametrize(
    ("ratio", "shares"),
    [
        ("6.999997", (7, 1)),
        ("0.5", (1, 2)),
        ("1.500005", (3, 2)),
        ("1.249993", (5, 4)),
        ("2.00004", (2, 1)),
        ("0.0500001", (1, 20)),
        ("0.05", (1, 20)),
        ("1.0027", None),  # a recorded ratio that is no split: 371 for 370 is beyond 100 shares
        ("2.0004", None),  # 2e-4 beside two for one
        ("1", None),
        ("101", None),
    ],
)
def test_recorded_ratio_snaps_to_whole_shares(ratio: str, shares: tuple[int, int] | None) -> None:
    assert snapped_split_ratio(Decimal(ratio)) == shares
