"""The ledger in the database: entries are appended once, in one order, and never change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from engine.accounting.book import apply, empty_portfolio, fold
from engine.accounting.ledger import EntryKind, LedgerEntry, LedgerLine
from engine.errors import InvariantError
from engine.model.encoding import digest
from engine.model.portfolio import Portfolio
from state.accounts import ensure_account
from state.chain import ChainedEntry, chained
from state.database import Database
from state.prepared import Prepared, StoredRow
from state.tables import accounts, ledger_entries, ledger_lines

KEYS_A_QUERY = 500
_BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)

_LAST = Prepared(
    select(accounts.c.ledger_sequence, accounts.c.ledger_hash)
    .where(accounts.c.account == bindparam("account"))
    .with_for_update(key_share=True)
)
_SET_LAST = Prepared(
    update(accounts)
    .where(accounts.c.account == bindparam("this_account"))
    .values(ledger_sequence=bindparam("last_sequence"), ledger_hash=bindparam("last_hash"))
)
_ADD_ENTRIES, _ADD_LINES = Prepared(insert(ledger_entries)), Prepared(insert(ledger_lines))
_LINES_AFTER = (
    select(ledger_lines)
    .where(ledger_lines.c.account == bindparam("account"), ledger_lines.c.sequence > bindparam("after"))
    .order_by(ledger_lines.c.sequence, ledger_lines.c.line)
)
_ENTRIES_AFTER = (
    select(ledger_entries)
    .where(ledger_entries.c.account == bindparam("account"), ledger_entries.c.sequence > bindparam("after"))
    .order_by(ledger_entries.c.sequence)
)
_BOOKED = Prepared(
    select(ledger_entries.c.entry_id, ledger_entries.c.digest).where(
        ledger_entries.c.account == bindparam("account"),
        ledger_entries.c.entry_id.in_(bindparam("entry_ids", expanding=True)),
    )
)


@dataclass(slots=True)
class _Known:
    """What was read already. Sequences have no gaps and commit in order, so only later ones can be new."""

    sequence: int
    entries: list[LedgerEntry]
    portfolio: Portfolio


class LedgerStore:
    """Entries of accounts, and the portfolios that they make."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, _Known] = {}

    def post(self, account: str, entries: Sequence[LedgerEntry]) -> int:
        """Append entries in one transaction and say how many were new.

        An entry that is booked already changes nothing; raises `InvariantError`, with nothing booked, when an id
        comes with another content.
        """
        if not entries:
            return 0
        with self._database.transaction() as connection:
            return post_entries(connection, account, entries)

    def entries(
        self, account: str, until: datetime | None = None, since: datetime | None = None
    ) -> tuple[LedgerEntry, ...]:
        """Entries in the order of booking, with ``since <= booked_at <= until``."""
        return tuple(
            entry
            for entry in self._read(account).entries
            if (until is None or entry.booked_at <= until) and (since is None or entry.booked_at >= since)
        )

    def portfolio(self, account: str, as_of: datetime) -> Portfolio:
        """What the fund holds at a time, by its own book."""
        known = self._read(account)
        if known.portfolio.as_of <= as_of:
            return replace(known.portfolio, as_of=as_of)
        return fold(known.entries, as_of)

    def _read(self, account: str) -> _Known:
        known = self._known.get(account)
        with self._database.read() as connection:
            fresh = read_entries(connection, account, 0 if known is None else known.sequence)
        if known is None:
            # `apply` moves the time forward only, so the empty book stands before every entry.
            known = self._known[account] = _Known(0, [], empty_portfolio(_BEFORE_ALL))
        if fresh:
            known.entries.extend(fresh)
            # A reversal undoes what may have been folded already: only the whole book has the cost of what remains.
            anew = any(entry.is_reversal for entry in fresh)
            known.portfolio = (
                apply(empty_portfolio(_BEFORE_ALL), *known.entries)
                if anew
                else apply(known.portfolio, *fresh)
            )
            known.sequence += len(fresh)
        return known


