"""Statements that run for every order: compiled once, then given to the driver as they are.

Per execution SQLAlchemy spends about a tenth of a millisecond on what is the same each time, several times what
SQLite needs to run the statement. A `Prepared` statement asks SQLAlchemy once for the text, the order of the
parameters and what its types make of values, and runs on the connection's own cursor inside its transaction. What
comes back are SQLAlchemy's rows, and what fails are SQLAlchemy's errors, as from ``connection.execute``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

from sqlalchemy import BindParameter, Connection, Dialect, Insert, Row, Select, Update
from sqlalchemy.engine import result_tuple
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import TypeEngine

from engine.errors import InvariantError

StoredRow: TypeAlias = Row[tuple[object, ...]]
Parameters: TypeAlias = Mapping[str, object]
Convert: TypeAlias = Callable[[Any], object]
"""SQLAlchemy's own, of a column's type: a value to the driver's, or back."""


class Prepared:
    """A statement whose values are all named parameters; one object serves every database.

    A list for an ``IN`` may have any length. Rows are read whole: this is for few of them.
    """

    def __init__(self, statement: Select[Any] | Insert | Update) -> None:
        self.statement = statement
        self._is_select = isinstance(statement, Select)
        bound = [part for part in iterate(statement) if isinstance(part, BindParameter)]
        self._lists = tuple(dict.fromkeys(one.key for one in bound if one.expanding and one.required))

    def all(self, connection: Connection, parameters: Parameters) -> list[StoredRow]:
        """Every row."""
        return self._run(connection, parameters)[0]

    def one_or_none(self, connection: Connection, parameters: Parameters) -> StoredRow | None:
        """The row, or ``None``; raises `MultipleResultsFound` when there are several."""
        rows = self._run(connection, parameters)[0]
        if len(rows) > 1:
            raise MultipleResultsFound("Multiple rows were found when one or none was required")
        return rows[0] if rows else None

    def one(self, connection: Connection, parameters: Parameters) -> StoredRow:
        """The row; raises `NoResultFound` or `MultipleResultsFound` unless there is exactly one."""
        row = self.one_or_none(connection, parameters)
        if row is None:
            raise NoResultFound("No row was found when one was required")
        return row

    def run(self, connection: Connection, parameters: Parameters) -> int:
        """Write, and say how many rows that touched."""
        return self._run(connection, parameters)[1]

    def run_all(self, connection: Connection, rows: Sequence[Parameters]) -> None:
        """Write once for each row; all rows name the same parameters."""
        if not rows:
            return
        if len(rows) == 1:
            self._run(connection, rows[0])
        elif connection.dialect.name == "postgresql" and isinstance(self.statement, Insert):
            # One by one, each would be a trip to the server: SQLAlchemy makes one statement of many rows.
            connection.execute(self.statement, rows)
        else:
            compiled = _compiled(self, connection.dialect, tuple(rows[0]), ())
            _drive(connection, compiled, [compiled.given(connection, row) for row in rows], is_many=True)

    def _run(self, connection: Connection, parameters: Parameters) -> tuple[list[StoredRow], int]:
        names: tuple[str, ...] = () if self._is_select else tuple(parameters)
        lengths: tuple[int, ...] = ()
        if self._lists:
            lists = {name: _padded(cast("Sequence[object]", parameters[name])) for name in self._lists}
            parameters, lengths = {**parameters, **lists}, tuple(map(len, lists.values()))
        compiled = _compiled(self, connection.dialect, names, lengths)
        return _drive(connection, compiled, compiled.given(connection, parameters))

    def compile(self, dialect: Dialect, names: Sequence[str], lengths: Sequence[int]) -> _Compiled:
        """The statement for a dialect, with the names that it is given and the lengths of its lists."""
        made = self.statement.compile(dialect=dialect, column_keys=list(names) or None)
        if not isinstance(made, SQLCompiler) or made.prefetch:
            raise InvariantError(f"expected a statement whose values are all given, found {self.statement}")
        needed = [name for name, bind in made.binds.items() if bind.required]
        samples = {name: [None] * length for name, length in zip(self._lists, lengths, strict=True)}
        state = made.construct_expanded_state({**dict.fromkeys(needed), **samples})
        lists = {name: tuple(state.parameter_expansion[name]) for name in self._lists}
        given = {*needed}.union(*lists.values())
        converts = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in made.binds.items()
        }
        converts.update(state.processors)  # of each place in a list
        return _Compiled(
            text=state.statement,
            takes=tuple((n, converts.get(n)) for n in state.positiontup or state.parameters),
            lists=lists,
            constants={name: value for name, value in state.parameters.items() if name not in given},
            is_positional=state.positiontup is not None,
            types=tuple(column.type for column in self.statement.exported_columns),
        )


