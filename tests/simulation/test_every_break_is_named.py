"""Each kind of break, made by the simulated broker's own primitives, is named by the reconciliation."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import engine.simulation
from engine.accounting.reconciliation import ReconciliationStatus, reconcile
from engine.accounting.sides import Evidence
from engine.model.breaks import BREAK_MEANINGS, BreakKind
from engine.model.halts import HaltChoice
from engine.model.market import Dividend, Split
from engine.model.universe import ContractBook
from engine.simulation import interventions as acts
from engine.simulation.account import FaultKind
from engine.simulation.faults import ForeignTrade, add_trade, hide_execution, shift_net_liquidation
from tests.engine.accounting.policies import RECONCILIATION
from tests.engine.simulation.exchange_world import (
    CONTRACTS,
    EURO,
    FUTURE,
    MONDAY,
    OPTION,
    UNIVERSE,
    World,
    utc,
)
from tests.simulation.two_sides import BOOK, Comparison, at_six

D = Decimal
K, F = BreakKind, FaultKind
TUESDAY = MONDAY + timedelta(days=1)
UNKNOWN = {
    K.UNANSWERED,
    K.LATE_ANSWER,
    K.EMPTY_ANSWER,
    K.PARTIAL_ANSWER,
    K.IMPOSSIBLE_NUMBER,
    K.WRONG_ACCOUNT,
    K.CURRENCY_WITHOUT_RATE,
    K.VANISHED_ORDER,
}


def held(*orders: tuple[str, int], world: World | None = None, until: date = TUESDAY) -> Comparison:
    """A fund that bought on Monday, at 06:00 of a later day: venues of shares are closed."""
    two = Comparison.begin(world)
    two.trade(*(orders or (("AAA", 10_000), ("PEN", 100_000), (FUTURE, 4), ("EUR.USD", 500_000))))
    two.live(at_six(until))
    assert two.compare().status is ReconciliationStatus.PASS
    return two


def report_fault(
    kind: FaultKind, subject: str = "", amount: str = "0"
) -> Callable[[], tuple[Comparison, Evidence]]:
    def make() -> tuple[Comparison, Evidence]:
        two = held()
        acts.distort_report(two.broker, "fault", kind, subject, D(amount))
        return two, Evidence()

    return make


def foreign(
    two: Comparison, quantity: str, contract_id: str = "AAA", ref: str | None = None, price: str = "100"
) -> str:
    trade = ForeignTrade(contract_id=contract_id, quantity=D(quantity), price=D(price), order_ref=ref)
    return add_trade(two.broker, "fault", trade).execution_id


def missed_fill() -> tuple[Comparison, Evidence]:
    two = held()
    foreign(two, "300", ref="AF1.LOST.0")
    return two, Evidence()


def corrected() -> tuple[Comparison, Evidence]:
    two = held()
    name = next(fill.execution_id for fill in two.fills.values() if fill.contract_id == "AAA")
    acts.change_execution(two.broker, "fault", name, D(9_000), D("100.01"))
    return two, Evidence()


def busted() -> tuple[Comparison, Evidence]:
    two = held()
    name = next(fill.execution_id for fill in two.fills.values() if fill.contract_id == "AAA")
    acts.change_execution(two.broker, "fault", name, D(0), D("100.01"))
    return two, Evidence()


def busted_without_a_trace() -> tuple[Comparison, Evidence]:
    two = held()
    name = next(fill.execution_id for fill in two.fills.values() if fill.contract_id == "AAA")
    acts.withdraw_execution(two.broker, "fault", name)
    return two, Evidence()


def told_twice(*, book: bool) -> Callable[[], tuple[Comparison, Evidence]]:
    def make() -> tuple[Comparison, Evidence]:
        two = held()
        name = next(fill.execution_id for fill in two.fills.values() if fill.contract_id == "AAA")
        acts.list_again(two.broker, "fault", name, book=book)
        return two, Evidence()

    return make


def booked_twice() -> tuple[Comparison, Evidence]:
    """The broker listed an execution twice, our book took both, and one of them vanished again."""
    two = held()
    name = next(fill.execution_id for fill in two.fills.values() if fill.contract_id == "AAA")
    twin = acts.list_again(two.broker, "fault", name, book=False)
    two.book_new()
    acts.distort_report(two.broker, "fault", F.HIDDEN_EXECUTION, twin.execution_id)
    return two, Evidence()


def manual_trade() -> tuple[Comparison, Evidence]:
    two = held()
    foreign(two, "-300")
    return two, Evidence()


def liquidation() -> tuple[Comparison, Evidence]:
    two = held()
    acts.mark_as_broker_trade(two.broker, "fault", foreign(two, "-4000"))
    return two, Evidence()


def unlisted_trade() -> tuple[Comparison, Evidence]:
    two = held()
    hide_execution(two.broker, "fault", foreign(two, "300"))
    return two, Evidence()


def transfer() -> tuple[Comparison, Evidence]:
    two = held()
    acts.move_holding(two.broker, "fault", "AAA", D(-300))
    return two, Evidence()


def split(ratio: str, *, known: bool) -> Callable[[], tuple[Comparison, Evidence]]:
    def make() -> tuple[Comparison, Evidence]:
        two = held()
        acts.move_holding(two.broker, "fault", "AAA", 10_000 * (D(ratio) - 1))
        acts.distort_report(two.broker, "fault", F.SCALED_MARK, "AAA", 1 / D(ratio))
        terms = D(ratio).as_integer_ratio()
        row = Split(instrument_id="AAA", ex_date=TUESDAY, new_shares=terms[0], old_shares=terms[1])
        return two, Evidence(splits=(row,) if known else ())

    return make


def assignment() -> tuple[Comparison, Evidence]:
    """Ten puts at a strike of 100 exercised: 1,000 shares out, 100,000 USD in."""
    two = held(("AAA", 10_000), (OPTION, 10))
    acts.move_holding(two.broker, "fault", OPTION, D(-10))
    acts.move_holding(two.broker, "fault", "AAA", D(-1_000))
    acts.change_cash(two.broker, "fault", "USD", D(100_000))
    return two, Evidence()


def expiry() -> tuple[Comparison, Evidence]:
    """Ten puts paid out at 12 on their last day, before our book ends them at 22:30."""
    two = held(("AAA", 10_000), (OPTION, 10), until=date(2024, 3, 8))
    acts.move_holding(two.broker, "fault", OPTION, D(-10))
    acts.change_cash(two.broker, "fault", "USD", D(12_000))
    return two, Evidence()


def delivery() -> tuple[Comparison, Evidence]:
    """Eight futures on 12,500 EUR delivered at 1.10: 100,000 EUR against 110,000 USD."""
    two = held((EURO, 8), until=date(2024, 3, 18))
    acts.move_holding(two.broker, "fault", EURO, D(-8))
    acts.change_cash(two.broker, "fault", "EUR", D(100_000))
    acts.change_cash(two.broker, "fault", "USD", D(-110_000))
    return two, Evidence()


def foreign_order() -> tuple[Comparison, Evidence]:
    two = held()
    two.live(utc(TUESDAY, 15))
    acts.place_order(two.broker, "fault", "AAA", D(100), D("90"))
    return two, Evidence()


def with_order(*, ended: bool = False) -> tuple[Comparison, str]:
    """One order of the fund's own works at the broker, or has ended there and in our book."""
    two = held()
    two.live(utc(TUESDAY, 15))
    ref = two.work()
    two.live(utc(TUESDAY, 15, 5))
    assert two.compare().status is ReconciliationStatus.PASS
    if ended:
        two.broker.cancel(ref)
        two.live(utc(TUESDAY, 15, 10))
        del two.working[ref]
        assert two.compare().status is ReconciliationStatus.PASS
    return two, ref


