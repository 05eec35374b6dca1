"""The day record: rows of what the fund saw, decided and told, written by upsert so that a rerun replaces them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypeAlias

from sqlalchemy import Table, select

from engine.errors import InvariantError
from engine.model.encoding import digest_bytes, encode
from engine.model.market import FxRates
from engine.model.orders import TargetBook
from engine.model.portfolio import Portfolio, Valuation
from state.database import Database
from state.tables import metadata
from state.upsert import insert_or_keep, insert_or_replace

Value: TypeAlias = "str | int | float | bool | bytes | Decimal | date | datetime | None"
Record: TypeAlias = Mapping[str, Value]

RECORD_TABLES: Mapping[str, Table] = {
    name: table for name, table in metadata.tables.items() if table.info.get("record")
}


class RecordStore:
    """Rows of the day record. A row names its columns as `state.record_tables` and `decision_tables` do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, table: str, rows: Sequence[Record]) -> int:
        """Write rows of one table, replacing those with the same key; all rows have the same columns.

        Raises `InvariantError` on an unknown table or column, a missing one, or rows that differ in columns.
        """
        self.save_all({table: rows})
        return len(rows)

    def save_all(self, tables: Mapping[str, Sequence[Record]]) -> None:
        """Write rows of several tables in one transaction; the rest as `save`."""
        for table, rows in tables.items():
            for row in rows:
                _refuse_misfit(_table(table), row, rows[0])
        with self._database.transaction() as connection:
            for table, rows in tables.items():
                insert_or_replace(connection, _table(table), rows)

    def rows(self, table: str, **equal: Value) -> tuple[Record, ...]:
        """Rows whose columns have the given values, in the order of their key."""
        target = _table(table)
        unknown = set(equal) - set(target.c.keys())
        if unknown:
            raise InvariantError(f"{table} has no column {', '.join(sorted(unknown))}")
        wanted = select(target).order_by(*target.primary_key.columns)
        for name, value in equal.items():
            wanted = wanted.where(target.c[name] == value)
        with self._database.read() as connection:
            return tuple(dict(row._mapping) for row in connection.execute(wanted))

    def save_configuration(self, content: bytes, run_id: str | None = None) -> str:
        """Keep a configuration under its digest, which comes back."""
        digest = digest_bytes(content)
        with self._database.transaction() as connection:
            row = {"digest": digest, "content": content, "run_id": run_id}
            insert_or_keep(connection, _table("config_versions"), [row])
        return digest

    def save_fx(self, run_id: str, rates: FxRates) -> int:
        """Keep the exchange rates that a run used."""
        return self.save(
            "fx_rates",
            [
                {
                    "at": rate.observed_at,
                    "pair": pair,
                    "source": rate.source,
                    "rate": rate.rate,
                    "run_id": run_id,
                }
                for pair, rate in sorted(rates.rates.items())
            ],
        )

    def save_valuation(self, run_id: str, account: str, portfolio: Portfolio, valuation: Valuation) -> None:
        """Keep cash, positions and value of one time, and the NAV of its trade date."""
        at, basis = valuation.as_of, valuation.basis.value
        scope: Record = {"run_id": run_id, "at": at, "account": account}
        worth: Record = {"nav": valuation.nav, "units": valuation.units, "unit_price": _unit_price(valuation)}
        cash: list[Record] = [
            {**scope, "currency": currency, "basis": basis, "amount": amount}
            for currency, amount in sorted(portfolio.cash.items())
        ]
        whole: Record = {
            **scope,
            **worth,
            "trade_date": valuation.trade_date,
            "cash_usd": valuation.cash_usd,
            "accruals_usd": valuation.accruals_usd,
            "gross_exposure": valuation.gross_exposure,
            "net_exposure": valuation.net_exposure,
            "payload": encode(valuation),
        }
        of_day: Record = {"account": account, "trade_date": valuation.trade_date, "run_id": run_id, **worth}
        positions = _position_rows(scope, portfolio, valuation)
        self.save_all({"cash": cash, "positions": positions, "portfolio": [whole], "nav_history": [of_day]})

    def save_targets(self, run_id: str, book: TargetBook) -> int:
        """Keep the wanted holdings of a run."""
        return self.save(
            "targets",
            [
                {
                    "run_id": run_id,
                    "contract_id": line.contract_id,
                    "sleeve": line.sleeve,
                    "instrument_id": line.instrument_id,
                    "weight": line.weight,
                    "notional_usd": line.notional_usd,
                    "quantity": line.quantity,
                    "trade_group": line.group,
                }
                for line in book.lines
            ],
        )


def _table(name: str) -> Table:
    found = RECORD_TABLES.get(name)
    if found is None:
        raise InvariantError(f"expected a table of the day record, found {name!r}")
    return found


def _refuse_misfit(table: Table, row: Record, first: Record) -> None:
    unknown = set(row) - set(table.c.keys())
    needed = {
        column.name
        for column in table.columns
        if not column.nullable and column.server_default is None and column.name not in row
    }
    if unknown or needed or set(row) != set(first):
        raise InvariantError(
            f"{table.name}: expected rows with the same, complete columns; unknown {sorted(unknown)},"
            f" missing {sorted(needed)}"
        )


def _position_rows(scope: Record, portfolio: Portfolio, valuation: Valuation) -> list[Record]:
    lines = {line.contract_id: line for line in valuation.lines}
    rows: list[Record] = []
    for contract_id, position in sorted(portfolio.positions.items()):
        line = lines.get(contract_id)
        for sleeve, quantity in position.sleeves.items():
            rows.append(
                {
                    **scope,
                    "contract_id": contract_id,
                    "sleeve": sleeve.value,
                    "quantity": quantity,
                    "position_cost": position.cost,
                    "instrument_id": contract_id if line is None else line.instrument_id,
                    "mark": None if line is None else line.mark,
                    "position_value_usd": None if line is None else line.value_usd,
                    "position_exposure_usd": None if line is None else line.exposure_usd,
                }
            )
    return rows


def _unit_price(valuation: Valuation) -> Decimal:
    return valuation.unit_price.quantize(Decimal("0.000000000001"))
