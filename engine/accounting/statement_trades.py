"""The executions of a statement against those that the ledger holds, by execution id.

The newest form of an execution that is not cancelled counts, in the statement as in the ledger. An execution of our
own order that the ledger lacks is a late fill; one under a reference of ours that our database does not know comes
from an order that was lost with a database; one without such a reference was made by somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from engine.accounting.adoption import missed_splits
from engine.accounting.differences import MissedExecution
from engine.accounting.ledger import (
    CASH,
    EXPECTED_COMMISSION_PREFIX,
    EntryKind,
    LedgerEntry,
    book_execution,
    pair,
    reverse,
)
from engine.accounting.statement import Statement, StatementTrade, TradeKind
from engine.accounting.statement_findings import BookSide, Finding, StatementLine, is_covered
from engine.errors import UnknownContract
from engine.model.instruments import Instrument
from engine.model.money import ZERO
from engine.model.orders import ORDER_REFERENCE_PREFIX, Fill
from engine.model.portfolio import Sleeve
from engine.model.spreads import leg_parent

TRADE_PREFIX, COMMISSION_PREFIX, TAX_PREFIX = "trade:", "commission:", "tax:"
COMMISSION_TRUE_UP, TAX_TRUE_UP = "statement-commission:", "statement-tax:"
CHARGE_PREFIXES = (
    COMMISSION_PREFIX,
    EXPECTED_COMMISSION_PREFIX,
    TAX_PREFIX,
    COMMISSION_TRUE_UP,
    TAX_TRUE_UP,
)
_MOST_SECONDS_APART = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ledger:
    """Live entries by id, and the live trade of each execution root."""

    entries: Mapping[str, LedgerEntry]
    trades: Mapping[str, LedgerEntry]

    @classmethod
    def of(cls, book: BookSide) -> _Ledger:
        entries = book.live_entries()
        trades: dict[str, LedgerEntry] = {}
        for name in sorted(name for name in entries if name.startswith(TRADE_PREFIX)):
            trades[_root(name.removeprefix(TRADE_PREFIX))] = entries[name]
        return cls(entries=entries, trades=trades)

    def parts(self, execution_id: str) -> tuple[LedgerEntry, ...]:
        """All live entries of one execution."""
        names = (f"{prefix}{execution_id}" for prefix in (TRADE_PREFIX, *CHARGE_PREFIXES))
        return tuple(self.entries[name] for name in names if name in self.entries)

    def charged(self, execution_id: str, kind: EntryKind) -> Decimal:
        """Commission or tax booked for an execution, positive for a cost."""
        return -sum(
            (
                line.amount
                for entry in self.parts(execution_id)
                if entry.kind is kind
                for line in entry.lines
                if line.account == CASH
            ),
            ZERO,
        )


def trade_lines(statement: Statement, book: BookSide) -> tuple[StatementLine, ...]:
    """One line for each execution of the statement, and each booked trade that it does not have."""
    ledger = _Ledger.of(book)
    groups: dict[str, list[StatementTrade]] = {}
    for row in statement.trades:
        if row.kind is not TradeKind.EVENT:
            groups.setdefault(row.fill.root, []).append(row)
    lines: list[StatementLine] = []
    for root, rows in groups.items():
        lines.extend(_execution_lines(book, ledger, ledger.trades.get(root), rows))
    return (*lines, *_unlisted(statement, ledger, groups))


def _execution_lines(
    book: BookSide, ledger: _Ledger, booked: LedgerEntry | None, rows: Sequence[StatementTrade]
) -> Iterator[StatementLine]:
    cancelled = {row.fill.execution_id for row in rows if row.kind is TradeKind.CANCEL}
    standing = [row for row in rows if row.fill.execution_id not in cancelled]
    valid = max(standing, key=lambda row: row.fill.execution_id, default=None)
    if valid is None:
        yield _cancelled_line(book, ledger, booked, rows[-1])
        return
    if booked is None:
        yield _missing_line(book, ledger, valid)
        return
    held = _execution_id(booked)
    if held == valid.fill.execution_id:
        yield from _same_execution(book, ledger, booked, valid)
    elif held > valid.fill.execution_id:
        yield _line(valid, Finding.MATCHED, f"a later correction, {held}, is booked")
    else:
        yield _correction_line(book, ledger, held, valid)


def _cancelled_line(
    book: BookSide, ledger: _Ledger, booked: LedgerEntry | None, row: StatementTrade
) -> StatementLine:
    if booked is None:
        return _line(row, Finding.MATCHED, "cancelled by the broker, and not in the book")
    name = _execution_id(booked)
    text = f"the broker took back {_words(row.fill)}"
    if name in book.fills:
        return replace(_line(row, Finding.BUST, text), takes_back=name)
    return _line(
        row, Finding.BUST, text, entries=tuple(reverse(part, book.now) for part in ledger.parts(name))
    )


def _missing_line(book: BookSide, ledger: _Ledger, row: StatementTrade) -> StatementLine:
    fill = row.fill
    instrument = _instrument(book, fill.contract_id)
    if instrument is None:
        return _line(row, Finding.UNLISTED_CONTRACT, f"{_words(fill)}: none of our instruments")
    if (instrument.multiplier, instrument.currency) != (row.multiplier, row.currency):
        found = f"{row.multiplier} {row.currency}"
        return _line(
            row, Finding.OTHER_FIGURES, f"{_words(fill)}: multiplier and currency {found} are not ours"
        )
    parent = leg_parent(book.parents, fill.order_ref, fill.contract_id)
    if parent is not None:
        if (parent.contract_id, parent.side) != (fill.contract_id, fill.side):
            return _line(
                row, Finding.OTHER_ORDER, f"{_words(fill)}: {fill.order_ref} was an order for another trade"
            )
        return _line(row, Finding.LATE_FILL, f"{_words(fill)}: missing in the book", fill=fill)
    is_ours = (fill.order_ref or "").startswith(ORDER_REFERENCE_PREFIX)
    finding = Finding.LOST_ORDER if is_ours else Finding.FOREIGN_TRADE
    lost = f"{fill.order_ref} is not in our database; assign {fill.execution_id} to its sleeves"
    why = lost if is_ours else "not an order of ours"
    sleeves = {Sleeve.UNASSIGNED.value: fill.signed_quantity}
    entries = book_execution(fill, instrument, sleeves, book.booking_time(fill))
    if row.taxes != 0:
        entries = (*entries, _charge_entry(book, row, TAX_TRUE_UP, -row.taxes))
    return _line(row, finding, f"{_words(fill)}: {why}", entries=entries)


def _correction_line(book: BookSide, ledger: _Ledger, held: str, row: StatementTrade) -> StatementLine:
    fill = row.fill
    instrument = _instrument(book, fill.contract_id)
    old = ledger.entries[TRADE_PREFIX + held]
    text = f"{held} is corrected to {_words(fill)}"
    if instrument is None or old.contract_id != fill.contract_id:
        return _line(row, Finding.OTHER_FIGURES, f"{text}: another contract")
    if held in book.fills:
        return _line(row, Finding.CORRECTION, text, fill=fill)
    replaced = Fill(
        execution_id=held,
        order_ref=fill.order_ref,
        contract_id=fill.contract_id,
        side=fill.side,
        quantity=abs(old.quantity or ZERO),
        price=old.price or ZERO,
        executed_at=fill.executed_at,
        commission=None,
        commission_currency=None,
    )
    missed = MissedExecution(fill=fill, replaces=replaced)
    splits = missed_splits([missed], book.parents, book.entries)
    sleeves = splits.get(fill.execution_id, {Sleeve.UNASSIGNED.value: fill.signed_quantity})
    entries = book_execution(fill, instrument, sleeves, book.now, ledger.parts(held))
    return _line(row, Finding.CORRECTION, text, entries=entries)


def _same_execution(
    book: BookSide, ledger: _Ledger, booked: LedgerEntry, row: StatementTrade
) -> Iterator[StatementLine]:
    fill = row.fill
    ours = (booked.contract_id, booked.quantity, booked.price)
    if ours != (fill.contract_id, fill.signed_quantity, fill.price):
        found = f"{booked.quantity} {booked.contract_id} at {booked.price}"
        yield _line(
            row,
            Finding.OTHER_FIGURES,
            f"the statement says {_words(fill)}, the book {found} under the same id",
        )
        return
    known_fill = book.fills.get(fill.execution_id)
    if known_fill is not None and _seconds_apart(fill, known_fill) >= _MOST_SECONDS_APART:
        apart = f"{_seconds_apart(fill, known_fill):,.0f} seconds from our time of it"
        yield _line(
            row, Finding.OTHER_FIGURES, f"{_words(fill)}: {apart}; is the statement's time zone right?"
        )
        return
    charges = tuple(_charge_lines(book, ledger, row))
    yield from charges or (_line(row, Finding.MATCHED, _words(fill)),)


def _charge_lines(book: BookSide, ledger: _Ledger, row: StatementTrade) -> Iterator[StatementLine]:
    """Commission and transaction tax of a booked execution where they are not those of the statement.

    A commission that nobody told before is booked with its execution, in the place of what was expected.
    """
    fill, commission, tax = row.fill, -row.commission, -row.taxes
    known = ledger.charged(fill.execution_id, EntryKind.COMMISSION)
    ours = book.fills.get(fill.execution_id)
    is_late = ours is not None and not ours.is_charged
    if commission != known or is_late:
        entry = _charge_entry(book, row, COMMISSION_TRUE_UP, commission - known)
        text = f"{_words(fill)}: a commission of {commission} {row.commission_currency}, booked are {known}"
        yield _line(
            row,
            Finding.COMMISSION,
            text,
            fill=fill if is_late else None,
            entries=() if is_late or entry.entry_id in ledger.entries else (entry,),
            amount=known - commission,
            currency=row.commission_currency,
        )
    known = ledger.charged(fill.execution_id, EntryKind.TAX)
    if tax != known:
        entry = _charge_entry(book, row, TAX_TRUE_UP, tax - known)
        yield _line(
            row,
            Finding.TRANSACTION_TAX,
            f"{_words(fill)}: a transaction tax of {tax} {row.currency}, booked are {known}",
            entries=() if entry.entry_id in ledger.entries else (entry,),
            amount=known - tax,
            currency=row.currency,
        )


def _charge_entry(book: BookSide, row: StatementTrade, prefix: str, cost: Decimal) -> LedgerEntry:
    is_tax = prefix == TAX_TRUE_UP
    account = "expense:transaction_tax" if is_tax else "expense:commission"
    return LedgerEntry(
        entry_id=f"{prefix}{row.fill.execution_id}",
        kind=EntryKind.TAX if is_tax else EntryKind.COMMISSION,
        booked_at=book.cash_at,
        value_date=row.trade_date,
        contract_id=row.fill.contract_id,
        reference=f"transaction {row.transaction_id}",
        price=None,
        quantity=None,
        lines=pair(account, CASH, row.currency if is_tax else row.commission_currency, cost),
    )


def _unlisted(statement: Statement, ledger: _Ledger, groups: Mapping[str, object]) -> Iterator[StatementLine]:
    for root, entry in ledger.trades.items():
        if root not in groups and is_covered(statement, entry.value_date):
            yield StatementLine(
                row_id=f"book:{entry.entry_id}",
                finding=Finding.NOT_IN_STATEMENT,
                text=f"the book has {entry.quantity} {entry.contract_id} at {entry.price}, the statement does not",
            )


def _line(
    row: StatementTrade,
    finding: Finding,
    text: str,
    *,
    fill: Fill | None = None,
    entries: tuple[LedgerEntry, ...] = (),
    amount: Decimal = ZERO,
    currency: str = "",
) -> StatementLine:
    return StatementLine(
        row_id=row.row_id,
        finding=finding,
        text=text,
        currency=currency,
        amount=amount,
        fill=fill,
        entries=entries,
    )


def _seconds_apart(one: Fill, other: Fill) -> float:
    return abs((one.executed_at - other.executed_at).total_seconds())


def _instrument(book: BookSide, contract_id: str) -> Instrument | None:
    try:
        return book.contracts.instrument(contract_id)
    except UnknownContract:
        return None


def _execution_id(entry: LedgerEntry) -> str:
    return entry.entry_id.removeprefix(TRADE_PREFIX)


def _root(execution_id: str) -> str:
    return execution_id.rpartition(".")[0] or execution_id


def _words(fill: Fill) -> str:
    return f"{fill.side.value} {fill.quantity.normalize():f} {fill.contract_id} at {fill.price.normalize():f}"