def vanished_order(subject: str = "") -> Callable[[], tuple[Comparison, Evidence]]:
    def make() -> tuple[Comparison, Evidence]:
        two, ref = with_order()
        acts.distort_report(two.broker, "fault", F.UNLISTED_ORDER, subject or ref)
        return two, Evidence()

    return make


def changed_order(quantity: str, limit: str) -> Callable[[], tuple[Comparison, Evidence]]:
    def make() -> tuple[Comparison, Evidence]:
        two, ref = with_order()
        acts.change_order(two.broker, "fault", ref, D(quantity), D(limit))
        return two, Evidence()

    return make


def repeated_order() -> tuple[Comparison, Evidence]:
    two, ref = with_order()
    acts.place_order(two.broker, "fault", "AAA", D(100), D("90"), ref)
    return two, Evidence()


def revived_order() -> tuple[Comparison, Evidence]:
    two, ref = with_order(ended=True)
    acts.place_order(two.broker, "fault", "AAA", D(100), D("90"), ref)
    return two, Evidence()


def executions_of_today(subject: str) -> Callable[[], tuple[Comparison, Evidence]]:
    """Two executions of this morning, of which the broker lists one or none."""

    def make() -> tuple[Comparison, Evidence]:
        two = held()
        first, _ = two.trade(("AAA", 500), ("AAA", 700))
        acts.distort_report(two.broker, "fault", F.HIDDEN_EXECUTION, subject or first.execution_id)
        return two, Evidence()

    return make