@dataclass(slots=True)
class _Compiled:
    """The text for a driver, what its parameters take from the given ones, and how its rows are read."""

    text: str
    takes: tuple[tuple[str, Convert | None], ...]
    lists: Mapping[str, tuple[str, ...]]
    constants: Parameters
    is_positional: bool
    types: tuple[TypeEngine[Any], ...]
    make: Callable[[Sequence[object]], StoredRow] | None = None
    converts: tuple[tuple[int, Convert], ...] = ()

    def given(self, connection: Connection, parameters: Parameters) -> tuple[object, ...] | dict[str, object]:
        """Parameters for the driver; raises SQLAlchemy's `StatementError` for what a column's type refuses."""
        values = {**self.constants, **parameters} if self.constants or self.lists else parameters
        if self.lists:
            values = dict(values)
            for name, places in self.lists.items():
                values.update(zip(places, cast("Sequence[object]", values[name]), strict=True))
        try:
            if self.is_positional:
                return tuple([values[n] if to is None else to(values[n]) for n, to in self.takes])
            return {n: values[n] if to is None else to(values[n]) for n, to in self.takes}
        except Exception as error:
            _fail(connection, self.text, parameters, error)

    def rows(self, cursor: DBAPICursor, dialect: Dialect) -> list[StoredRow]:
        """All rows of a cursor, as the columns' types read them."""
        if self.make is None:
            names = [column[0] for column in cursor.description]
            if len(names) != len(self.types):
                raise InvariantError(f"expected {len(self.types)} columns, found {names}")
            readers = [
                kind.dialect_impl(dialect).result_processor(dialect, column[1])
                for kind, column in zip(self.types, cursor.description, strict=True)
            ]
            self.converts = tuple((place, read) for place, read in enumerate(readers) if read is not None)
            self.make = result_tuple(names)
        rows, make = [], self.make
        for found in cursor.fetchall():
            values = list(found)
            for place, read in self.converts:
                values[place] = read(values[place])
            rows.append(make(values))
        return rows


@functools.lru_cache(maxsize=1024)
def _compiled(
    prepared: Prepared, dialect: Dialect, names: tuple[str, ...], lengths: tuple[int, ...]
) -> _Compiled:
    return prepared.compile(dialect, names, lengths)


def _padded(values: Sequence[object]) -> list[object]:
    """A list filled up with its last value to a power of two: few texts serve all lengths, and the set is the same."""
    room = 1 << (len(values) - 1).bit_length() if values else 0
    return [*values, *list(values[-1:]) * (room - len(values))]


def _drive(
    connection: Connection, compiled: _Compiled, given: Any, *, is_many: bool = False
) -> tuple[list[StoredRow], int]:
    """Run a text on the driver's cursor, through the dialect; rows, and how many were touched."""
    if not connection.in_transaction():
        connection.begin()
    dialect, driver = connection.dialect, connection.connection
    cursor = driver.cursor()
    try:
        if is_many:
            dialect.do_executemany(cursor, compiled.text, given)
        else:
            dialect.do_execute(cursor, compiled.text, given)
        rows = compiled.rows(cursor, dialect) if cursor.description else []
        touched = cursor.rowcount
    except dialect.loaded_dbapi.Error as error:
        is_lost = dialect.is_disconnect(error, driver, cursor)
        if is_lost:
            connection.invalidate(error)
        _fail(connection, compiled.text, given, error, is_lost=is_lost)
    finally:
        cursor.close()
    return rows, touched


def _fail(
    connection: Connection, text: str, given: object, error: Exception, *, is_lost: bool = False
) -> NoReturn:
    """Raise what ``connection.execute`` raises where the driver or a type raised ``error``."""
    dialect = connection.dialect
    raise DBAPIError.instance(
        text,
        cast("dict[str, object]", given),
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=connection.engine.hide_parameters,
        connection_invalidated=is_lost,
        dialect=dialect,
    ) from error
