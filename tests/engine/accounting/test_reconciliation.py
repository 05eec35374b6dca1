from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.adoption import adoption
from engine.accounting.book import apply, fold
from engine.accounting.differences import KnownOrders, OurPrices, Sides, expected_cash, unbooked_executions
from engine.accounting.ledger import book_execution
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.accounting.reconciliation import ReconciliationReport, ReconciliationStatus, reconcile
from engine.accounting.sides import OwnOrder
from engine.model.encoding import decode, encode
from engine.model.halts import HaltChoice, HaltKind
from engine.model.market import Mark, Quote, Source
from engine.model.orders import ChildStatus, Fill, OpenOrder, Side
from engine.model.portfolio import BrokerPosition, BrokerSnapshot, CashBasis, Portfolio, Sleeve
from tests.engine.accounting.builders import (
    BOOK,
    DAY,
    NOW,
    D,
    bought,
    capital,
    make_fill,
    make_marks,
    make_rates,
)
from tests.engine.accounting.policies import RECONCILIATION
from tests.engine.simulation.exchange_world import order as make_order

PASS, HALT, EMERGENCY, UNKNOWN = (
    ReconciliationStatus.PASS,
    ReconciliationStatus.HALT,
    ReconciliationStatus.EMERGENCY,
    ReconciliationStatus.UNKNOWN,
)
CONTEXT = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())
RATES = make_rates()
QUERIES = frozenset({"positions", "cash", "open_orders", "completed_orders", "executions", "account"})
MARKS = make_marks(
    CSPX="730", AAPL="200", CS51="50", ES_20251219="5000", FESX_20251219="5000", SPX_20251219_P_4800="20"
)
ENTRIES = (
    capital(),
    bought("CSPX", "3000", "730", "e1.01"),
    bought("CS51", "-10000", "50", "e2.01"),
    bought("ES_20251219", "-8", "5000", "e3.01"),
    bought("FESX_20251219", "-10", "5010", "e4.01"),
)
OURS = fold(ENTRIES, NOW)


def broker_of(
    book: Portfolio, marks: Mapping[str, Mark] = MARKS, *, in_session: tuple[str, ...] = ()
) -> BrokerSnapshot:
    """The account of a broker that agrees with a book, at the given marks."""
    prices = OurPrices(marks=marks, fx=RATES, live={})
    empty = BrokerSnapshot(
        account="T",
        as_of=NOW,
        answered=QUERIES,
        cash={},
        accrued=dict(book.accruals),
        positions={
            name: BrokerPosition(
                contract_id=name,
                quantity=held.quantity,
                average_cost=held.average_price,
                mark=marks[name].price,
                in_session=name in in_session,
            )
            for name, held in book.positions.items()
            if held.quantity != 0
        },
        fx={"EUR": D("1.17"), "GBP": D("1.34")},
        net_liquidation=value_portfolio(book, marks, RATES, BOOK, CONTEXT).nav,
        excess_liquidity=None,
        open_orders=(),
        completed_orders=(),
        executions=(),
    )
    sides = Sides(portfolio=book, broker=empty, prices=prices, contracts=BOOK)
    return replace(empty, cash=expected_cash(sides))


def report_on(
    broker: BrokerSnapshot,
    book: Portfolio = OURS,
    marks: Mapping[str, Mark] = MARKS,
    live: Mapping[str, Quote] | None = None,
    booked: tuple[Fill, ...] = (),
) -> ReconciliationReport:
    valuation = value_portfolio(book, marks, RATES, BOOK, CONTEXT)
    prices = OurPrices(marks=marks, fx=RATES, live=live or {})
    known = KnownOrders(
        order_refs=frozenset({"AF1.OURS.1"}),
        booked=booked,
        working=tuple(
            OwnOrder(
                child=make_order("CSPX", "1", "1", ref="AF1.OURS.1"),
                status=ChildStatus.WORKING,
                is_acknowledged=True,
            )
            for row in broker.open_orders
            if row.order_ref == "AF1.OURS.1"
        ),
    )
    sides = Sides(portfolio=book, broker=broker, prices=prices, contracts=BOOK)
    return reconcile(sides, valuation, RECONCILIATION, known)


