from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.accounting.book import apply, fold
from engine.accounting.bridge import BridgeComponent, NavBridge, nav_bridge
from engine.accounting.charges import fee, transaction_tax, withholding
from engine.accounting.corporate_actions import (
    cash_in_lieu_entry,
    dividend_accrual,
    dividend_payment,
    split_entry,
)
from engine.accounting.ledger import (
    EntryKind,
    LedgerEntry,
    commission,
    deposit,
    expiry,
    transfer,
    variation,
    write_down,
)
from engine.accounting.nav import OptionRisk, ValuationContext, value_portfolio
from engine.carry.postings import interest_entry
from engine.errors import InvariantError
from engine.model.encoding import decode, encode
from engine.model.market import Dividend, FxRates, Mark, Split
from engine.model.money import Money
from engine.model.orders import Side
from engine.model.policy import TransactionTax
from engine.model.portfolio import CashBasis, Portfolio, Sleeve, Valuation
from tests.engine.accounting.builders import (
    BOOK,
    D,
    at,
    borrow_fee,
    bought,
    capital,
    make_fill,
    make_marks,
    make_rates,
)
from tests.engine.accounting.policies import CARRY

OPTION = "SPX_20251219_P_4800"
OPTIONS = {OPTION: OptionRisk(delta=-0.2, underlying_price=D(5000))}
OPENING = (
    capital(booked_at=at(1)),
    bought("CSPX", "3000", "730", "e1.01", booked_at=at(1)),
    bought("CS51", "-10000", "50", "e2.01", "sector_rv", at(1)),
    bought("IUKD", "500", "900", "e3.01", booked_at=at(1)),
    bought("AAPL", "101", "200", "e4.01", "single_name", at(1)),
    bought("ES_20251219", "-8", "5000", "e5.01", booked_at=at(1)),
    bought("FESX_20251219", "-10", "5010", "e6.01", "sector_rv", at(1)),
    bought(OPTION, "4", "20", "e7.01", "crisis_alpha", at(1)),
)
MARKS_THEN = make_marks(
    CSPX="731",
    CS51="50.2",
    IUKD="905",
    AAPL="201",
    ES_20251219="5005",
    FESX_20251219="5000",
    **{OPTION: "21"},
)
MARKS_NOW = make_marks(
    CSPX="725",
    CS51="49.1",
    IUKD="890",
    AAPL="101.5",
    ES_20251219="4950",
    FESX_20251219="4900",
    **{OPTION: "30"},
)
FX_THEN, FX_NOW = make_rates(), make_rates(EURUSD="1.18", GBPUSD="1.31")
BOOK_THEN = fold(OPENING, at(1))


def value(portfolio: Portfolio, day: int, marks: dict[str, Mark], fx: FxRates) -> Valuation:
    context = ValuationContext(
        trade_date=date(2025, 12, day), as_of=at(day), basis=CashBasis.SETTLED, fx_hedges=frozenset()
    )
    return value_portfolio(portfolio, marks, fx, BOOK, context, OPTIONS)


