"""Messages that no client library sends, over TCP: each is answered or ends its own connection, and others trade on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count

import pytest

from tasks.adapters.simulated_gateway.framing import frame
from tasks.adapters.simulated_gateway.sessions import Session
from tasks.adapters.simulated_gateway.trading import LAST_ORDER_ID
from tasks.gateway import GatewayOptions, open_gateway
from tests.tasks.adapters.gateways import RunningGateway, running
from tests.tasks.adapters.simulated_gateway.test_unkept import until
from tests.tasks.adapters.simulated_gateway.wire_lines import TIME, WireLine, order_frame, price_that_fills

OPENED = datetime(2026, 11, 20, 14, 40, tzinfo=UTC)
OPTIONS = GatewayOptions(first=OPENED, last=date(2026, 11, 23), speed=None)
CLIENTS = count(10)
WORLD_ERRORS = {"-1": 2104}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway with its account in a file, which every message of this module meets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUND_HOME", str(tmp_path_factory.mktemp("home")))
        with running(lambda: open_gateway(OPTIONS)) as found:
            yield found


def trades(gateway: RunningGateway) -> bool:
    """Whether another client buys a share, is told of it, and the account's file knows it."""
    number = next(CLIENTS)
    with WireLine(gateway, number) as line:
        line.send(order_frame(gateway, 1, limit_price=price_that_fills(gateway)))
        assert line.asks_the_time()
        gateway.run_until(gateway.gateway.now + timedelta(seconds=5))
        assert line.asks_the_time()
        filled = [row["order_id"] for row in line.named("execution")]
        return filled == ["1"] and [row["status"] for row in line.named("order_status")][-1] == "Filled"


HUGE = "9" * 20
ODD_ORDERS = {
    "quantity below any bound": ({"quantity": "1e-999999999"}, 321),
    "quantity of a float's end": ({"quantity": "1e308"}, 321),
    "quantity beyond a float": ({"quantity": "1e400"}, 321),
    "quantity of a billion digits": ({"quantity": "1e999999999"}, 321),
    "nothing with a long tail": ({"quantity": "0e-999999999"}, 321),
    "more digits than are kept": ({"quantity": "1." + "0" * 60}, 321),
    "price below any bound": ({"limit_price": "1e-999999999"}, 321),
    "price of a float's end": ({"limit_price": "1e308"}, 321),
    "price beyond a float": ({"limit_price": "-1e400"}, 321),
    "end after the last day": ({"tif": "GTD", "good_till": "99991231 23:59:59 US/Eastern"}, 391),
    "end before the first day": ({"tif": "GTD", "good_till": "00010101 00:00:00 Asia/Tokyo"}, 391),
    "zone that is a folder": ({"tif": "GTD", "good_till": "20261120 23:59:59 America"}, 391),
    "zone longer than a name": ({"tif": "GTD", "good_till": "20261120 23:59:59 " + "A" * 5000}, 391),
    "contract of 65 bits": ({"con_id": HUGE}, 321),
    "option of no day": (
        {"con_id": "", "symbol": "SPX", "security_type": "OPT", "last_trade_date": "2026ABCD", "strike": "5000",
         "right": "C"}, 200,
    ),
    "strike below any bound": (
        {"con_id": "", "symbol": "SPX", "security_type": "OPT", "last_trade_date": "20261218",
         "strike": "1e-999999999", "right": "C"}, 321,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "code"), ODD_ORDERS.values(), ids=ODD_ORDERS.keys())
def test_order_that_can_not_be_is_refused_by_a_code_and_everybody_trades_on(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, fields: dict[str, str], code: int
) -> None:
    with WireLine(gateway, next(CLIENTS)) as line:
        line.send(TIME + order_frame(gateway, 7, **fields) + TIME)
        assert line.until(lambda: len(line.named("current_time")) == 2)
        assert [(row["request_id"], int(row["code"])) for row in line.named("error")] == [("7", code)]
        assert trades(gateway)
        assert line.asks_the_time()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("number", [HUGE, str(2**31), str(-(2**31) - 1)])
@pytest.mark.parametrize("kind", ["order", "cancel", "question"])
def test_id_of_more_than_32_bits_is_refused_without_one(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, number: str, kind: str
) -> None:
    sent = {
        "order": order_frame(gateway, number),
        "cancel": frame(["4", "1", number, ""]),
        "question": frame(["62", "1", number, "All", "NetLiquidation"]),
    }
    with WireLine(gateway, next(CLIENTS)) as line:
        line.send(sent[kind])
        assert line.asks_the_time()
        assert [(row["request_id"], row["code"]) for row in line.named("error")] == [("-1", "321")]
    assert trades(gateway)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("number", [0, -1, -7, -(2**31), 2**31 - 1, LAST_ORDER_ID + 1])