def kinds(report: ReconciliationReport) -> list[HaltKind]:
    return [found.kind for found in report.breaks]


def test_agreeing_broker_passes_without_difference() -> None:
    report = report_on(broker_of(OURS))
    assert (report.status, report.breaks, report.difference_fraction) == (PASS, (), 0)
    assert report.buckets is not None
    assert report.buckets.total == 0


def test_five_percent_overnight_on_index_futures_passes_with_its_mark_bucket() -> None:
    overnight = {**MARKS, **make_marks(ES_20251219="4750", FESX_20251219="4750")}
    broker = broker_of(OURS, overnight, in_session=("ES_20251219", "FESX_20251219"))
    report = report_on(broker)
    assert report.status is PASS
    assert all(row.unexplained == 0 for row in report.cash)
    assert report.buckets is not None
    # −8 × 250 × 50 − 10 × 250 × 10 × 1.17, ours less the broker's
    assert report.buckets.mark == D(-100_000) - D(29_250)
    assert report.buckets.total == report.buckets.mark
    assert abs(report.nav / report.net_liquidation - 1) > D("0.0025")  # type: ignore[operator]
    assert len(report.notes) == 2


def test_silent_debit_is_a_cash_break_and_leaves_nav_alone() -> None:
    broker = broker_of(OURS)
    debited = replace(
        broker,
        cash={**broker.cash, "USD": broker.cash["USD"] - 30_000},
        net_liquidation=broker.net_liquidation - 30_000,  # type: ignore[operator]
    )
    report = report_on(debited)
    assert (report.status, kinds(report)) == (HALT, [HaltKind.CASH_BREAK])
    assert report.breaks[0].difference_usd == D(30_000)
    assert HaltChoice.ADOPT_BROKER in report.breaks[0].choices
    assert report.nav == report_on(broker).nav


@pytest.mark.parametrize(
    ("debit", "status"),
    [
        ("999", PASS),  # under 1 bp of 10,000,000
        ("1001", HALT),  # above it
        ("150000", EMERGENCY),  # 1.5 %
    ],
)
def test_cash_break_grows_from_pass_to_emergency(debit: str, status: ReconciliationStatus) -> None:
    broker = broker_of(OURS)
    report = report_on(
        replace(
            broker,
            cash={**broker.cash, "USD": broker.cash["USD"] - D(debit)},
            net_liquidation=broker.net_liquidation - D(debit),  # type: ignore[operator]
        )
    )
    assert report.status is status


@pytest.mark.parametrize(("debit", "status"), [("100", PASS), ("100.01", HALT)])
def test_cash_of_a_small_fund_may_differ_by_a_hundred_dollars(
    debit: str, status: ReconciliationStatus
) -> None:
    # 1 bp of 500,000 would be 50
    small = fold([capital("500000")], NOW)
    broker = broker_of(small)
    lower = replace(
        broker,
        cash={"USD": broker.cash["USD"] - D(debit)},
        net_liquidation=broker.net_liquidation - D(debit),  # type: ignore[operator]
    )
    assert report_on(lower, small).status is status


@pytest.mark.parametrize(
    ("drift", "status"), [("0.002", PASS), ("0.005", HALT), ("-0.005", HALT), ("0.02", EMERGENCY)]
)
def test_net_liquidation_that_its_own_parts_do_not_give_is_a_drift(
    drift: str, status: ReconciliationStatus
) -> None:
    broker = broker_of(OURS)
    liquidation = broker.net_liquidation * (1 + D(drift))  # type: ignore[operator]
    report = report_on(replace(broker, net_liquidation=liquidation))
    assert report.status is status
    assert kinds(report) == ([] if status is PASS else [HaltKind.NLV_DRIFT])


def test_offsetting_cash_and_drift_still_halt() -> None:
    broker = broker_of(OURS)
    report = report_on(replace(broker, cash={**broker.cash, "USD": broker.cash["USD"] - 30_000}))
    assert report.status is HALT
    assert set(kinds(report)) == {HaltKind.CASH_BREAK, HaltKind.NLV_DRIFT}