def day_entries() -> tuple[LedgerEntry, ...]:
    """One of everything, each made on the book before it."""
    dividend = Dividend(
        instrument_id="CS51", ex_date=date(2025, 12, 2), pay_date=date(2025, 12, 2), amount=D("0.4")
    )
    split = Split(instrument_id="AAPL", ex_date=date(2025, 12, 2), new_shares=3, old_shares=2)
    halved = split_entry(BOOK_THEN.positions["AAPL"], split, at(2, 0))
    # 101 × 3 / 2 leaves half a share.
    in_lieu = cash_in_lieu_entry(
        apply(BOOK_THEN, halved).positions["AAPL"], BOOK.instrument("AAPL"), split, D(133), at(2, 0)
    )
    assert in_lieu is not None
    american = Dividend(
        instrument_id="CSPX", ex_date=date(2025, 12, 2), pay_date=date(2025, 12, 9), amount=D("0.5")
    )
    earned = dividend_accrual(BOOK_THEN.positions["CSPX"], BOOK.instrument("CSPX"), american, at(2, 0))
    withheld = withholding(earned, D("0.15"), at(2, 0))
    levy = TransactionTax(
        venue="XNYS", side=Side.BUY, rate=D("0.001"), first=date(2025, 1, 1), last=None, source="test"
    )
    taxed = make_fill("AAPL", "10", "132", "d4.01")
    tax = transaction_tax(taxed, BOOK.instrument("AAPL"), (levy,), at(2, 15))
    assert withheld is not None
    assert tax is not None
    owed = dividend_accrual(BOOK_THEN.positions["CS51"], BOOK.instrument("CS51"), dividend, at(2, 0))
    entries = [
        owed,
        dividend_payment(owed, at(2, 0)),
        halved,
        in_lieu,
        earned,
        withheld,
        bought("AAPL", "10", "132", "d4.01", "single_name", at(2, 15)),
        tax,
        fee(Money(amount=D("12.5"), currency="EUR"), at(2, 15), date(2025, 12, 2), "data"),
        bought("CSPX", "-1000", "728", "d1.01", booked_at=at(2, 15)),
        commission(make_fill("CSPX", "-1000", "728", "d1.01", commission="3.5"), at(2, 15)),
        bought("ES_20251219", "3", "4980", "d2.01", booked_at=at(2, 15)),
        bought("EUR.USD", "20000", "1.19", "d3.01", booked_at=at(2, 15)),
        transfer("CSPX", "core_index_rv", "single_name", D(500), D(727), at(2, 16), "netting"),
        deposit(D(50_000), D(500), at(2, 17), "subscription"),
        write_down("IUKD", "GBP", D(11), at(2, 17), "halt-1"),
        borrow_fee("CS51", "12.34"),
    ]
    book = apply(BOOK_THEN, *entries)
    for name, price in (("ES_20251219", "4955"), ("FESX_20251219", "4890")):
        settled = variation(
            book.positions[name], BOOK.instrument(name), date(2025, 12, 2), D(price), at(2, 22)
        )
        entries.append(settled)
    book = apply(BOOK_THEN, *entries)
    entries += [
        interest_entry(currency, balance, date(2025, 12, 2), CARRY.financing, at(2, 22))
        for currency, balance in book.cash.items()
    ]
    entries.append(
        expiry(book.positions[OPTION], BOOK.instrument(OPTION), date(2025, 12, 2), D(33), at(2, 22))
    )
    return tuple(entries)


ENTRIES = day_entries()


def bridge(
    booked: tuple[LedgerEntry, ...] = ENTRIES,
    told: tuple[LedgerEntry, ...] = ENTRIES,
    marks: dict[str, Mark] = MARKS_NOW,
) -> NavBridge:
    before = value(BOOK_THEN, 1, MARKS_THEN, FX_THEN)
    after = value(apply(BOOK_THEN, *booked), 2, marks, FX_NOW)
    return nav_bridge(before, after, BOOK_THEN, told, FX_NOW, BOOK)


WHOLE = bridge()
ROUNDING = D("0.000002")
"""Two micro-units: one rounding of NAV, one of the item."""


def test_day_with_everything_closes_to_the_cent() -> None:
    found = bridge()
    assert found.closes
    assert set(found.by_component) == set(BridgeComponent)


def test_components_are_what_their_causes_say() -> None:
    parts = bridge().by_component
    # −3.5 − 12.5 EUR × 1.18
    assert parts[BridgeComponent.FEES] == D("-18.25")
    # −3,000 × 0.5 × 15 % − 10 × 132 × 0.1 %
    assert parts[BridgeComponent.TAXES] == D("-226.32")
    assert parts[BridgeComponent.FLOWS] == D(50_000)
    # −10,000 shares × 0.4 EUR × 1.18 + 3,000 × 0.5
    assert parts[BridgeComponent.DIVIDENDS] == D(-3220)
    # −12.34 EUR × 1.18
    assert parts[BridgeComponent.BORROW] == D("-14.5612")
    # −11 GBP × 1.31
    assert parts[BridgeComponent.ADJUSTMENTS] == D("-14.41")


def test_price_component_of_one_instrument_by_hand() -> None:
    # −8 × (4,950 − 5,005) × 50 + 3 × (4,950 − 4,980) × 50
    assert bridge().by_instrument["ES"] == D(22_000) - D(4500)


def test_currency_move_falls_on_the_opening_net_value() -> None:
    then = value(BOOK_THEN, 1, MARKS_THEN, FX_THEN)
    now = value(BOOK_THEN, 2, MARKS_THEN, FX_NOW)
    parts = nav_bridge(then, now, BOOK_THEN, (), FX_NOW, BOOK).by_component
    expected = then.currency_values["EUR"] * D("0.01") + then.currency_values["GBP"] * D("-0.03")
    assert parts == {BridgeComponent.FX: expected}


