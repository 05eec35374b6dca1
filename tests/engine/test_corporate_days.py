"""What a day start does to held shares that split, leave fractions or change their symbol."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.book import apply, fold
from engine.accounting.bridge import BridgeComponent, NavBridge, nav_bridge
from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.carry import DayFacts, day_start_entries
from engine.errors import MissingMark
from engine.model.market import Split, SymbolChange
from engine.model.portfolio import CashBasis, Portfolio, Valuation
from tests.engine.accounting.builders import BOOK, D, at, bought, capital, make_marks, make_rates

DAY = date(2025, 12, 2)
ONE_FOR_TWENTY = Split(instrument_id="AAPL", ex_date=DAY, new_shares=1, old_shares=20)
RENAMED = SymbolChange(instrument_id="AAPL", new_instrument_id="CSPX", effective=DAY)
NOTHING = DayFacts(day=DAY, closes={}, last_closes={}, dividends=(), splits=(), borrow_fee_bps={})
RATES = make_rates(at(2))


def value(portfolio: Portfolio, day: int, **prices: str) -> Valuation:
    context = ValuationContext(
        trade_date=date(2025, 12, day), as_of=at(day), basis=CashBasis.SETTLED, fx_hedges=frozenset()
    )
    marks = make_marks(session_date=date(2025, 12, day), **prices)
    return value_portfolio(portfolio, marks, RATES, BOOK, context, {})


def bridge(book: Portfolio, made: tuple[LedgerEntry, ...], then: str, **now: str) -> NavBridge:
    return nav_bridge(value(book, 1, AAPL=then), value(apply(book, *made), 2, **now), book, made, RATES, BOOK)


@pytest.mark.parametrize(
    ("quantity", "kept", "cash"),
    [
        ("1990", "99", "11.60"),  # 1,990 / 20 = 99.5; half a share at 23.20
        ("-1990", "-99", "-11.60"),
        ("2000", "100", "0"),
        ("7", "0", "8.12"),  # 0.35 of a share is all there is
    ],
)
def test_reverse_split_leaves_whole_shares_and_the_same_nav(quantity: str, kept: str, cash: str) -> None:
    book = fold([capital(), bought("AAPL", quantity, "1.16")], at(1))
    facts = replace(NOTHING, splits=(ONE_FOR_TWENTY,), morning_prices={"AAPL": D("23.20")})
    made = day_start_entries(book, facts, BOOK, ())
    after = apply(book, *made)
    assert (after.quantity("AAPL"), after.cash["USD"] - book.cash["USD"]) == (D(kept), D(cash))
    found = bridge(book, made, "1.16", AAPL="23.20")
    assert (found.closing_nav - found.opening_nav, found.residual) == (0, 0)


def test_move_after_a_reverse_split_is_price_on_the_whole_shares_only() -> None:
    book = fold([capital(), bought("AAPL", "1990", "1.16")], at(1))
    facts = replace(NOTHING, splits=(ONE_FOR_TWENTY,), morning_prices={"AAPL": D("23.20")})
    made = day_start_entries(book, facts, BOOK, ())
    # 99 × (25 − 23.20); the half share was paid at 23.20
    found = bridge(book, made, "1.16", AAPL="25")
    assert found.by_component == {BridgeComponent.PRICE: D("178.20")}
    assert found.residual == 0


@pytest.mark.parametrize("quantity", ["100", "-100"])
def test_new_symbol_moves_no_money_and_closes_the_bridge(quantity: str) -> None:
    book = fold([capital(), bought("AAPL", quantity, "200")], at(1))
    facts = replace(NOTHING, symbol_changes=(RENAMED,), morning_prices={"AAPL": D(210)})
    made = day_start_entries(book, facts, BOOK, ())
    assert [entry.kind for entry in made] == [EntryKind.SYMBOL_CHANGE] * 2
    found = bridge(book, made, "210", CSPX="213")
    assert found.closing_nav - found.opening_nav == D(quantity) * 3
    assert found.residual == 0


def test_split_and_new_symbol_of_one_morning_follow_each_other() -> None:
    book = fold([bought("AAPL", "1990", "1.16")], at(1))
    facts = replace(
        NOTHING, splits=(ONE_FOR_TWENTY,), symbol_changes=(RENAMED,), morning_prices={"AAPL": D("23.20")}
    )
    after = apply(book, *day_start_entries(book, facts, BOOK, ()))
    assert {name: held.quantity for name, held in after.positions.items()} == {"CSPX": Decimal(99)}


def test_fraction_without_a_price_is_not_paid_at_a_guess() -> None:
    book = fold([bought("AAPL", "1990", "1.16")], at(1))
    with pytest.raises(MissingMark, match="AAPL"):
        day_start_entries(book, replace(NOTHING, splits=(ONE_FOR_TWENTY,)), BOOK, ())


def test_day_of_an_action_in_a_share_that_is_not_held_books_nothing() -> None:
    facts = replace(NOTHING, splits=(ONE_FOR_TWENTY,), symbol_changes=(RENAMED,))
    assert day_start_entries(fold([capital()], at(1)), facts, BOOK, ()) == ()
