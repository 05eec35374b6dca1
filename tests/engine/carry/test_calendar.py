from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.accounting.book import apply, fold
from engine.accounting.ledger import EntryKind
from engine.carry.borrow import daily_borrow_fee
from engine.carry.calendar import WITHOUT_FINAL_PRICE, DayFacts, calendar_entries, day_end_entries
from engine.carry.corporate_actions import CorporateActionsService
from engine.carry.financing import CarryBook, FinancingService, expected_carry_annual
from engine.errors import ConfigurationError, InvariantError, MissingMark
from engine.model.carry import WithholdingTax
from engine.model.instruments import InstrumentType
from engine.model.market import Dividend, DividendInfo, Split
from tests.engine.accounting.builders import BOOK, D, at, bought, capital
from tests.engine.accounting.policies import CARRY

US_FUNDS = WithholdingTax(
    country="US", kind=InstrumentType.ETF, rate=D("0.15"), first=date(1998, 1, 1), last=None, source="test"
)


def facts(day: date, **closes: str) -> DayFacts:
    known = {name: D(price) for name, price in closes.items()}
    return DayFacts(
        day=day, closes=known, last_closes=known, dividends=(), splits=(), borrow_fee_bps={"CS51": D(150)}
    )


@pytest.mark.parametrize(
    ("currency", "balance", "interest"),
    [
        ("USD", "10000000", "1250"),  # × 4.5 % / 360
        ("EUR", "3600000", "300"),  # × 3 % / 360
        ("GBP", "365000", "45"),  # × 4.5 % / 365
        ("USD", "-360000", "-60"),  # × (4.5 % + 1.5 %) / 360
    ],
)
def test_interest_of_one_calendar_day(currency: str, balance: str, interest: str) -> None:
    assert FinancingService(config=CARRY.financing).daily_interest(currency, D(balance)) == D(interest)


def test_currency_without_rate_earns_nothing_silently() -> None:
    with pytest.raises(ConfigurationError, match="CHF"):
        FinancingService(config=CARRY.financing).daily_interest("CHF", D(1))


def test_financing_service_daily_carry_estimate() -> None:
    # 10,000,000 × 4.5 % / 360; 3,600,000 × 3 % / 360; −365,000 × (4.5 % + 1.5 %) / 365; nothing on nothing
    cash = {"USD": D(10_000_000), "EUR": D(3_600_000), "GBP": D(-365_000), "CHF": D(0)}
    found = FinancingService(config=CARRY.financing).daily_carry(cash)
    assert found.interest == {"USD": D(1250), "EUR": D(300), "GBP": D(-60)}


def test_borrow_fee_of_the_recorded_short() -> None:
    # 11,694 × 50 × 1.05 = 613,935; × 1.5 % / 360 = 25.580625
    fee = daily_borrow_fee(D(-11_694), D(50), BOOK.instrument("CS51"), D(150), CARRY.borrow)
    assert fee == round(D(613_935) * D("0.015") / 360, 6) == D("25.580625")
    assert round(fee, 2) == D("25.58")


@pytest.mark.parametrize(
    ("name", "price", "fee"),
    [
        ("AAPL", "50", "21.25"),  # 51 × 10,000 × 1.5 % / 360
        ("AAPL", "50.01", "21.666667"),  # 51.0102 is rounded up to 52 dollars a share
        ("CS51", "50.01", "21.879375"),  # 52.5105 euros are not rounded
        ("IUKD", "5001", "21.879375"),  # nor are 52.5105 pounds, quoted in pence
    ],
)
def test_collateral_in_dollars_is_rounded_up_to_whole_ones_a_share(name: str, price: str, fee: str) -> None:
    assert daily_borrow_fee(D(-10_000), D(price), BOOK.instrument(name), D(150), CARRY.borrow) == D(fee)


def test_day_end_settles_then_pays_interest_then_borrow() -> None:
    book = fold(
        [capital(), bought("ES_20251219", "2", "5000"), bought("CS51", "-1000", "36", "e2.01")], at(1)
    )
    entries = day_end_entries(book, facts(date(2025, 12, 1), ES_20251219="5018", CS51="36"), BOOK, CARRY)
    assert [entry.kind for entry in entries] == [
        EntryKind.VARIATION,
        EntryKind.INTEREST,
        EntryKind.INTEREST,
        EntryKind.INTEREST,
        EntryKind.BORROW_FEE,
    ]
    after = apply(book, *entries)
    # 10,000,000 + 1,800 variation; interest on both
    assert after.cash["USD"] == D(10_001_800) + D("1250.225")
    # the sale brought 36,000; 37,800 stand against the loan: 37,800 × 3 % / 360 = 3.15 on it, and the 1,800 that are
    # missing cost 1,800 × 4.5 % / 360 = 0.225; the loan costs 37,800 × 1.5 % / 360 = 1.575
    assert after.cash["EUR"] == D(36_000) + D("3.15") - D("0.225") - D("1.575")


