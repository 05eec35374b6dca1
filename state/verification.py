"""Whether a database says the truth about itself: schema, keys, stored bytes, balanced ledger, booked fills."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, func, select, text

from engine.accounting.ledger import LedgerEntry
from engine.errors import FundError
from engine.model.encoding import digest, digest_bytes
from engine.model.money import ZERO
from state.database import REVISIONS, Database, schema_version
from state.ledger import read_entries
from state.tables import accounts, fills, ledger_entries, metadata, orders, run_inputs, run_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in the database that can not be."""

    subject: str
    detail: str


def verify(database: Database) -> tuple[Finding, ...]:
    """All findings; none means that the book is whole."""
    version = schema_version(database)
    if version != REVISIONS[-1]:
        return (
            Finding(subject="schema", detail=f"expected version {REVISIONS[-1]}, found {version or 'none'}"),
        )
    with database.read() as connection:
        return (
            *_schema(connection),
            *(_sqlite(connection) if not database.is_postgresql else ()),
            *_payloads(connection),
            *_ledger(connection),
            *_filled(connection),
        )


def _schema(connection: Connection) -> Iterator[Finding]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    for difference in compare_metadata(MigrationContext.configure(connection), metadata):
        yield Finding(subject="schema", detail=f"differs from this program: {difference}")


def _sqlite(connection: Connection) -> Iterator[Finding]:
    for (line,) in connection.execute(text("PRAGMA integrity_check")):
        if line != "ok":
            yield Finding(subject="file", detail=str(line))
    for row in connection.execute(text("PRAGMA foreign_key_check")):
        yield Finding(subject=str(row[0]), detail=f"row {row[1]} refers to nothing in {row[2]}")


def _payloads(connection: Connection) -> Iterator[Finding]:
    sources = (
        (run_steps, run_steps.c.step, run_steps.c.output, run_steps.c.output_digest),
        (run_inputs, run_inputs.c.name, run_inputs.c.payload, run_inputs.c.digest),
    )
    for table, name, payload, expected in sources:
        keys = connection.execute(select(*table.primary_key.columns, name.label("of"))).all()
        for key in keys:
            same = [column == value for column, value in zip(table.primary_key.columns, key, strict=False)]
            try:
                row = connection.execute(
                    select(payload.label("found"), expected.label("wanted")).where(*same)
                ).one()
            except FundError as error:
                yield Finding(subject=f"{table.name} {key.run_id} {key.of}", detail=str(error))
                continue
            if digest_bytes(row.found) != row.wanted:
                yield Finding(
                    subject=f"{table.name} {key.run_id} {key.of}", detail="altered since it was written"
                )


def _ledger(connection: Connection) -> Iterator[Finding]:
    for account, last in connection.execute(select(accounts.c.account, accounts.c.ledger_sequence)).all():
        try:
            entries = read_entries(connection, account)
        except FundError as error:
            yield Finding(subject=f"ledger {account}", detail=str(error))
            continue
        if len(entries) != last:
            yield Finding(
                subject=f"ledger {account}", detail=f"expected {last} entries, found {len(entries)}"
            )
        yield from _altered(connection, account, entries)


def _altered(connection: Connection, account: str, entries: list[LedgerEntry]) -> Iterator[Finding]:
    stored = connection.execute(
        select(ledger_entries.c.entry_id, ledger_entries.c.digest).where(ledger_entries.c.account == account)
    )
    expected = {row.entry_id: row.digest for row in stored}
    for entry in entries:
        if digest(entry) != expected[entry.entry_id]:
            yield Finding(
                subject=f"ledger {account}", detail=f"{entry.entry_id} was altered since it was booked"
            )


def _filled(connection: Connection) -> Iterator[Finding]:
    booked: dict[str, Decimal] = defaultdict(lambda: ZERO)
    wanted = select(fills.c.order_ref, fills.c.quantity).where(fills.c.superseded.is_(False))
    for row in connection.execute(wanted):
        booked[row.order_ref] += row.quantity
    for row in connection.execute(select(orders.c.order_ref, orders.c.filled)):
        if booked.get(row.order_ref, ZERO) != row.filled:
            yield Finding(
                subject=f"order {row.order_ref}",
                detail=f"says {row.filled} filled, its executions say {booked.get(row.order_ref, ZERO)}",
            )


def count_rows(database: Database) -> int:
    """Rows of all tables."""
    with database.read() as connection:
        return sum(
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.tables.values()
        )