PAID = Dividend(instrument_id="AAA", ex_date=TUESDAY, pay_date=TUESDAY, amount=D("0.31"))


def dividend() -> tuple[Comparison, Evidence]:
    """10,000 shares at 0.31 that our calendar did not know."""
    two = held()
    acts.change_cash(two.broker, "fault", "USD", D(3_100))
    return two, Evidence(dividends=(PAID,))


def dividend_paid_early() -> tuple[Comparison, Evidence]:
    later = Dividend(instrument_id="AAA", ex_date=TUESDAY, pay_date=date(2024, 3, 20), amount=D("0.31"))
    two = held(world=World(depth=D(1_000_000), dividend_list=(later,)))
    acts.pay_now(two.broker, "fault")
    return two, Evidence()


def withheld() -> tuple[Comparison, Evidence]:
    """15 % of a dividend of 20,000 USD."""
    row = Dividend(instrument_id="AAA", ex_date=TUESDAY, pay_date=TUESDAY, amount=D(2))
    two = held(world=World(depth=D(1_000_000), dividend_list=(row,)))
    acts.change_cash(two.broker, "fault", "USD", D(-3_000))
    return two, Evidence()


def trade_tax() -> tuple[Comparison, Evidence]:
    """Half a percent of the pounds paid on Monday: 100,000 × 250.1 pence."""
    two = held()
    paid = sum(
        (fill.quantity * fill.price / 100 for fill in two.fills.values() if fill.contract_id == "PEN"), D(0)
    )
    acts.change_cash(two.broker, "fault", "GBP", -paid * D("0.005"))
    return two, Evidence()


def late_commission() -> tuple[Comparison, Evidence]:
    two = held()
    name = next(fill.execution_id for fill in two.fills.values() if fill.contract_id == "AAA")
    acts.charge_execution(two.broker, "fault", name, D(1_500))
    return two, Evidence()


def posting_again(
    prefix: str, orders: tuple[tuple[str, int], ...] = (), fee: str = "150"
) -> Callable[[], tuple[Comparison, Evidence]]:
    """The broker posts once more what our ledger posted overnight."""

    def make() -> tuple[Comparison, Evidence]:
        two = held(*orders, world=World(depth=D(1_000_000), fee_bps=D(fee)))
        entry = next(x for x in two.entries if x.entry_id.startswith(prefix))
        line = next(x for x in entry.lines if x.account == "cash")
        acts.change_cash(two.broker, "fault", line.unit, line.amount)
        return two, Evidence()

    return make