def test_day_without_a_close_settles_nothing() -> None:
    book = fold([bought("ES_20251219", "2", "5000")], at(1))
    assert day_end_entries(book, facts(date(2025, 12, 6)), BOOK, CARRY) == ()


def test_short_without_a_close_is_not_charged_at_a_guess() -> None:
    book = fold([bought("CS51", "-1", "36")], at(1))
    with pytest.raises(MissingMark, match="CS51"):
        day_end_entries(book, facts(date(2025, 12, 1)), BOOK, CARRY)


def test_future_is_finally_settled_on_its_last_trade_date() -> None:
    book = fold([bought("ES_20251219", "-2", "5000")], at(1))
    entries = day_end_entries(book, facts(date(2025, 12, 19), ES_20251219="4990"), BOOK, CARRY)
    # the variation of −2 × −10 × 50 earns its first interest before the line is removed
    kinds = [entry.kind for entry in entries]
    assert kinds == [EntryKind.VARIATION, EntryKind.INTEREST, EntryKind.EXPIRY]
    after = apply(book, *entries)
    assert (after.positions, after.cash["USD"]) == ({}, D(1000) + D("0.125"))


@pytest.mark.parametrize(("underlying", "paid"), [("4700", "10000"), ("4900", "0")])
def test_option_pays_its_intrinsic_value(underlying: str, paid: str) -> None:
    book = fold([bought("SPX_20251219_P_4800", "1", "20")], at(1))
    day = replace(facts(date(2025, 12, 19)), last_closes={"ES": D(underlying)})
    entries = [e for e in day_end_entries(book, day, BOOK, CARRY) if e.kind is EntryKind.EXPIRY]
    assert apply(book, *entries).cash["USD"] == D(paid) - 2000
    assert apply(book, *entries).positions == {}


def test_future_whose_record_ended_expires_at_its_last_close_and_says_so() -> None:
    book = fold([bought("ES_20251219", "1", "5000")], at(1))
    day = replace(facts(date(2025, 12, 19)), last_closes={"ES_20251219": D("4990")})
    (end,) = (entry for entry in day_end_entries(book, day, BOOK, CARRY) if entry.kind is EntryKind.EXPIRY)
    assert (end.price, end.reference) == (D("4990"), WITHOUT_FINAL_PRICE)
    # 1 * -10 * 50 that no settlement had brought
    after = apply(book, end)
    assert (after.positions, after.cash["USD"] - book.cash.get("USD", D(0))) == ({}, D(-500))


def test_expiry_of_what_never_had_a_price_stops() -> None:
    book = fold([bought("ES_20251219", "1", "5000")], at(1))
    with pytest.raises(MissingMark, match="final price"):
        day_end_entries(book, facts(date(2025, 12, 19)), BOOK, CARRY)


def test_weekend_earns_interest_on_each_calendar_day() -> None:
    book = fold([capital()], at(1))
    friday = datetime(2025, 12, 5, 6, tzinfo=UTC)
    days = {date(2025, 12, day): facts(date(2025, 12, day)) for day in (5, 6, 7, 8)}
    entries = calendar_entries(book, friday, friday + timedelta(days=3), days, BOOK, CARRY)
    assert [entry.entry_id for entry in entries] == [f"interest:USD:2025-12-0{day}" for day in (5, 6, 7)]
    # 1,250 on the first day, then interest on interest
    assert apply(book, *entries).cash["USD"] == D("10003750.468770")


def test_dividend_and_split_of_the_same_morning() -> None:
    day = date(2025, 12, 2)
    dividend = Dividend(instrument_id="AAPL", ex_date=day, pay_date=date(2025, 12, 3), amount=D(1))
    split = Split(instrument_id="AAPL", ex_date=day, new_shares=2, old_shares=1)
    book = fold([bought("AAPL", "10", "36")], at(1))
    days = {
        day: replace(facts(day), dividends=(dividend,), splits=(split,)),
        date(2025, 12, 3): facts(date(2025, 12, 3)),
    }
    entries = calendar_entries(book, at(1, 23), at(3, 6), days, BOOK, CARRY)
    assert [entry.entry_id for entry in entries] == [
        "dividend:AAPL:2025-12-02",
        "split:AAPL:2025-12-02",
        "interest:USD:2025-12-02",
        "dividend-paid:AAPL:2025-12-02",
    ]
    after = apply(book, *entries)
    # −360 + 10 × 1 − 360 × 6 % / 360
    assert (after.quantity("AAPL"), after.cash["USD"], after.accruals["USD"]) == (D(20), D("-350.06"), D(0))


