"""The simulated broker's statement: figures worked out by hand, and no contradiction over days of every kind."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from decimal import Decimal

import pytest

from engine.accounting.statement import CashComponent, CashKind, Statement, TradeKind, contradictions
from engine.errors import ConfigurationError
from engine.model.market import Dividend, Split
from engine.model.orders import Side
from engine.simulation.broker import SimulatedBroker
from engine.simulation.journal import MemoryJournal
from engine.simulation.statement import AccountHistory, account_statement
from tests.engine.simulation.exchange_world import (
    FUTURE,
    MONDAY,
    NO_CARRY,
    OPTION,
    World,
    broker_terms,
    events_until,
    new_broker,
    order,
    utc,
)

D = Decimal
LINES = {"AAA": "100.05", "PEN": "250.3", FUTURE: "5000.5", OPTION: "12.05", "EUR.USD": "1.1001", "USD.CHF": "0.8001"}  # fmt: skip
FRIDAY = MONDAY + timedelta(days=4)


def stated(broker: SimulatedBroker, journal: MemoryJournal, first: date, last: date) -> Statement:
    return account_statement(AccountHistory.read(journal), broker.state, broker.terms, first, last)


def traded(world: World | None = None) -> tuple[SimulatedBroker, MemoryJournal]:
    """An account that bought ten of every line on Monday, and has lived until Saturday."""
    journal = MemoryJournal()
    broker = new_broker(world, carry=NO_CARRY, journal=journal)
    for number, (name, limit) in enumerate(LINES.items()):
        broker.submit(order(name, "10", limit, ref=f"AF1.{number}.0", good_till=utc(MONDAY, 20)))
    events_until(broker, utc(FRIDAY, 23))
    broker.advance(utc(FRIDAY, 23, 30))
    return broker, journal


def test_rows_of_a_week_have_the_figures_that_the_world_gives_them() -> None:
    broker, journal = traded()
    week = stated(broker, journal, MONDAY, FRIDAY)
    rows = {row.fill.contract_id: row for row in week.trades if row.kind is TradeKind.EXECUTION}
    assert rows["AAA"].proceeds == D("-1000.1"), "10 at 100.01"
    assert rows["PEN"].proceeds == D("-25.01"), "10 at 250.1 pence are 25.01 pounds"
    assert (rows["PEN"].unit_price, rows["PEN"].fill.price) == (D("2.501"), D("250.1"))
    assert rows[FUTURE].proceeds == 0, "a future moves no cash at the trade"
    assert rows[OPTION].proceeds == D("-12010"), "10 at 12.01, 100 shares each"
    assert (rows["EUR.USD"].bought_currency, rows["EUR.USD"].quantity) == ("EUR", 10)
    (ended,) = [row for row in week.trades if row.kind is TradeKind.EVENT]
    assert (ended.fill.contract_id, ended.quantity, ended.proceeds) == (OPTION, -10, D("12000"))
    usd = next(report for report in week.reports if report.currency == "USD")
    # 10 futures bought at 5000.25 are settled at 5000: 10 × 50 × −0.25.
    assert usd.components[CashComponent.SETTLEMENT] == D("-125")
    assert usd.components[CashComponent.COMMISSIONS] == D("-32"), (
        "1 + 22.50 + 6.50 + 2.00, and the franc pair's in francs"
    )
    held = {position.contract_id: position.quantity for position in week.positions}
    assert held == {"AAA": 10, "PEN": 10, FUTURE: 10}
    assert contradictions(week) == ()


def test_statements_of_single_days_follow_on_one_another() -> None:
    broker, journal = traded()
    days = [stated(broker, journal, day, day) for day in (MONDAY + timedelta(days=n) for n in range(5))]
    for before, after in itertools.pairwise(days):
        ended = {report.currency: report.ending for report in before.reports}
        assert {report.currency: report.starting for report in after.reports} == ended
    assert [contradictions(day) for day in days] == [()] * 5
    assert OPTION in {position.contract_id for position in days[0].positions}


def test_dividend_and_deposit_are_rows_of_their_own() -> None:
    payday = MONDAY + timedelta(days=3)
    dividend = Dividend(
        instrument_id="AAA",
        ex_date=MONDAY + timedelta(days=1),
        pay_date=payday,
        amount=D("0.5"),
    )
    broker, journal = traded(World(dividend_list=(dividend,)))
    week = stated(broker, journal, MONDAY, FRIDAY)
    rows = {row.kind: row for row in week.cash}
    assert (rows[CashKind.DIVIDEND].amount, rows[CashKind.DIVIDEND].value_date) == (D("5"), payday)
    assert rows[CashKind.FLOW].amount == D(10_000_000)


@pytest.mark.parametrize(("new", "old", "after", "cash"), [(2, 1, 20, 0), (1, 3, 3, 1)])
def test_statement_of_a_day_before_a_split_has_the_old_quantity(
    new: int, old: int, after: int, cash: int
) -> None:
    tuesday = MONDAY + timedelta(days=1)
    split = Split(instrument_id="AAA", ex_date=tuesday, new_shares=new, old_shares=old)
    broker, journal = traded(World(split_list=(split,)))
    quantities = [
        {position.contract_id: position.quantity for position in stated(broker, journal, day, day).positions}[
            "AAA"
        ]
        for day in (MONDAY, tuesday, FRIDAY)
    ]
    assert quantities == [10, after, after]
    found = [
        row for row in stated(broker, journal, tuesday, tuesday).cash if row.kind is CashKind.CASH_IN_LIEU
    ]
    assert len(found) == cash, "ten shares in thirds leave a third of one"
    assert contradictions(stated(broker, journal, MONDAY, FRIDAY)) == ()


def test_short_pays_its_borrow_fee_as_interest() -> None:
    journal = MemoryJournal()
    broker = new_broker(journal=journal)
    broker.submit(order("AAA", "100", "99.95", side=Side.SELL, good_till=utc(MONDAY, 20)))
    events_until(broker, utc(MONDAY, 23))
    found = stated(broker, journal, MONDAY, MONDAY)
    (fee,) = [row for row in found.cash if row.kind is CashKind.BORROW_FEE]
    # 100 × 100.00 × 102 % × 150 bps / 360
    assert (fee.amount, fee.contract_id) == (D("-0.425"), "AAA")
    assert contradictions(found) == ()


def test_day_that_is_not_settled_yet_has_no_statement() -> None:
    journal = MemoryJournal()
    broker = new_broker(journal=journal)
    with pytest.raises(ConfigurationError, match=r"lived until 2024-03-04 15:00 UTC"):
        account_statement(AccountHistory.read(journal), broker.state, broker_terms(), MONDAY, MONDAY)