def test_transfer_moves_result_between_sleeves_only() -> None:
    moved = transfer("CSPX", "core_index_rv", "single_name", D(500), D(731), at(2), "netting")
    found = bridge((moved,), (moved,))
    plain = bridge((), ())
    # 500 × (725 − 731)
    assert found.by_sleeve[Sleeve.SINGLE_NAME] - plain.by_sleeve[Sleeve.SINGLE_NAME] == D(-3000)
    assert found.closing_nav == plain.closing_nav
    assert found.closes


def worth(entry: LedgerEntry, fx: FxRates = FX_NOW) -> Decimal:
    """What an entry adds to the closing NAV: its money, or its quantities from their price to the mark."""
    exchanged = (
        EntryKind.TRADE,
        EntryKind.SPLIT,
        EntryKind.CASH_IN_LIEU,
        EntryKind.TRANSFER,
        EntryKind.EXPIRY,
    )
    if entry.kind is EntryKind.VARIATION:
        return D(0)  # cash gains what the unsettled result loses
    if entry.kind not in exchanged:
        money = [
            line for line in entry.lines if line.account == "cash" or line.account.startswith("accrual:")
        ]
        return sum((fx.to_base(line.amount, line.unit) for line in money), D(0))
    assert entry.contract_id is not None
    assert entry.price is not None
    instrument = BOOK.instrument(entry.contract_id)
    moves = [
        instrument.notional(line.amount, MARKS_NOW[entry.contract_id].price - entry.price)
        for line in entry.lines
        if line.account.startswith("position:")
    ]
    return fx.to_base(sum(moves, D(0)), instrument.currency)


@pytest.mark.parametrize("row", range(len(ENTRIES)), ids=[entry.entry_id for entry in ENTRIES])
def test_posting_that_the_book_lacks_is_the_residual(row: int) -> None:
    found = bridge(booked=(*ENTRIES[:row], *ENTRIES[row + 1 :]))
    assert abs(found.residual - WHOLE.residual + worth(ENTRIES[row])) <= ROUNDING


# The last entry is the expiry: without it its line has no closing mark to be worth anything against.
@pytest.mark.parametrize("row", range(len(ENTRIES) - 1), ids=[entry.entry_id for entry in ENTRIES[:-1]])
def test_posting_that_the_bridge_is_not_told_is_the_residual(row: int) -> None:
    found = bridge(told=(*ENTRIES[:row], *ENTRIES[row + 1 :]))
    assert abs(found.residual - WHOLE.residual - worth(ENTRIES[row])) <= ROUNDING


@pytest.mark.parametrize("name", ["CSPX", "CS51", "ES_20251219"])
def test_wrong_closing_mark_of_the_book_is_price_and_never_residual(name: str) -> None:
    assert bridge(marks={**MARKS_NOW, **make_marks(**{name: "1"})}).closes


def test_mark_that_the_valuation_forgets_is_the_residual() -> None:
    then, now = value(BOOK_THEN, 1, MARKS_THEN, FX_THEN), value(BOOK_THEN, 2, MARKS_NOW, FX_THEN)
    line = next(line for line in now.lines if line.contract_id == "CSPX")
    forgotten = replace(
        now, nav=now.nav - line.value_usd, lines=tuple(row for row in now.lines if row is not line)
    )
    found = nav_bridge(then, forgotten, BOOK_THEN, (), FX_THEN, BOOK)
    # 3,000 × 731: what the line was worth at the last mark that is known
    assert found.residual == D(-2_193_000)
    assert not found.closes


HELD_NOW = apply(BOOK_THEN, *ENTRIES).positions


@pytest.mark.parametrize("name", [name for name in MARKS_NOW if name in HELD_NOW])
def test_mark_change_that_the_bridge_forgets_is_the_residual(name: str) -> None:
    then = value(BOOK_THEN, 1, MARKS_THEN, FX_THEN)
    now = value(apply(BOOK_THEN, *ENTRIES), 2, MARKS_NOW, FX_NOW)
    old, new = MARKS_THEN[name].price, MARKS_NOW[name].price
    unmoved = tuple(replace(line, mark=old) if line.contract_id == name else line for line in now.lines)
    found = nav_bridge(then, replace(now, lines=unmoved), BOOK_THEN, ENTRIES, FX_NOW, BOOK)
    instrument = BOOK.instrument(name)
    # What is held now × the move × multiplier × rate
    forgotten = FX_NOW.to_base(instrument.notional(HELD_NOW[name].quantity, new - old), instrument.currency)
    assert forgotten != 0
    assert abs(found.residual - WHOLE.residual - forgotten) <= ROUNDING


