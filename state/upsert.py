"""Insert-or-replace and insert-or-keep, in the one form that both databases share.

SQLAlchemy compiles such statements anew at each use, which costs more than the database needs to run them. So their
text is made once per table and set of columns, with each column's own type.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Table, TextClause, bindparam, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

Row = Mapping[str, object]


def insert_or_keep(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows with the same columns; one whose primary key exists already stays as it is."""
    if rows:
        statement = _statement(connection.dialect.name, table, tuple(rows[0]), False)
        connection.execute(statement, [dict(row) for row in rows])


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows with the same columns; one whose primary key exists already takes the new values."""
    if rows:
        statement = _statement(connection.dialect.name, table, tuple(rows[0]), True)
        connection.execute(statement, [dict(row) for row in rows])


@functools.cache
def _statement(dialect: str, table: Table, columns: tuple[str, ...], replaces: bool) -> TextClause:
    """The insert as text that names its parameters like the columns."""
    statement: PostgresInsert | SqliteInsert
    statement = postgres_insert(table) if dialect == "postgresql" else sqlite_insert(table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    if replaces and changed:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing()
    named = postgresql.dialect if dialect == "postgresql" else sqlite.dialect
    compiled = statement.compile(dialect=named(paramstyle="named"), column_keys=list(columns))
    return text(str(compiled)).bindparams(*(bindparam(name, type_=table.c[name].type) for name in columns))
