"""Changes of position in a statement that no order made: expiries, assignments, deliveries.

The calendar books the end of a contract by itself. Where it has not, the row books it if it closes exactly what we
hold on the contract's last trade date; an assignment or a delivery, which leaves something in its place, never does.
"""

from __future__ import annotations

from decimal import Decimal

from engine.accounting.book import fold
from engine.accounting.ledger import CASH, EntryKind, expiry
from engine.accounting.statement import Statement, StatementTrade, TradeKind
from engine.accounting.statement_findings import BookSide, Finding, StatementLine
from engine.errors import UnknownContract
from engine.model.money import ZERO
from engine.model.portfolio import Position


def event_lines(statement: Statement, book: BookSide) -> tuple[StatementLine, ...]:
    """One line for each event of the statement."""
    return tuple(_event_line(book, row) for row in statement.trades if row.kind is TradeKind.EVENT)


def _event_line(book: BookSide, row: StatementTrade) -> StatementLine:
    name, words = row.fill.contract_id, f"end of {row.quantity.normalize():f} {row.fill.contract_id}"
    for entry in book.live_entries().values():
        if (entry.kind, entry.contract_id, entry.value_date, entry.quantity) == (
            EntryKind.EXPIRY,
            name,
            row.trade_date,
            row.quantity,
        ):
            return StatementLine(row_id=row.row_id, finding=Finding.MATCHED, text=f"end of {name}")
    held = _ended_holding(book, row)
    if held is None:
        text = f"{words} without an order: an expiry, assignment or delivery"
        return StatementLine(row_id=row.row_id, finding=Finding.EVENT, text=text)
    instrument = book.contracts.instrument(name)
    ended = expiry(held, instrument, row.trade_date, row.fill.price, book.cash_at)
    return StatementLine(
        row_id=row.row_id,
        finding=Finding.EXPIRY,
        text=f"{words} at {row.fill.price.normalize():f} on its last trade date: the book still holds it",
        currency=instrument.currency,
        amount=sum((line.amount for line in ended.lines if line.account == CASH), Decimal(0)),
        entries=(ended,),
    )


def _ended_holding(book: BookSide, row: StatementTrade) -> Position | None:
    """What we hold of a contract that the row closes whole on its last trade date."""
    name = row.fill.contract_id
    try:
        contract = book.contracts.contract(name)
    except UnknownContract:
        return None
    held = fold(book.entries, book.cash_at).positions.get(name)
    closes = held is not None and held.quantity + row.quantity == ZERO and held.quantity != ZERO
    return held if closes and contract.last_trade_date == row.trade_date else None