@pytest.mark.parametrize("liquidation", [None, D("NaN"), D("Infinity"), D(0), D(-5)])
def test_impossible_net_liquidation_is_an_emergency(liquidation: Decimal | None) -> None:
    report = report_on(replace(broker_of(OURS), net_liquidation=liquidation))
    assert report.status is EMERGENCY
    assert HaltKind.NLV_DRIFT in kinds(report)


@pytest.mark.parametrize("query", sorted(QUERIES))
def test_unanswered_query_means_unknown_never_empty(query: str) -> None:
    report = report_on(replace(broker_of(OURS), answered=QUERIES - {query}))
    assert (report.status, report.can_trade) == (UNKNOWN, False)
    assert [found.subject for found in report.breaks] == [query]


def missed(contract_id: str, quantity: str, price: str, execution_id: str = "e9.01") -> Fill:
    return make_fill(contract_id, quantity, price, execution_id, "AF1.OURS.1", commission="2")


@pytest.mark.parametrize(
    ("contract_id", "quantity", "price"),
    [
        ("CSPX", "100", "725"),
        ("AAPL", "-50", "199"),
        ("CS51", "500", "49"),
        ("ES_20251219", "1", "5004"),
        ("FESX_20251219", "-2", "5020"),
        ("EUR.USD", "30000", "1.171"),
    ],
)
def test_missed_fill_is_named_and_its_adoption_makes_the_books_equal(
    contract_id: str, quantity: str, price: str
) -> None:
    fill = missed(contract_id, quantity, price)
    truth = fold(
        (*ENTRIES, *book_execution(fill, BOOK.instrument(contract_id), {"core_index_rv": D(quantity)}, NOW)),
        NOW,
    )
    broker = replace(broker_of(truth), executions=(fill,))
    report = report_on(broker)
    assert (report.status, kinds(report)) == (HALT, [HaltKind.MISSED_FILL])
    assert "e9.01" in report.breaks[0].explanations[0].text
    assert all(row.unexplained == 0 for row in report.cash)
    prices = OurPrices(marks=MARKS, fx=RATES, live={})
    sides = Sides(portfolio=OURS, broker=broker, prices=prices, contracts=BOOK)
    entries = adoption(sides, report, NOW, "halt-1", {"e9.01": {"core_index_rv": D(quantity)}})
    assert [entry.entry_id for entry in entries] == ["trade:e9.01", "commission:e9.01"]
    assert apply(OURS, *entries) == truth
    assert report_on(broker, apply(OURS, *entries), booked=(fill,)).status is PASS


def test_large_missed_fill_is_judged_by_its_effect_on_nav() -> None:
    # 3,000 shares at the mark are 22 % of NAV but change it by their commission only
    fill = missed("CSPX", "3000", "730")
    truth = fold(
        (*ENTRIES, *book_execution(fill, BOOK.instrument("CSPX"), {"core_index_rv": D(3000)}, NOW)), NOW
    )
    report = report_on(replace(broker_of(truth), executions=(fill,)))
    assert report.status is HALT
    assert report.breaks[0].difference_usd == D(2)


def test_corrected_execution_is_missed_until_its_correction_is_booked() -> None:
    wrong, right = missed("CSPX", "100", "725", "e9.01"), missed("CSPX", "90", "725", "e9.02")
    instrument = BOOK.instrument("CSPX")
    first = book_execution(wrong, instrument, {"core_index_rv": D(100)}, NOW)
    book = fold((*ENTRIES, *first), NOW)
    truth = fold((*ENTRIES, *book_execution(right, instrument, {"core_index_rv": D(90)}, NOW)), NOW)
    broker = replace(broker_of(truth), executions=(wrong, right))
    report = report_on(broker, book, booked=(wrong,))
    assert kinds(report) == [HaltKind.MISSED_FILL]
    sides = Sides(
        portfolio=book, broker=broker, prices=OurPrices(marks=MARKS, fx=RATES, live={}), contracts=BOOK
    )
    entries = adoption(sides, report, NOW, "halt-1", {"e9.02": {"core_index_rv": D(90)}}, (*ENTRIES, *first))
    assert apply(book, *entries) == truth


