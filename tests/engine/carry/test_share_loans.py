"""A loan runs from the settlement of the sale to the settlement of the purchase (R-73)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from engine.accounting.book import fold
from engine.accounting.ledger import EntryKind, LedgerEntry, reverse
from engine.carry.borrow import settlement_date, share_loans, unsettled_shares, unsettled_trades
from engine.carry.calendar import DayFacts, day_end_entries
from engine.errors import ConfigurationError
from engine.model.carry import SettlementCycle
from engine.model.market import Split
from engine.sessions import Session, SessionTable
from tests.engine.accounting.builders import BOOK, D, at, bought
from tests.engine.accounting.policies import CARRY

T2 = SettlementCycle(venue="XNYS", sessions=2, first=date(2017, 9, 5), last=date(2024, 5, 27), source="test")
T1 = SettlementCycle(venue="XNYS", sessions=1, first=date(2024, 5, 28), last=None, source="test")


def weekdays(first: date, last: date) -> SessionTable:
    """Sessions of one venue from Monday to Friday."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return SessionTable(
        first=first,
        last=last,
        venues={
            "XNYS": tuple(
                Session(
                    venue="XNYS",
                    session_date=day,
                    open=datetime.combine(day, time(14, 30), UTC),
                    close=datetime.combine(day, time(21), UTC),
                    early_close=False,
                )
                for day in days
                if day.weekday() < 5
            )
        },
    )


SESSIONS = weekdays(date(2025, 11, 3), date(2025, 12, 31))


def unsettled(entries: list[LedgerEntry], day: date, *splits: Split) -> dict[str, Decimal]:
    trades = unsettled_trades(entries, date(2025, 12, 1), BOOK, SESSIONS, (replace(T2, last=None),))
    return dict(unsettled_shares(trades, splits, day))


@pytest.mark.parametrize(
    ("trade_date", "settles"),
    [
        (date(2024, 5, 23), date(2024, 5, 27)),  # Thursday, two sessions on
        (date(2024, 5, 24), date(2024, 5, 28)),  # Friday before the change
        (date(2024, 5, 28), date(2024, 5, 29)),  # the first day of one session
        (date(2024, 5, 31), date(2024, 6, 3)),  # Friday to Monday
    ],
)
def test_trade_settles_after_the_sessions_of_its_day(trade_date: date, settles: date) -> None:
    table = weekdays(date(2024, 5, 1), date(2024, 6, 28))
    assert settlement_date("XNYS", trade_date, table, (T2, T1)) == settles


def test_venue_without_a_cycle_on_the_day_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="settlement cycle of XNYS on 2017-09-04"):
        settlement_date("XNYS", date(2017, 9, 4), SESSIONS, (T2, T1))


def test_fee_begins_on_the_settlement_of_the_sale_and_ends_on_that_of_the_purchase() -> None:
    # sold on Monday the 1st, delivered on Wednesday; bought back on Thursday, delivered on Monday the 8th
    sold, covered = bought("AAPL", "-100", "50", "e1.01"), bought("AAPL", "100", "50", "e2.01")
    covered = replace(covered, booked_at=at(4, 15), value_date=date(2025, 12, 4))
    fees = {}
    for day in range(1, 10):
        book = [sold] if day < 4 else [sold, covered]
        facts = DayFacts(
            day=date(2025, 12, day),
            closes={},
            last_closes={"AAPL": D(50)},
            dividends=(),
            splits=(),
            borrow_fee_bps={"AAPL": D(150)},
            unsettled=unsettled(book, date(2025, 12, day)),
        )
        made = day_end_entries(fold(book, at(day, 22)), facts, BOOK, CARRY)
        fees[day] = sum(
            (line.amount for entry in made if entry.kind is EntryKind.BORROW_FEE for line in entry.lines
             if line.account == "cash"), D(0),
        )  # fmt: skip
    # 51 × 100 × 1.5 % / 360 = 0.2125 on each of the five nights of the loan
    assert fees == {day: D("-0.2125") if 3 <= day <= 7 else 0 for day in range(1, 10)}


def test_sale_that_was_taken_back_is_never_lent() -> None:
    sold = bought("AAPL", "-100", "50", "e1.01")
    book = [sold, reverse(sold, at(1, 18))]
    assert unsettled(book, date(2025, 12, 1)) == {}
    loans = share_loans(fold(book, at(2)), unsettled(book, date(2025, 12, 1)), {}, {}, BOOK)
    assert loans == ()


def test_trade_that_waits_over_a_split_counts_in_new_shares() -> None:
    split = Split(instrument_id="AAPL", ex_date=date(2025, 12, 2), new_shares=7, old_shares=2)
    book = [bought("AAPL", "-101", "50", "e1.01")]
    assert unsettled(book, date(2025, 12, 1), split) == {"AAPL": D(-101)}
    assert unsettled(book, date(2025, 12, 2), split) == {"AAPL": D("-353.5")}  # 101 × 7 / 2
    assert unsettled(book, date(2025, 12, 3), split) == {}
