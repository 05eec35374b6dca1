"""Each row of a statement against the book: what it is found to be, and the exact booking that it carries."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from engine.accounting.book import fold
from engine.accounting.charges import withholding, withholding_payment
from engine.accounting.corporate_actions import dividend_accrual, dividend_payment
from engine.accounting.ledger import (
    ADOPTED,
    CASH,
    INTEREST_ACCRUAL,
    EntryKind,
    LedgerEntry,
    book_execution,
    pair,
    reverse,
)
from engine.accounting.statement import CashKind, TradeKind
from engine.accounting.statement_cash import cash_lines
from engine.accounting.statement_events import event_lines
from engine.accounting.statement_findings import Finding, StatementLine, StatementPolicy
from engine.accounting.statement_orders import order_fates
from engine.accounting.statement_trades import trade_lines
from engine.accounting.uncharged import expected_commissions
from engine.carry.postings import unpaid_accruals
from engine.model.market import Dividend
from engine.model.orders import ChildOrder, ChildStatus, OrderIntent, OrderType, Reason, Side, Urgency
from engine.model.portfolio import Position, Sleeve
from engine.model.universe import ContractBook
from engine.ports import ChildRecord
from tests.engine.accounting.builders import BOOK, bought, make_fill
from tests.engine.accounting.policies import COSTS
from tests.engine.accounting.statement_rows import (
    CLOSED,
    DAY,
    ENDS,
    NEXT_MORNING,
    NOW,
    book,
    cash_row,
    executed,
    renamed,
    statement,
)

D = Decimal
CORE = {Sleeve.CORE.value: D(10)}


def booked(commission: str | None = "1", price: str = "100") -> tuple[LedgerEntry, ...]:
    """Ten AAPL bought as execution e1.01."""
    fill = make_fill("AAPL", "10", price, commission=commission)
    return book_execution(fill, BOOK.instrument("AAPL"), CORE, NOW)


PARENT = OrderIntent(
    intent_id="p1",
    contract_id="AAPL",
    instrument_id="AAPL",
    side=Side.BUY,
    quantity=D(10),
    reason=Reason.REBALANCE,
    urgency=Urgency.NORMAL,
    group=None,
    reduce_only=False,
    sleeves=CORE,
    decision_price=D(100),
)


def cash_of(line: StatementLine) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for entry in line.entries:
        for part in entry.lines:
            if part.account == CASH:
                totals[part.unit] = totals.get(part.unit, D(0)) + part.amount
    return totals


def test_booked_execution_with_the_same_figures_agrees() -> None:
    (line,) = trade_lines(statement((executed("AAPL", "10", "100"),)), book(*booked()))
    assert line.finding is Finding.MATCHED


def test_execution_of_our_own_order_that_is_missing_is_a_late_fill() -> None:
    row = executed("AAPL", "10", "100")
    (line,) = trade_lines(statement((row,)), book(parents={"AF1.REF.1": PARENT}))
    assert (line.finding, line.fill) == (Finding.LATE_FILL, row.fill)


@pytest.mark.parametrize(
    ("reference", "finding"), [("AF1.GONE.1", Finding.LOST_ORDER), (None, Finding.FOREIGN_TRADE)]
)
def test_execution_without_an_order_in_the_book_goes_to_no_sleeve(
    reference: str | None, finding: Finding
) -> None:
    (line,) = trade_lines(statement((executed("AAPL", "10", "100", order_ref=reference),)), book())
    assert line.finding is finding
    assert cash_of(line) == {"USD": D("-1001")}, "10 at 100, and a commission of 1"
    portfolio = fold(line.entries, NEXT_MORNING)
    assert portfolio.positions["AAPL"].sleeves == {Sleeve.UNASSIGNED: D(10)}


def test_execution_of_a_valued_day_is_booked_now_and_of_an_open_one_at_its_own_time() -> None:
    row = executed("AAPL", "10", "100", order_ref=None)
    late, open_still = book(), replace(book(), closed_until=NOW - timedelta(hours=1))
    assert {e.booked_at for line in trade_lines(statement((row,)), late) for e in line.entries} == {
        NEXT_MORNING
    }
    assert {e.booked_at for line in trade_lines(statement((row,)), open_still) for e in line.entries} == {NOW}


@pytest.mark.parametrize(
    ("row", "finding"),
    [
        (executed("AAPL", "-10", "100"), Finding.OTHER_ORDER),
        (renamed(executed("AAPL", "10", "100"), "STK:TSLA:USD"), Finding.UNLISTED_CONTRACT),
        (replace(executed("AAPL", "10", "100"), multiplier=D(100)), Finding.OTHER_FIGURES),
    ],
)
def test_row_that_does_not_fit_our_order_or_instrument_books_nothing(row: object, finding: Finding) -> None:
    (line,) = trade_lines(statement((row,)), book(parents={"AF1.REF.1": PARENT}))  # type: ignore[arg-type]
    assert (line.finding, line.is_explained) == (finding, False)


def test_same_id_with_another_price_is_left_to_a_person() -> None:
    (line,) = trade_lines(statement((executed("AAPL", "10", "101"),)), book(*booked()))
    assert (line.finding, line.is_explained) == (Finding.OTHER_FIGURES, False)


def test_commission_is_trued_up_to_the_micro_unit() -> None:
    (line,) = trade_lines(statement((executed("AAPL", "10", "100", commission="1.25"),)), book(*booked()))
    assert (line.finding, cash_of(line)) == (Finding.COMMISSION, {"USD": D("-0.25")})
    (again,) = trade_lines(
        statement((executed("AAPL", "10", "100", commission="1.25"),)), book(*booked(), *line.entries)
    )
    assert again.finding is Finding.MATCHED


@pytest.mark.parametrize("charge", ["1.25", "0"])
def test_commission_that_nobody_told_is_booked_with_its_execution_whatever_was_expected(charge: str) -> None:
    """1.00 was expected; the execution has no commission until the statement's is booked under its own id."""
    known = make_fill("AAPL", "10", "100")
    expected = expected_commissions((known,), BOOK, COSTS, NOW, NOW)
    side = book(*booked(commission=None), *expected, fills=(known,))
    (line,) = trade_lines(statement((executed("AAPL", "10", "100", commission=charge),)), side)
    assert (line.finding, line.entries, line.amount) == (Finding.COMMISSION, (), D(1) - D(charge))
    assert line.fill is not None
    assert (line.fill.commission, line.fill.commission_currency) == (D(charge), "USD")


