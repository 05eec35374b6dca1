"""An account whose file can not take a change, over TCP: what was not kept never happened, and everybody trades on."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import tasks.gateway
from engine.errors import ConfigurationError, MissingMark, SupersededError
from engine.simulation.broker import SimulatedBroker
from engine.simulation.journal import RecordKind
from tasks.adapters import simulated_account
from tasks.adapters.simulated_account import SqliteJournal, account_time
from tasks.adapters.simulated_gateway import server
from tasks.adapters.simulated_gateway.framing import frame
from tasks.adapters.simulated_gateway.gateway import ACCOUNT_REFRESH, Gateway
from tasks.adapters.simulated_gateway.messages import SPOKEN_VERSION, request
from tasks.gateway import GatewayOptions, open_gateway
from tests.tasks.adapters.gateways import RunningGateway, running
from tests.tasks.adapters.simulated_gateway.wire_lines import TIME, WireLine, order_frame, price_that_fills

OPENED = datetime(2026, 11, 20, 14, 40, tzinfo=UTC)
OPTIONS = GatewayOptions(first=OPENED, last=date(2026, 11, 23), speed=None)
RUNNING = GatewayOptions(first=OPENED, last=date(2026, 11, 23))
OPEN_ORDERS = frame(["5", "1"])
CANCEL_FIRST = frame(["4", "1", "1", ""])


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The account's file; who waits for it does not wait long."""
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    monkeypatch.setattr(simulated_account, "BUSY_SECONDS", 0.05)
    return tmp_path / "gateway" / "DU1234567.sqlite"


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    with running(lambda: open_gateway(OPTIONS)) as found:
        yield found


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Somebody else writes into the file, and takes it back."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def open_numbers(line: WireLine) -> list[str]:
    """Numbers of the open orders of a client."""
    line.told.clear()
    line.send(OPEN_ORDERS)
    assert line.until(lambda: bool(line.named("open_orders_end")))
    return [row["order_id"] for row in line.named("open_order")]


def buys(gateway: RunningGateway, client_id: int, number: int) -> bool:
    """Whether a client buys a share under a number and is told that it has it."""
    with WireLine(gateway, client_id) as line:
        line.send(order_frame(gateway, number, limit_price=price_that_fills(gateway)))
        assert line.asks_the_time()
        gateway.run_until(gateway.gateway.now + timedelta(seconds=5))
        assert line.asks_the_time()
        return [row["order_id"] for row in line.named("execution")] == [str(number)]


def kept_orders(file: Path) -> int:
    """How many orders the account's file holds."""
    with closing(SqliteJournal(file)) as journal:
        return len(journal.history(RecordKind.ORDER))


def shown(gateway: Gateway) -> tuple[object, ...]:
    """What a gateway remembers of the account and its orders."""
    state, placed = gateway.broker.state, gateway.world.placed
    return (
        state.head,
        state.orders.items(),
        state.inbox.items(),
        placed._by_key,
        placed._by_reference,
        placed._highest,
    )


@pytest.mark.parametrize("first", [b"", CANCEL_FIRST], ids=["orders", "a cancel before orders"])
def test_order_that_comes_while_the_file_is_locked_never_happened_and_everybody_trades_on(
    gateway: RunningGateway, file: Path, caplog: pytest.LogCaptureFixture, first: bytes
) -> None:
    with WireLine(gateway, 1) as line:
        line.send(order_frame(gateway, 1))
        assert line.asks_the_time()
        with locked(file):
            line.send(TIME + first + order_frame(gateway, 2) + order_frame(gateway, 3) + TIME)
            assert line.ends
            assert (
                len(line.named("current_time")) == 1
            )  # that of before: nothing of what came at once was told
    [told] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert told.startswith("closing a connection of client 1: NotKept: expected to store")
    assert "database is locked" in told
    assert buys(gateway, 2, 1)
    with WireLine(gateway, 1) as line:
        assert open_numbers(line) == ["1"]
        line.send(order_frame(gateway, 2))
        assert line.asks_the_time()
        assert open_numbers(line) == ["1", "2"]
    assert kept_orders(file) == 3
    again = open_gateway(OPTIONS)
    assert shown(again) == shown(gateway.gateway)
    again.close()


