"""A broker that says what can not be: never booked, never dropped in silence, and never asked again for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.errors import BrokerUnavailable
from engine.model.orders import ChildOrder, ChildStatus, OrderType, Side
from tasks.adapters.ibkr.account import IbkrAccount
from tasks.adapters.ibkr.errors import NotWritten
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionState
from tasks.adapters.ibkr.records import News
from tasks.adapters.simulated_gateway import server
from tasks.adapters.simulated_gateway.messages import Request
from tests.tasks.adapters.gateways import ACCOUNT
from tests.tasks.adapters.ibkr.booked import LEASE, BookedWindow, booked_window, intent
from tests.tasks.adapters.ibkr.conftest import Connect, eventually
from tests.tasks.adapters.ibkr.market_gateway import MarketGateway, contract_desk, fails
from tests.tasks.adapters.ibkr.test_faults_to_the_book import all_is_booked, traded
from tests.tasks.adapters.ibkr.tiny_gateway import Reply, TinyGateway

Record = dict[str, object]
TOMORROW = f"{datetime.now(UTC) + timedelta(days=2):%Y%m%d} 12:00:00 UTC"
EXECUTION: Record = {
    "request_id": "-1", "order_id": "1", "con_id": "75776072", "symbol": "CSPX", "security_type": "STK",
    "execution_id": "0001.01", "time": "20200102 15:45:00 UTC", "account": ACCOUNT, "side": "BOT", "shares": "10",
    "price": "734.5", "client_id": "7", "order_ref": "AF1.A.1",
}  # fmt: skip
ORDER: Record = {
    "order_id": "1", "con_id": "75776072", "symbol": "CSPX", "security_type": "STK", "action": "BUY", "quantity": "10",
    "order_type": "LMT", "limit_price": "700", "status": "Submitted", "account": ACCOUNT, "client_id": "7",
    "order_ref": "AF1.A.1",
}  # fmt: skip
COMPLETED: Record = {name: ORDER[name] for name in ORDER if name not in ("order_id", "client_id")}
STATUS: Record = {"order_id": "1", "status": "Submitted", "filled": "0", "perm_id": "0", "client_id": "7"}
COMMISSION: Record = {"execution_id": "0001.01", "commission": "1.25", "currency": "USD"}
GOOD = {"execution": EXECUTION, "open_order": ORDER, "order_status": STATUS, "commission": COMMISSION}

IMPOSSIBLE: list[tuple[str, str, str, str]] = [
    ("execution", "price", "-1", "price more than 0, found -1"),
    ("execution", "price", "0", "price more than 0, found 0"),
    ("execution", "price", "1e200", "price what the book can hold, found 1E+200"),
    ("execution", "price", "9000000000000", "price what the book can hold, found 9000000000000"),
    ("execution", "price", "0.00000000000001", "price what the book can hold, found 1E-14"),
    ("execution", "shares", "-5", "quantity more than 0, found -5"),
    ("execution", "shares", "0", "quantity more than 0, found 0"),
    ("execution", "shares", "0.0000001", "quantity more than 0, found 1E-7"),
    ("execution", "side", "", "side BOT or SLD, found "),
    ("execution", "side", "BUY", "side BOT or SLD, found BUY"),
    ("execution", "account", "DU7654321", "account DU1234567, found DU7654321"),
    ("execution", "execution_id", "", "execution id a name, found "),
    ("execution", "time", "20990101 12:00:00 UTC", "found 2099-01-01 12:00:00+00:00"),
    ("execution", "time", TOMORROW, "expected time at most"),
    ("open_order", "action", "", "action BUY or SELL, found "),
    ("open_order", "action", "BOT", "action BUY or SELL, found BOT"),
    ("open_order", "account", "", "account DU1234567, found "),
    ("open_order", "quantity", "-10", "quantity 0 or more, found -10"),
    ("order_status", "filled", "-7", "filled 0 or more, found -7"),
    ("order_status", "filled", "11", "filled at most 10, found 11"),
    ("order_status", "filled", "1e20", "filled 0 or more, found 1E+20"),
    ("commission", "commission", "-1000000", "commission at most 100000, found -1000000"),
    ("commission", "commission", "100000.01", "commission at most 100000, found 100000.01"),
    ("commission", "execution_id", "", "execution id a name, found "),
]  # fmt: skip
NAMED = {
    "execution": "order AF1.A.1 ",
    "open_order": "order AF1.A.1 ",
    "order_status": "number 1",
    "commission": "execution '",
}


@pytest.mark.parametrize(("kind", "field", "value", "told"), IMPOSSIBLE)
def test_impossible_message_is_an_alarm_with_its_field_and_a_new_connection_and_no_news(
    gateway: TinyGateway, session: Connect, alarms: list[str], kind: str, field: str, value: str, told: str
) -> None:
    one, heard = session(), list[News]()
    gateway.say(("open_order", ORDER))
    one.ping()
    one.listen(heard.append)
    gateway.say((kind, {**GOOD[kind], field: value}), ("order_status", {**STATUS, "status": "Cancelled"}))
    eventually(lambda: len(gateway.named("start_api")) == 2 and one.is_ready)
    assert "can not be true" in alarms[0]
    assert told in alarms[0]
    assert NAMED[kind] in alarms[0]
    # What came behind it is not believed either: only the loss and the return of the line are told.
    assert [type(news).__name__ for news in heard] == ["LinkChanged", "LinkChanged"]


POSSIBLE: list[Reply] = [
    ("execution", EXECUTION),
    ("execution", {**EXECUTION, "side": "SLD", "shares": "0.5", "price": "0.000001"}),
    ("execution", {**EXECUTION, "execution_id": "0001.02", "shares": "0"}),
    ("execution", {**EXECUTION, "security_type": "BAG", "price": "-1.25"}),
    ("open_order", {**ORDER, "security_type": "BAG", "limit_price": "-1.25"}),
    ("order_status", {**STATUS, "filled": "10"}),
    ("order_status", {**STATUS, "order_id": "99", "filled": "1000"}),
    ("commission", COMMISSION),
    ("commission", {**COMMISSION, "commission": "-0.35"}),
]  # fmt: skip


def test_what_can_be_is_heard_and_keeps_the_connection(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one, heard = session(), list[News]()
    one.listen(heard.append)
    gateway.say(("open_order", ORDER), *POSSIBLE)
    one.ping()
    assert (len(heard), alarms) == (1 + len(POSSIBLE), [])


@pytest.mark.parametrize("unset", ["1.7976931348623157E308"])
def test_commission_that_is_not_set_is_waited_for(
    gateway: TinyGateway, session: Connect, alarms: list[str], unset: str
) -> None:
    one, heard = session(), list[News]()
    one.listen(heard.append)
    gateway.say(("commission", {**COMMISSION, "commission": unset}))
    one.ping()
    assert (heard, alarms) == ([], [])


# ---------------------------------------------------------------- for ever


LISTS = {
    "executions": ("execution", {**EXECUTION, "price": "-1"}, "price more than 0, found -1"),
    "all_open_orders": ("open_order", {**ORDER, "action": ""}, "action BUY or SELL, found "),
    "completed_orders": ("completed_order", {**COMPLETED, "account": "U1"}, "account DU1234567, found U1"),
}


@pytest.mark.parametrize("request_name", LISTS)
def test_list_that_repeats_an_impossible_row_is_the_end_after_all_reconnections(
    gateway: TinyGateway, session: Connect, alarms: list[str], request_name: str
) -> None:
    one = session(reconnect_delays=(0.02,) * 2)
    kind, row, told = LISTS[request_name]
    gateway.rows[request_name] = [(kind, row)]
    gateway.drop()
    eventually(lambda: one.state is SessionState.FAILED)
    assert len(gateway.named("start_api")) == 1 + 2
    assert "after 2 attempts" in alarms[-1]
    assert told in one.failure
    with pytest.raises(BrokerUnavailable, match="there is no connection"):
        one.executions()


def test_list_with_an_impossible_row_lets_nobody_in(gateway: TinyGateway, session: Connect) -> None:
    gateway.rows["executions"] = [("execution", {**EXECUTION, "price": "0"})]
    with pytest.raises(BrokerUnavailable, match=r"AF1\.A\.1 .*expected price more than 0, found 0"):
        session(connected=False).connect()


def test_list_that_is_read_in_the_day_is_no_answer_with_an_impossible_row(
    gateway: TinyGateway, session: Connect
) -> None:
    one = session()
    gateway.rows["executions"] = [("execution", EXECUTION), ("execution", {**EXECUTION, "shares": "-5"})]
    with pytest.raises(BrokerUnavailable, match="quantity more than 0, found -5"):
        one.executions()


def test_same_impossible_message_over_every_connection_is_the_end(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one = session(reconnect_delays=(0.02,) * 2)
    bad: Reply = ("order_status", {**STATUS, "filled": "-7"})
    for connections in (1, 2, 3):  # the lists are good each time, so each reconnection succeeds
        eventually(lambda number=connections: len(gateway.named("start_api")) == number and one.is_ready)  # type: ignore[misc]
        gateway.say(bad)
        eventually(
            lambda number=connections: len([text for text in alarms if "not be true" in text]) >= number
        )  # type: ignore[misc]
    eventually(lambda: one.state is SessionState.FAILED)
    assert "filled 0 or more, found -7" in one.failure
    assert "order - (permanent number 0, client 7, number 1)" in one.failure


# ---------------------------------------------------------------- through to the book


class Liar:
    """Changes what the simulated gateway says of executions; its own book stays right."""

    def __init__(self, real: Callable[..., list[str]]) -> None:
        self._real, self.changes, self.left = real, Record(), 0

    def __call__(self, name: str, record: Record, version: int) -> list[str]:
        if self.left and name == "execution" and record["symbol"] == "CSPX":
            self.left -= 1
            record = {**record, **self.changes}
        return self._real(name, record, version)


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Liar:
    found = Liar(server.answer)
    monkeypatch.setattr(server, "answer", found)
    return found


@pytest.fixture
def window(tmp_path: Path) -> Iterator[BookedWindow]:
    with booked_window(tmp_path, intent("CSPX", 100), intent("AAPL", 60)) as found:
        yield found


LIES = {
    "shares": "-5", "price": "-1", "side": "SLDX", "account": "DU7654321", "execution_id": "", "time": "20990101 12:00:00 UTC",
}  # fmt: skip


@pytest.mark.parametrize("field", LIES)
def test_execution_that_can_not_be_is_booked_once_the_list_tells_it_right(
    window: BookedWindow, liar: Liar, field: str
) -> None:
    liar.changes, liar.left = {field: LIES[field]}, 1
    all_is_booked(window)
    assert (window.attempts, window.counted["send"]) == (1, 2)
    [first] = [text for text in window.alarms if text.startswith("a message that can not be true")]
    assert first.endswith(
        "found " + LIES[field].replace("20990101 12:00:00 UTC", "2099-01-01 12:00:00+00:00")
    )
    assert "order AF1." in first


@pytest.mark.parametrize("price", ["-1", "0", "1e200"])
def test_price_that_is_always_impossible_ends_the_window_with_its_order_in_doubt_and_nothing_booked(
    window: BookedWindow, liar: Liar, price: str
) -> None:
    liar.changes, liar.left = {"price": price}, 10_000
    with pytest.raises(AssertionError, match="the broker can not be reached"):
        window.run(attempts=1)
    connections = 10_000 - liar.left
    assert connections == 1 + 5  # told once, and by the list of each of five reconnections
    assert traded(window)["CSPX"] == 100
    assert all(quantity == 60 for _, quantity in window.booked().values())  # at most AAPL, never CSPX
    assert any(status in (ChildStatus.UNKNOWN, ChildStatus.WORKING) for status in window.statuses())
    assert f"found {Decimal(price) if price != '1e200' else '1E+200'}" in window.alarms[0]
    liar.left = 0  # somebody set the broker right: the lists find the order
    window.pass_by(LEASE.total_seconds())
    all_is_booked(window)
    assert window.counted["send"] == 2


# ---------------------------------------------------------------- names that have to be asked


@pytest.fixture
def market() -> Iterator[MarketGateway]:
    gateway = MarketGateway()
    yield gateway
    gateway.close()


def of_a_contract(market: MarketGateway) -> Record:
    """An execution of a contract that the desk did not qualify yet."""
    return {**EXECUTION, "con_id": str(market.listing.number("CSPX")), "currency": "USD", "order_ref": ""}


@pytest.mark.parametrize("told_before", [True, False], ids=["beside an execution", "of its own contract"])
def test_order_is_known_as_not_written_where_the_broker_would_not_name_a_contract(
    market: MarketGateway, session: Connect, monkeypatch: pytest.MonkeyPatch, told_before: bool
) -> None:
    one = session(port=market.port)
    transport = IbkrTransport(one, contract_desk(one), lambda name: None)
    known = market._details
    asked = ChildOrder(
        order_ref="AF1.B.1", intent_id="b", attempt=1, contract_id="AAPL" if told_before else "CSPX", side=Side.BUY,
        quantity=Decimal(1), order_type=OrderType.LIMIT, limit_price=Decimal(100), time_in_force="DAY",
        good_till=transport.now() + timedelta(minutes=20),
    )  # fmt: skip

    def details(request: Request) -> list[Reply]:
        is_apple = "AAPL" in (request.record["symbol"], request.record["local_symbol"])
        return known(request) if is_apple else [fails(321, "Busy")]

    monkeypatch.setattr(market, "_details", details)
    if told_before:
        market.say(("execution", of_a_contract(market)))
        one.ping()
    with pytest.raises(NotWritten, match=rf"{asked.order_ref} was not written: .*321"):
        transport.send(asked)
    assert market.named("place_order") == []
    monkeypatch.setattr(market, "_details", known)
    transport.send(asked)  # nothing of the first try is left
    market.wait_for("place_order")
    assert [order.record["order_ref"] for order in market.named("place_order")] == [asked.order_ref]


def test_execution_whose_contract_the_broker_would_not_name_is_told_when_it_does(
    market: MarketGateway, session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = session(port=market.port)
    transport = IbkrTransport(one, contract_desk(one), lambda name: None)
    account = IbkrAccount(
        one, contract_desk(one), transport.orders, transport.executions, lambda name, at: True
    )
    known = market._details
    monkeypatch.setattr(market, "_details", lambda request: [fails(321, "Busy")])
    told = of_a_contract(market)
    held = {name: told[name] for name in ("con_id", "symbol", "security_type", "currency", "account")}
    market.rows["positions"] = [("position", {**held, "position": "10", "average_cost": "1"})]
    market.say(("execution", of_a_contract(market)))
    one.ping()
    with pytest.raises(BrokerUnavailable, match="321"):
        transport.next_event(transport.now())
    assert account.snapshot(transport.now()).answered == {"open_orders", "completed_orders", "executions"}
    monkeypatch.setattr(market, "_details", known)
    event = None
    end = transport.now() + timedelta(seconds=3)
    while event is None and transport.now() < end:
        event = transport.next_event(end)
    assert event is not None
    assert event.fill is not None
    assert (event.fill.contract_id, event.fill.quantity) == ("CSPX", 10)