def test_commission_of_nothing_that_was_told_is_trued_up_by_an_entry() -> None:
    known = make_fill("AAPL", "10", "100", commission="0")
    side = book(*booked(commission=None), fills=(known,))
    (line,) = trade_lines(statement((executed("AAPL", "10", "100", commission="1.25"),)), side)
    assert (line.finding, line.fill, cash_of(line)) == (Finding.COMMISSION, None, {"USD": D("-1.25")})


def test_transaction_tax_that_the_book_lacks_is_booked_beside_the_trade() -> None:
    row = replace(executed("AAPL", "10", "100"), taxes=D("-5"))
    (line,) = trade_lines(statement((row,)), book(*booked()))
    assert (line.finding, cash_of(line)) == (Finding.TRANSACTION_TAX, {"USD": D("-5")})


def test_correction_takes_the_old_version_back_and_books_the_new_one() -> None:
    rows = (
        executed("AAPL", "10", "100", kind=TradeKind.CANCEL),
        executed("AAPL", "10", "99", execution_id="e1.02", kind=TradeKind.CORRECTION),
    )
    (line,) = trade_lines(statement(rows), book(*booked(), parents={"AF1.REF.1": PARENT}))
    assert line.finding is Finding.CORRECTION
    after = fold((*booked(), *line.entries), NEXT_MORNING)
    assert after.cash == {"USD": D("-991")}, "10 at 99 and one commission of 1"
    assert after.positions["AAPL"].sleeves == {Sleeve.CORE: D(10)}


def test_cancelled_execution_is_taken_back_with_its_commission() -> None:
    row = executed("AAPL", "10", "100", kind=TradeKind.CANCEL)
    (line,) = trade_lines(statement((row,)), book(*booked()))
    assert line.finding is Finding.BUST
    after = fold((*booked(), *line.entries), NEXT_MORNING)
    assert (after.cash, after.positions) == ({"USD": D(0)}, {})
    (through_its_order,) = trade_lines(statement((row,)), book(*booked(), fills=(row.fill,)))
    assert (through_its_order.takes_back, through_its_order.entries) == ("e1.01", ())
    taken = (*booked(), *(reverse(entry, NOW) for entry in booked()))
    assert trade_lines(statement((row,)), book(*taken))[0].finding is Finding.MATCHED