def test_what_the_control_interface_asks_for_while_the_file_is_locked_is_refused_and_time_stands(
    gateway: RunningGateway, file: Path
) -> None:
    with locked(file), pytest.raises(ConfigurationError, match="expected to store a change"):
        gateway.control.advance(OPENED + timedelta(hours=1))
    assert gateway.gateway.now == OPENED
    assert buys(gateway, 2, 1)


def test_commit_that_fails_at_its_very_end_never_happened(gateway: RunningGateway, file: Path) -> None:
    journal = gateway.gateway.broker._journal
    assert isinstance(journal, SqliteJournal)
    journal._connection = FailsOnce(journal._connection, "COMMIT")  # type: ignore[assignment]
    with WireLine(gateway, 1) as line:
        line.send(order_frame(gateway, 1) + TIME)
        assert line.ends
        assert line.told == []
    assert buys(gateway, 2, 1)
    assert kept_orders(file) == 1
    with WireLine(gateway, 1) as line:
        assert open_numbers(line) == []
    again = open_gateway(OPTIONS)
    assert shown(again) == shown(gateway.gateway)
    again.close()


class FailsOnce:
    """A connection to a database on which one statement fails once."""

    def __init__(self, connection: sqlite3.Connection, statement: str) -> None:
        self._connection, self._statement = connection, statement

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement == self._statement:
            self._statement = ""
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)


def until(holds: Callable[[], bool]) -> None:
    """Look until something holds; a minute at most."""
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, "expected it to hold within a minute"
        time.sleep(0.01)


