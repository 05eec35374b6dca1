from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.accounting.book import apply, fold
from engine.accounting.cash_bases import BasisNavs, basis_navs, broker_total, cost_ledger
from engine.accounting.ledger import LedgerEntry, expiry, reverse, variation
from engine.accounting.nav import ValuationContext
from engine.errors import MissingMark
from engine.model.market import Mark
from engine.model.portfolio import CashBasis
from tests.engine.accounting.builders import BOOK, DAY, NOW, D, at, bought, capital, make_marks, make_rates

CONTEXT = ValuationContext(trade_date=DAY, as_of=at(9), basis=CashBasis.SETTLED, fx_hedges=frozenset())
RATES = make_rates()
FESX = "FESX_20251219"


def settled(entries: list[LedgerEntry], contract_id: str, price: str | Decimal, day: int) -> LedgerEntry:
    held = fold(entries, at(9)).positions[contract_id]
    return variation(held, BOOK.instrument(contract_id), date(2025, 12, day), D(price), at(day, 22))


def navs(entries: list[LedgerEntry], marks: dict[str, Mark]) -> BasisNavs:
    return basis_navs(entries, marks, RATES, BOOK, CONTEXT)


def the_ruling() -> list[LedgerEntry]:
    """10 FESX at 5,000 beside 1,000,000 EUR, settled at 5,050."""
    entries = [capital("1000000", "EUR"), bought(FESX, "10", "5000")]
    return [*entries, settled(entries, FESX, "5050", 2)]


def test_bases_of_one_ledger_agree_on_the_vector() -> None:
    entries, marks = the_ruling(), make_marks(FESX_20251219="5030")
    # 10 × 10 × (5,030 − 5,000) = 3,000 EUR of gain; × 1.17
    expected = D(1_003_000) * D("1.17")
    assert navs(entries, marks) == BasisNavs(cost_ledger=expected, settled=expected, broker_total=expected)
    assert navs(entries, marks).spread == 0


def test_cash_of_each_basis_holds_other_gains() -> None:
    entries = the_ruling()
    book = fold(entries, at(9))
    # Nothing until it is closed; 10 × 10 × 50 settled; 10 × 10 × 30 up to the mark.
    assert cost_ledger(entries, at(9), BOOK).cash == {"EUR": D(1_000_000)}
    assert book.cash == {"EUR": D(1_005_000)}
    assert broker_total(book, make_marks(FESX_20251219="5030"), BOOK).cash == {"EUR": D(1_003_000)}


def test_formula_of_one_basis_on_the_cash_of_another_counts_the_gain_twice() -> None:
    # Cost formula on settled cash: 1,005,000 + 3,000; on the broker's: 1,003,000 + 3,000.
    book, marks = fold(the_ruling(), at(9)), make_marks(FESX_20251219="5030")
    for cash, wrong in ((book, 1_008_000), (broker_total(book, marks, BOOK), 1_006_000)):
        value = BOOK.instrument(FESX).notional(D(10), D(5030) - cash.positions[FESX].average_price)
        assert cash.cash["EUR"] + value == wrong


def test_settlement_that_was_booked_wrongly_shows_against_the_trades() -> None:
    entries = the_ruling()
    # The cash of a settlement at 5,040 without its other half: the gain is still measured from 5,050.
    right = settled(entries, FESX, "5040", 3)
    wrong = replace(
        right, lines=tuple(line for line in right.lines if line.account in ("cash", "income:variation"))
    )
    marks = make_marks(FESX_20251219="5030")
    found = navs([*entries, wrong], marks)
    # 10 × 10 × (5,040 − 5,050) EUR counts twice; trades alone know nothing of it
    assert found.settled - found.cost_ledger == D(-1000) * D("1.17")
    assert found.cost_ledger == D(1_003_000) * D("1.17")


def test_gain_of_a_closed_future_is_in_cash_before_its_settlement_on_the_cost_basis_only() -> None:
    entries = [capital(), bought("ES_20251219", "2", "5000"), bought("ES_20251219", "-2", "5010", "e2.01")]
    # 2 × 10 × 50
    assert cost_ledger(entries, NOW, BOOK).cash == {"USD": D(10_001_000)}
    assert fold(entries, NOW).cash == {"USD": D(10_000_000)}
    assert navs(entries, {}) == BasisNavs(
        cost_ledger=D(10_001_000), settled=D(10_001_000), broker_total=D(10_001_000)
    )


def test_entries_after_the_time_count_under_no_basis() -> None:
    entries = [*the_ruling(), bought(FESX, "-4", "5100", "late.01", booked_at=at(9) + timedelta(seconds=1))]
    marks = make_marks(FESX_20251219="5030")
    assert navs(entries, marks) == navs(the_ruling(), marks)


def test_future_without_mark_has_no_broker_total() -> None:
    with pytest.raises(MissingMark, match=FESX):
        broker_total(fold(the_ruling(), at(9)), {}, BOOK)


FUTURES = ["ES_20251219", FESX, "M6E_20251215"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*FUTURES, "CSPX", "IUKD"]),
        st.sampled_from(["trade", "trade", "settle", "bust", "expire"]),
        st.integers(-50, 50).filter(bool),
        st.decimals("0.5", 6000, places=4),
    ),
    max_size=14,
)


@settings(max_examples=120)
@given(steps=STEPS, prices=st.tuples(*[st.decimals("0.5", 6000, places=4) for _ in range(5)]))
def test_bases_agree_after_any_trades_settlements_busts_and_expiries(
    steps: list[tuple[str, str, int, Decimal]], prices: tuple[Decimal, ...]
) -> None:
    entries = [capital(), capital("500000", "EUR"), capital("100000", "GBP")]
    book, live = fold(entries, NOW), list[LedgerEntry]()
    for row, (name, act, quantity, price) in enumerate(steps):
        held, instrument = book.positions.get(name), BOOK.instrument(name)
        day = date(2025, 1, 1) + timedelta(days=row)
        if act == "trade":
            entry = bought(name, D(quantity), price, f"d{row}.01")
            live.append(entry)
        elif act == "bust" and live:
            entry = reverse(live.pop(), NOW)
        elif act == "settle" and held is not None and instrument.is_future:
            entry = variation(held, instrument, day, price, NOW)
        elif act == "expire" and held is not None and instrument.is_future:
            entry = expiry(held, instrument, day, price, NOW)
            live = [known for known in live if known.contract_id != name]
        else:
            continue
        entries.append(entry)
        book = apply(book, entry)
    marks = make_marks(
        **{name: str(price) for name, price in zip([*FUTURES, "CSPX", "IUKD"], prices, strict=True)}
    )
    # Under each basis an amount of each currency is rounded to micro-units once a line.
    assert navs(entries, marks).spread <= D("0.0001")
