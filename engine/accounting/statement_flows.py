"""Deposits and withdrawals of a statement against the money of investors that the ledger booked.

The bank's day and the day on which we saw the money at the broker may differ by a weekend: rows are matched by currency
and amount within a few days, each with one booking. What no order explains is left to a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from engine.accounting.ledger import CASH, EntryKind
from engine.accounting.statement import CashKind, Statement, StatementCash
from engine.accounting.statement_findings import BookSide, Finding, StatementLine, is_covered

FLOW_KINDS = (EntryKind.DEPOSIT, EntryKind.SUBSCRIPTION, EntryKind.REDEMPTION)
MATCHED_WITHIN = timedelta(days=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _BookedFlow:
    """Cash of one entry of the ledger."""

    entry_id: str
    currency: str
    amount: Decimal
    value_date: date


def flow_lines(statement: Statement, book: BookSide) -> tuple[StatementLine, ...]:
    """One line for each deposit or withdrawal, and for each one of the book that no row has."""
    left = list(_booked(book))
    lines = []
    for row in statement.cash:
        if row.kind is not CashKind.FLOW:
            continue
        found = _booking_of(row, left)
        if found is not None:
            left.remove(found)
        lines.append(_line(row, found))
    return (*lines, *(_book_only(flow) for flow in left if _should_be_listed(statement, flow)))


def _booked(book: BookSide) -> Iterator[_BookedFlow]:
    for entry in book.live_entries().values():
        if entry.kind not in FLOW_KINDS:
            continue
        for line in entry.lines:
            if line.account == CASH and line.amount != 0:
                yield _BookedFlow(
                    entry_id=entry.entry_id,
                    currency=line.unit,
                    amount=line.amount,
                    value_date=entry.value_date,
                )


def _booking_of(row: StatementCash, flows: list[_BookedFlow]) -> _BookedFlow | None:
    near = [
        flow
        for flow in flows
        if (flow.currency, flow.amount) == (row.currency, row.amount)
        and abs(flow.value_date - row.value_date) <= MATCHED_WITHIN
    ]
    return min(near, key=lambda flow: (abs(flow.value_date - row.value_date), flow.entry_id), default=None)


def _should_be_listed(statement: Statement, flow: _BookedFlow) -> bool:
    """Whether its row can stand in no other statement."""
    return is_covered(statement, flow.value_date) and flow.value_date - MATCHED_WITHIN >= statement.first


def _line(row: StatementCash, found: _BookedFlow | None) -> StatementLine:
    words = f"flow of {row.amount} {row.currency} on {row.value_date}"
    if found is not None:
        text = f"{words}: {found.entry_id} of {found.value_date}"
        return StatementLine(row_id=row.row_id, finding=Finding.MATCHED, text=text, currency=row.currency)
    text = (
        f"{words}: missing in the book; units must be issued or cancelled for it: enter the investor's order, and "
        "the next run books it"
    )
    return StatementLine(row_id=row.row_id, finding=Finding.FLOW, text=text, currency=row.currency)


def _book_only(flow: _BookedFlow) -> StatementLine:
    return StatementLine(
        row_id=f"book:flow:{flow.currency}:{flow.value_date}:{flow.entry_id}",
        finding=Finding.NOT_IN_STATEMENT,
        text=f"the book has flow of {flow.amount} {flow.currency} on {flow.value_date}, the statement does not",
    )
