"""Imported statements in the database: each row once by its id, with what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select

from state.accounts import ensure_account
from state.database import Database
from state.ledger import KEYS_A_QUERY
from state.statement_tables import statement_rows, statements
from state.upsert import insert_or_replace


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementHeader:
    """One imported file."""

    file_digest: str
    first: date
    last: date
    generated_at: datetime
    imported_at: datetime
    rows: int
    booked: int
    left_over: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRow:
    """A row with its identity and what became of it: ``finding`` says what it is, ``outcome`` what was done."""

    row_id: str
    content_digest: str
    finding: str
    outcome: str
    text: str


class StatementStore:
    """Statements of accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known_digests(self, account: str, row_ids: Sequence[str]) -> Mapping[str, str]:
        """Content of rows that were imported before, by id."""
        columns = statement_rows.c
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for start in range(0, len(row_ids), KEYS_A_QUERY):
                wanted = list(row_ids[start : start + KEYS_A_QUERY])
                rows = connection.execute(
                    select(columns.row_id, columns.content_digest).where(
                        columns.account == account, columns.row_id.in_(wanted)
                    )
                )
                found |= {row.row_id: row.content_digest for row in rows}
        return found

    def rows(self, account: str) -> tuple[StatementRow, ...]:
        """Every row that was imported, by id."""
        columns = statement_rows.c
        wanted = select(statement_rows).where(columns.account == account).order_by(columns.row_id)
        with self._database.read() as connection:
            return tuple(
                StatementRow(
                    row_id=row.row_id,
                    content_digest=row.content_digest,
                    finding=row.finding,
                    outcome=row.outcome,
                    text=row.text,
                )
                for row in connection.execute(wanted)
            )

    def save(self, account: str, header: StatementHeader, rows: Sequence[StatementRow]) -> None:
        """Keep a file and its rows in one transaction; the same file or row again takes the newest outcome."""
        with self._database.transaction() as connection:
            ensure_account(connection, account)
            insert_or_replace(
                connection,
                statements,
                [
                    {
                        "account": account,
                        "file_digest": header.file_digest,
                        "first_date": header.first,
                        "last_date": header.last,
                        "generated_at": header.generated_at,
                        "imported_at": header.imported_at,
                        "rows": header.rows,
                        "booked": header.booked,
                        "left_over": header.left_over,
                    }
                ],
            )
            insert_or_replace(
                connection,
                statement_rows,
                [
                    {
                        "account": account,
                        "row_id": row.row_id,
                        "content_digest": row.content_digest,
                        "finding": row.finding,
                        "outcome": row.outcome,
                        "text": row.text,
                        "file_digest": header.file_digest,
                    }
                    for row in rows
                ],
            )
