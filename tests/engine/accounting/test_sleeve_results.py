"""Results by sleeve: exact parts, to those who held and traded, and their sum is the fund's."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.accounting.attribution import split_exactly
from engine.accounting.book import apply, fold
from engine.accounting.bridge import BridgeComponent, BridgeItem, NavBridge, nav_bridge
from engine.accounting.charges import transaction_tax
from engine.accounting.corporate_actions import dividend_accrual
from engine.accounting.ledger import (
    LedgerEntry,
    book_execution,
    commission,
    reverse,
    trade,
    transfer,
    variation,
)
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.model.market import Dividend, FxRates, Mark
from engine.model.money import round_money
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

CORE, SECTOR, SINGLE, CASH = Sleeve.CORE, Sleeve.SECTOR, Sleeve.SINGLE_NAME, Sleeve.CASH
RATES = make_rates()


def value(portfolio: Portfolio, day: int, marks: dict[str, Mark], fx: FxRates = RATES) -> Valuation:
    context = ValuationContext(
        trade_date=date(2025, 12, day), as_of=at(day), basis=CashBasis.SETTLED, fx_hedges=frozenset()
    )
    return value_portfolio(portfolio, marks, fx, BOOK, context)


def bridge(
    opening: tuple[LedgerEntry, ...],
    entries: tuple[LedgerEntry, ...],
    then: dict[str, Mark],
    now: dict[str, Mark],
    fx: FxRates = RATES,
) -> NavBridge:
    book = fold((capital(booked_at=at(1)), *opening), at(1))
    after = apply(book, *entries) if entries else book
    return nav_bridge(value(book, 1, then), value(after, 2, now, fx), book, entries, fx, BOOK)


def of(found: NavBridge, component: BridgeComponent) -> dict[Sleeve, Decimal]:
    parts: dict[Sleeve, Decimal] = {}
    for item in found.items:
        if item.component is component:
            parts[item.sleeve] = parts.get(item.sleeve, D(0)) + item.amount_usd
    return parts


def traded(
    contract_id: str, parts: dict[Sleeve, str], price: str, execution: str, charge: str
) -> tuple[LedgerEntry, ...]:
    total = sum((D(part) for part in parts.values()), D(0))
    fill = make_fill(contract_id, total, price, execution, commission=charge, executed_at=at(2))
    sleeves = {sleeve.value: D(part) for sleeve, part in parts.items()}
    return book_execution(fill, BOOK.instrument(contract_id), sleeves, at(2))


def test_commission_falls_on_the_sleeves_that_traded_and_not_on_those_that_hold() -> None:
    held = bought("CSPX", "900", "730", "e1.01", "core_index_rv", at(1))
    entries = traded("CSPX", {SECTOR: "30", SINGLE: "10"}, "730", "d1.01", "4")
    found = bridge((held,), entries, make_marks(CSPX="730"), make_marks(CSPX="730"))
    # 4 USD in the ratio 30 : 10
    assert of(found, BridgeComponent.FEES) == {SECTOR: D(-3), SINGLE: D(-1)}


def test_sleeves_that_met_in_one_execution_share_its_commission_by_size() -> None:
    entries = traded("CSPX", {CORE: "30", SECTOR: "-10"}, "730", "d1.01", "4")
    found = bridge((), entries, {}, make_marks(CSPX="731"))
    assert of(found, BridgeComponent.FEES) == {CORE: D(-3), SECTOR: D(-1)}
    # 30 × 1 and −10 × 1: the cross inside the execution is at its price
    assert of(found, BridgeComponent.PRICE) == {CORE: D(30), SECTOR: D(-10)}


def test_corrected_execution_takes_its_commission_back_from_the_same_sleeves() -> None:
    first = traded("CSPX", {SECTOR: "30", SINGLE: "10"}, "730", "d1.01", "4")
    entries = (*first, *(reverse(entry, at(2)) for entry in first))
    assert bridge((), entries, {}, {}).items != ()
    assert set(bridge((), entries, {}, {}).by_sleeve.values()) == {D(0)}


def test_corrected_execution_leaves_the_costs_of_the_right_one_only() -> None:
    held = bought("CSPX", "900", "730", "e1.01", "core_index_rv", at(1))
    first = traded("CSPX", {SECTOR: "30", SINGLE: "10"}, "730", "d1.01", "4")
    right = traded("CSPX", {SECTOR: "15", SINGLE: "5"}, "730", "d1.02", "2")
    entries = (*first, *(reverse(entry, at(2)) for entry in first), *right)
    same = make_marks(CSPX="730")
    # 2 USD in the ratio 15 : 5
    expected = {CORE: D(0), SECTOR: D("-1.5"), SINGLE: D("-0.5")}
    found = bridge((held,), entries, same, same).by_sleeve
    assert {sleeve: found.get(sleeve, D(0)) for sleeve in expected} == expected


def test_commission_that_comes_days_after_its_trade_falls_on_the_holders() -> None:
    held = bought("CSPX", "900", "730", "e1.01", "core_index_rv", at(1))
    late = commission(make_fill("CSPX", "900", "730", "e1.01", commission="9"), at(2))
    found = bridge((held,), (late,), make_marks(CSPX="730"), make_marks(CSPX="730"))
    assert of(found, BridgeComponent.FEES) == {CORE: D(-9)}


def test_transaction_tax_falls_on_the_sleeves_that_bought() -> None:
    held = bought("AAPL", "900", "200", "e1.01", "core_index_rv", at(1))
    levy = TransactionTax(
        venue="XNYS", side=Side.BUY, rate=D("0.01"), first=date(2025, 1, 1), last=None, source="test"
    )
    tax = transaction_tax(make_fill("AAPL", "40", "200", "d1.01"), BOOK.instrument("AAPL"), (levy,), at(2))
    assert tax is not None
    entries = (*traded("AAPL", {SECTOR: "30", SINGLE: "10"}, "200", "d1.01", "4"), tax)
    same = make_marks(AAPL="200")
    # 40 × 200 × 1 % in the ratio 30 : 10
    assert of(bridge((held,), entries, same, same), BridgeComponent.TAXES) == {SECTOR: D(-60), SINGLE: D(-20)}


def test_commission_of_a_currency_trade_falls_on_cash() -> None:
    entries = traded("EUR.USD", {Sleeve.FX_HEDGE: "20000"}, "1.17", "d1.01", "2")
    assert bridge((), entries, {}, {}).by_sleeve == {CASH: D(-2)}


def owed(entries: tuple[LedgerEntry, ...], opening: tuple[LedgerEntry, ...], amount: str) -> LedgerEntry:
    book = fold((capital(booked_at=at(1)), *opening, *entries), at(2))
    paid = Dividend(
        instrument_id="CSPX", ex_date=date(2025, 12, 2), pay_date=date(2025, 12, 9), amount=D(amount)
    )
    return dividend_accrual(book.positions["CSPX"], BOOK.instrument("CSPX"), paid, at(2))


def test_dividend_falls_on_those_who_hold_on_its_day() -> None:
    held = (bought("CSPX", "300", "730", "e1.01", "core_index_rv", at(1)),)
    moved = transfer("CSPX", CORE.value, SECTOR.value, D(100), D(730), at(2), "netting")
    found = bridge(held, (moved, owed((moved,), held, "2")), make_marks(CSPX="730"), make_marks(CSPX="730"))
    # 200 × 2 and 100 × 2
    assert of(found, BridgeComponent.DIVIDENDS) == {CORE: D(400), SECTOR: D(200)}


def test_dividend_of_a_short_sleeve_is_owed_by_it() -> None:
    held = (
        bought("CSPX", "300", "730", "e1.01", "core_index_rv", at(1)),
        bought("CSPX", "-100", "730", "e2.01", "sector_rv", at(1)),
    )
    found = bridge(held, (owed((), held, "2"),), make_marks(CSPX="730"), make_marks(CSPX="730"))
    assert of(found, BridgeComponent.DIVIDENDS) == {CORE: D(600), SECTOR: D(-200)}


def test_dividend_that_comes_after_the_sale_falls_on_the_last_holders() -> None:
    held = (bought("CSPX", "300", "730", "e1.01", "sector_rv", at(1)),)
    late = owed((), held, "2")
    sold = bought("CSPX", "-300", "730", "d1.01", "sector_rv", at(2))
    found = bridge(held, (sold, late), make_marks(CSPX="730"), {})
    assert of(found, BridgeComponent.DIVIDENDS) == {SECTOR: D(600)}


def test_borrow_fee_falls_on_the_sleeves_that_are_short() -> None:
    held = (
        bought("AAPL", "100", "200", "e1.01", "core_index_rv", at(1)),
        bought("AAPL", "-300", "200", "e2.01", "sector_rv", at(1)),
        bought("AAPL", "-100", "200", "e3.01", "single_name", at(1)),
    )
    same = make_marks(AAPL="200")
    found = bridge(held, (borrow_fee("AAPL", "8"),), same, same)
    # 300 : 100 of 8 USD
    assert of(found, BridgeComponent.BORROW) == {SECTOR: D(-6), SINGLE: D(-2)}


def test_unsettled_gain_of_a_closed_future_bears_its_currency_as_cash() -> None:
    held = (
        bought("FESX_20251219", "10", "5000", "e1.01", "sector_rv", at(1)),
        bought("FESX_20251219", "-10", "5010", "e2.01", "sector_rv", at(1)),
    )
    found = bridge(held, (), {}, {}, make_rates(EURUSD="1.27"))
    # 10 × 10 × 10 EUR × 0.10
    assert found.items == (
        BridgeItem(
            component=BridgeComponent.FX,
            instrument_id="FESX",
            sleeve=CASH,
            currency="EUR",
            amount_usd=D(100),
        ),
    )
    assert found.residual == 0


@given(
    amount=st.decimals(-(10**9), 10**9, places=8),
    weights=st.dictionaries(st.sampled_from(list(Sleeve)), st.integers(-50, 50).map(Decimal), min_size=1),
)
def test_parts_sum_to_the_amount_to_the_micro_unit(amount: Decimal, weights: dict[Sleeve, Decimal]) -> None:
    total = sum(weights.values(), D(0))
    if total == 0:
        return
    parts = split_exactly(amount, weights)
    assert sum(parts.values(), D(0)) == round_money(amount)
    for sleeve, part in parts.items():
        assert abs(part - amount * weights[sleeve] / total) <= D("0.000001")


SLEEVES = [CORE, SECTOR, SINGLE, Sleeve.CRISIS_ALPHA]
NAMES = ["CSPX", "CS51", "IUKD", "ES_20251219", "FESX_20251219"]
THEN = make_marks(CSPX="730", CS51="50", IUKD="900", ES_20251219="5000", FESX_20251219="5010")
NOW = make_marks(CSPX="731.5", CS51="49.1", IUKD="890", ES_20251219="4950", FESX_20251219="5055")
MOVES = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["trade", "transfer", "settle"]),
        st.dictionaries(st.sampled_from(SLEEVES), st.integers(-400, 400), min_size=2, max_size=3),
        st.decimals(1, 6000, places=2),
    ),
    max_size=10,
)


@settings(max_examples=80)
@given(moves=MOVES)
def test_each_sleeve_earns_what_its_own_account_would_have_earned(
    moves: list[tuple[str, str, dict[Sleeve, int], Decimal]],
) -> None:
    opening = tuple(
        bought(name, "100", THEN[name].price, f"e{row}.01", SLEEVES[row % 3].value, at(1))
        for row, name in enumerate(NAMES)
    )
    # A sleeve's own account: what it holds, and the money that its trades at their prices left it.
    held = {(SLEEVES[row % 3], name): D(100) for row, name in enumerate(NAMES)}
    money = {(sleeve, name): D(0) for sleeve in SLEEVES for name in NAMES}
    book, entries = fold((capital(booked_at=at(1)), *opening), at(1)), list[LedgerEntry]()
    for row, (name, act, parts, price) in enumerate(moves):
        if act == "settle":
            if not BOOK.instrument(name).is_future or name not in book.positions:
                continue
            entry = variation(
                book.positions[name], BOOK.instrument(name), date(2025, 1, 1 + row), price, at(2)
            )
            changes: dict[Sleeve, Decimal] = {}
        elif act == "transfer":
            giver, taker = list(parts)[:2]
            size = D(parts[taker])
            entry = transfer(name, giver.value, taker.value, size, price, at(2), str(row))
            changes = {giver: -size, taker: size}
        else:
            changes = {sleeve: D(size) for sleeve, size in parts.items()}
            total = sum(changes.values(), D(0))
            if total == 0:
                continue
            fill = make_fill(name, total, price, f"d{row}.01", executed_at=at(2))
            parts_by_name = {sleeve.value: size for sleeve, size in changes.items()}
            entry = trade(fill, BOOK.instrument(name), parts_by_name, at(2))
        for sleeve, change in changes.items():
            held[sleeve, name] = held.get((sleeve, name), D(0)) + change
            money[sleeve, name] -= BOOK.instrument(name).notional(change, price)
        entries.append(entry)
        book = apply(book, entry)
    before = value(fold((capital(booked_at=at(1)), *opening), at(1)), 1, THEN)
    found = nav_bridge(
        before,
        value(book, 2, NOW),
        fold((capital(booked_at=at(1)), *opening), at(1)),
        entries,
        RATES,
        BOOK,
    )
    for sleeve in SLEEVES:
        earned = D(0)
        for row, name in enumerate(NAMES):
            instrument = BOOK.instrument(name)
            started = D(100) if sleeve is SLEEVES[row % 3] else D(0)
            worth = instrument.notional(held.get((sleeve, name), D(0)), NOW[name].price)
            worth += money[sleeve, name] - instrument.notional(started, THEN[name].price)
            earned += RATES.to_base(worth, instrument.currency)
        assert abs(found.by_sleeve.get(sleeve, D(0)) - earned) < D("0.0001")
    assert found.closes
    total = sum(found.by_sleeve.values(), D(0))
    assert total == found.closing_nav - found.opening_nav - found.residual


@pytest.mark.parametrize("sleeve", SLEEVES)
def test_sleeve_that_did_nothing_earns_nothing(sleeve: Sleeve) -> None:
    held = (bought("CSPX", "300", "730", "e1.01", "credit_carry", at(1)),)
    found = bridge(held, (), make_marks(CSPX="730"), make_marks(CSPX="735"))
    assert found.by_sleeve == {Sleeve.CREDIT: D(1500)}
    assert sleeve not in found.by_sleeve