def test_order_under_a_number_that_none_can_have_is_refused_and_its_client_comes_again(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    client = next(CLIENTS)
    with WireLine(gateway, client) as line:
        line.send(order_frame(gateway, number) + frame(["5", "1"]))
        assert line.until(lambda: bool(line.named("open_orders_end")))
        assert [(row["request_id"], row["code"]) for row in line.named("error")] == [(str(number), "10149")]
        assert not line.named("open_order")
    assert next_number(gateway, client) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def next_number(gateway: RunningGateway, client: int) -> int:
    """The number that a client is offered, on a connection of its own."""
    until(lambda: all(session.client_id != client for session in [*gateway.gateway.sessions.values()]))
    with WireLine(gateway, client) as line:
        line.send(frame(["8", "1", "1"]))
        assert line.asks_the_time()
        [row] = line.named("next_valid_id")
    return int(row["order_id"])


def test_client_zero_may_number_its_first_order_zero(gateway: RunningGateway) -> None:
    with WireLine(gateway, 0) as line:
        line.send(order_frame(gateway, -1) + order_frame(gateway, 0) + frame(["5", "1"]))
        assert line.until(lambda: bool(line.named("open_orders_end")))
        assert [(row["request_id"], row["code"]) for row in line.named("error")] == [("-1", "10149")]
        assert [row["order_id"] for row in line.named("open_order") if row["client_id"] == "0"] == ["0"]
        line.send(frame(["4", "1", "0", ""]))
        assert line.asks_the_time()


@pytest.mark.parametrize("kept", [LAST_ORDER_ID, 2**31 - 1])
def test_client_that_has_used_the_last_number_still_connects(gateway: RunningGateway, kept: int) -> None:
    client = next(CLIENTS)
    gateway.call(lambda: gateway.gateway.world.placed._highest.update({client: kept}))
    assert next_number(gateway, client) == LAST_ORDER_ID + 1 < 2**31 - 1_000_000


@pytest.mark.parametrize(
    "quantity", ["1", "1e-20", "1e20", "99999999999999999999", "1.000000000000000000000000001"]
)
@pytest.mark.parametrize("price", ["300", "1e20", "-1e20", "1e-20", "0.01"])
@pytest.mark.parametrize("action", ["BUY", "SELL"])
@pytest.mark.parametrize("what_if", ["0", "1"])
def test_number_at_its_bounds_ends_no_connection(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, quantity: str, price: str, action: str, what_if: str
) -> None:  # fmt: skip
    with WireLine(gateway, next(CLIENTS)) as line:
        fields = {"quantity": quantity, "limit_price": price, "action": action, "what_if": what_if}
        line.send(order_frame(gateway, 1, **fields))
        assert line.asks_the_time()
        gateway.run_until(gateway.gateway.now + timedelta(seconds=1))
        line.send(frame(["4", "1", "1", ""]) + frame(["6", "2", "1", ""]) + frame(["5", "1"]))
        assert line.asks_the_time()
        gateway.run_until(gateway.gateway.now + timedelta(seconds=1))
        line.send(frame(["6", "2", "0", ""]))
        assert line.asks_the_time()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


BAD_FRAMES = {
    "of another form": frame(["3", "1", "2"]),
    "of no end": b"\0\0\0\x02ab",
    "of no length": b"\0\0\0\0",
    "oversized": b"\xff\xff\xff\xff",
    "of a number of 5000 digits": frame(["9" * 5000]),
}


@pytest.mark.parametrize("bad", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_what_came_before_a_bad_frame_is_answered_and_kept(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, bad: bytes
) -> None:
    client = next(CLIENTS)
    with WireLine(gateway, client) as line:
        line.send(order_frame(gateway, 1) + TIME + bad + TIME)
        assert line.ends
        assert len(line.named("current_time")) == 1
    told = [record.levelno for record in caplog.records if "closing a connection" in record.message]
    assert told == [logging.WARNING]
    with WireLine(gateway, client) as line:
        line.send(frame(["5", "1"]))
        assert line.until(lambda: bool(line.named("open_orders_end")))
        assert [row["order_id"] for row in line.named("open_order")] == ["1"]
        line.send(frame(["4", "1", "1", ""]))
        assert line.asks_the_time()
    assert trades(gateway)


def test_request_that_fails_for_no_foreseen_reason_ends_its_own_connection_with_one_line(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Session, request: object) -> list[object]:
        raise LookupError("no such\nthing")

    monkeypatch.setitem(gateway.gateway._routes, "managed_accounts", fail)  # type: ignore[arg-type]
    caplog.set_level(logging.INFO)
    client = next(CLIENTS)
    with WireLine(gateway, client) as line:
        caplog.clear()
        line.send(TIME + frame(["17", "1"]) + TIME)
        assert line.ends
        assert not line.told  # what came at once is undone with it, for it may have been half done
    [told, *after] = [record.getMessage() for record in caplog.records]
    assert told.startswith(
        f"closing a connection of client {client}: LookupError: no such thing (test_odd_messages.py:"
    )
    assert after in ([], [f"client {client} is gone"])
    assert not caplog.records[0].exc_info
    assert trades(gateway)


def test_orders_that_came_in_one_read_are_one_commit(gateway: RunningGateway) -> None:
    with WireLine(gateway, next(CLIENTS)) as line:
        before = gateway.gateway.broker.state.head
        line.send(b"".join(order_frame(gateway, number) for number in range(1, 6)) + TIME)
        assert line.until(lambda: bool(line.named("current_time")))
        after = gateway.gateway.broker.state.head
        assert (after.orders - before.orders, after.commit - before.commit) == (5, 1)
        line.send(frame(["58", "1"]))
        assert line.asks_the_time()
