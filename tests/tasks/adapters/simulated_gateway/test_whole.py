"""What fails on its way, over TCP: nothing of it stays in the gateway's memory, who waits is answered, all trade on."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import tasks.gateway
from engine.errors import BrokerUnavailable, ConfigurationError, MissingMark
from engine.model.orders import ChildOrder
from engine.simulation import broker as simulated
from engine.simulation.broker import SimulatedBroker
from tasks.adapters.simulated_account import SqliteJournal
from tasks.adapters.simulated_gateway.control import microseconds
from tasks.adapters.simulated_gateway.control_client import ControlLine
from tasks.gateway import open_gateway
from tests.tasks.adapters.gateways import RunningGateway, running
from tests.tasks.adapters.simulated_gateway import test_unkept
from tests.tasks.adapters.simulated_gateway.test_unkept import (
    OPENED,
    OPTIONS,
    RUNNING,
    FailsOnce,
    buys,
    kept_orders,
    locked,
    open_numbers,
    shown,
    until,
)
from tests.tasks.adapters.simulated_gateway.wire_lines import TIME, WireLine, order_frame

HOUR = timedelta(hours=1)
file, gateway = test_unkept.file, test_unkept.gateway


def is_as_kept(gateway: RunningGateway) -> bool:
    """Whether the gateway remembers what its file says."""
    again = open_gateway(OPTIONS)
    try:
        return shown(again) == shown(gateway.gateway)
    finally:
        again.close()


# ---------------------------------------------------------------- an advance that waits for its barrier


@contextmanager
def waiting(gateway: RunningGateway, to: datetime, barrier: int) -> Iterator[Future[tuple[datetime, bool]]]:
    """An advance that waits for client 1, on a line of its own."""
    found: Future[tuple[datetime, bool]] = Future()
    line = ControlLine(gateway.control_port, timeout=20)

    def ask() -> None:
        try:
            found.set_result(line.advance(to, 1, barrier))
        except Exception as error:
            found.set_exception(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        until(lambda: gateway.gateway._waiting is not None)
        yield found
    finally:
        asking.join(30)
        line.close()


def moves_on(gateway: RunningGateway) -> bool:
    """Whether time moves, without a barrier and with one."""
    to = gateway.gateway.now + timedelta(minutes=1)
    moved = gateway.control.advance(to)
    with WireLine(gateway, 1) as line:
        line.send(TIME)
        behind = gateway.control.advance(to + timedelta(minutes=1), 1, 1)
        return (
            (moved, behind) == ((to, False), (to + timedelta(minutes=1), False))
            and line.until(lambda: bool(line.named("current_time")))
            and is_as_kept(gateway)
        )


def locks(gateway: RunningGateway, file: Path, line: WireLine) -> None:
    with locked(file):
        line.send(TIME)
        assert line.ends


def fails_at_its_end(gateway: RunningGateway, file: Path, line: WireLine) -> None:
    journal = gateway.gateway.broker._journal
    assert isinstance(journal, SqliteJournal)
    journal._connection = FailsOnce(journal._connection, "COMMIT")  # type: ignore[assignment]
    line.send(TIME)
    assert line.ends


def lacks_a_mark(gateway: RunningGateway, file: Path, line: WireLine) -> None:
    broker = gateway.gateway.broker
    right = broker.next_event

    def fails_once(to: datetime) -> None:
        broker.next_event = right  # type: ignore[method-assign]
        broker._set_time(to)
        raise MissingMark("expected a mark, found none")

    broker.next_event = fails_once  # type: ignore[method-assign,assignment]
    line.send(TIME)
    assert line.ends


@pytest.mark.parametrize("fails", [locks, fails_at_its_end, lacks_a_mark])
def test_advance_whose_move_fails_at_its_barrier_is_answered_and_time_moves_on(
    gateway: RunningGateway, file: Path, fails: Callable[[RunningGateway, Path, WireLine], None]
) -> None:
    gateway.control.hold_barriers(1)
    with WireLine(gateway, 1) as line, waiting(gateway, OPENED + HOUR, 1) as moved:
        fails(gateway, file, line)
        with pytest.raises(ConfigurationError, match="time did not move"):
            moved.result(20)
        assert gateway.gateway.now == OPENED
    assert moves_on(gateway)


def test_other_client_whose_messages_fail_leaves_the_barrier_waiting(
    gateway: RunningGateway, file: Path
) -> None:
    gateway.control.hold_barriers(1)
    with WireLine(gateway, 1) as line, waiting(gateway, OPENED + HOUR, 1) as moved:
        with WireLine(gateway, 2) as other, locked(file):
            other.send(order_frame(gateway, 1))
            assert other.ends
        assert not moved.done()
        assert line.asks_the_time()
        assert moved.result(20) == (OPENED + HOUR, False)


def test_barrier_whose_advance_left_is_forgotten(gateway: RunningGateway, file: Path) -> None:
    gateway.control.hold_barriers(1)
    with WireLine(gateway, 1):
        asked = {"command": "advance", "until": microseconds(OPENED + HOUR), "client_id": 1, "barrier": 5}
        with socket.create_connection(("127.0.0.1", gateway.control_port)) as left:
            left.sendall(json.dumps(asked).encode() + b"\n")
            until(lambda: gateway.gateway._waiting is not None)
        until(lambda: gateway.gateway._waiting is None)
        assert gateway.control.advance(OPENED + timedelta(minutes=1)) == (
            OPENED + timedelta(minutes=1),
            False,
        )
    until(lambda: not gateway.gateway.sessions)
    assert moves_on(gateway)


def test_gateway_that_ends_hangs_up_the_lines_of_its_control_interface(gateway: RunningGateway) -> None:
    gateway.control.hold_barriers(1)
    idle = ControlLine(gateway.control_port)
    with WireLine(gateway, 1):
        with waiting(gateway, OPENED + HOUR, 1) as moved:
            asyncio.run_coroutine_threadsafe(gateway.server.stop(), gateway.loop).result(30)
            assert not gateway.call(lambda: asyncio.all_tasks() - {asyncio.current_task()})
        with pytest.raises(BrokerUnavailable):
            moved.result(20)
        with pytest.raises(BrokerUnavailable):
            idle.ask("status")
    idle.close()


# ---------------------------------------------------------------- half of a change


def test_step_that_fails_in_the_middle_of_an_advance_never_happened(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[object] = []
    right = simulated.settle_day

    def fails_once(*of: object) -> None:
        settled.append(of)
        if len(settled) == 1:
            raise MissingMark("expected a mark, found none")
        right(*of)  # type: ignore[arg-type]

    assert buys(gateway, 1, 1)
    monkeypatch.setattr(simulated, "settle_day", fails_once)
    with pytest.raises(ConfigurationError, match="expected a mark"):
        gateway.control.advance(OPENED + 12 * HOUR)
    assert gateway.gateway.now < OPENED + HOUR
    assert is_as_kept(gateway)
    gateway.run_until(OPENED + 12 * HOUR)
    assert len(settled) == 2
    assert is_as_kept(gateway)


@pytest.mark.parametrize(
    "problem", [LookupError("no such thing"), MissingMark("expected a mark, found none")]
)
def test_command_that_fails_half_done_is_refused_and_its_line_goes_on(
    gateway: RunningGateway,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    problem: Exception,
) -> None:
    def fails(*_: object) -> None:
        raise problem

    assert buys(gateway, 1, 1)
    [row] = gateway.control.ask("executions")["executions"]  # type: ignore[misc]
    with monkeypatch.context() as patched:
        patched.setattr(
            "tasks.adapters.simulated_gateway.control_commands.change_execution",
            lambda broker, *_: (broker._set_time(OPENED + 2 * HOUR), fails()),
        )
        with pytest.raises(ConfigurationError, match=str(problem)):
            gateway.control.ask("correct_execution", execution=row["execution"], quantity="2", price="300")
    assert is_as_kept(gateway)
    assert buys(gateway, 2, 1)
    assert is_as_kept(gateway)
    assert any("failed" in record.message for record in caplog.records) is isinstance(problem, LookupError)


def test_correction_of_any_size_leaves_memory_and_file_alike(gateway: RunningGateway) -> None:
    assert buys(gateway, 1, 1)
    [row] = gateway.control.ask("executions")["executions"]  # type: ignore[misc]
    for quantity, price in (("1e30", "1e30"), ("1e20", "1e20"), ("1e10", "1e20"), ("1e-30", "1e9999999")):
        with pytest.raises(ConfigurationError):
            gateway.control.ask(
                "correct_execution", execution=row["execution"], quantity=quantity, price=price
            )
        assert is_as_kept(gateway)
    assert buys(gateway, 2, 1)
    assert is_as_kept(gateway)


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("advance", {"until": 10**30}),
        ("advance", {"until": -(10**30)}),
        ("delay", {"milliseconds": 10**400}),
        ("delay", {"milliseconds": -1}),
        ("refuse_orders", {"code": 201, "times": 10**12}),
        ("hide_statuses", {"times": -1}),
        ("error", {"client_id": 1, "code": 10**12}),
        ("foreign_order", {"contract": "CSPX", "quantity": "1e40", "limit": "300"}),
        ("script", {"contract": "CSPX", "sizes": ["1e40"]}),
    ],
)
def test_number_that_no_command_takes_is_refused_and_the_line_goes_on(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, command: str, fields: dict[str, object]
) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        gateway.control.ask(command, **fields)
    assert gateway.control.started() == OPENED
    assert is_as_kept(gateway)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_order_that_fails_between_its_two_books_is_in_neither(
    gateway: RunningGateway, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: SimulatedBroker, child: object) -> None:
        raise LookupError("no such thing")

    with WireLine(gateway, 1) as line:
        line.send(order_frame(gateway, 1))
        assert line.asks_the_time()
        with monkeypatch.context() as patched:
            patched.setattr(SimulatedBroker, "submit", fails)
            line.send(order_frame(gateway, 2) + TIME)
            assert line.ends
    assert is_as_kept(gateway)
    assert buys(gateway, 2, 1)
    with WireLine(gateway, 1) as line:
        assert open_numbers(line) == ["1"]
        line.send(order_frame(gateway, 2))
        assert line.asks_the_time()
        assert open_numbers(line) == ["1", "2"]
    assert kept_orders(file) == 3
    assert is_as_kept(gateway)


def test_good_order_that_came_at_once_with_one_that_fails_never_happened(
    gateway: RunningGateway, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = SimulatedBroker.submit

    def fails_half_done(self: SimulatedBroker, child: ChildOrder) -> None:
        right(self, child)
        if child.limit_price == 301:
            raise LookupError("no such thing")

    monkeypatch.setattr(SimulatedBroker, "submit", fails_half_done)
    with WireLine(gateway, 1) as line:
        line.send(order_frame(gateway, 1) + order_frame(gateway, 2, limit_price="301") + TIME)
        assert line.ends
        assert not line.told
    assert kept_orders(file) == 0
    assert is_as_kept(gateway)
    with WireLine(gateway, 1) as line:
        assert open_numbers(line) == []


def test_account_that_can_not_be_taken_to_the_clock_is_what_its_file_says(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [timedelta(0)]
    monkeypatch.setattr(tasks.gateway, "scaled_clock", lambda start, speed: lambda: start + passed[0])
    with running(lambda: open_gateway(RUNNING)) as gateway, WireLine(gateway, 1) as line:
        line.send(order_frame(gateway, 1))
        assert line.asks_the_time()
        right = gateway.gateway.broker._run

        def fails_on_its_way(to: datetime) -> None:
            right(to)
            raise MissingMark("expected a mark, found none")

        with monkeypatch.context() as patched:
            patched.setattr(gateway.gateway.broker, "_run", fails_on_its_way)
            passed[0] = timedelta(seconds=5)
            line.send(order_frame(gateway, 2))
            assert line.ends
            assert gateway.call(lambda: is_as_kept(gateway))
        with WireLine(gateway, 1) as again:
            assert open_numbers(again) == ["1"]