@pytest.mark.parametrize("streams_fail", [False, True])
def test_report_that_is_due_while_the_file_is_locked_is_told_afterwards_without_anybody_asking(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, streams_fail: bool
) -> None:
    passed = [timedelta(0)]
    monkeypatch.setattr(tasks.gateway, "scaled_clock", lambda start, speed: lambda: start + passed[0])
    with running(lambda: open_gateway(RUNNING)) as gateway, WireLine(gateway, 1) as line:
        line.send(order_frame(gateway, 1, limit_price=price_that_fills(gateway)))
        assert line.asks_the_time()
        if streams_fail:
            monkeypatch.setattr(gateway.gateway, "ticks", lambda: 1 / 0)
        with locked(file):
            passed[0] = timedelta(seconds=5)
            until(
                lambda: any("what is due has failed: NotKept" in record.message for record in caplog.records)
            )
            for _ in range(0 if streams_fail else 30):  # where they fail nothing else wakes the gateway
                assert line.asks_the_time()
        assert line.until(lambda: bool(line.named("execution")))
        assert len(line.named("execution")) == 1
    # Tried again once a second, however much comes in meanwhile.
    assert len([record for record in caplog.records if "has failed: NotKept" in record.message]) < 10
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_quotes_that_came_while_the_file_was_locked_are_told_afterwards(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [timedelta(0)]
    monkeypatch.setattr(tasks.gateway, "scaled_clock", lambda start, speed: lambda: start + passed[0])
    with running(lambda: open_gateway(RUNNING)) as gateway, WireLine(gateway, 1) as line:
        quoted = {"request_id": "1", "con_id": str(gateway.gateway.listing.number("CSPX"))}
        line.send(frame(request("market_data", quoted, SPOKEN_VERSION)) + frame(["6", "2", "1", ""]))
        assert line.until(lambda: bool(line.named("account_end")))
        assert line.named("size")
        line.told.clear()
        with locked(file):
            passed[0] = ACCOUNT_REFRESH + timedelta(seconds=1)
            until(
                lambda: any("what is due has failed: NotKept" in record.message for record in caplog.records)
            )
        assert line.until(lambda: bool(line.named("account_end")))
        assert line.named("size")


def test_watch_that_could_not_begin_is_none(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise MissingMark("expected a mark, found none")

    with WireLine(gateway, 1) as line:
        monkeypatch.setattr(gateway.gateway, "_catch_up", fail)
        line.send(frame(["6", "2", "1", ""]))
        assert line.asks_the_time()
        assert [row["code"] for row in line.named("error")] == ["321"]
        assert gateway.call(gateway.gateway.ticks) == []


def test_real_clock_goes_on_over_a_restart_though_nothing_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [timedelta(0)]
    monkeypatch.setattr(tasks.gateway, "scaled_clock", lambda start, speed: lambda: start + passed[0])
    with running(lambda: open_gateway(RUNNING)) as gateway:
        passed[0] = timedelta(hours=2)
        assert gateway.control.ask("status")["now"] == (OPENED + timedelta(hours=2)).isoformat()
    passed[0] = timedelta(0)
    with running(lambda: open_gateway(RUNNING)) as gateway:
        assert gateway.control.ask("status")["now"] == (OPENED + timedelta(hours=2)).isoformat()


def test_real_clock_of_a_gateway_that_is_killed_goes_on_where_it_last_woke_though_nothing_happened(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [timedelta(0)]
    monkeypatch.setattr(tasks.gateway, "scaled_clock", lambda start, speed: lambda: start + passed[0])
    monkeypatch.setattr(server, "LONGEST_WAIT", 0.01)
    with running(lambda: open_gateway(RUNNING)) as gateway:
        passed[0] = timedelta(hours=2)
        assert gateway.gateway.next_due() > gateway.gateway.now
        until(lambda: account_time(file) == OPENED + timedelta(hours=2))
        commits = gateway.gateway.broker.state.head.commit
        assert gateway.call(gateway.gateway.pump) == []
        assert (
            gateway.gateway.broker.state.head.commit == commits
        )  # the clock stands: there is nothing to keep


def test_virtual_clock_stands_where_it_was_over_a_restart(gateway: RunningGateway, file: Path) -> None:
    commits = gateway.gateway.broker.state.head.commit
    asyncio.run_coroutine_threadsafe(gateway.server.stop(), gateway.loop).result(30)
    assert (gateway.gateway.now, gateway.gateway.broker.state.head.commit) == (OPENED, commits)


def test_stop_while_the_file_is_locked_ends_all_the_same(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [timedelta(0)]
    monkeypatch.setattr(tasks.gateway, "scaled_clock", lambda start, speed: lambda: start + passed[0])
    with locked(file_made(file)), running(lambda: open_gateway(RUNNING)):
        passed[0] = timedelta(hours=2)
    assert [record for record in caplog.records if "what is due has failed: NotKept" in record.message]


def file_made(file: Path) -> Path:
    """The file of an account that was opened before."""
    open_gateway(RUNNING).close()
    return file


def test_gateway_whose_account_another_process_drives_gives_up(gateway: RunningGateway, file: Path) -> None:
    ended: list[bool] = []
    gateway.server.failed = lambda: ended.append(True)
    take_over(gateway, file)
    for number in (1, 2):
        with WireLine(gateway, number) as line:
            line.send(order_frame(gateway, 1) + TIME)
            assert line.ends
            assert line.told == []
    assert isinstance(gateway.server.failure, SupersededError)
    assert ended == [True]


def take_over(gateway: RunningGateway, file: Path) -> None:
    """Another process writes into the file of the account."""
    with closing(SqliteJournal(file)) as journal:
        other = SimulatedBroker.load(gateway.gateway.broker.terms, journal)
        other.advance(OPENED + timedelta(minutes=1))


def test_gateway_that_learns_of_the_other_process_by_its_control_interface_gives_up(
    gateway: RunningGateway, file: Path
) -> None:
    take_over(gateway, file)
    with pytest.raises(ConfigurationError, match="another process drives this account"):
        gateway.control.advance(OPENED + timedelta(minutes=2))
    assert isinstance(gateway.server.failure, SupersededError)