def settled_cash() -> tuple[Comparison, Evidence]:
    """Four futures 20 points above their settlement: 4 × 20 × 50 = 4,000 USD left out of the cash."""
    two = held((FUTURE, 4))
    two.world.closes[FUTURE] = D(5_020)
    two.live(utc(TUESDAY, 21, 30))
    gain = sum(
        BOOK.instrument(FUTURE).notional(p.quantity, D(5_020)) - p.cost
        for p in two.portfolio.positions.values()
    )
    assert gain == 4_000
    acts.distort_report(two.broker, "fault", F.SHIFTED_CASH, "USD", -gain)
    return two, Evidence()


def conversion() -> tuple[Comparison, Evidence]:
    two = held()
    acts.change_cash(two.broker, "fault", "EUR", D(100_000))
    acts.change_cash(two.broker, "fault", "USD", D(-110_000))
    return two, Evidence()


def cash_movement() -> tuple[Comparison, Evidence]:
    two = held()
    acts.change_cash(two.broker, "fault", "USD", D(-30_000))
    return two, Evidence()


def accrual() -> tuple[Comparison, Evidence]:
    two = held()
    acts.promise_cash(two.broker, "fault", "AAA", D(7_000), date(2024, 4, 2))
    return two, Evidence()


def stale_liquidation() -> tuple[Comparison, Evidence]:
    two = held()
    old = two.broker.snapshot(two.broker.now).net_liquidation
    assert old is not None
    two.world.closes["AAA"] = D(110)
    two.live(utc(TUESDAY, 22))
    acts.distort_report(two.broker, "fault", F.FIXED_NET_LIQUIDATION, "", old)
    return two, Evidence(last_liquidation=old)


def swept_cash() -> tuple[Comparison, Evidence]:
    two = held()
    acts.distort_report(two.broker, "fault", F.ADDED_NET_LIQUIDATION, "", two.broker.state.balance("USD"))
    return two, Evidence()


def drifted() -> tuple[Comparison, Evidence]:
    two = held()
    shift_net_liquidation(two.broker, "fault", D("0.005"))
    return two, Evidence()