@pytest.mark.parametrize(("currency", "change"), [("EUR", "0.01"), ("GBP", "-0.03")])
def test_rate_change_that_the_bridge_forgets_is_the_residual(currency: str, change: str) -> None:
    then = value(BOOK_THEN, 1, MARKS_THEN, FX_THEN)
    now = value(apply(BOOK_THEN, *ENTRIES), 2, MARKS_NOW, FX_NOW)
    unmoved = replace(then, fx={**then.fx, currency: now.fx[currency]})
    found = nav_bridge(unmoved, now, BOOK_THEN, ENTRIES, FX_NOW, BOOK)
    forgotten = then.currency_values[currency] * D(change)
    assert forgotten != 0
    assert abs(found.residual - WHOLE.residual - forgotten) <= 5 * ROUNDING


def test_units_sold_are_no_return() -> None:
    # 500 units for 50,000 USD at 100 USD each, and nothing else
    sold = deposit(D(50_000), D(500), at(2), "subscription")
    fund = fold([capital()], at(1))
    then, now = value(fund, 1, {}, FX_THEN), value(apply(fund, sold), 2, {}, FX_NOW)
    found = nav_bridge(then, now, fund, (sold,), FX_NOW, BOOK)
    assert found.closing_nav - found.opening_nav == D(50_000)
    assert found.unit_return == 0
    # 1 % earned on 10,000,000 is 1 % earned, whoever came in afterwards
    earned = commission(make_fill("AAPL", "1", "200", commission="-100000"), at(2))
    later = value(apply(fund, earned), 2, {}, FX_NOW)
    assert nav_bridge(then, later, fund, (earned,), FX_NOW, BOOK).unit_return == D("0.01")


def test_fund_without_units_has_no_return() -> None:
    assert replace(WHOLE, closing_units=D(0)).unit_return is None
    assert replace(WHOLE, opening_units=D(0), opening_nav=D(0)).unit_return is None


def test_items_of_all_groupings_sum_to_the_same() -> None:
    found = bridge()
    total = sum(found.by_component.values(), D(0))
    for grouping in (found.by_instrument, found.by_sleeve, found.by_currency):
        assert sum(grouping.values(), D(0)) == total


def test_causes_of_each_sleeve_sum_to_its_result_and_those_of_all_to_the_bridge() -> None:
    found = bridge()
    parts = found.by_sleeve_and_component
    assert {sleeve: sum(causes.values(), D(0)) for sleeve, causes in parts.items()} == found.by_sleeve
    for component, amount in found.by_component.items():
        assert sum((causes.get(component, D(0)) for causes in parts.values()), D(0)) == amount


def test_bridge_needs_settled_valuations() -> None:
    then = value(BOOK_THEN, 1, MARKS_THEN, FX_THEN)
    with pytest.raises(InvariantError, match="SETTLED"):
        nav_bridge(then, replace(then, basis=CashBasis.BROKER_TOTAL), BOOK_THEN, (), FX_THEN, BOOK)


def test_bridge_survives_its_encoding() -> None:
    found = bridge()
    assert encode(decode(NavBridge, encode(found))) == encode(found)


@settings(max_examples=60)
@given(
    trades=st.lists(
        st.tuples(
            st.sampled_from(["CSPX", "CS51", "IUKD", "ES_20251219", "FESX_20251219", "EUR.USD"]),
            st.integers(-4000, 4000).filter(bool),
            st.decimals(1, 6000, places=2),
        ),
        max_size=8,
    ),
    rate=st.decimals("0.5", "2", places=4),
    dropped=st.integers(0, 7),
)
def test_any_day_of_trades_closes_and_misses_exactly_what_is_dropped(
    trades: list[tuple[str, int, Decimal]], rate: Decimal, dropped: int
) -> None:
    entries = tuple(
        bought(name, D(quantity), price, f"r{row}.01", "single_name", at(2))
        for row, (name, quantity, price) in enumerate(trades)
    )
    fx = make_rates(EURUSD=str(rate))
    after = value(apply(BOOK_THEN, *entries) if entries else BOOK_THEN, 2, MARKS_NOW, fx)
    before = value(BOOK_THEN, 1, MARKS_THEN, FX_THEN)
    found = nav_bridge(before, after, BOOK_THEN, entries, fx, BOOK)
    assert found.closes
    if dropped < len(entries):
        told = (*entries[:dropped], *entries[dropped + 1 :])
        missing = nav_bridge(before, after, BOOK_THEN, told, fx, BOOK).residual - found.residual
        assert abs(missing - worth(entries[dropped], fx)) <= 5 * ROUNDING
