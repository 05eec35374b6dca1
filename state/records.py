"""The day record: rows of what the fund saw, decided and told, written by upsert so that a rerun replaces them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import Select, Table, delete, select

from engine.errors import InvariantError
from engine.model.encoding import digest_bytes
from engine.model.market import FxRates
from engine.model.portfolio import Portfolio, Valuation
from state.database import Database
from state.record_values import Record, RunRows, Tables, Value
from state.recording_book import NavRow, fx_rows, nav_row, valuation_rows
from state.tables import metadata, order_tickets
from state.upsert import insert_or_keep, insert_or_replace

__all__ = ["RECORD_TABLES", "Record", "RecordStore", "RunRows", "Value"]

RECORD_TABLES: Mapping[str, Table] = {
    name: table for name, table in metadata.tables.items() if table.info.get("record")
}
_TABLES: Mapping[str, Table] = {**RECORD_TABLES, order_tickets.name: order_tickets}
"""With the plans of parent orders, which belong to the orders and name no run."""


class RecordStore:
    """Rows of the day record. A row names its columns as `state.record_tables` and `decision_tables` do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------ writing

    def save(self, table: str, rows: Sequence[Record]) -> int:
        """Write rows of one table, replacing those with the same key; all rows have the same columns.

        Raises `InvariantError` on an unknown table or column, a missing one, or rows that differ in columns.
        """
        self.save_all({table: rows})
        return len(rows)

    def save_all(self, tables: Tables) -> None:
        """Write rows of several tables in one transaction; the rest as `save`."""
        _refuse_misfits(tables)
        with self._database.transaction() as connection:
            for name, rows in tables.items():
                insert_or_replace(connection, _table(name), rows)

    def record_run(self, run_id: str, attempt: int, rows: RunRows) -> None:
        """Write what an attempt at a run leaves, in one transaction; see `RunRows`.

        A first attempt finds nothing to take away. A later one removes the run's rows from every table named.
        """
        _refuse_misfits(rows.decided)
        _refuse_misfits(rows.facts)
        with self._database.transaction() as connection:
            if attempt > 1:
                for table in map(_table, (*rows.decided, *rows.facts)):
                    if "run_id" in table.c:
                        connection.execute(delete(table).where(table.c.run_id == run_id))
            for name, decided in rows.decided.items():
                insert_or_replace(connection, _table(name), decided)
            for name, facts in rows.facts.items():
                insert_or_keep(connection, _table(name), facts)

    def save_configuration(self, content: bytes, run_id: str | None = None) -> str:
        """Keep a configuration under its digest, which comes back."""
        digest = digest_bytes(content)
        with self._database.transaction() as connection:
            row = {"digest": digest, "content": content, "run_id": run_id}
            insert_or_keep(connection, _table("config_versions"), [row])
        return digest

    def save_fx(self, run_id: str, rates: FxRates) -> None:
        """Keep the exchange rates that a run used: each stays with the run that saw it first, which may read it anew."""
        table = _table("fx_rates")
        with self._database.transaction() as connection:
            connection.execute(delete(table).where(table.c.run_id == run_id))
            insert_or_keep(connection, table, fx_rows(run_id, rates))

    def save_valuation(
        self,
        run_id: str,
        account: str,
        portfolio: Portfolio,
        valuation: Valuation,
        peak_unit_price: Decimal | None = None,
    ) -> None:
        """Keep cash, positions and value of one time, and the NAV of its trade date.

        ``peak_unit_price`` is the highest of the decisions so far (USD), from which the drawdown is measured;
        the return is measured from the last trade date before this one.
        """
        before = self.latest("nav_history", "trade_date", before=valuation.trade_date, account=account)
        last = NavRow(unit_price=Decimal(str(before[0]["unit_price"]))) if before else None
        worth = nav_row(run_id, account, valuation, last, peak_unit_price)
        self.save_all(
            {**valuation_rows(run_id, account, portfolio, valuation, worth), "nav_history": [worth]}
        )

    # ------------------------------------------------------------ reading

    def rows(self, table: str, **equal: Value | tuple[Value, ...]) -> tuple[Record, ...]:
        """Rows whose columns have the given values (one of them, where a tuple is given), in the order of their key."""
        target = _table(table)
        return self._read(_wanted(target, equal).order_by(*target.primary_key.columns))

    def latest(
        self, table: str, by: str, *, before: date | None = None, count: int = 1, **equal: Value
    ) -> tuple[Record, ...]:
        """Up to ``count`` rows with the greatest dates in column ``by``, newest first, all earlier than ``before``."""
        target = _table(table)
        wanted = _wanted(target, {by: None, **equal}, ordered=by)
        if before is not None:
            wanted = wanted.where(target.c[by] < before)
        return self._read(wanted.order_by(target.c[by].desc()).limit(count))

    def between(self, table: str, column: str, first: date, last: date, **equal: Value) -> tuple[Record, ...]:
        """Rows whose date lies from ``first`` to ``last``, both included, in the order of their key."""
        target = _table(table)
        wanted = _wanted(target, {column: None, **equal}, ordered=column)
        dated = wanted.where(target.c[column] >= first, target.c[column] <= last)
        return self._read(dated.order_by(*target.primary_key.columns))

    def _read(self, wanted: Select[tuple[object, ...]]) -> tuple[Record, ...]:
        with self._database.read() as connection:
            return tuple(dict(row._mapping) for row in connection.execute(wanted))


def _table(name: str) -> Table:
    found = _TABLES.get(name)
    if found is None:
        raise InvariantError(f"expected a table of the day record, found {name!r}")
    return found


def _wanted(
    table: Table, equal: Mapping[str, Value | tuple[Value, ...]], ordered: str | None = None
) -> Select[tuple[object, ...]]:
    """Rows of a table with the given values; ``ordered`` is a column that is only asked to exist."""
    unknown = set(equal) - set(table.c.keys())
    if unknown:
        raise InvariantError(f"{table.name} has no column {', '.join(sorted(unknown))}")
    wanted = select(table)
    for name, value in equal.items():
        if name == ordered:
            continue
        column = table.c[name]
        wanted = wanted.where(column.in_(value) if isinstance(value, tuple) else column == value)
    return wanted


def _refuse_misfits(tables: Tables) -> None:
    for name, rows in tables.items():
        table = _table(name)
        for row in rows:
            if row.keys() != rows[0].keys() or not _fits(table, frozenset(row)):
                raise _misfit(table, row)


@functools.cache
def _fits(table: Table, names: frozenset[str]) -> bool:
    return _needed(table) <= names <= set(table.c.keys())


def _needed(table: Table) -> frozenset[str]:
    return frozenset(c.name for c in table.columns if not c.nullable and c.server_default is None)


def _misfit(table: Table, row: Record) -> InvariantError:
    unknown, missing = sorted(set(row) - set(table.c.keys())), sorted(_needed(table) - set(row))
    return InvariantError(
        f"{table.name}: expected rows with the same, complete columns; unknown {unknown}, missing {missing}"
    )