NLV = "net liquidation"
CASES: tuple[tuple[str, BreakKind, str, Callable[[], tuple[Comparison, Evidence]]], ...] = (
    ("positions fail", K.UNANSWERED, "positions", report_fault(F.WITHHELD_ANSWER, "positions")),
    ("cash fails", K.UNANSWERED, "cash", report_fault(F.WITHHELD_ANSWER, "cash")),
    ("executions fail", K.UNANSWERED, "executions", report_fault(F.WITHHELD_ANSWER, "executions")),
    (
        "the answer is an hour old",
        K.LATE_ANSWER,
        "time of the answer",
        report_fault(F.DELAYED_ANSWER, "", "1"),
    ),
    ("no position is listed", K.EMPTY_ANSWER, "AAA", report_fault(F.UNLISTED_HOLDING, "*")),
    ("no cash is listed", K.EMPTY_ANSWER, "cash in USD", report_fault(F.UNLISTED_CASH, "*")),
    ("one position is not listed", K.PARTIAL_ANSWER, "AAA", report_fault(F.UNLISTED_HOLDING, "AAA")),
    ("one currency is not listed", K.PARTIAL_ANSWER, "cash in EUR", report_fault(F.UNLISTED_CASH, "EUR")),
    ("cash is no number", K.IMPOSSIBLE_NUMBER, "cash of USD", report_fault(F.UNREADABLE_CASH, "USD")),
    ("no execution of today is listed", K.EMPTY_ANSWER, "SIM.00000005.01", executions_of_today("*")),
    ("one execution of today is not listed", K.PARTIAL_ANSWER, "SIM.00000005.01", executions_of_today("")),
    ("open orders fail", K.UNANSWERED, "open_orders", report_fault(F.WITHHELD_ANSWER, "open_orders")),
    (
        "ended orders fail",
        K.UNANSWERED,
        "completed_orders",
        report_fault(F.WITHHELD_ANSWER, "completed_orders"),
    ),
    ("the account's figures fail", K.UNANSWERED, "account", report_fault(F.WITHHELD_ANSWER, "account")),
    ("an order of ours is not listed", K.VANISHED_ORDER, "AF1.4.0", vanished_order()),
    ("no order is listed", K.VANISHED_ORDER, "AF1.4.0", vanished_order("*")),
    ("an order of ours grew", K.CHANGED_ORDER, "AF1.4.0", changed_order("200", "90")),
    ("an order of ours pays more", K.CHANGED_ORDER, "AF1.4.0", changed_order("100", "91")),
    ("an order of ours works twice", K.REPEATED_ORDER, "0000000005", repeated_order),
    ("an order of ours works again", K.REVIVED_ORDER, "AF1.4.0", revived_order),
    ("another account answers", K.WRONG_ACCOUNT, "account name", report_fault(F.OTHER_ACCOUNT, "U999")),
    ("yen without a rate", K.CURRENCY_WITHOUT_RATE, "JPY", report_fault(F.SHIFTED_CASH, "JPY", "1000000")),
    ("a fill that nobody told", K.MISSED_FILL, "AAA", missed_fill),
    ("a correction", K.CORRECTED_EXECUTION, "AAA", corrected),
    ("a bust", K.BUSTED_EXECUTION, "AAA", busted),
    ("a bust without a trace", K.BUSTED_EXECUTION, "AAA", busted_without_a_trace),
    ("an execution executed twice", K.DUPLICATE_FILL, "AAA", told_twice(book=True)),
    ("an execution told twice", K.DUPLICATE_FILL, "AAA", told_twice(book=False)),
    ("an execution booked twice", K.DUPLICATE_FILL, "AAA", booked_twice),
    ("a trade by hand", K.MANUAL_TRADE, "AAA", manual_trade),
    ("the broker sells", K.BROKER_LIQUIDATION, "AAA", liquidation),
    ("a trade without execution", K.UNLISTED_TRADE, "AAA", unlisted_trade),
    ("shares leave without money", K.POSITION_TRANSFER, "AAA", transfer),
    ("a known split", K.SPLIT, "AAA", split("2", known=True)),
    ("a known reverse split", K.SPLIT, "AAA", split("0.25", known=True)),
    ("a split that nobody announced", K.SPLIT, "AAA", split("2", known=False)),
    ("a new symbol", K.SYMBOL_CHANGE, "AAA", report_fault(F.RENAMED_HOLDING, "AAA>AAB")),
    ("an exercise", K.ASSIGNMENT, OPTION, assignment),
    ("an exercise, its shares", K.ASSIGNMENT, "AAA", assignment),
    ("an early end", K.EXPIRY, OPTION, expiry),
    ("a delivery", K.DELIVERY, EURO, delivery),
    ("a quantity in units", K.MULTIPLIER, FUTURE, report_fault(F.SCALED_QUANTITY, FUTURE, "50")),
    ("an order of somebody else", K.FOREIGN_ORDER, "0000000005", foreign_order),
    ("a dividend not known", K.DIVIDEND, "USD", dividend),
    ("a dividend paid early", K.DIVIDEND, "USD", dividend_paid_early),
    ("a tax on a dividend", K.TAX, "USD", withheld),
    ("a tax on a purchase", K.TAX, "GBP", trade_tax),
    ("a commission later", K.COMMISSION, "USD", late_commission),
    ("interest twice", K.INTEREST, "USD", posting_again("interest:USD", (("AAA", 100),))),
    ("a loan's fee twice", K.BORROW_FEE, "USD", posting_again("borrow:AAA", (("AAA", -20_000),), "5000")),
    ("gains of futures left out", K.VARIATION, "USD", settled_cash),
    ("an exchange by hand", K.CONVERSION, "EUR", conversion),
    ("swept cash in the balance", K.SWEEP_CASH, "USD", report_fault(F.SCALED_CASH, "USD", "2")),
    ("swept cash in the whole", K.SWEEP_CASH, NLV, swept_cash),
    ("a balance in pence", K.PENCE, "GBP", report_fault(F.SCALED_CASH, "GBP", "100")),
    ("a price in pounds", K.PENCE, "PEN", report_fault(F.SCALED_MARK, "PEN", "0.01")),
    ("a debit without a word", K.CASH_MOVEMENT, "USD", cash_movement),
    ("a promise of money", K.ACCRUAL, "USD owed", accrual),
    ("the whole of yesterday", K.STALE_LIQUIDATION, NLV, stale_liquidation),
    ("a whole that is not its parts", K.LIQUIDATION_DRIFT, NLV, drifted),
    ("another close", K.MARK_DIFFERENCE, "AAA", report_fault(F.SCALED_MARK, "AAA", "1.02")),
    ("another rate", K.RATE_DIFFERENCE, "EUR", report_fault(F.SCALED_RATE, "EUR", "1.01")),
    ("a rate upside down", K.INVERTED_RATE, "EUR", report_fault(F.SCALED_RATE, "EUR", str(1 / D("1.21")))),
)


