"""Insert-or-replace and insert-or-keep, in the one form that both databases share.

SQLAlchemy compiles such statements anew at each use and looks at each row's names, which costs more than the
database needs to run them. So their text is made once per table and set of columns, and rows go to the driver as the
columns' own types prepare them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

Row = Mapping[str, object]
Prepare = Callable[[object], object]


def insert_or_keep(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows with the same columns; one whose primary key exists already stays as it is."""
    _insert(connection, table, rows, replaces=False)


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows with the same columns; one whose primary key exists already takes the new values."""
    _insert(connection, table, rows, replaces=True)


@dataclass(frozen=True, slots=True)
class _Statement:
    """The insert as the driver reads it, and how each column's value is prepared for it."""

    text: str
    columns: tuple[tuple[str, Prepare | None], ...]
    positional: bool

    def parameters(self, row: Row) -> tuple[object, ...] | dict[str, object]:
        """Values of one row for the driver."""
        values = {
            name: row[name] if prepare is None else prepare(row[name]) for name, prepare in self.columns
        }
        return tuple(values.values()) if self.positional else values


def _insert(connection: Connection, table: Table, rows: Sequence[Row], *, replaces: bool) -> None:
    if not rows:
        return
    statement = _statement(connection.dialect, table, tuple(rows[0]), replaces)
    connection.exec_driver_sql(statement.text, [statement.parameters(row) for row in rows])


@functools.lru_cache(maxsize=512)
def _statement(dialect: Dialect, table: Table, columns: tuple[str, ...], replaces: bool) -> _Statement:
    statement: PostgresInsert | SqliteInsert
    statement = postgres_insert(table) if dialect.name == "postgresql" else sqlite_insert(table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    if replaces and changed:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing()
    compiled = statement.compile(dialect=dialect, column_keys=list(columns))
    order = compiled.positiontup or list(columns)
    return _Statement(
        text=str(compiled),
        columns=tuple(
            (name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order
        ),
        positional=compiled.positiontup is not None,
    )
