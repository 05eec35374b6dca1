"""Mistakes that books of record are known for elsewhere, each as a case of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.book import apply, fold
from engine.accounting.corporate_actions import dividend_accrual
from engine.accounting.ledger import LedgerLine, book_execution, variation
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.accounting.reconciliation import ReconciliationStatus
from engine.errors import InvariantError, MissingFxRate
from engine.model.breaks import BreakKind
from engine.model.halts import HaltKind
from engine.model.market import Dividend, FxRates
from engine.model.orders import ChildStatus, OpenOrder, Side
from engine.model.portfolio import CashBasis, Portfolio
from tests.engine.accounting.builders import (
    BOOK,
    DAY,
    NOW,
    D,
    at,
    bought,
    capital,
    make_fill,
    make_marks,
    make_rates,
)
from tests.engine.accounting.test_reconciliation import broker_of, report_on

CONTEXT = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())


def nav(portfolio: Portfolio, rates: FxRates, **prices: str) -> Decimal:
    return value_portfolio(portfolio, make_marks(**prices), rates, BOOK, CONTEXT).nav


def in_cash(**cash: str) -> Portfolio:
    balances = {currency: D(amount) for currency, amount in cash.items()}
    return replace(fold([], NOW), cash=balances)


# ---------------------------------------------------------------- currencies


def test_rate_quoted_in_francs_a_dollar_is_divided_by_and_never_multiplied_with() -> None:
    # 100,000 CHF at 0.80 CHF a dollar are 125,000 USD, and not 80,000
    assert nav(in_cash(CHF="100000"), make_rates(USDCHF="0.80")) == D(125_000)


def test_cross_rate_never_takes_the_place_of_the_rate_into_the_base_currency() -> None:
    # 1,000,000 EUR × 1.17, whatever a euro is in pounds: 0.95 × 1.34 would be 1.273
    assert nav(in_cash(EUR="1000000"), make_rates(EURGBP="0.95")) == D(1_170_000)


@pytest.mark.parametrize(
    "held",
    [
        in_cash(USD="1000000", JPY="1"),
        replace(in_cash(USD="1000000"), accruals={"JPY": D("-0.000001")}),
    ],
    ids=["cash", "accrual"],
)
def test_money_without_a_rate_is_never_counted_as_nothing(held: Portfolio) -> None:
    with pytest.raises(MissingFxRate, match="JPY"):
        nav(held, make_rates())


def test_loans_in_several_currencies_are_taken_off_at_their_rates() -> None:
    # A euro account that owes dollars and kroner: 500,000 × 1.17 − 200,000 − 1,000,000 × 0.157
    held = in_cash(EUR="500000", USD="-200000", DKK="-1000000")
    assert nav(held, make_rates(DKKUSD="0.157")) == D(228_000)


@pytest.mark.parametrize("summary", ["BASE", "TotalCashBalance", ""])
def test_summary_row_of_the_broker_is_no_currency_and_nothing_trades_on_it(summary: str) -> None:
    book = fold([capital()], NOW)
    broker = broker_of(book)
    report = report_on(replace(broker, cash={**broker.cash, summary: D(10_000_000)}), book)
    assert report.status is ReconciliationStatus.UNKNOWN
    assert [row.cause for row in report.breaks] == [BreakKind.CURRENCY_WITHOUT_RATE]


@pytest.mark.parametrize(
    ("name", "price", "close"), [("ES_20251219", "5000", "5050"), ("FESX_20251219", "5000", "4900")]
)
def test_settlement_of_a_future_moves_gain_into_cash_and_leaves_nav(
    name: str, price: str, close: str
) -> None:
    book = fold([capital(), capital("100000", "EUR"), bought(name, "7", price)], NOW)
    entry = variation(book.positions[name], BOOK.instrument(name), DAY, D(close), NOW)
    before, after = (nav(row, make_rates(), **{name: close}) for row in (book, apply(book, entry)))
    assert before == after
    assert entry.lines[0].amount == BOOK.instrument(name).notional(D(7), D(close) - D(price))


# ---------------------------------------------------------------- what the broker tells


@pytest.mark.parametrize("currency", ["", "EUR"])
def test_commission_of_nothing_that_comes_before_the_real_one_books_nothing(currency: str) -> None:
    fill = replace(make_fill("CS51", "10", "50", commission="0"), commission_currency=currency)
    made = book_execution(fill, BOOK.instrument("CS51"), {"core_index_rv": D(10)}, NOW)
    assert [entry.entry_id for entry in made] == ["trade:e1.01"]


def test_money_of_no_currency_is_not_posted() -> None:
    with pytest.raises(InvariantError, match="unit"):
        LedgerLine(account="cash", unit="", amount=D(1))


def test_orders_made_by_hand_that_share_an_id_are_each_a_break() -> None:
    book = fold([capital()], NOW)
    orders = tuple(
        OpenOrder(
            order_ref=None,
            broker_order_id="0",
            contract_id=name,
            side=Side.BUY,
            quantity=D(1),
            filled=D(0),
            limit_price=D(1),
            status=ChildStatus.WORKING,
        )
        for name in ("AAPL", "CSPX")
    )
    report = report_on(replace(broker_of(book), open_orders=orders), book)
    assert [row.cause for row in report.breaks] == [BreakKind.FOREIGN_ORDER] * 2
    assert not report.can_trade


def test_strangers_are_named_beside_an_execution_of_our_own_that_a_restored_book_has_lost() -> None:
    book = fold([capital()], NOW)
    truth = fold(
        [capital(), bought("AAPL", "116", "200", "own.01"), bought("CSPX", "8", "730", "theirs.01")], NOW
    )
    executions = (
        make_fill("AAPL", "116", "200", "own.01"),
        make_fill("CSPX", "8", "730", "theirs.01", order_ref="TWS-1"),
    )
    resting = OpenOrder(
        order_ref="TWS-2",
        broker_order_id="2",
        contract_id="CS51",
        side=Side.BUY,
        quantity=D(1),
        filled=D(0),
        limit_price=D(45),
        status=ChildStatus.WORKING,
    )
    broker = replace(broker_of(truth), executions=executions, open_orders=(resting,))
    report = report_on(broker, book)
    assert [(row.subject, row.cause) for row in report.breaks] == [
        ("AAPL", BreakKind.MISSED_FILL),
        ("CSPX", BreakKind.MANUAL_TRADE),
        ("TWS-2", BreakKind.FOREIGN_ORDER),
    ]


def test_future_that_the_broker_ended_a_day_before_our_date_is_a_break_and_never_flat() -> None:
    book = fold([capital(), bought("ES_20251219", "3", "5000")], at(18))
    marks = make_marks(ES_20251219="5000")
    report = report_on(replace(broker_of(book, marks), positions={}), book, marks)
    assert not report.can_trade
    assert [row.subject for row in report.breaks] == ["ES_20251219"]


# ---------------------------------------------------------------- quantities


def test_sale_of_a_fraction_that_is_left_closes_the_line_to_the_last_digit() -> None:
    # Three purchases of a third of a share, sold as one: 3 × 0.333333 = 0.999999, and a millionth stays and is seen
    bits = [bought("AAPL", "0.333333", "100", f"e{row}.01") for row in range(3)]
    left = fold([*bits, bought("AAPL", "-0.999998", "100", "s.01")], NOW).positions["AAPL"]
    assert (left.quantity, left.cost) == (D("0.000001"), D("0.0001"))
    assert fold([*bits, bought("AAPL", "-0.999999", "100", "s.01")], NOW).positions == {}


def test_position_that_vanished_at_the_broker_is_found_although_it_lists_nothing_of_it() -> None:
    book = fold([capital(), bought("CSPX", "-314", "730")], NOW)
    marks = make_marks(CSPX="730")
    broker = broker_of(book, marks)
    # The broker bought it in at 750 and lists neither position nor order: cash −314 × 750
    gone = replace(
        broker,
        positions={},
        cash={"USD": broker.cash["USD"] - 314 * 750},
        net_liquidation=D(10_000_000) + 314 * (730 - 750),
    )
    report = report_on(gone, book, marks)
    assert [(row.kind, row.difference_usd) for row in report.breaks] == [
        (HaltKind.FOREIGN_POSITION, D(0)),  # at the mark it was worth what it would have cost
        (HaltKind.CASH_BREAK, D(6280)),  # and 314 × 20 more was paid
    ]


@pytest.mark.parametrize(("quantity", "owed"), [("100", "50"), ("-100", "-50")])
def test_dividend_of_the_ex_date_is_owed_and_no_cash(quantity: str, owed: str) -> None:
    book = fold([capital(), bought("AAPL", quantity, "200")], NOW)
    paid = Dividend(
        instrument_id="AAPL", ex_date=date(2025, 12, 2), pay_date=date(2025, 12, 20), amount=D("0.5")
    )
    after = apply(book, dividend_accrual(book.positions["AAPL"], BOOK.instrument("AAPL"), paid, at(2)))
    assert (after.accruals, after.cash) == ({"USD": D(owed)}, book.cash)