@pytest.mark.parametrize(("kind", "subject", "make"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_break_made_by_the_broker_is_named(
    kind: BreakKind, subject: str, make: Callable[[], tuple[Comparison, Evidence]]
) -> None:
    two, evidence = make()
    report = two.compare(evidence)
    named = [(found.subject, found.cause) for found in report.breaks]
    assert next((cause for about, cause in named if about == subject), None) is kind, named
    assert len(two.broker.state.faults) > 0, "it was made by no primitive of the broker"
    assert not report.can_trade
    assert (report.status is ReconciliationStatus.UNKNOWN) == (kind in UNKNOWN)
    for found in report.breaks:
        assert all(cause.text for cause in found.explanations)
        assert (
            len({cause.cause for cause in found.explanations}) == len(found.explanations)
            or found.explanations
        )


def test_future_that_only_the_list_lacks_is_asked_for_again_before_it_is_called_gone() -> None:
    """A future is worth nothing by itself: the whole agrees whether it is held or not."""
    two = held()
    acts.distort_report(two.broker, "fault", F.UNLISTED_HOLDING, FUTURE, D(0))
    report = two.compare()
    (found,) = report.breaks
    assert (found.subject, found.cause, found.explanations[0].choice) == (
        FUTURE,
        K.PARTIAL_ANSWER,
        HaltChoice.RETRY,
    )
    assert not report.can_trade


def test_contract_that_our_universe_does_not_list_is_named() -> None:
    two = held(("AAA", 10_000))
    foreign(two, "10", OPTION, price="12")
    ours: Mapping[str, object] = {name: row for name, row in CONTRACTS.items() if name != OPTION}
    book = ContractBook(universe=UNIVERSE, contracts=ours)  # type: ignore[arg-type]
    assert two.causes(contracts=book)[OPTION] is K.UNKNOWN_CONTRACT


def test_commission_in_a_currency_without_a_rate_is_no_answer_to_go_by() -> None:
    two = held()
    told = two.broker.snapshot(two.broker.now)
    first, *others = told.executions
    in_yen = replace(first, commission_currency="JPY")
    sides, valuation = two.sides_of(replace(told, executions=(in_yen, *others)))
    report = reconcile(sides, valuation, RECONCILIATION, two.known())
    assert [(found.subject, found.cause) for found in report.breaks] == [("JPY", K.CURRENCY_WITHOUT_RATE)]


def test_broker_knows_no_kinds_of_breaks() -> None:
    """Neither the simulation nor anything that it imports of ours says why two books differ."""
    naming = {"engine.model.breaks", "engine.accounting.break_values", "engine.accounting.reconciliation"}
    for module in sorted(Path(engine.simulation.__path__[0]).glob("*.py")):
        imported = {
            node.module
            for node in ast.walk(ast.parse(module.read_text()))
            if isinstance(node, ast.ImportFrom)
        }
        assert not imported & naming, module.name


def test_every_kind_of_break_is_made_by_the_broker() -> None:
    made = {case[1] for case in CASES} | {K.UNKNOWN_CONTRACT}
    assert made == set(BreakKind)
    assert set(BREAK_MEANINGS) == set(BreakKind)