def test_dividend_owed_before_is_paid_on_its_day() -> None:
    day = date(2025, 12, 2)
    dividend = Dividend(instrument_id="AAPL", ex_date=day, pay_date=date(2025, 12, 4), amount=D(1))
    book = fold([bought("AAPL", "10", "36")], at(1))
    first = calendar_entries(
        book, at(1, 23), at(2, 6), {day: replace(facts(day), dividends=(dividend,))}, BOOK, CARRY
    )
    days = {date(2025, 12, d): facts(date(2025, 12, d)) for d in (2, 3, 4)}
    later = calendar_entries(apply(book, *first), at(2, 6), at(4, 6), days, BOOK, CARRY, unpaid=first)
    assert "dividend-paid:AAPL:2025-12-02" in [entry.entry_id for entry in later]


def test_day_without_facts_is_refused() -> None:
    with pytest.raises(InvariantError, match="2025-12-02"):
        calendar_entries(fold([], at(1)), at(1, 23), at(2, 6), {}, BOOK, CARRY)


def test_running_in_two_pieces_gives_the_same_entries() -> None:
    book = fold([capital(), bought("ES_20251219", "2", "5000")], at(1))
    days = {date(2025, 12, d): facts(date(2025, 12, d), ES_20251219=str(5000 + d)) for d in range(1, 6)}
    whole = calendar_entries(book, at(1), at(5), days, BOOK, CARRY)
    first = calendar_entries(book, at(1), at(3), days, BOOK, CARRY)
    second = calendar_entries(apply(book, *first), at(3), at(5), days, BOOK, CARRY)
    assert whole == (*first, *second)


def carry_of(
    price: str | None,
    dividends: dict[str, str],
    cash: dict[str, str] | None = None,
    name: str = "CS51",
    withheld: WithholdingTax | None = None,
) -> dict[str, float]:
    infos = {
        key: DividendInfo(instrument_id=key, ex_date=None, paid_annual=D(amount), payments_annual=4)
        for key, amount in dividends.items()
    }
    config = replace(CARRY.dividends, withholding=(withheld,)) if withheld else CARRY.dividends
    shares = CorporateActionsService(day=date(2025, 12, 1), announced=(), infos=infos, config=config)
    financing = FinancingService(config=CARRY.financing)
    book = CarryBook(names=(name,), universe=BOOK.universe, shares=shares, financing=financing)
    prices = {} if price is None else {name: D(price)}
    return dict(expected_carry_annual(prices, {key: D(v) for key, v in (cash or {}).items()}, book))


def test_expected_carry_is_the_yield_less_the_financing() -> None:
    # 2.40 / 40 = 6 %; EUR cash costs 3 % · 365 / 360 = 3.0417 %
    assert carry_of("40", {"CS51": "2.40"}) == {"CS51": pytest.approx(0.06 - 0.03 * 365 / 360)}


def test_expected_carry_counts_dividends_after_what_is_withheld() -> None:
    # 2.40 × (1 − 15 %) / 40 = 5.1 %
    expected = pytest.approx(0.051 - 0.03 * 365 / 360)
    assert carry_of("40", {"CS51": "2.40"}, withheld=US_FUNDS) == {"CS51": expected}


def test_expected_carry_on_borrowed_cash_pays_the_spread() -> None:
    # 3 % + 1.5 % on a EUR balance below zero; another currency's balance is not asked
    expected = pytest.approx(0.06 - 0.045 * 365 / 360)
    assert carry_of("40", {"CS51": "2.40"}, {"EUR": "-1", "USD": "5"}) == {"CS51": expected}


@pytest.mark.parametrize(
    ("price", "dividends"),
    [("40", {}), ("40", {"CSPX": "1"}), (None, {"CS51": "2.40"}), ("0", {"CS51": "1"})],
)
def test_carry_without_its_facts_is_absent(price: str | None, dividends: dict[str, str]) -> None:
    assert carry_of(price, dividends) == {}