def test_booked_trade_that_the_statement_lacks_is_named() -> None:
    (line,) = trade_lines(statement(), book(*booked()))
    assert (line.finding, line.is_explained) == (Finding.NOT_IN_STATEMENT, False)


def test_time_of_an_execution_that_is_hours_off_is_left_to_a_person() -> None:
    row = executed("AAPL", "10", "100")
    known = replace(row.fill, executed_at=row.fill.executed_at + timedelta(hours=5))
    (line,) = trade_lines(statement((row,)), book(*booked(), fills=(known,)))
    assert line.finding is Finding.OTHER_FIGURES
    assert "18,000 seconds" in line.text


@pytest.mark.parametrize(
    ("kind", "amount", "finding", "entry_kind"),
    [
        (CashKind.DIVIDEND, "5", Finding.DIVIDEND, EntryKind.DIVIDEND),
        (CashKind.WITHHOLDING, "-0.75", Finding.WITHHOLDING_TAX, EntryKind.WITHHOLDING),
        (CashKind.INTEREST, "-2.5", Finding.INTEREST, EntryKind.INTEREST),
        (CashKind.BORROW_FEE, "-1", Finding.BORROW_FEE, EntryKind.BORROW_FEE),
        (CashKind.FEE, "-10", Finding.OTHER_FEE, EntryKind.FEE),
    ],
)
def test_cash_row_that_is_missing_is_booked_by_its_own_kind_and_then_agrees(
    kind: CashKind, amount: str, finding: Finding, entry_kind: EntryKind
) -> None:
    rows = statement(cash=(cash_row("7", kind, amount),))
    (line,) = cash_lines(rows, book())
    assert (line.finding, cash_of(line)) == (finding, {"USD": D(amount)})
    assert [entry.kind for entry in line.entries] == [entry_kind]
    assert [again.finding for again in cash_lines(rows, book(*line.entries))] == [Finding.MATCHED]


def owed(days: int) -> tuple[LedgerEntry, LedgerEntry]:
    """123 shares x 0.2531 = 31.1313, and 15 % of it = 4.669695 kept back, due so many days after the row's date."""
    position = Position(
        contract_id="AAPL",
        quantity=D(123),
        cost=D(1000),
        average_price=D(100),
        sleeves={Sleeve.CORE: D(123)},
    )
    dividend = Dividend(
        instrument_id="AAPL", ex_date=DAY, pay_date=DAY + timedelta(days=days), amount=D("0.2531")
    )
    accrual = dividend_accrual(position, BOOK.instrument("AAPL"), dividend, NOW)
    kept = withholding(accrual, D("0.15"), NOW)
    assert kept is not None
    return accrual, kept


@pytest.mark.parametrize(
    ("days", "paid", "tax"),
    [
        (20, "31.1313", "-4.669695"),  # to the micro-unit, whenever it is due
        (1, "31.13", "-4.67"),  # a day early and rounded to cents
        (0, "31.13", "-4.67"),
    ],
)
def test_dividend_and_tax_that_are_owed_are_paid_as_the_broker_did_and_never_again(
    days: int, paid: str, tax: str
) -> None:
    rows = statement(cash=(cash_row("7", CashKind.DIVIDEND, paid), cash_row("8", CashKind.WITHHOLDING, tax)))
    accruals = owed(days)
    entries = [entry for line in cash_lines(rows, book(*accruals)) for entry in line.entries]
    after = fold((*accruals, *entries), NEXT_MORNING)
    assert (after.cash, after.accruals) == ({"USD": D(paid) + D(tax)}, {"USD": D(0)})
    assert unpaid_accruals((*accruals, *entries)) == ()
    again = cash_lines(rows, book(*accruals, *entries))
    assert [line.finding for line in again] == [Finding.MATCHED, Finding.MATCHED]


