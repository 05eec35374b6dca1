"""The cash rows, positions and cash report of a statement against the ledger.

Cash rows are compared by kind, currency, security and value date; what differs is explained by the row's own kind.
Where the ledger adopted cash of the same currency since, the row may be booked already: it is then left to a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from engine.accounting.charges import unpaid_withholding, withholding_payment
from engine.accounting.corporate_actions import dividend_payment, unpaid_dividends
from engine.accounting.ledger import (
    ADOPTED,
    CASH,
    INTEREST_ACCRUAL,
    POSITION_PREFIX,
    REVERSAL_PREFIX,
    EntryKind,
    LedgerEntry,
    pair,
)
from engine.accounting.statement import CENT, CashComponent, CashKind, Statement, StatementCash
from engine.accounting.statement_findings import BookSide, Finding, StatementLine, is_covered
from engine.accounting.statement_flows import flow_lines
from engine.accounting.statement_trades import CHARGE_PREFIXES
from engine.model.money import ZERO, round_money

_BOOK_KINDS: Mapping[EntryKind, CashKind] = {
    EntryKind.DIVIDEND: CashKind.DIVIDEND,
    EntryKind.INTEREST: CashKind.INTEREST,
    EntryKind.BORROW_FEE: CashKind.BORROW_FEE,
    EntryKind.WITHHOLDING: CashKind.WITHHOLDING,
    EntryKind.CASH_IN_LIEU: CashKind.CASH_IN_LIEU,
    EntryKind.FEE: CashKind.FEE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """How a cash row is booked: its finding, the kind of its entry, and the account that stands against cash."""

    finding: Finding
    entry_kind: EntryKind
    account: str


_RULES: Mapping[CashKind, _Rule] = {
    CashKind.DIVIDEND: _Rule(
        finding=Finding.DIVIDEND, entry_kind=EntryKind.DIVIDEND, account="income:dividend"
    ),
    CashKind.WITHHOLDING: _Rule(
        finding=Finding.WITHHOLDING_TAX, entry_kind=EntryKind.WITHHOLDING, account="expense:withholding"
    ),
    CashKind.INTEREST: _Rule(
        finding=Finding.INTEREST, entry_kind=EntryKind.INTEREST, account="income:interest"
    ),
    CashKind.BORROW_FEE: _Rule(
        finding=Finding.BORROW_FEE, entry_kind=EntryKind.BORROW_FEE, account="expense:borrow_fee"
    ),
    CashKind.FEE: _Rule(finding=Finding.OTHER_FEE, entry_kind=EntryKind.FEE, account="expense:fee"),
    CashKind.COMMISSION: _Rule(
        finding=Finding.COMMISSION, entry_kind=EntryKind.COMMISSION, account="expense:commission"
    ),
}
_NEAR = timedelta(days=7)
"""Days by which the broker's pay date may differ from the announced one."""
_BY_SECURITY = (CashKind.DIVIDEND, CashKind.BORROW_FEE, CashKind.WITHHOLDING, CashKind.CASH_IN_LIEU)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Key:
    """Rows that are compared with one another."""

    kind: str
    currency: str
    contract_id: str
    value_date: date


def cash_lines(statement: Statement, book: BookSide) -> tuple[StatementLine, ...]:
    """One line for each cash row, and for each cash entry of the book that no row has."""
    by_month = _posts_by_month(book.entries)
    ours = _booked(statement, book.entries, by_month)
    theirs: dict[_Key, list[StatementCash]] = {}
    for row in statement.cash:
        if row.kind is not CashKind.FLOW:
            theirs.setdefault(_key(row, by_month), []).append(row)
    lines: list[StatementLine] = []
    for key, rows in theirs.items():
        lines.extend(_group_lines(book, rows, ours.get(key, ZERO)))
    return (*lines, *flow_lines(statement, book), *_book_only(ours, theirs))


def _posts_by_month(entries: Sequence[LedgerEntry]) -> bool:
    """Whether our book accrues interest and pays it by the month; the broker's day then need not be ours."""
    return any(line.account == INTEREST_ACCRUAL for entry in entries for line in entry.lines)


def _key(row: StatementCash, by_month: bool) -> _Key:
    return _key_of(row.kind, row.currency, row.contract_id, row.value_date, by_month)


def _key_of(kind: CashKind, currency: str, contract_id: str | None, value_date: date, by_month: bool) -> _Key:
    is_monthly = by_month and kind in (CashKind.INTEREST, CashKind.BORROW_FEE)
    named = contract_id if kind in _BY_SECURITY and not is_monthly else None
    day = value_date.replace(day=1) if is_monthly else value_date
    return _Key(kind=kind.value, currency=currency, contract_id=named or "", value_date=day)


