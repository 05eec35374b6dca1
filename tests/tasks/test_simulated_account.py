"""The simulated broker's file: exact after any restart, even a kill; reset only when flat."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, RefusedError, StoreError, SupersededError
from engine.model.orders import Side
from engine.simulation.broker import SimulatedBroker
from engine.simulation.exchange import SimulatedTransport
from engine.simulation.faults import inject
from engine.simulation.journal import RecordKind
from tasks.adapters.simulated_account import SqliteJournal, account_path, open_account, reset_account
from tests.engine.simulation.exchange_world import (
    MONDAY,
    World,
    broker_terms,
    events_until,
    new_broker,
    opening,
    order,
    utc,
)

ROOT = Path(__file__).parents[2]


@contextmanager
def _opened(path: Path) -> Iterator[SimulatedBroker]:
    with closing(open_account(path, broker_terms(World(depth=Decimal(30))), opening())) as broker:
        yield broker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return account_path(tmp_path, "SIM-test-7")


def test_new_file_is_created_with_its_deposit_and_read_back(path: Path) -> None:
    with _opened(path) as broker:
        first = broker.snapshot(broker.now)
    with _opened(path) as broker:
        again = broker.snapshot(broker.now)

    assert first == again
    assert again.cash == {"USD": Decimal(10_000_000)}
    assert path == path.parent.parent / "simulated" / "SIM-test-7.sqlite"


def test_reopening_before_every_step_equals_a_run_without_restart(path: Path) -> None:
    steady = new_broker(World(depth=Decimal(30)))
    steps = [
        lambda broker: broker.submit(order(quantity="70")),
        lambda broker: broker.next_event(utc(MONDAY, 15, 1)),
        lambda broker: broker.next_event(utc(MONDAY, 15, 1)),
        lambda broker: broker.cancel("AF1.A.0"),
        lambda broker: inject(broker, "nlv-drift"),
        lambda broker: broker.submit(order("PEN", "10", "251", ref="AF1.B.0")),
        lambda broker: broker.advance(utc(MONDAY, 16)),
        lambda broker: broker.submit(order(side=Side.SELL, limit="99", ref="AF1.C.0")),
        lambda broker: broker.advance(utc(MONDAY, 16) + timedelta(days=1)),
    ]

    for step in steps:
        with _opened(path) as broker:
            assert step(broker) == step(steady)
        with _opened(path) as broker:
            assert broker.snapshot(broker.now) == steady.snapshot(steady.now)
            assert broker.state.head == steady.state.head
    with _opened(path) as broker:
        assert events_until(broker, utc(MONDAY, 23) + timedelta(days=1)) == events_until(
            steady, utc(MONDAY, 23) + timedelta(days=1)
        )


_WORKER = """
import sys
from decimal import Decimal
from pathlib import Path
from tasks.adapters.simulated_account import open_account
from tests.engine.simulation.exchange_world import World, broker_terms, opening, order
broker = open_account(Path(sys.argv[1]), broker_terms(World(depth=Decimal(30))), opening())
for number in range(100000):
    broker.submit(order(quantity="70", ref=f"AF1.{number}.0"))
    broker.next_event(broker.now)
    print(number, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 7, 40])
def test_killed_process_leaves_whole_commits(path: Path, lines: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        reported = [int(worker.stdout.readline()) for _ in range(lines)]
        worker.send_signal(signal.SIGKILL)
        reported += [int(line) for line in worker.stdout.read().splitlines()]

    with _opened(path) as broker:
        listed = [held.order_ref for held in broker.orders()]
        # Every order that was reported is there; at most one more was committed and not yet reported.
        assert listed[: len(reported)] == [f"AF1.{number}.0" for number in range(len(reported))]
        assert len(listed) <= len(reported) + 1
        held = sum((fill.signed_quantity for fill in broker.executions()), Decimal(0))
        paid = sum(
            (fill.signed_quantity * fill.price + (fill.commission or 0) for fill in broker.executions()),
            Decimal(0),
        )
        assert broker.state.quantity("AAA") == held
        assert broker.state.balance("USD") == Decimal(10_000_000) - paid


def test_two_processes_can_not_both_drive_one_account(path: Path) -> None:
    with _opened(path) as first, _opened(path) as second:
        first.submit(order())

        with pytest.raises(SupersededError, match="another process"):
            second.submit(order(ref="AF1.B.0"))

    with _opened(path) as broker:
        assert [listed.order_ref for listed in broker.orders()] == ["AF1.A.0"]


def test_file_of_another_seed_is_refused(path: Path) -> None:
    with _opened(path):
        pass
    other = opening()

    with pytest.raises(ConfigurationError, match="simulated reset"):
        open_account(path, broker_terms(), type(other)(**{**_fields(other), "seed": 8}))


def _fields(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in ("account", "deposit", "opened_at", "seed")}


def test_earlier_time_is_refused_naming_the_reset(path: Path) -> None:
    with _opened(path) as broker, pytest.raises(ConfigurationError, match="simulated reset"):
        broker.advance(utc(MONDAY, 6))


def test_reset_is_refused_while_something_is_held(path: Path) -> None:
    with _opened(path) as broker:
        broker.submit(order(quantity="10"))
        broker.advance(utc(MONDAY, 15, 1))

    with pytest.raises(RefusedError, match="10 AAA"):
        reset_account(path)
    assert path.exists()

    reset_account(path, even_with_positions=True)
    assert not list(path.parent.iterdir())


def test_reset_is_refused_while_an_order_works(path: Path) -> None:
    with _opened(path) as broker:
        broker.submit(order(limit="90"))

    with pytest.raises(RefusedError, match="1 working"):
        reset_account(path)


def test_flat_account_is_reset_and_starts_anew(path: Path) -> None:
    with _opened(path) as broker:
        broker.advance(utc(MONDAY, 20))

    reset_account(path)
    reset_account(path)

    with _opened(path) as broker:
        assert broker.now == utc(MONDAY, 15)


def test_file_that_is_no_database_is_named(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database, whatever its name says" * 40)

    with pytest.raises(StoreError, match=r"SIM-test-7\.sqlite"):
        SqliteJournal(path)


def test_newer_format_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match="99"):
        SqliteJournal(path)


def test_each_order_reference_can_be_counted_in_the_file(path: Path) -> None:
    with _opened(path) as broker:
        line = SimulatedTransport(broker)
        line.send(order())
        line.send(order())

    with closing(SqliteJournal(path)) as journal:
        rows = journal.history(RecordKind.ORDER)
    assert len(rows) == 2
    assert all('"order_ref":"AF1.A.0"' in record.body for record in rows)