def test_foreign_position_is_adopted_at_the_brokers_average_cost_to_unassigned() -> None:
    truth = fold((*ENTRIES, bought("AAPL", "40", "195", "x.01")), NOW)
    broker = broker_of(truth)
    report = report_on(broker)
    assert (report.status, kinds(report)) == (HALT, [HaltKind.FOREIGN_POSITION])
    sides = Sides(
        portfolio=OURS, broker=broker, prices=OurPrices(marks=MARKS, fx=RATES, live={}), contracts=BOOK
    )
    adopted = apply(OURS, *adoption(sides, report, NOW, "halt-1"))
    assert adopted.positions["AAPL"].sleeves == {Sleeve.UNASSIGNED: D(40)}
    assert adopted.positions["AAPL"].average_price == D(195)
    assert adopted.cash == truth.cash
    assert report_on(broker, adopted).status is PASS


def test_foreign_execution_gives_its_price_to_the_adoption() -> None:
    foreign = make_fill("CSPX", "-10", "728", "m1.01", order_ref=None)
    truth = fold((*ENTRIES, bought("CSPX", "-10", "728", "m1.01")), NOW)
    report = report_on(replace(broker_of(truth), executions=(foreign,)))
    assert kinds(report) == [HaltKind.FOREIGN_POSITION]
    assert report.quantities[0].foreign_price == D(728)
    assert "m1.01" in report.breaks[0].explanations[0].text


def test_shares_that_came_without_cash_explain_no_cash() -> None:
    truth = fold((*ENTRIES, bought("AAPL", "40", "195", "x.01")), NOW)
    broker = broker_of(truth)
    gift = replace(
        broker,
        cash={**broker.cash, "USD": broker.cash["USD"] + 7800},
        net_liquidation=broker.net_liquidation + 7800,  # type: ignore[operator]
    )
    report = report_on(gift)
    assert kinds(report) == [HaltKind.FOREIGN_POSITION]
    # 40 × 200 more at the broker
    assert report.breaks[0].difference_usd == D(-8000)


def test_position_missing_at_the_broker_halts() -> None:
    broker = broker_of(OURS)
    held = {name: row for name, row in broker.positions.items() if name != "ES_20251219"}
    report = report_on(replace(broker, positions=held))
    assert report.status is HALT
    assert [(row.kind, row.ours, row.broker) for row in report.breaks] == [
        (HaltKind.FOREIGN_POSITION, "-8 contracts", "0 contracts")
    ]


def test_unlisted_contract_halts_without_an_adoption() -> None:
    broker = broker_of(OURS)
    strange = BrokerPosition(contract_id="XYZ", quantity=D(1), average_cost=D(1), mark=D(1), in_session=False)
    report = report_on(replace(broker, positions={**broker.positions, "XYZ": strange}))
    assert report.status is HALT
    assert report.breaks[0].explanations[0].choice is HaltChoice.RETRY


def test_two_offsetting_quantity_errors_halt_at_equal_nav() -> None:
    other = fold(
        (ENTRIES[0], bought("CSPX", "2990", "730"), *ENTRIES[2:], bought("AAPL", "36.5", "200", "x.01")), NOW
    )
    broker = broker_of(other)
    report = report_on(broker)
    assert report.nav == broker.net_liquidation
    assert report.status is HALT
    assert [row.subject for row in report.breaks] == ["AAPL", "CSPX"]


@pytest.mark.parametrize(
    ("broker_mark", "status"),
    [("5024.75", PASS), ("5026", HALT)],  # 50 bp of 5,000 are 25
)
def test_live_marks_may_differ_by_fifty_basis_points(broker_mark: str, status: ReconciliationStatus) -> None:
    quote = Quote(
        contract_id="ES_20251219",
        observed_at=NOW,
        bid=D("4999.75"),
        ask=D("5000.25"),
        bid_size=D(1),
        ask_size=D(1),
        last=None,
        close=None,
        source=Source.SIMULATED,
    )
    broker = broker_of(OURS, {**MARKS, **make_marks(ES_20251219=broker_mark)}, in_session=("ES_20251219",))
    report = report_on(broker, live={"ES_20251219": quote})
    assert report.status is status
    assert kinds(report) == ([] if status is PASS else [HaltKind.MARK_DIFFERENCE])


