"""Many rows into PostgreSQL as one statement over one array a column.

Row by row they would pay a round trip each. A column with one value in all rows (the run, the account, the time) is
given once. ``ON CONFLICT`` holds a place in the index before each row, which makes a row dearer than it is. So where
the first row is not there yet, all rows are inserted as new; where it is, only what is new is inserted and only what
differs is updated; and where that was wrong, or another transaction was faster, the statement with ``ON CONFLICT``
decides.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import Connection, Dialect, Select, Table, bindparam, literal, select
from sqlalchemy.exc import IntegrityError

from state.array_values import array_literal, texts_of

Row = Mapping[str, object]


def insert_arrays(connection: Connection, table: Table, rows: Sequence[Row], *, replaces: bool) -> None:
    """Insert rows with the same columns and different keys, at least two; the rest as `state.upsert`."""
    names, dialect = tuple(rows[0]), connection.dialect
    given: dict[str, str | None] = {}
    single: set[str] = set()
    for name in names:
        texts = texts_of(table.c[name], dialect, list(map(itemgetter(name), rows)))
        if texts.count(texts[0]) == len(texts):
            single.add(name)
            given[name] = texts[0]
        else:
            given[name] = array_literal(texts)
    statement = _statement(dialect, table, names, frozenset(single), replaces)
    try:
        with connection.begin_nested():
            is_known = connection.execute(_known(table), _key(table, rows[0])).first() is not None
            connection.exec_driver_sql(statement.fast if is_known else statement.plain, given)
    except IntegrityError:
        connection.exec_driver_sql(statement.sure, given)


@functools.lru_cache(maxsize=512)
def _known(table: Table) -> Select[tuple[int]]:
    """Whether a row of one primary key is there."""
    keys = table.primary_key.columns
    return select(literal(1)).where(*(column == bindparam(f"key_{column.name}") for column in keys))


def _key(table: Table, row: Row) -> Mapping[str, object]:
    return {f"key_{column.name}": row[column.name] for column in table.primary_key.columns}


@dataclass(frozen=True, slots=True)
class _Statement:
    """The same act three times: ``plain`` fails when a row is there, ``fast`` when another writes one, ``sure`` never."""

    plain: str
    fast: str
    sure: str


@functools.lru_cache(maxsize=512)
def _statement(
    dialect: Dialect, table: Table, names: tuple[str, ...], single: frozenset[str], replaces: bool
) -> _Statement:
    quote = dialect.identifier_preparer.quote
    keys = [column.name for column in table.primary_key.columns]
    parts = _Parts(
        target=quote(table.name),
        types={quote(n): table.c[n].type.dialect_impl(dialect).compile(dialect) for n in names},
        parameters={quote(n): f"%({n})s" for n in names},
        single=frozenset(map(quote, single)),
        keys=tuple(map(quote, keys)),
        changed=tuple(quote(n) for n in names if n not in keys) if replaces else (),
    )
    return _Statement(plain=parts.plain, fast=parts.fast, sure=parts.sure)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """Names as they stand in the statement: of the table and its columns, with their types and parameters."""

    target: str
    types: Mapping[str, str]
    parameters: Mapping[str, str]
    single: frozenset[str]
    keys: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def plain(self) -> str:
        """Every row is new."""
        return f"{self._insert} {self._source}"

    @property
    def fast(self) -> str:
        """What is new is inserted, what differs is updated."""
        update = (
            f", changed AS (UPDATE {self.target} SET {self._taken('new')} FROM new"  # noqa: S608 - of names alone
            f" WHERE {self._same_key(self.target)} AND ({self._differs('new')}))"
        )
        return (
            f"WITH new AS MATERIALIZED ({self._source}){update if self.changed else ''} {self._insert}"  # noqa: S608
            f" SELECT * FROM new WHERE NOT EXISTS (SELECT FROM {self.target} AS old WHERE {self._same_key('old')})"
        )

    @property
    def sure(self) -> str:
        """The same while others write the same rows."""
        replace = f"({', '.join(self.keys)}) DO UPDATE SET {self._taken('excluded')}"
        act = f"{replace} WHERE {self._differs('excluded')}" if self.changed else "DO NOTHING"
        return f"{self._insert} {self._source} ON CONFLICT {act}"

    @property
    def _insert(self) -> str:
        return f"INSERT INTO {self.target} ({', '.join(self.types)})"

    @property
    def _source(self) -> str:
        """The rows: a table of the arrays, with the single values beside."""
        arrays = [name for name in self.types if name not in self.single]
        given = ", ".join(f"{self.parameters[name]}::{self.types[name]}[]" for name in arrays)
        columns = ", ".join(f"{self._value(name, 'given')} AS {name}" for name in self.types)
        return f"SELECT {columns} FROM unnest({given}) AS given ({', '.join(arrays)})"  # noqa: S608 - of names alone

    def _value(self, name: str, of: str) -> str:
        return f"{self.parameters[name]}::{self.types[name]}" if name in self.single else f"{of}.{name}"

    def _same_key(self, of: str) -> str:
        # A single value stands here itself, so that the planner sees it.
        return " AND ".join(f"{of}.{name} = {self._value(name, 'new')}" for name in self.keys)

    def _differs(self, other: str) -> str:
        return " OR ".join(f"{self.target}.{name} IS DISTINCT FROM {other}.{name}" for name in self.changed)

    def _taken(self, other: str) -> str:
        return ", ".join(f"{name} = {other}.{name}" for name in self.changed)