def post_entries(connection: Connection, account: str, entries: Sequence[LedgerEntry]) -> int:
    """Append entries inside the caller's transaction; see `LedgerStore.post`."""
    # The row's lock orders postings; it is held until the caller commits.
    last = _LAST.one_or_none(connection, {"account": account})
    if last is None:
        ensure_account(connection, account)
        last = _LAST.one(connection, {"account": account})
    fresh = _unbooked(connection, account, entries)
    if not fresh:
        return 0
    rows = list(chained(account, list(fresh.values()), last.ledger_sequence, last.ledger_hash))
    _ADD_ENTRIES.run_all(connection, [_entry_row(account, row) for row in rows])
    _ADD_LINES.run_all(
        connection, [line for row in rows for line in _line_rows(account, row.sequence, row.entry)]
    )
    newest = {"last_sequence": rows[-1].sequence, "last_hash": rows[-1].row_hash}
    _SET_LAST.run(connection, {"this_account": account, **newest})
    return len(rows)


def read_entries(connection: Connection, account: str, after: int = 0) -> list[LedgerEntry]:
    """Entries whose sequence is greater than ``after``, in order."""
    return [entry_of(row, lines) for row, lines in stored_rows(connection, account, after)]


def stored_rows(
    connection: Connection, account: str, after: int = 0
) -> Iterator[tuple[StoredRow, list[StoredRow]]]:
    """Rows of entries with their lines as they are stored, in order; `entry_of` makes the entry."""
    lines: dict[int, list[StoredRow]] = defaultdict(list)
    later = {"account": account, "after": after}
    for row in connection.execute(_LINES_AFTER, later):
        lines[row.sequence].append(row)
    for row in connection.execute(_ENTRIES_AFTER, later):
        yield row, lines[row.sequence]


def entries_by_id(connection: Connection, account: str, ids: Sequence[str]) -> Mapping[str, LedgerEntry]:
    """Booked entries of some ids."""
    found = connection.execute(
        select(ledger_entries).where(
            ledger_entries.c.account == account, ledger_entries.c.entry_id.in_(list(ids))
        )
    ).all()
    return {row.entry_id: entry_of(row, _lines_of(connection, account, row.sequence)) for row in found}


def _unbooked(
    connection: Connection, account: str, entries: Iterable[LedgerEntry]
) -> Mapping[str, LedgerEntry]:
    wanted: dict[str, LedgerEntry] = {}
    for entry in entries:
        if wanted.setdefault(entry.entry_id, entry) != entry:
            raise _conflict(entry.entry_id)
    ids = list(wanted)
    for start in range(0, len(ids), KEYS_A_QUERY):
        wanted_ids = {"account": account, "entry_ids": ids[start : start + KEYS_A_QUERY]}
        booked = _BOOKED.all(connection, wanted_ids)
        for row in booked:
            if row.digest != digest(wanted.pop(row.entry_id)):
                raise _conflict(row.entry_id)
    return wanted


def _conflict(entry_id: str) -> InvariantError:
    return InvariantError(
        f"ledger entry {entry_id} is booked with another content; a booked entry never changes, post a reversal"
    )


def _entry_row(account: str, row: ChainedEntry) -> dict[str, object]:
    entry = row.entry
    return {
        "account": account,
        "sequence": row.sequence,
        "entry_id": entry.entry_id,
        "kind": entry.kind.value,
        "booked_at": entry.booked_at,
        "value_date": entry.value_date,
        "contract_id": entry.contract_id,
        "reference": entry.reference,
        "price": entry.price,
        "quantity": entry.quantity,
        "digest": row.entry_digest,
        "previous_hash": row.previous_hash,
        "row_hash": row.row_hash,
    }


def _line_rows(account: str, sequence: int, entry: LedgerEntry) -> list[dict[str, object]]:
    return [
        {
            "account": account,
            "sequence": sequence,
            "line": number,
            "ledger_account": line.account,
            "unit": line.unit,
            "amount": line.amount,
        }
        for number, line in enumerate(entry.lines)
    ]


def _lines_of(connection: Connection, account: str, sequence: int) -> Sequence[StoredRow]:
    return connection.execute(
        select(ledger_lines)
        .where(ledger_lines.c.account == account, ledger_lines.c.sequence == sequence)
        .order_by(ledger_lines.c.line)
    ).all()


def entry_of(row: StoredRow, lines: Sequence[StoredRow]) -> LedgerEntry:
    """The entry of a stored row; raises `FundError` (or ``ValueError`` on its kind) when it can not be one."""
    return LedgerEntry(
        entry_id=row.entry_id,
        kind=EntryKind(row.kind),
        booked_at=row.booked_at,
        value_date=row.value_date,
        contract_id=row.contract_id,
        reference=row.reference,
        price=row.price,
        quantity=row.quantity,
        lines=tuple(
            [LedgerLine(account=line.ledger_account, unit=line.unit, amount=line.amount) for line in lines]
        ),
    )