def test_closed_market_must_show_the_same_close() -> None:
    report = report_on(broker_of(OURS, {**MARKS, **make_marks(CSPX="731")}))
    assert (report.status, kinds(report)) == (HALT, [HaltKind.MARK_DIFFERENCE])


def test_mark_difference_is_never_an_emergency() -> None:
    report = report_on(broker_of(OURS, {**MARKS, **make_marks(CSPX="1000")}))
    assert report.status is HALT


@pytest.mark.parametrize(("rate", "status"), [("1.171", PASS), ("1.172", HALT)])
def test_rates_may_differ_by_ten_basis_points(rate: str, status: ReconciliationStatus) -> None:
    broker = broker_of(OURS)
    book = fold((capital(),), NOW)
    report = report_on(replace(broker_of(book), fx={**broker.fx, "EUR": D(rate)}), book)
    assert report.status is status


@pytest.mark.parametrize(
    ("order_ref", "child", "status"),
    [
        ("AF1.OURS.1", ChildStatus.WORKING, PASS),
        ("AF1.OTHER.1", ChildStatus.WORKING, HALT),
        (None, ChildStatus.WORKING, HALT),
        (None, ChildStatus.CANCELLED, PASS),
    ],
)
def test_order_that_is_not_ours_halts(
    order_ref: str | None, child: ChildStatus, status: ReconciliationStatus
) -> None:
    order = OpenOrder(
        order_ref=order_ref,
        broker_order_id="77",
        contract_id="CSPX",
        side=Side.BUY,
        quantity=D(1),
        filled=D(0),
        limit_price=D(1),
        status=child,
    )
    assert report_on(replace(broker_of(OURS), open_orders=(order,))).status is status


def test_report_survives_its_encoding() -> None:
    fill = missed("CSPX", "100", "725")
    report = report_on(replace(broker_of(OURS), executions=(fill,)))
    assert encode(decode(ReconciliationReport, encode(report))) == encode(report)


def test_unbooked_executions_are_the_newest_of_each_root() -> None:
    first, second = missed("CSPX", "1", "1", "a.01"), missed("CSPX", "2", "1", "a.02")
    other = missed("CSPX", "3", "1", "b.01")
    rows = unbooked_executions((second, first, other), (first, other))
    assert [(row.fill, row.replaces, row.quantity) for row in rows] == [(second, first, D(1))]


@given(
    cash=st.dictionaries(st.sampled_from(["USD", "EUR", "GBP"]), st.integers(-(10**6), 10**6)),
    prices=st.dictionaries(st.sampled_from(["CSPX", "ES_20251219", "FESX_20251219"]), st.integers(100, 9000)),
    quantity=st.integers(-50, 50),
    drift=st.integers(-(10**6), 10**6),
    rate=st.decimals("0.9", "1.4", places=4),
)
def test_buckets_always_sum_to_the_difference(
    cash: dict[str, int], prices: dict[str, int], quantity: int, drift: int, rate: Decimal
) -> None:
    marks = {**MARKS, **make_marks(**{name: str(price) for name, price in prices.items()})}
    other = OURS if quantity == 0 else apply(OURS, bought("AAPL", D(quantity), "190", "x.01"))
    broker = broker_of(other, marks)
    broker = replace(
        broker,
        cash={name: broker.cash.get(name, D(0)) + cash.get(name, 0) for name in {*broker.cash, *cash}},
        fx={**broker.fx, "EUR": rate},
        net_liquidation=broker.net_liquidation + drift,  # type: ignore[operator]
    )
    report = report_on(broker)
    if report.net_liquidation is not None and report.net_liquidation > 0:
        assert report.buckets is not None
        assert report.buckets.total == report.nav - report.net_liquidation
