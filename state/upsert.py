"""Insert-or-replace and insert-or-keep, in the one form that both databases share.

SQLAlchemy compiles these statements anew at each use, so paths that run for every order look first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

Row = Mapping[str, object]


def insert_or_keep(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose primary key exists already stays as it is."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), [dict(row) for row in rows])


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows with the same columns; one whose primary key exists already takes the new values."""
    if not rows:
        return
    statement = _insert(connection, table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    if changed:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, [dict(row) for row in rows])


def _insert(connection: Connection, table: Table) -> PostgresInsert | SqliteInsert:
    return postgres_insert(table) if connection.dialect.name == "postgresql" else sqlite_insert(table)
