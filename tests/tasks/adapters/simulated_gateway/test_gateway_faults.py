"""Faults over TCP: what the control interface breaks, and what the real client is told of it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_insync import IB

from engine.errors import BrokerUnavailable, ConfigurationError
from tasks.adapters.simulated_gateway.framing import FrameReader, frame, split
from tasks.adapters.simulated_gateway.server import GatewayServer
from tests.tasks.adapters.gateways import (
    OPENED,
    RunningGateway,
    connected,
    library_loop,
    make_gateway,
    running,
    settle,
)
from tests.tasks.adapters.simulated_gateway.test_gateway import ACCOUNT, buy, errors


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    with library_loop(), running() as found:
        yield found


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[IB]:
    made = connected(gateway)
    yield made
    made.disconnect()


def until(holds: Callable[[], bool]) -> None:
    """Let the client read until something holds; a second at most."""
    for _ in range(200):
        if holds():
            return
        asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.005))
    raise AssertionError("expected it to hold within a second")


# ---------------------------------------------------------------- the line


@pytest.mark.parametrize("command", ["drop", "reset"])
def test_cut_line_is_noticed_and_the_order_is_found_after_a_new_connection(
    client: IB, gateway: RunningGateway, command: str
) -> None:
    trade = buy(client, gateway, factor="0.9")
    settle(client, gateway)
    assert gateway.control.ask(command, client_id=1) == {"connections": 1}
    until(lambda: not client.isConnected())
    again = connected(gateway)
    assert [t.order.orderId for t in again.openTrades()] == [trade.order.orderId]
    again.disconnect()


def test_order_that_trades_while_nobody_listens_is_in_the_lists_afterwards(
    client: IB, gateway: RunningGateway
) -> None:
    buy(client, gateway)
    client.reqCurrentTime()
    client.disconnect()
    gateway.run_until(OPENED.replace(second=5))
    again = connected(gateway)
    assert [(f.execution.shares, f.execution.orderRef) for f in again.fills()] == [(10, "AF1.BUY.1")]
    assert [(p.contract.symbol, p.position) for p in again.positions()] == [("CSPX", 10)]
    again.disconnect()


def test_frozen_gateway_answers_nothing_and_goes_on_where_it_was(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("freeze")
    client.client.reqCurrentTime()
    client.RequestTimeout = 0.2
    with pytest.raises(TimeoutError):
        client.reqCurrentTime()
    assert client.isConnected()
    gateway.control.ask("thaw")
    client.RequestTimeout = 5
    assert client.reqCurrentTime() == OPENED


def test_delay_makes_every_answer_late(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("delay", milliseconds=300)
    client.RequestTimeout = 0.1
    with pytest.raises(TimeoutError):
        client.reqCurrentTime()
    gateway.control.ask("delay", milliseconds=0)
    client.RequestTimeout = 5
    assert client.reqCurrentTime() == OPENED


# ---------------------------------------------------------------- the gateway


def test_lost_link_is_told_and_reports_meanwhile_are_lost_but_listed(
    client: IB, gateway: RunningGateway
) -> None:
    heard = errors(client)
    trade = buy(client, gateway)
    client.reqCurrentTime()
    gateway.control.ask("system", code=1100)
    settle(client, gateway)
    gateway.control.ask("system", code=1102)
    client.reqCurrentTime()
    assert heard == [(-1, 1100), (-1, 1102)]
    assert trade.fills == []
    assert [fill.execution.shares for fill in client.reqExecutions()] == [10]


def test_refused_order_reaches_nobody_and_the_next_one_does(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("refuse_orders", code=201, text="Order rejected - reason:test")
    heard = errors(client)
    first, second = buy(client, gateway, factor="0.9"), buy(client, gateway, factor="0.9")
    settle(client, gateway)
    assert heard == [(first.order.orderId, 201)]
    rows: Any = gateway.control.ask("orders")["orders"]
    assert [row["order_id"] for row in rows] == [second.order.orderId]


def test_lost_order_is_nowhere_and_its_number_is_given_again(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("lose_orders")
    trade = buy(client, gateway)
    settle(client, gateway)
    assert trade.orderStatus.status == "PendingSubmit"
    client.disconnect()
    again = connected(gateway)
    assert again.reqAllOpenOrders() == []
    assert again.client.getReqId() <= trade.order.orderId
    again.disconnect()


def test_order_without_acknowledgement_works_all_the_same(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("silence_orders")
    trade = buy(client, gateway, factor="0.9")
    settle(client, gateway)
    assert trade.orderStatus.status == "PendingSubmit"
    assert [t.order.orderRef for t in client.reqAllOpenOrders()] == ["AF1.BUY.1"]


def test_lost_cancel_leaves_the_order_working(client: IB, gateway: RunningGateway) -> None:
    trade = buy(client, gateway, factor="0.9")
    settle(client, gateway)
    gateway.control.ask("lose_cancels")
    client.client.cancelOrder(trade.order.orderId)
    settle(client, gateway)
    assert trade.orderStatus.status == "Submitted"
    client.client.cancelOrder(trade.order.orderId)
    settle(client, gateway)
    assert trade.orderStatus.status == "Cancelled"


def test_order_numbers_roll_back_on_the_next_connection(client: IB, gateway: RunningGateway) -> None:
    trade = buy(client, gateway, factor="0.9")
    settle(client, gateway)
    gateway.control.ask("roll_back", times=4)
    told: list[int] = []
    client.client.wrapper.nextValidId = told.append  # the library itself drops what it hears after its start
    client.client.reqIds(1)
    client.reqCurrentTime()
    assert told == [max(1, trade.order.orderId + 1 - 4)]


def test_status_without_execution_and_execution_without_status(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("hide_executions")
    first = buy(client, gateway)
    settle(client, gateway)
    assert (first.orderStatus.status, first.orderStatus.filled, first.filled()) == ("Filled", 10, 0)
    assert first.fills == []
    gateway.control.ask("hide_statuses")
    second = buy(client, gateway, orderRef="AF1.BUY.2")
    settle(client, gateway, 10)
    assert second.orderStatus.status == "Submitted"
    assert [fill.execution.shares for fill in second.fills] == [10]
    assert sorted(fill.execution.orderRef for fill in client.reqExecutions()) == ["AF1.BUY.1", "AF1.BUY.2"]


def test_commission_before_its_execution_is_lost_on_the_client_and_listed_again(
    client: IB, gateway: RunningGateway
) -> None:
    gateway.control.ask("commission_first")
    trade = buy(client, gateway)
    settle(client, gateway)
    assert trade.fills[0].commissionReport.commission == 0
    gateway.control.ask("commission_first", on=False)
    client.reqExecutions()
    assert trade.fills[0].commissionReport.commission > 0


def test_execution_is_told_twice_and_corrected_under_the_next_suffix(
    client: IB, gateway: RunningGateway
) -> None:
    trade = buy(client, gateway)
    settle(client, gateway)
    [fill] = trade.fills
    name, price = fill.execution.execId, str(fill.execution.price)
    assert gateway.control.ask("repeat_execution", execution=name) == {"told": 2}
    client.reqCurrentTime()
    assert len(trade.fills) == 1
    told = gateway.control.ask("correct_execution", execution=name, quantity="8", price=price)
    assert told["execution"] == name[:-2] + "02"
    client.reqCurrentTime()
    # The library adds a correction to what it corrects: 10 + 8.
    assert [f.execution.execId for f in trade.fills] == [name, name[:-2] + "02"]
    assert sum(f.execution.shares for f in trade.fills) == 18
    assert [(p.contract.symbol, p.position) for p in gateway_positions(gateway)] == [("CSPX", 8)]


def gateway_positions(gateway: RunningGateway) -> list[Any]:
    other = connected(gateway, 9)
    held = other.positions()
    other.disconnect()
    return held


def test_bare_code_about_an_order_changes_nothing_at_the_gateway(client: IB, gateway: RunningGateway) -> None:
    trade = buy(client, gateway, factor="0.9")
    settle(client, gateway)
    gateway.control.ask(
        "error", client_id=1, code=10349, text="Order TIF was set to DAY", request_id=trade.order.orderId
    )
    client.reqCurrentTime()
    assert trade.orderStatus.status == "Cancelled"  # what the library makes of it
    [row] = gateway.control.ask("orders")["orders"]  # type: ignore[misc]
    assert row["status"] == "WORKING"


def test_wrong_account_is_what_the_gateway_shows(gateway: RunningGateway) -> None:
    gateway.control.ask("account", name="U7654321")
    client = connected(gateway, 3)
    assert client.managedAccounts() == ["U7654321"]
    client.disconnect()
    assert gateway.control.ask("account") == {"account": ACCOUNT}


def test_unanswered_request_leaves_the_library_empty_and_connected(gateway: RunningGateway) -> None:
    gateway.control.ask("unanswered", request="positions")
    client = connected(gateway, timeout=0.5)
    assert client.isConnected()
    assert client.positions() == []
    client.disconnect()


def test_second_session_is_told_to_all(client: IB, gateway: RunningGateway) -> None:
    heard = errors(client)
    gateway.control.ask("second_session")
    client.reqCurrentTime()
    assert heard == [(-1, 10197)]


@pytest.mark.parametrize(
    ("command", "fields", "told"),
    [
        ("nonsense", {}, "expected a command among"),
        ("unanswered", {"request": "tea"}, "expected a request among"),
        ("delay", {"milliseconds": "long"}, "expected a whole number"),
        ("script", {"contract": "CSPX", "sizes": ["nan"]}, "expected a number"),
        (
            "correct_execution",
            {"execution": "X", "quantity": "1", "price": "1"},
            "expected a listed execution",
        ),
        ("advance", {"until": 0, "client_id": 5, "barrier": 1}, "hold_barriers"),
    ],
)
def test_command_that_can_not_be_done_is_answered_and_nothing_happens(
    gateway: RunningGateway, command: str, fields: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        gateway.control.ask(command, **fields)
    assert gateway.control.ask("status")["clients"] == []


def test_help_tells_every_command(gateway: RunningGateway) -> None:
    commands: Any = gateway.control.ask("help")["commands"]
    assert all(text.endswith(".") for text in commands.values())
    assert {"freeze", "correct_execution", "advance"} <= commands.keys()


def test_barrier_of_a_client_that_leaves_ends_the_wait(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("hold_barriers", client_id=1)
    gateway.loop.call_soon_threadsafe(
        gateway.loop.call_later, 0.1, lambda: gateway.server.chosen(1)[0].hang_up(reset=True)
    )
    with pytest.raises(ConfigurationError, match="left"):
        gateway.control.advance(OPENED.replace(minute=50), 1, 99)
    until(lambda: not client.isConnected())


def test_control_line_to_nobody_is_unavailable(gateway: RunningGateway) -> None:
    from tasks.adapters.simulated_gateway.control_client import ControlLine

    with pytest.raises(BrokerUnavailable):
        ControlLine(1, timeout=1)


@pytest.mark.parametrize("turns", range(5))
def test_caller_that_was_accepted_while_the_gateway_stops_is_hung_up(turns: int) -> None:
    async def stop_amid() -> None:
        server = GatewayServer(make_gateway())
        await server.start()
        with socket.create_connection(("127.0.0.1", server.port), 5) as line:
            for _ in range(turns):  # of the loop, which accepts in the first one
                await asyncio.sleep(0)
            await server.stop()
            await asyncio.sleep(0.01)
            with pytest.raises(ConnectionResetError):
                line.recv(1)
        server.gateway.close()

    asyncio.run(stop_amid())


# ---------------------------------------------------------------- bad input


def raw(gateway: RunningGateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), 5)


def started(gateway: RunningGateway, client_id: int) -> socket.socket:
    """A connection that was started by hand, with everything read that the gateway says first."""
    line = raw(gateway)
    line.sendall(
        b"API\0"
        + len(b"v157..176").to_bytes(4, "big")
        + b"v157..176"
        + frame(["71", "2", str(client_id), ""])
    )
    reader, heard = FrameReader(), 0
    while heard < 6:  # the version, accounts, the next number, three notices
        heard += len(reader.feed(line.recv(4096)))
    return line


def ends(line: socket.socket) -> bool:
    """Whether the gateway closes the connection."""
    line.settimeout(5)
    try:
        while line.recv(4096):
            pass
    except ConnectionResetError:
        pass
    line.close()
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"API\0\0\0\0\x09v100..150",
        b"API\0\0\0\0\x09v213..220",
        b"API\0\xff\xff\xff\xff",
        b"API\0\0\0\0\0",
    ],
    ids=["another protocol", "too old", "too new", "oversized", "empty"],
)
def test_greeting_that_is_none_closes_the_connection_with_a_log_line(
    client: IB, gateway: RunningGateway, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with caplog.at_level(logging.WARNING, "fund.gateway"):
        line = raw(gateway)
        line.sendall(sent)
        assert ends(line)
    assert any("closing a connection" in record.message for record in caplog.records)
    assert client.reqCurrentTime() == OPENED


@pytest.mark.parametrize(
    "fields",
    [["3", "1", "2"], ["9", "8", "nine"], ["x", "1"], ["", ""], ["4", "1"], ["49", "1", "extra"]],
    ids=["cut order", "cut question", "no number", "empty", "cut cancel", "a field too many"],
)
def test_message_of_another_form_closes_only_its_own_connection(
    client: IB, gateway: RunningGateway, fields: list[str]
) -> None:
    line = started(gateway, 8)
    line.sendall(frame(fields))
    assert ends(line)
    assert client.reqCurrentTime() == OPENED


def test_message_that_the_gateway_does_not_serve_is_answered_by_321(
    client: IB, gateway: RunningGateway
) -> None:
    heard = errors(client)
    client.client.send(12, 1)  # news bulletins
    assert client.reqCurrentTime() == OPENED
    assert heard == [(-1, 321)]


def test_request_before_the_start_is_refused(gateway: RunningGateway) -> None:
    line = raw(gateway)
    line.sendall(b"API\0" + len(b"v157..176").to_bytes(4, "big") + b"v157..176" + frame(["49", "1"]))
    reader, frames = FrameReader(), []
    line.settimeout(5)
    while data := line.recv(4096):
        frames += reader.feed(data)
    line.close()
    assert split(frames[1])[3] == "504"


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_garbage_never_takes_the_gateway_down(pieces: list[bytes], framed: bool) -> None:
    with _fuzzed() as gateway:
        line = started(gateway, 5)
        try:
            for piece in pieces:
                line.sendall(len(piece).to_bytes(4, "big") + piece if framed else piece)
            line.shutdown(socket.SHUT_WR)
            assert ends(line)
        except OSError:  # it was closed before all was sent
            line.close()
        assert gateway.control.ask("status")["clients"] == []


_running: list[RunningGateway] = []


@pytest.fixture(autouse=True, scope="module")
def _fuzzed_gateway() -> Iterator[None]:
    with running() as found:
        _running.append(found)
        yield
    _running.clear()


class _fuzzed:
    """The one gateway that all examples meet."""

    def __enter__(self) -> RunningGateway:
        return _running[0]

    def __exit__(self, *_: object) -> None:
        return None
