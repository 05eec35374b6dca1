"""Insert-or-replace and insert-or-keep, in the one form that both databases share.

SQLAlchemy compiles such statements anew at each use and looks at each row's names, which costs more than the
database needs to run them. So their text is made once per table and set of columns, and rows go to the driver column
by column, as the columns' own types prepare them. A large batch goes to PostgreSQL as `state.array_insert` does it.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import Column, Connection, Dialect, Table, or_
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from state.array_insert import insert_arrays
from state.array_values import written_once_each

Row = Mapping[str, object]
Prepare = Callable[[typing.Any], object]

ARRAYS_FROM_ROWS = 20
"""Fewer rows are as fast one by one."""


def insert_or_keep(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows with the same columns; one whose primary key exists already stays as it is."""
    _insert(connection, table, rows, replaces=False)


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows with the same columns; one whose primary key exists already takes the new values.

    Of several rows with one primary key the last one counts.
    """
    _insert(connection, table, rows, replaces=True)


def _insert(connection: Connection, table: Table, rows: Sequence[Row], *, replaces: bool) -> None:
    if not rows:
        return
    dialect = connection.dialect
    if dialect.name == "postgresql" and len(rows) >= ARRAYS_FROM_ROWS:
        rows = _one_of_each_key(table, rows, replaces=replaces)
        if len(rows) >= ARRAYS_FROM_ROWS:
            insert_arrays(connection, table, rows, replaces=replaces)
            return
    statement = _statement(dialect, table, tuple(rows[0]), replaces)
    columns = [_prepared(rows, table.c[name], prepare) for name, prepare in statement.columns]
    given = list(zip(*columns, strict=True))
    if statement.positional:
        connection.exec_driver_sql(statement.text, given)
    else:
        order = [name for name, _ in statement.columns]
        connection.exec_driver_sql(
            statement.text, [dict(zip(order, values, strict=True)) for values in given]
        )


def _prepared(rows: Sequence[Row], column: Column[object], prepare: Prepare | None) -> list[object]:
    """Values of one column for the driver; one that stands in many rows is prepared once."""
    values = list(map(itemgetter(column.name), rows))
    return values if prepare is None else written_once_each(values, prepare)


def _one_of_each_key(table: Table, rows: Sequence[Row], *, replaces: bool) -> Sequence[Row]:
    """One statement may not write a row twice: what replaces is the last one, what is kept the first."""
    names = [column.name for column in table.primary_key.columns]
    if any(len(set(map(itemgetter(name), rows))) == len(rows) for name in names):
        return rows  # one column of the key tells them apart already
    key_of = itemgetter(*names)
    if len(set(map(key_of, rows))) == len(rows):
        return rows
    return list({key_of(row): row for row in (rows if replaces else rows[::-1])}.values())


# ---------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class _Statement:
    """The insert as the driver reads it, and how each column's value is prepared for it."""

    text: str
    columns: tuple[tuple[str, Prepare | None], ...]
    positional: bool


@functools.lru_cache(maxsize=512)
def _statement(dialect: Dialect, table: Table, columns: tuple[str, ...], replaces: bool) -> _Statement:
    statement: PostgresInsert | SqliteInsert
    statement = postgres_insert(table) if dialect.name == "postgresql" else sqlite_insert(table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    if replaces and changed:
        differs = or_(*(table.c[name].is_distinct_from(new) for name, new in changed.items()))
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed, where=differs)
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