def _booked(statement: Statement, entries: Sequence[LedgerEntry], by_month: bool) -> Mapping[_Key, Decimal]:
    """Cash of the ledger in the statement's period, by the same keys."""
    found: dict[_Key, Decimal] = {}
    for entry in entries:
        kind = _BOOK_KINDS.get(entry.kind)
        is_charge = entry.entry_id.removeprefix(REVERSAL_PREFIX).startswith(CHARGE_PREFIXES)
        if kind is None or is_charge or not is_covered(statement, entry.value_date):
            continue
        for line in entry.lines:
            if line.account == CASH:
                key = _key_of(kind, line.unit, entry.contract_id, entry.value_date, by_month)
                found[key] = found.get(key, ZERO) + line.amount
    return found


def _group_lines(book: BookSide, rows: Sequence[StatementCash], booked: Decimal) -> Iterator[StatementLine]:
    difference = sum((row.amount for row in rows), ZERO) - booked
    if difference == 0:
        for row in rows:
            yield _line(row, Finding.MATCHED, _words(row))
    elif booked == 0:
        for row in rows:
            text = f"{_words(row)}: missing in the book"
            yield _difference_line(book, row, row.amount, text, _payment(book, row, alone=len(rows) == 1))
    else:
        text = f"{_words(rows[0])}: the book has {booked}, {difference:+} apart"
        yield _difference_line(book, rows[0], difference, text)
        for row in rows[1:]:
            yield _line(row, Finding.MATCHED, f"{_words(row)}: compared in sum with {rows[0].row_id}")


def _difference_line(
    book: BookSide, row: StatementCash, amount: Decimal, text: str, payment: LedgerEntry | None = None
) -> StatementLine:
    rule = _RULES.get(row.kind)
    if rule is None:
        return _line(row, Finding.UNNAMED_CASH, f"{text}; its type is not one that we book")
    adopted = _adopted_since(book.entries, row)
    if amount in adopted:
        return _line(row, Finding.MATCHED, f"{_words(row)}: adopted from the broker since")
    if adopted:
        return _line(
            row, Finding.ADOPTED, f"{text}; {row.currency} was adopted since and may hold it already"
        )
    paid = ZERO if payment is None else _cash_in(payment)
    entry = _entry(book, row, rule, round_money(amount) - paid)
    if any(known.entry_id == entry.entry_id for known in book.entries):
        return _line(row, Finding.OTHER_FIGURES, f"{text}, this transaction included")
    earlier = _paid_lately(book, row) if payment is None else None
    if earlier is not None:
        return _line(row, Finding.OTHER_FIGURES, f"{text} on this day; it has it on {earlier}")
    made = () if payment is None else (payment,)
    return StatementLine(
        row_id=row.row_id,
        finding=rule.finding,
        text=text,
        currency=row.currency,
        amount=amount,
        entries=made if payment is not None and _cash_in(entry) == 0 else (*made, entry),
    )


def _adopted_since(entries: Sequence[LedgerEntry], row: StatementCash) -> tuple[Decimal, ...]:
    """Amounts of cash without a security that were adopted in the row's currency since its date."""
    return tuple(
        line.amount
        for entry in entries
        if entry.kind is EntryKind.ADOPTION
        and entry.contract_id is None
        and entry.value_date >= row.value_date
        if any(other.account == ADOPTED for other in entry.lines)
        for line in entry.lines
        if line.account == CASH and line.unit == row.currency
    )


def _payment(book: BookSide, row: StatementCash, *, alone: bool) -> LedgerEntry | None:
    """Payment of what the book counts as owed, on the broker's day, so that the calendar does not pay it again.

    It is of the same amount, or, where the row stands alone, the only one due within a few days: the broker rounds.
    """
    due = [
        *((owed, dividend_payment(owed, book.cash_at)) for owed in unpaid_dividends(book.entries)),
        *((owed, withholding_payment(owed, book.cash_at)) for owed in unpaid_withholding(book.entries)),
    ]
    found = [
        (owed.value_date, replace(payment, value_date=row.value_date))
        for owed, payment in due
        if _BOOK_KINDS[owed.kind] is row.kind
        and owed.contract_id == row.contract_id
        and owed.lines[0].unit == row.currency
    ]
    exact = [payment for _, payment in found if _cash_in(payment) == round_money(row.amount)]
    near = [payment for day, payment in found if abs(day - row.value_date) <= _NEAR]
    if exact:
        return exact[0]
    return near[0] if alone and len(near) == 1 else None


def _paid_lately(book: BookSide, row: StatementCash) -> date | None:
    """Day shortly before the row's on which the book has the same dividend or tax: the broker was only later."""
    days = [
        entry.value_date
        for entry in book.live_entries().values()
        if row.kind in (CashKind.DIVIDEND, CashKind.WITHHOLDING)
        and _BOOK_KINDS.get(entry.kind) is row.kind
        and entry.contract_id == row.contract_id
        and row.value_date - _NEAR <= entry.value_date < row.value_date
        and any(line.account == CASH and line.unit == row.currency for line in entry.lines)
        and abs(_cash_in(entry) - row.amount) <= CENT
    ]
    return max(days, default=None)


def _cash_in(entry: LedgerEntry) -> Decimal:
    return sum((line.amount for line in entry.lines if line.account == CASH), ZERO)


