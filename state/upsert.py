"""Insert-or-replace and insert-or-keep, in the one form that both databases share.

SQLAlchemy compiles such statements anew at each use and looks at each row's names, which costs more than the
database needs to run them. So their text is made once per table and set of columns, and rows go to the driver column
by column, as the columns' own types prepare them. A large batch goes to PostgreSQL as one statement over one array a
column: row by row it would pay a round trip for each.
"""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Column, Connection, Dialect, Table, or_
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from engine.errors import InvariantError
from engine.model.money import to_micros
from state.columns import Micros, Moment, Payload, Price, moment_text, price_text

Row = Mapping[str, object]
Prepare = Callable[[object], object]

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
    names, dialect = tuple(rows[0]), connection.dialect
    if dialect.name == "postgresql" and len(rows) >= ARRAYS_FROM_ROWS:
        if replaces:
            rows = _last_of_each_key(table, rows)
        bulk = _array_statement(dialect, table, names, replaces)
        connection.exec_driver_sql(
            bulk.text,
            {name: _array_literal(_prepared(rows, name, prepare)) for name, prepare in bulk.columns},
        )
        return
    statement = _statement(dialect, table, names, replaces)
    columns = [_prepared(rows, name, prepare) for name, prepare in statement.columns]
    given = list(zip(*columns, strict=True))
    if statement.positional:
        connection.exec_driver_sql(statement.text, given)
    else:
        order = [name for name, _ in statement.columns]
        connection.exec_driver_sql(
            statement.text, [dict(zip(order, values, strict=True)) for values in given]
        )


def _prepared(rows: Sequence[Row], name: str, prepare: Prepare | None) -> list[object]:
    """Values of one column for the driver; a value that many rows share is prepared once."""
    if prepare is None:
        return [row[name] for row in rows]
    values: list[object] = []
    last, ready = rows[0][name], prepare(rows[0][name])
    for row in rows:
        value = row[name]
        if value is not last:
            last, ready = value, prepare(value)
        values.append(ready)
    return values


def _last_of_each_key(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """One statement may not replace a row twice."""
    keys = [column.name for column in table.primary_key.columns]
    found = {tuple([row[key] for key in keys]): row for row in rows}
    return rows if len(found) == len(rows) else list(found.values())


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


# ---------------------------------------------------------------- one array a column


@functools.lru_cache(maxsize=512)
def _array_statement(dialect: Dialect, table: Table, columns: tuple[str, ...], replaces: bool) -> _Statement:
    """The same insert over ``unnest(arrays)``: PostgreSQL reads each array from one text literal."""
    head, _, tail = _statement(dialect, table, columns, replaces).text.partition(" VALUES (")
    values, _, action = tail.partition(") ON CONFLICT")
    names = re.findall(r"%\((\w+)\)s", values)
    arrays = ", ".join(
        f"%({name})s::{table.c[name].type.dialect_impl(dialect).compile(dialect)}[]" for name in names
    )
    return _Statement(
        text=f"{head} SELECT * FROM unnest({arrays}) ON CONFLICT{action}",  # noqa: S608 - of names alone
        columns=tuple((name, _element_of(table.c[name], dialect)) for name in names),
        positional=False,
    )


def _element_of(column: Column[object], dialect: Dialect) -> Prepare:
    """How a column's value stands in the text of an array."""
    kind = column.type
    if isinstance(kind, Payload):
        return lambda value: _element(kind.process_bind_param(typing.cast("bytes | None", value), dialect))
    write = next((write for known, write in _WRITERS if isinstance(kind, known)), None)
    if write is not None:
        return lambda value: "NULL" if value is None else write(value)
    return _element


_WRITERS: tuple[tuple[type, Callable[[typing.Any], str]], ...] = (
    (Micros, lambda value: str(to_micros(value))),
    (Price, price_text),
    (Moment, lambda value: f'"{moment_text(value)}"'),
)
"""Types of money, prices and times write their text at once: they fill most of a day's record."""


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    if isinstance(value, date):
        return f'"{value.isoformat()}"'
    raise InvariantError(f"expected a value that a column can hold, found {value!r}")


def _array_literal(elements: list[object]) -> str:
    return "{" + ",".join(map(str, elements)) + "}"
