"""What a day start does to held shares that split, leave fractions or change their symbol."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.accounting.book import apply, fold
from engine.accounting.bridge import BridgeComponent, NavBridge, nav_bridge
from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.carry.calendar import DayFacts, day_start_entries
from engine.errors import MissingMark
from engine.model.market import Split, SymbolChange
from engine.model.portfolio import CashBasis, Portfolio, Sleeve, Valuation
from tests.engine.accounting.builders import BOOK, D, at, bought, capital, make_marks, make_rates
from tests.engine.accounting.policies import CARRY

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
        ("-7", "0", "-8.12"),
    ],
)
def test_reverse_split_leaves_whole_shares_and_the_same_nav(quantity: str, kept: str, cash: str) -> None:
    book = fold([capital(), bought("AAPL", quantity, "1.16")], at(1))
    facts = replace(NOTHING, splits=(ONE_FOR_TWENTY,), morning_prices={"AAPL": D("23.20")})
    made = day_start_entries(book, facts, BOOK, CARRY, ())
    after = apply(book, *made)
    assert (after.quantity("AAPL"), after.cash["USD"] - book.cash["USD"]) == (D(kept), D(cash))
    found = bridge(book, made, "1.16", AAPL="23.20")
    assert (found.closing_nav - found.opening_nav, found.residual) == (0, 0)


def test_move_after_a_reverse_split_is_price_on_the_whole_shares_only() -> None:
    book = fold([capital(), bought("AAPL", "1990", "1.16")], at(1))
    facts = replace(NOTHING, splits=(ONE_FOR_TWENTY,), morning_prices={"AAPL": D("23.20")})
    made = day_start_entries(book, facts, BOOK, CARRY, ())
    # 99 × (25 − 23.20); the half share was paid at 23.20
    found = bridge(book, made, "1.16", AAPL="25")
    assert found.by_component == {BridgeComponent.PRICE: D("178.20")}
    assert found.residual == 0


@pytest.mark.parametrize("quantity", ["100", "-100"])
def test_new_symbol_moves_no_money_and_closes_the_bridge(quantity: str) -> None:
    book = fold([capital(), bought("AAPL", quantity, "200")], at(1))
    facts = replace(NOTHING, symbol_changes=(RENAMED,), morning_prices={"AAPL": D(210)})
    made = day_start_entries(book, facts, BOOK, CARRY, ())
    assert [entry.kind for entry in made] == [EntryKind.SYMBOL_CHANGE] * 2
    found = bridge(book, made, "210", CSPX="213")
    assert found.closing_nav - found.opening_nav == D(quantity) * 3
    assert found.residual == 0


def test_split_and_new_symbol_of_one_morning_follow_each_other() -> None:
    book = fold([bought("AAPL", "1990", "1.16")], at(1))
    facts = replace(
        NOTHING, splits=(ONE_FOR_TWENTY,), symbol_changes=(RENAMED,), morning_prices={"AAPL": D("23.20")}
    )
    after = apply(book, *day_start_entries(book, facts, BOOK, CARRY, ()))
    assert {name: held.quantity for name, held in after.positions.items()} == {"CSPX": Decimal(99)}


def test_fraction_without_a_price_is_not_paid_at_a_guess() -> None:
    book = fold([bought("AAPL", "1990", "1.16")], at(1))
    with pytest.raises(MissingMark, match="AAPL"):
        day_start_entries(book, replace(NOTHING, splits=(ONE_FOR_TWENTY,)), BOOK, CARRY, ())


def test_day_of_an_action_in_a_share_that_is_not_held_books_nothing() -> None:
    facts = replace(NOTHING, splits=(ONE_FOR_TWENTY,), symbol_changes=(RENAMED,))
    assert day_start_entries(fold([capital()], at(1)), facts, BOOK, CARRY, ()) == ()


CORE, SINGLE, SECTOR = Sleeve.CORE, Sleeve.SINGLE_NAME, Sleeve.SECTOR
HELD = st.lists(st.integers(-500, 500), min_size=3, max_size=3)
RATIOS = st.tuples(st.integers(1, 20), st.integers(1, 20)).filter(lambda ratio: ratio[0] != ratio[1])


def held_by(core: int, single: int = 0, sector: int = 0) -> Portfolio:
    """Shares at 1,200 USD of up to three sleeves."""
    parts = zip((CORE, SINGLE, SECTOR), (core, single, sector), strict=True)
    trades = [
        bought("AAPL", D(shares), "1200", f"{sleeve.value}.01", sleeve.value)
        for sleeve, shares in parts
        if shares != 0
    ]
    return fold([capital(), *trades], at(1))


def split(new: int, old: int) -> DayFacts:
    action = Split(instrument_id="AAPL", ex_date=DAY, new_shares=new, old_shares=old)
    price = (D(1200) * old / new).quantize(D("0.00000001"))
    return replace(NOTHING, splits=(action,), morning_prices={"AAPL": price})


def sleeves_of(book: Portfolio) -> dict[Sleeve, Decimal]:
    return dict(book.positions["AAPL"].sleeves) if "AAPL" in book.positions else {}


def test_thirds_of_three_sleeves_are_whole_shares_together() -> None:
    # 30 / 3 = 10: no fraction is paid, and the sleeves share the ten as 4, 3 and 3
    book = held_by(10, 10, 10)
    made = day_start_entries(book, split(1, 3), BOOK, CARRY, ())
    after = apply(book, *made)
    assert [entry.kind for entry in made] == [EntryKind.SPLIT, EntryKind.TRANSFER]
    assert (after.quantity("AAPL"), sum(sleeves_of(after).values())) == (D(10), D(10))
    assert sorted(sleeves_of(after).values()) == [D(3), D(3), D(4)]
    assert after.cash == book.cash


@pytest.mark.parametrize(
    ("new", "old", "core", "single"),
    [
        (7, 1, "70", "-70"),
        (1, 2, "5", "-5"),
        (1, 20, "1", "-1"),  # half a share held, half a share owed: the tie goes by name
    ],
)
def test_shares_that_one_sleeve_holds_and_another_owes_are_split_in_both(
    new: int, old: int, core: str, single: str
) -> None:
    book = held_by(10, -10)
    made = day_start_entries(book, split(new, old), BOOK, CARRY, ())
    after = apply(book, *made)
    assert (sleeves_of(after), after.cash) == ({CORE: D(core), SINGLE: D(single)}, book.cash)
    price = split(new, old).morning_prices["AAPL"]
    found = nav_bridge(value(book, 1, AAPL="1200"), value(after, 2, AAPL=str(price)), book, made, RATES, BOOK)
    assert (set(found.by_sleeve.values()), found.residual) == ({D(0)}, 0)


def test_new_symbol_takes_over_what_one_sleeve_holds_and_another_owes() -> None:
    book = held_by(10, -10)
    facts = replace(NOTHING, symbol_changes=(RENAMED,), morning_prices={"AAPL": D(1200)})
    after = apply(book, *day_start_entries(book, facts, BOOK, CARRY, ()))
    assert {name: held.sleeves for name, held in after.positions.items()} == {
        "CSPX": {CORE: D(10), SINGLE: D(-10)}
    }


def test_fraction_of_two_opposite_sleeves_leaves_both_their_shares() -> None:
    # 500 / 2 = 250 and −499 / 2 = −249.5: half a share is paid out, and neither sleeve is closed for it
    book = held_by(500, -499)
    after = apply(book, *day_start_entries(book, split(1, 2), BOOK, CARRY, ()))
    assert sleeves_of(after) == {CORE: D(250), SINGLE: D(-250)}
    # 0.5 × 2,400
    assert after.cash["USD"] - book.cash["USD"] == D(1200)


@settings(max_examples=300)
@given(held=HELD, ratio=RATIOS)
def test_split_leaves_the_whole_shares_of_the_register_in_every_sleeve_and_the_same_worth(
    held: list[int], ratio: tuple[int, int]
) -> None:
    book, facts = held_by(*held), split(*ratio)
    after = apply(book, *day_start_entries(book, facts, BOOK, CARRY, ()))
    # The register counts the holding as a whole, to six decimals, and keeps the whole shares of it.
    counted = (D(sum(held)) * ratio[0] / ratio[1]).quantize(D("0.000001"))
    assert after.quantity("AAPL") == counted.to_integral_value(rounding=ROUND_DOWN)
    assert all(shares == shares.to_integral_value() for shares in sleeves_of(after).values())
    for sleeve, shares in zip((CORE, SINGLE, SECTOR), held, strict=True):
        assert abs(sleeves_of(after).get(sleeve, D(0)) - D(shares) * ratio[0] / ratio[1]) < D("1.00001")
    before_usd = book.cash["USD"] + sum(held) * 1200
    after_usd = after.cash["USD"] + after.quantity("AAPL") * facts.morning_prices["AAPL"]
    # Quantities are rounded to a millionth of a share, prices to 1e-8.
    assert abs(after_usd - before_usd) <= D("0.03")