def _entry(book: BookSide, row: StatementCash, rule: _Rule, amount: Decimal) -> LedgerEntry:
    # The prefix keeps a dividend without an accrual from being taken for one that is still to be paid.
    prefix = "dividend-paid:" if row.kind is CashKind.DIVIDEND else ""
    return LedgerEntry(
        entry_id=f"{prefix}statement:{row.transaction_id}",
        kind=rule.entry_kind,
        booked_at=book.cash_at,
        value_date=row.value_date,
        contract_id=_listed(book, row.contract_id),
        reference=f"transaction {row.transaction_id}",
        price=None,
        quantity=None,
        lines=pair(CASH, rule.account, row.currency, amount),
    )


def _listed(book: BookSide, contract_id: str | None) -> str | None:
    """A security only where it is one of ours; cash of any other stands for itself."""
    return contract_id if contract_id is not None and contract_id in book.contracts.universe else None


def _book_only(ours: Mapping[_Key, Decimal], theirs: Mapping[_Key, object]) -> Iterator[StatementLine]:
    for key, amount in sorted(ours.items()):
        if key not in theirs and amount != 0:
            subject = f" of {key.contract_id}" if key.contract_id else ""
            yield StatementLine(
                row_id=f"book:{key.kind}:{key.contract_id or key.currency}:{key.value_date}",
                finding=Finding.NOT_IN_STATEMENT,
                text=f"the book has {key.kind}{subject} of {amount} {key.currency} on {key.value_date}, "
                "the statement does not",
            )


def position_lines(statement: Statement, book: BookSide) -> tuple[StatementLine, ...]:
    """Quantities at the end of the period, every contract that either side has."""
    theirs = {held.contract_id: held.quantity for held in statement.positions}
    ours = quantities_on(book.entries, statement.last)
    lines = []
    for name in sorted({*theirs, *ours}):
        mine, found = ours.get(name, ZERO), theirs.get(name, ZERO)
        text = f"{found.normalize():f} {name}" + (
            "" if mine == found else f", the book has {mine.normalize():f}"
        )
        lines.append(
            StatementLine(
                row_id=f"position:{statement.last}:{name}",
                finding=Finding.MATCHED if mine == found else Finding.POSITION,
                text=text,
            )
        )
    return tuple(lines)


def quantities_on(entries: Sequence[LedgerEntry], last: date) -> Mapping[str, Decimal]:
    """Signed quantities of the book by value date up to a day, without those that are zero."""
    found: dict[str, Decimal] = {}
    for entry in entries:
        if entry.value_date <= last:
            for line in entry.lines:
                if line.account.startswith(POSITION_PREFIX):
                    found[line.unit] = found.get(line.unit, ZERO) + line.amount
    return {name: quantity for name, quantity in found.items() if quantity != 0}


def report_lines(statement: Statement, book: BookSide) -> tuple[StatementLine, ...]:
    """The change of each currency's cash over the period, ours against the broker's.

    Futures that came late are settled with the next settlement: until then exactly their variation is missing.
    """
    moved, settled = _cash_moved(statement, book)
    reports = {report.currency: report for report in statement.reports}
    lines = []
    for currency in sorted({*reports, *(name for name, amount in moved.items() if amount != 0)}):
        report = reports.get(currency)
        theirs = ZERO if report is None else report.ending - report.starting
        variation = ZERO if report is None else report.components.get(CashComponent.SETTLEMENT, ZERO)
        difference = theirs - moved.get(currency, ZERO)
        text = f"{currency} changed by {theirs}"
        finding = Finding.MATCHED
        if difference != 0:
            text += f", in the book by {moved.get(currency, ZERO)}: {difference:+} apart"
            is_late = difference == variation - settled.get(currency, ZERO)
            finding = Finding.SETTLEMENT_LATER if is_late else Finding.CASH
        lines.append(
            StatementLine(
                row_id=f"cash-report:{statement.first}:{statement.last}:{currency}",
                finding=finding,
                text=text,
                currency=currency,
            )
        )
    return tuple(lines)


def _cash_moved(statement: Statement, book: BookSide) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
    """Cash of the book in the period, all of it and the settlements of futures, by currency."""
    moved: dict[str, Decimal] = {}
    settled: dict[str, Decimal] = {}
    for entry in book.entries:
        if not is_covered(statement, entry.value_date):
            continue
        is_settlement = any(line.account == "income:variation" for line in entry.lines)
        for line in entry.lines:
            if line.account == CASH:
                moved[line.unit] = moved.get(line.unit, ZERO) + line.amount
                if is_settlement:
                    settled[line.unit] = settled.get(line.unit, ZERO) + line.amount
    return moved, settled


def _line(row: StatementCash, finding: Finding, text: str) -> StatementLine:
    return StatementLine(row_id=row.row_id, finding=finding, text=text, currency=row.currency)


def _words(row: StatementCash) -> str:
    subject = f" of {row.contract_id}" if row.contract_id else ""
    return f"{row.kind.value.replace('_', ' ')}{subject} of {row.amount} {row.currency} on {row.value_date}"