def test_dividend_that_the_broker_pays_later_than_our_calendar_did_is_left_to_a_person() -> None:
    accrual, kept = owed(-2)
    booked_before = (accrual, kept, dividend_payment(accrual, NOW), withholding_payment(kept, NOW))
    rows = statement(
        cash=(cash_row("7", CashKind.DIVIDEND, "31.13"), cash_row("8", CashKind.WITHHOLDING, "-4.67"))
    )
    lines = cash_lines(rows, book(*booked_before))
    assert [(line.finding, line.entries) for line in lines] == [(Finding.OTHER_FIGURES, ())] * 2
    assert str(DAY - timedelta(days=2)) in lines[0].text


def test_difference_of_interest_is_booked_to_the_micro_unit() -> None:
    known = LedgerEntry(
        entry_id="interest:USD:2025-12-01",
        kind=EntryKind.INTEREST,
        booked_at=CLOSED,
        value_date=DAY,
        contract_id=None,
        reference="credit",
        price=None,
        quantity=None,
        lines=pair(CASH, "income:interest", "USD", D("2.123456")),
    )
    (line,) = cash_lines(statement(cash=(cash_row("7", CashKind.INTEREST, "2.12", None),)), book(known))
    assert cash_of(line) == {"USD": D("-0.003456")}


@pytest.mark.parametrize(("adopted", "finding"), [("-300", Finding.MATCHED), ("-310", Finding.ADOPTED)])
def test_cash_that_was_adopted_since_is_not_booked_twice(adopted: str, finding: Finding) -> None:
    adoption = LedgerEntry(
        entry_id="adoption:cash:USD:halt",
        kind=EntryKind.ADOPTION,
        booked_at=NEXT_MORNING,
        value_date=NEXT_MORNING.date(),
        contract_id=None,
        reference="halt",
        price=None,
        quantity=None,
        lines=pair(CASH, ADOPTED, "USD", D(adopted)),
    )
    (line,) = cash_lines(statement(cash=(cash_row("7", CashKind.FEE, "-300", None),)), book(adoption))
    assert (line.finding, line.is_explained) == (finding, False)


@pytest.mark.parametrize(
    ("kind", "finding"), [(CashKind.FLOW, Finding.FLOW), (CashKind.OTHER, Finding.UNNAMED_CASH)]
)
def test_capital_and_cash_of_unknown_type_are_never_booked(kind: CashKind, finding: Finding) -> None:
    (line,) = cash_lines(statement(cash=(cash_row("7", kind, "100", None),)), book())
    assert (line.finding, line.is_explained) == (finding, False)


@pytest.mark.parametrize(
    ("booked_findings", "rates", "limit", "expected"),
    [
        ({Finding.OTHER_FEE}, {"USD": D(1)}, "10", True),
        ({Finding.OTHER_FEE}, {"USD": D(1)}, "9.99", False),
        ({Finding.OTHER_FEE}, {}, "10", False),
        ({Finding.INTEREST}, {"USD": D(1)}, "10", False),
    ],
    ids=["small", "too large", "no rate", "not configured"],
)
def test_only_what_is_configured_and_small_is_booked(
    booked_findings: set[Finding],
    rates: dict[str, Decimal],
    limit: str,
    expected: bool,
) -> None:
    (line,) = cash_lines(statement(cash=(cash_row("7", CashKind.FEE, "-10", None),)), book())
    policy = StatementPolicy(booked=frozenset(booked_findings), cash_limit_usd=D(limit))
    assert policy.books(line, rates) is expected


@pytest.mark.parametrize(
    ("rows", "changes", "open_refs", "expected"),
    [
        ((), {}, (), ChildStatus.ABSENT),
        ((executed("AAPL", "10", "100"),), {}, (), ChildStatus.FILLED),
        ((executed("AAPL", "4", "100"),), {}, (), ChildStatus.CANCELLED),
        ((), {"sent_at": NOW - timedelta(days=1)}, (), None),
        ((), {"good_till": ENDS + timedelta(hours=1)}, (), None),
        ((), {}, ("AF1.REF.1",), None),
    ],
    ids=["no execution", "all executed", "partly executed", "sent before", "lives on", "still listed"],
)  # fmt: skip
def test_fate_of_an_unknown_order_is_what_the_statement_proves(
    rows: tuple[object, ...],
    changes: dict[str, object],
    open_refs: tuple[str, ...],
    expected: ChildStatus | None,
) -> None:
    child = ChildOrder(
        order_ref="AF1.REF.1",
        intent_id="p1",
        attempt=1,
        contract_id="AAPL",
        side=Side.BUY,
        quantity=D(10),
        order_type=OrderType.LIMIT,
        limit_price=D(101),
        time_in_force="DAY",
        good_till=changes.get("good_till", NOW + timedelta(hours=1)),  # type: ignore[arg-type]
    )
    record = ChildRecord(
        child=child,
        status=ChildStatus.UNKNOWN,
        filled=D(0),
        sent_at=changes.get("sent_at", NOW),  # type: ignore[arg-type]
    )
    (fate,) = order_fates(statement(rows), book(), [record], open_refs)  # type: ignore[arg-type]
    assert fate.status is expected, fate.text


