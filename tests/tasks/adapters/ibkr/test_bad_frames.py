"""Bytes that are no messages, gateways of other versions, gateways that do not answer: alarms, and no order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ib_insync import IB

from engine.errors import BrokerUnavailable
from tasks.adapters.ibkr.errors import NotWritten
from tasks.adapters.ibkr.policy import SessionState
from tasks.adapters.simulated_gateway.framing import frame
from tasks.adapters.simulated_gateway.messages import answer
from tests.tasks.adapters.gateways import RunningGateway, library_loop, running, settle
from tests.tasks.adapters.ibkr.conftest import Connect, eventually
from tests.tasks.adapters.ibkr.tiny_gateway import VERSION, TinyGateway
from tests.tasks.adapters.ibkr.trading import Kind, open_desk
from tests.tasks.adapters.simulated_gateway.test_gateway import buy

EXECUTION = {
    "order_id": "1", "con_id": "75776072", "symbol": "CSPX", "security_type": "STK", "execution_id": "0001.01",
    "time": "20261120 15:45:00 UTC", "account": "DU1234567", "side": "BOT", "shares": "10", "price": "734.5",
    "client_id": "7", "order_ref": "AF1.A.1",
}  # fmt: skip


def told(name: str, **record: object) -> bytes:
    return frame(answer(name, record, VERSION))


def cut_short(name: str, fields: int, **record: object) -> bytes:
    """A message whose last fields are missing."""
    return frame(answer(name, record, VERSION)[:-fields])


BAD = {
    "garbage in a frame": frame(["\x01\x02", "zz"]),
    "no field at all": b"\0\0\0\0\0",
    "frame of sixteen megabytes": b"\x01\0\0\0",
    "frame of four gigabytes": b"\xff\xff\xff\xff" + b"x" * 100,
    "unknown message": frame(["999", "1", "2"]),
    "execution cut short": cut_short("execution", 12, **EXECUTION),
    "position cut short": cut_short("position", 3, account="DU1234567", con_id="1"),
    "open order cut short": cut_short("open_order", 40, order_id="1", status="Submitted"),
    "bars that end early": frame(["17", "1", "20261119", "20261120", "2", "20261119", "1", "2"]),
    "price of an execution that is no number": told("execution", **{**EXECUTION, "price": "nan"}),
    "quantity of an execution that is no number": told("execution", **{**EXECUTION, "shares": "inf"}),
    "position that is no number": told("position", account="DU1234567", con_id="1", position="nan", average_cost="1"),
    "filled quantity that is no number": told("order_status", order_id="1", status="Filled", filled="nan"),
    "time that is none": told("execution", **{**EXECUTION, "time": "yesterday"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bytes_that_are_no_message_are_an_alarm_and_a_new_connection_and_no_order(
    gateway: TinyGateway, session: Connect, alarms: list[str], name: str
) -> None:
    one = session()
    gateway.raw(BAD[name])
    eventually(lambda: len(gateway.named("start_api")) == 2 and one.is_ready)
    assert "can not be read" in alarms[0]
    assert gateway.named("place_order") == []


def test_message_that_never_ends_is_noticed_by_the_heartbeat(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one = session(heartbeat_seconds=0.05, heartbeat_timeout=0.1)
    gateway.raw((1000).to_bytes(4, "big") + b"4\0")  # what comes next is taken for the rest of it
    eventually(lambda: len(gateway.named("start_api")) == 2 and one.is_ready)
    assert "time was not answered in 0.1 seconds" in alarms[0]


def test_message_cut_by_the_end_of_the_line_is_lost_with_it(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one = session()
    gateway.raw(told("execution", **EXECUTION)[:-20])
    gateway.drop()
    eventually(lambda: len(gateway.named("start_api")) == 2 and one.is_ready)
    assert "the connection to the broker was lost" in alarms[0]


# ---------------------------------------------------------------- gateways that do not answer


def never_greets(gateway: TinyGateway) -> None:
    gateway.version = None


def speaks(version: int) -> Callable[[TinyGateway], None]:
    def change(gateway: TinyGateway) -> None:
        gateway.version = version

    return change


def nobody_logged_in(gateway: TinyGateway) -> None:
    gateway.account = ""


def refuses_at_once(gateway: TinyGateway) -> None:
    gateway.refuse = (502, "Couldn't connect")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (never_greets, "TimeoutError"),
        (speaks(156), "version must be"),
        (speaks(177), "expected a gateway that speaks 157 to 176, found 177"),
        (speaks(220), "expected a gateway that speaks 157 to 176, found 220"),
        (nobody_logged_in, "TimeoutError"),
        (refuses_at_once, "Peer closed connection"),
    ],
    ids=["never greets", "too old", "newer", "much newer", "nobody logged in", "login refused"],
)
def test_gateway_that_can_not_serve_is_no_connection_and_says_why(
    gateway: TinyGateway, session: Connect, change: Callable[[TinyGateway], None], why: str
) -> None:
    change(gateway)
    one = session(connected=False, connect_timeout=0.3)
    with pytest.raises(BrokerUnavailable, match=why):
        one.connect()
    with pytest.raises(NotWritten):
        one.write_order(lambda ib, number: None)
    assert not one.is_ready


@pytest.mark.parametrize("change", [never_greets, nobody_logged_in], ids=["never greets", "nobody logged in"])
def test_login_that_expires_is_told_at_each_attempt_and_nothing_is_written(
    gateway: TinyGateway, session: Connect, alarms: list[str], change: Callable[[TinyGateway], None]
) -> None:
    one = session(connect_timeout=0.1, reconnect_delays=(0.02, 0.02))
    change(gateway)
    gateway.drop()
    eventually(lambda: one.state is SessionState.FAILED)
    assert [text.partition(" failed")[0] for text in alarms[1:3]] == [
        "reconnection 1 of 2",
        "reconnection 2 of 2",
    ]
    assert "after 2 attempts" in alarms[-1]
    with pytest.raises(NotWritten):
        one.write_order(lambda ib, number: None)


# ---------------------------------------------------------------- versions

NEWEST = 176
"""The newest that the library speaks."""


@pytest.fixture(scope="module")
def spoken() -> object:
    with running() as found:
        yield found


@pytest.mark.parametrize("version", range(157, NEWEST + 1))
def test_real_client_trades_at_every_version_that_it_speaks(spoken: RunningGateway, version: int) -> None:
    with library_loop():
        ib = IB()
        ib.RaiseRequestErrors, ib.client.MaxRequests, ib.client.MaxClientVersion = True, 0, version
        ib.connect("127.0.0.1", spoken.port, clientId=3, timeout=5)
        assert ib.client.serverVersion() == version
        before = len(ib.fills())
        trade = buy(ib, spoken, orderRef=f"AF1.V.{version}")
        settle(ib, spoken)
        assert (trade.orderStatus.status, trade.filled()) == ("Filled", 10)
        assert [fill.execution.orderRef for fill in ib.reqExecutions()][before:] == [f"AF1.V.{version}"]
        assert {row.contract.symbol for row in ib.positions()} == {"CSPX"}
        assert f"AF1.V.{version}" in {row.order.orderRef for row in ib.reqCompletedOrders(False)}
        ib.disconnect()


@pytest.mark.parametrize("version", [157, 158, 160, 163, 164, 166, 169, 170, 175])
def test_adapter_trades_with_a_gateway_of_an_older_version(version: int) -> None:
    with running(version=version) as gateway:
        desk = open_desk(gateway)
        try:
            child, resting = desk.child(), desk.resting()
            desk.transport.send(child)
            assert desk.kinds() == [Kind.ACKNOWLEDGED, Kind.FILL]
            desk.transport.send(resting)
            assert desk.kinds() == [Kind.ACKNOWLEDGED]
            listed = {order.order_ref: order.limit_price for order in desk.transport.orders()}
            assert listed == {child.order_ref: child.limit_price, resting.order_ref: resting.limit_price}
        finally:
            desk.session.close()
