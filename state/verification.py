"""Whether a database says the truth about itself: schema, keys, stored bytes, balanced ledger, booked fills."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, func, select, text

from engine.errors import FundError
from engine.model.encoding import digest, digest_bytes
from engine.model.money import ZERO
from state.append_only import WRITTEN_ONCE, unprotected
from state.chain import FIRST_PREVIOUS, row_hash
from state.database import REVISIONS, Database, schema_version
from state.ledger import entry_of, stored_rows
from state.prepared import StoredRow
from state.run_references import comparison, missing_triggers
from state.tables import accounts, fills, metadata, orders, run_inputs, run_steps

_LAST_OF_ACCOUNTS = select(accounts.c.account, accounts.c.ledger_sequence, accounts.c.ledger_hash).order_by(
    accounts.c.account
)


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

    compared = MigrationContext.configure(
        connection, opts={"include_object": comparison(connection.dialect.name)}
    )
    for difference in compare_metadata(compared, metadata):
        yield Finding(subject="schema", detail=f"differs from this program: {difference}")
    for table in WRITTEN_ONCE:
        if unprotected(connection, table):
            yield Finding(subject="schema", detail=f"rows of {table} can be changed: its refusal is gone")
    for trigger in missing_triggers(connection, metadata):
        yield Finding(subject="schema", detail=f"rows may name runs that do not exist: {trigger} is gone")


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
    for account, last, newest in connection.execute(_LAST_OF_ACCOUNTS).all():
        subject, walked, previous = f"ledger {account}", 0, FIRST_PREVIOUS
        for walked, (row, lines) in enumerate(stored_rows(connection, account), start=1):
            fault = _broken(account, walked, previous, row, lines)
            if fault is not None:
                yield Finding(subject=subject, detail=fault)
                break  # every later row stands on this one
            previous = row.row_hash
        else:
            if walked != last:
                yield Finding(subject=subject, detail=f"expected {last} entries, found {walked}")
            elif previous != newest:
                yield Finding(subject=subject, detail=f"row {walked} is not the last row that was booked")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """How far an account's ledger goes; who notes ``last_hash`` elsewhere can prove every row up to it."""

    account: str
    entries: int
    last_hash: str


def ledger_heads(database: Database) -> tuple[LedgerHead, ...]:
    """End of each account's chain, by account; an account without entries has none."""
    with database.read() as connection:
        return tuple(
            LedgerHead(account=account, entries=entries, last_hash=newest)
            for account, entries, newest in connection.execute(_LAST_OF_ACCOUNTS)
            if entries
        )


def _broken(
    account: str, place: int, previous: str, row: StoredRow, lines: Sequence[StoredRow]
) -> str | None:
    """What is wrong with the row at a place of the chain, ``None`` when it follows from ``previous``."""
    if row.sequence != place:
        return f"row {place} is missing: row {row.sequence} ({row.entry_id}) stands in its place"
    try:
        entry = entry_of(row, lines)
    except (FundError, ValueError) as error:
        return f"row {place} ({row.entry_id}) can not be an entry: {error}"
    if digest(entry) != row.digest:
        return f"row {place} ({row.entry_id}) was altered since it was booked"
    if row.previous_hash != previous:
        return f"row {place} ({row.entry_id}) carries the hash of another row before it"
    if row.row_hash != row_hash(account, place, previous, row.digest):
        return f"row {place} ({row.entry_id}) carries a hash that is not its own"
    return None


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