def test_unknown_order_stays_unknown_while_the_quantities_differ() -> None:
    record = ChildRecord(
        child=ChildOrder(
            order_ref="AF1.X.1",
            intent_id="p1",
            attempt=1,
            contract_id="AAPL",
            side=Side.BUY,
            quantity=D(10),
            order_type=OrderType.LIMIT,
            limit_price=D(101),
            time_in_force="DAY",
            good_till=NOW + timedelta(hours=1),
        ),
        status=ChildStatus.UNKNOWN,
        filled=D(0),
        sent_at=NOW,
    )
    (fate,) = order_fates(statement(), book(*booked()), [record], ())
    assert (fate.status, "quantity of AAPL" in fate.text) == (None, True)


def paid_month(amount: str, day: int = 1) -> LedgerEntry:
    """A month's interest that our calendar paid."""
    return LedgerEntry(
        entry_id="interest-posted:USD:2025-11",
        kind=EntryKind.INTEREST,
        booked_at=CLOSED,
        value_date=DAY.replace(day=day),
        contract_id=None,
        reference="2025-11",
        price=None,
        quantity=None,
        lines=pair(CASH, INTEREST_ACCRUAL, "USD", D(amount)),
    )


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (("800", "-45.50"), {Finding.MATCHED: 2}),  # credit and debit interest of the month
        (("800", "-45.25"), {Finding.INTEREST: 1, Finding.MATCHED: 1}),
    ],
)
def test_month_of_interest_is_compared_as_a_whole_and_its_difference_is_named(
    rows: tuple[str, ...], found: dict[Finding, int]
) -> None:
    told = tuple(cash_row(str(n), CashKind.INTEREST, amount, None) for n, amount in enumerate(rows))
    lines = cash_lines(statement(cash=told), book(paid_month("754.50")))
    assert Counter(line.finding for line in lines) == found
    apart = [line for line in lines if line.finding is Finding.INTEREST]
    # 800 − 45.25 − 754.50
    assert [cash_of(line) for line in apart] == [{"USD": D("0.25")}] * len(apart)
    assert all("the book has 754.50, +0.25 apart" in line.text for line in apart)


OPTION = "SPX_20251219_P_4800"
ENDS_TODAY = replace(
    BOOK, contracts={OPTION: replace(BOOK.contract(OPTION), last_trade_date=DAY)}
)  # the option's last day is the statement's


def test_end_of_a_contract_that_our_calendar_missed_is_booked_once() -> None:
    held = bought(OPTION, "2", "20", "e9.01")
    row = executed(OPTION, "-2", "12.5", "x1.01", None, "0", TradeKind.EVENT)
    (line,) = event_lines(statement((row,)), replace(book(held), contracts=ENDS_TODAY))
    # 2 × 12.50 × 100
    assert (line.finding, cash_of(line)) == (Finding.EXPIRY, {"USD": D(2500)})
    (again,) = event_lines(statement((row,)), replace(book(held, *line.entries), contracts=ENDS_TODAY))
    assert again.finding is Finding.MATCHED


@pytest.mark.parametrize(
    ("quantity", "contracts", "why"),
    [("-1", ENDS_TODAY, "only a part of what we hold"), ("-2", BOOK, "before its last trade date")],
)
def test_event_that_is_no_plain_end_of_what_we_hold_is_left_to_a_person(
    quantity: str, contracts: ContractBook, why: str
) -> None:
    held = bought(OPTION, "2", "20", "e9.01")
    row = executed(OPTION, quantity, "12.5", "x1.01", None, "0", TradeKind.EVENT)
    (line,) = event_lines(statement((row,)), replace(book(held), contracts=contracts))
    assert (line.finding, line.is_explained) == (Finding.EVENT, False), why
