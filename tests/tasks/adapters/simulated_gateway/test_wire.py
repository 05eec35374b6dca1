"""The messages of the TWS socket, against the real client library: what it sends is read, what is sent it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_insync.client import Client
from ib_insync.contract import Bag, ComboLeg, Contract, Future, Stock, TagValue
from ib_insync.decoder import Decoder
from ib_insync.objects import ExecutionFilter
from ib_insync.order import LimitOrder, Order

from tasks.adapters.simulated_gateway.forms import flag, integer, many, number, read, text, write
from tasks.adapters.simulated_gateway.framing import (
    LARGEST_FRAME,
    FrameReader,
    WireError,
    agreed_version,
    frame,
    split,
)
from tasks.adapters.simulated_gateway.messages import (
    CLIENT_MESSAGES,
    SERVER_MESSAGES,
    answer,
    read_answer,
    read_request,
    request,
)
from tasks.adapters.simulated_gateway.order_forms import COMPLETED_ORDER, OPEN_ORDER, PLACE_ORDER

VERSIONS = (157, 158, 160, 163, 164, 166, 169, 170, 176, 177, 178)
CSPX = Stock("CSPX", "SMART", "USD", conId=75776072, primaryExchange="LSEETF")


@dataclass
class Line:
    """A connection that keeps what was sent."""

    sent: bytearray = field(default_factory=bytearray)

    def sendMsg(self, data: bytes) -> None:
        self.sent += data


@pytest.fixture
def client() -> Iterator[Client]:
    """The library's client, connected to nothing."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    made = Client(object())
    made.conn, made.connState, made.MaxRequests = Line(), Client.CONNECTED, 0
    made._serverVersion = 176
    yield made
    asyncio.set_event_loop(None)
    loop.close()


def sent(client: Client) -> list[str]:
    """Fields of the one message that the client sent."""
    frames = FrameReader().feed(bytes(client.conn.sent))
    assert len(frames) == 1
    return split(frames[0])


REQUESTS: dict[str, Callable[[Client], None]] = {
    "market_data": lambda c: c.reqMktData(7, CSPX, "236,456", False, False, []),
    "cancel_market_data": lambda c: c.cancelMktData(7),
    "cancel_order": lambda c: c.cancelOrder(41),
    "open_orders": lambda c: c.reqOpenOrders(),
    "account_updates": lambda c: c.reqAccountUpdates(True, "DU1"),
    "executions": lambda c: c.reqExecutions(9, ExecutionFilter()),
    "ids": lambda c: c.reqIds(1),
    "contract_details": lambda c: c.reqContractDetails(9, CSPX),
    "market_depth": lambda c: c.reqMktDepth(9, CSPX, 5, True, []),
    "cancel_market_depth": lambda c: c.cancelMktDepth(9, True),
    "log_level": lambda c: c.setServerLogLevel(2),
    "automatic_open_orders": lambda c: c.reqAutoOpenOrders(True),
    "all_open_orders": lambda c: c.reqAllOpenOrders(),
    "managed_accounts": lambda c: c.reqManagedAccts(),
    "historical_data": lambda c: c.reqHistoricalData(
        9, CSPX, "", "1 D", "1 hour", "TRADES", True, 1, False, []
    ),
    "cancel_historical_data": lambda c: c.cancelHistoricalData(9),
    "current_time": lambda c: c.reqCurrentTime(),
    "global_cancel": lambda c: c.reqGlobalCancel(),
    "market_data_type": lambda c: c.reqMarketDataType(1),
    "positions": lambda c: c.reqPositions(),
    "account_summary": lambda c: c.reqAccountSummary(9, "All", "$LEDGER:ALL"),
    "cancel_account_summary": lambda c: c.cancelAccountSummary(9),
    "cancel_positions": lambda c: c.cancelPositions(),
    "start_api": lambda c: c.startApi(),
    "account_updates_multi": lambda c: c.reqAccountUpdatesMulti(9, "DU1", "", False),
    "cancel_account_updates_multi": lambda c: c.cancelAccountUpdatesMulti(9),
    "option_parameters": lambda c: c.reqSecDefOptParams(9, "SPX", "", "IND", 416904),
    "matching_symbols": lambda c: c.reqMatchingSymbols(9, "CSPX"),
    "head_timestamp": lambda c: c.reqHeadTimeStamp(9, CSPX, "TRADES", True, 1),
    "cancel_head_timestamp": lambda c: c.cancelHeadTimeStamp(9),
    "market_rule": lambda c: c.reqMarketRule(26),
    "profit_and_loss": lambda c: c.reqPnL(9, "DU1", ""),
    "cancel_profit_and_loss": lambda c: c.cancelPnL(9),
    "profit_and_loss_single": lambda c: c.reqPnLSingle(9, "DU1", "", 75776072),
    "cancel_profit_and_loss_single": lambda c: c.cancelPnLSingle(9),
    "completed_orders": lambda c: c.reqCompletedOrders(False),
    "place_order": lambda c: c.placeOrder(41, CSPX, LimitOrder("BUY", 10, 734.375, orderRef="AF1.X.1")),
}


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_request_of_the_library_is_read_to_its_last_field(client: Client, name: str) -> None:
    REQUESTS[name](client)
    assert read_request(sent(client), 176).name == name


def test_every_request_of_the_catalogue_is_sent_by_the_library() -> None:
    assert {message.name for message in CLIENT_MESSAGES.values()} == set(REQUESTS)


@pytest.mark.parametrize("version", [v for v in VERSIONS if v <= 176])
def test_placed_order_is_read_as_it_was_meant_at_every_version_of_the_library(
    client: Client, version: int
) -> None:
    client._serverVersion = version
    order = LimitOrder(
        "SELL",
        10,
        734.375,
        tif="GTD",
        goodTillDate="20261121 16:30:00 UTC",
        account="DU1",
        orderRef="AF1.ABC.2",
    )
    order.algoStrategy, order.algoParams = "Adaptive", [TagValue("adaptivePriority", "Normal")]
    client.placeOrder(41, CSPX, order)
    read_back = read_request(sent(client), version).record
    assert integer(read_back, "order_id") == 41
    assert integer(read_back, "con_id") == 75776072
    assert text(read_back, "action") == "SELL"
    assert number(read_back, "quantity") == 10
    assert number(read_back, "limit_price") == Decimal("734.375")
    assert text(read_back, "good_till") == "20261121 16:30:00 UTC"
    assert text(read_back, "order_ref") == "AF1.ABC.2"
    assert flag(read_back, "transmit") is True
    assert flag(read_back, "what_if") is False
    assert many(read_back, "algorithm_parameters") == ({"tag": "adaptivePriority", "value": "Normal"},)


def test_spread_order_is_read_with_its_legs(client: Client) -> None:
    legs = [
        ComboLeg(conId=1, ratio=1, action="BUY", exchange="CME"),
        ComboLeg(conId=2, ratio=1, action="SELL", exchange="CME"),
    ]
    spread = Bag(symbol="ES", exchange="CME", currency="USD", comboLegs=legs)
    order = LimitOrder("BUY", 3, -12.25, smartComboRoutingParams=[TagValue("NonGuaranteed", "0")])
    client.placeOrder(5, spread, order)
    read_back = read_request(sent(client), 176).record
    assert [(text(leg, "con_id"), text(leg, "action")) for leg in many(read_back, "legs")] == [
        ("1", "BUY"),
        ("2", "SELL"),
    ]
    assert number(read_back, "limit_price") == Decimal("-12.25")


class Told:
    """The library's side of the wire: keeps every call that its decoder makes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.ib = type("Owner", (), {"TimezoneTWS": ""})()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append((name, arguments))


def decoded(name: str, record: dict[str, Any], version: int) -> tuple[str, tuple[Any, ...]]:
    """What the library hears when the gateway says this."""
    told = Told()
    [payload] = FrameReader().feed(frame(answer(name, record, version)))
    fields = payload.decode().split("\0")
    fields.pop()
    Decoder(told, version).interpret(fields)  # type: ignore[arg-type]
    [call] = told.calls
    return call


CONTRACT = {
    "con_id": "75776072", "symbol": "CSPX", "security_type": "STK", "exchange": "LSEETF", "currency": "USD",
    "local_symbol": "CSPX", "trading_class": "CSPX",
}  # fmt: skip
ORDER = {
    **CONTRACT, "action": "BUY", "quantity": "10", "order_type": "LMT", "limit_price": "734.375", "tif": "DAY",
    "account": "DU1", "order_ref": "AF1.ABC.2", "perm_id": "991", "status": "Submitted",
}  # fmt: skip


@pytest.mark.parametrize("version", [v for v in VERSIONS if v <= 176])
def test_open_order_is_heard_as_it_was_said(version: int) -> None:
    said = {**ORDER, "order_id": "41", "client_id": "1", "algorithm": "Adaptive"}
    said["algorithm_parameters"] = ({"tag": "adaptivePriority", "value": "Normal"},)  # type: ignore[assignment]
    name, (order_id, contract, order, state) = decoded("open_order", said, version)
    assert (name, order_id, order.clientId, order.permId) == ("openOrder", 41, 1, 991)
    assert (contract.conId, contract.symbol, contract.currency) == (75776072, "CSPX", "USD")
    assert (order.action, order.totalQuantity, order.lmtPrice, order.orderRef) == (
        "BUY",
        10.0,
        734.375,
        "AF1.ABC.2",
    )
    assert (order.algoStrategy, order.algoParams) == ("Adaptive", [TagValue("adaptivePriority", "Normal")])
    assert state.status == "Submitted"


@pytest.mark.parametrize("version", [v for v in VERSIONS if v <= 176])
def test_completed_order_is_heard_with_its_reference_and_filled_quantity(version: int) -> None:
    said = {**ORDER, "status": "Filled", "filled_quantity": "10", "completed_status": "Filled Size: 10"}
    name, (contract, order, state) = decoded("completed_order", said, version)
    assert name == "completedOrder"
    assert (contract.symbol, order.orderRef, order.permId, order.filledQuantity) == (
        "CSPX",
        "AF1.ABC.2",
        991,
        10.0,
    )
    assert (state.status, state.completedStatus) == ("Filled", "Filled Size: 10")


@pytest.mark.parametrize("version", [157, 163, 164, 176])
def test_contract_details_are_heard_at_every_layout(version: int) -> None:
    said = {
        "request_id": "9", **{k: CONTRACT[k] for k in ("symbol", "security_type", "exchange", "currency", "con_id")},
        "least_tick": "0.01", "price_magnifier": "100", "long_name": "ISHARES CORE S&P 500 Ü",
        "security_ids": ({"tag": "ISIN", "value": "IE00B5BMR087"},), "market_rule_ids": "26,26",
        "trading_hours": "20261120:0800-20261120:1630;20261121:CLOSED", "time_zone": "GB-Eire",
    }  # fmt: skip
    if version < 164:
        said["obsolete_version"] = "8"
    name, (request_id, details) = decoded("contract_details", said, version)
    assert (name, request_id) == ("contractDetails", 9)
    assert (details.contract.conId, details.minTick, details.priceMagnifier) == (75776072, 0.01, 100)
    assert details.longName == "ISHARES CORE S&P 500 Ü"
    assert details.secIdList == [TagValue("ISIN", "IE00B5BMR087")]


def test_execution_and_its_commission_are_heard() -> None:
    said = {
        **CONTRACT, "order_id": "41", "execution_id": "0001.01.01", "time": "20261120 15:45:00 UTC", "account": "DU1",
        "venue": "LSEETF", "side": "BOT", "shares": "4", "price": "734.3", "perm_id": "991", "client_id": "1",
        "total": "4", "average_price": "734.3", "order_ref": "AF1.ABC.2",
    }  # fmt: skip
    name, (request_id, _, execution) = decoded("execution", said, 176)
    assert (name, request_id) == ("execDetails", -1)
    assert (execution.execId, execution.shares, execution.orderRef) == ("0001.01.01", 4.0, "AF1.ABC.2")
    assert execution.time.isoformat() == "2026-11-20T15:45:00+00:00"
    name, (report,) = decoded(
        "commission", {"execution_id": "0001.01.01", "commission": "1.7", "currency": "USD"}, 176
    )
    assert (name, report.execId, report.commission, report.currency) == (
        "commissionReport",
        "0001.01.01",
        1.7,
        "USD",
    )


PLAIN: dict[str, tuple[dict[str, Any], str]] = {
    "price": ({"request_id": "7", "type": "1", "price": "734.0", "size": "300"}, "priceSizeTick"),
    "size": ({"request_id": "7", "type": "0", "size": "300"}, "tickSize"),
    "order_status": ({"order_id": "41", "status": "Filled", "filled": "10"}, "orderStatus"),
    "error": ({"request_id": "41", "code": "202", "text": "Order Canceled"}, "error"),
    "account_value": ({"key": "TotalCashBalance", "value": "1.5", "currency": "EUR", "account": "DU1"}, "updateAccountValue"),
    "portfolio": (
        {**{k: v for k, v in CONTRACT.items() if k != "exchange"}, "position": "1", "price": "2", "value": "2", "average_cost": "1",
         "unrealized": "1", "realized": "0", "account": "DU1"},
        "updatePortfolio",
    ),
    "account_time": ({"time": "15:45"}, "updateAccountTime"),
    "next_valid_id": ({"order_id": "41"}, "nextValidId"),
    "depth": ({"request_id": "7", "position": "0", "operation": "0", "side": "1", "price": "1", "size": "1"}, "updateMktDepth"),
    "depth_smart": (
        {"request_id": "7", "position": "0", "maker": "X", "operation": "0", "side": "1", "price": "1", "size": "1"},
        "updateMktDepthL2",
    ),
    "managed_accounts": ({"accounts": "DU1"}, "managedAccounts"),
    "option_computation": (
        {"request_id": "7", "type": "13", **dict.fromkeys(("volatility", "delta", "price", "dividends", "gamma", "vega", "theta", "underlying"), "0.5")},
        "tickOptionComputation",
    ),
    "generic": ({"request_id": "7", "type": "46", "value": "3.0"}, "tickGeneric"),
    "string": ({"request_id": "7", "type": "59", "text": "0.83,0.92,20270215,0.26"}, "tickString"),
    "current_time": ({"seconds": "1700000000"}, "currentTime"),
    "contract_details_end": ({"request_id": "7"}, "contractDetailsEnd"),
    "open_orders_end": ({}, "openOrderEnd"),
    "account_end": ({"account": "DU1"}, "accountDownloadEnd"),
    "executions_end": ({"request_id": "7"}, "execDetailsEnd"),
    "snapshot_end": ({"request_id": "7"}, "tickSnapshotEnd"),
    "market_data_type": ({"request_id": "7", "type": "1"}, "marketDataType"),
    "position": ({"account": "DU1", **CONTRACT, "position": "10", "average_cost": "734"}, "position"),
    "positions_end": ({}, "positionEnd"),
    "summary": ({"request_id": "7", "account": "DU1", "tag": "NetLiquidation", "value": "1", "currency": "USD"}, "accountSummary"),
    "summary_end": ({"request_id": "7"}, "accountSummaryEnd"),
    "account_value_multi": ({"request_id": "7", "account": "DU1", "key": "K", "value": "1", "currency": "USD"}, "accountUpdateMulti"),
    "account_multi_end": ({"request_id": "7"}, "accountUpdateMultiEnd"),
    "option_parameters": (
        {"request_id": "7", "exchange": "SMART", "under_con_id": "1", "trading_class": "SPX", "multiplier": "100",
         "expirations": ({"date": "20261218"},), "strikes": ({"strike": "5000"}, {"strike": "5010"})},
        "securityDefinitionOptionParameter",
    ),
    "option_parameters_end": ({"request_id": "7"}, "securityDefinitionOptionParameterEnd"),
    "symbols": (
        {"request_id": "7", "symbols": ({"con_id": "1", "symbol": "CSPX", "derivatives": ({"security_type": "OPT"},)},)},
        "symbolSamples",
    ),
    "request_parameters": ({"request_id": "7", "least_tick": "0.01", "exchange": "X"}, "tickReqParams"),
    "head_timestamp": ({"request_id": "7", "time": "20100519-07:00:00"}, "headTimestamp"),
    "market_rule": ({"rule_id": "26", "increments": ({"from": "0", "increment": "0.01"},)}, "marketRule"),
    "profit_and_loss": ({"request_id": "7", "daily": "1", "unrealized": "2", "realized": "3"}, "pnl"),
    "profit_and_loss_single": (
        {"request_id": "7", "position": "1", "daily": "1", "unrealized": "2", "realized": "3", "value": "4"},
        "pnlSingle",
    ),
    "completed_orders_end": ({}, "completedOrdersEnd"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_answer_of_the_gateway_is_heard_by_the_library(name: str) -> None:
    record, heard = PLAIN[name]
    assert decoded(name, record, 176)[0] == heard


def test_bars_are_heard_in_order_with_their_end() -> None:
    told, bar = Told(), {"open": "1", "high": "2", "low": "0.5", "close": "1.5"}
    record = {
        "request_id": "7",
        "start": "",
        "end": "",
        "bars": ({"date": "20261119", **bar}, {"date": "20261120", **bar}),
    }
    Decoder(told, 176).interpret(answer("bars", record, 176))  # type: ignore[arg-type]
    assert [name for name, _ in told.calls] == ["historicalData", "historicalData", "historicalDataEnd"]
    assert [arguments[1].date for name, arguments in told.calls if name == "historicalData"] == [
        "20261119",
        "20261120",
    ]


def test_every_answer_of_the_catalogue_is_shown_to_the_library() -> None:
    longer = {"open_order", "completed_order", "contract_details", "execution", "commission", "bars"}
    assert set(SERVER_MESSAGES) == set(PLAIN) | longer


# ---------------------------------------------------------------- forms


@pytest.mark.parametrize(
    "form", [PLACE_ORDER, OPEN_ORDER, COMPLETED_ORDER], ids=["place", "open", "completed"]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_order_that_is_written_is_read_back_the_same(form: Any, version: int) -> None:
    record = (
        {**ORDER, "legs": (), "routing": (), "leg_prices": ()} if form is not PLACE_ORDER else dict(ORDER)
    )
    record = {
        name: value
        for name, value in record.items()
        if name not in ("perm_id", "status") or form is not PLACE_ORDER
    }
    written = write(form, record, version)
    read_back = read(form, written, version)
    assert {name: read_back[name] for name in record} == record
    assert write(form, read_back, version) == written


@pytest.mark.parametrize("change", [1, -1])
def test_message_with_a_field_too_many_or_too_few_is_refused(client: Client, change: int) -> None:
    REQUESTS["place_order"](client)
    fields = sent(client)
    broken = [*fields, ""] if change > 0 else fields[:-1]
    with pytest.raises(WireError, match=r"fields|end of the message"):
        read_request(broken, 176)


@pytest.mark.parametrize("bad", ["nan", "inf", "-Infinity", "1e", "ten"])
def test_number_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(WireError, match="limit_price"):
        number({"limit_price": bad}, "limit_price")


@pytest.mark.parametrize("unset", ["", "1.7976931348623157E308", "1.7976931348623157e+308"])
def test_unset_number_is_none(unset: str) -> None:
    assert number({"limit_price": unset}, "limit_price") is None


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=9
    ),
    st.data(),
)
def test_frames_arrive_whole_however_the_stream_is_cut(texts: list[str], data: st.DataObject) -> None:
    ascii_texts = [t.encode("ascii", "backslashreplace").decode() for t in texts]
    stream = frame(texts) * 3
    reader, frames, at = FrameReader(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, len(stream) - at))
        frames += reader.feed(stream[at : at + step])
        at += step
    assert [split(payload) for payload in frames] == [ascii_texts] * 3
    assert reader.waiting == 0


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waits_and_nothing_else(data: bytes) -> None:
    reader = FrameReader()
    try:
        for payload in reader.feed(data):
            read_request(split(payload), 176)
    except WireError:
        return
    assert reader.waiting <= len(data)


def test_frame_beyond_every_message_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="expected a frame of"):
        FrameReader().feed((LARGEST_FRAME + 1).to_bytes(4, "big"))


def test_greeting_of_the_library_is_taken_also_when_it_is_cut() -> None:
    reader = FrameReader()
    assert reader.take_preamble(b"AP") is None
    assert reader.take_preamble(b"I\0" + frame([])[:0] + b"\0\0\0\x09v157..176") == b"\0\0\0\x09v157..176"
    with pytest.raises(WireError, match="greeting"):
        FrameReader().take_preamble(b"GET / HTTP/1.1")


@pytest.mark.parametrize(
    ("greeting", "version"),
    [(b"v157..176", 176), (b"v157..178", 176), (b"v100..160 +PACEAPI", 160), (b"v170", 170)],
)
def test_version_is_the_highest_that_both_speak(greeting: bytes, version: int) -> None:
    assert agreed_version(greeting, 157, 176) == version


@pytest.mark.parametrize("greeting", [b"v100..150", b"v213..220", b"hello", b"v176..157", b""])
def test_greeting_without_a_common_version_is_refused(greeting: bytes) -> None:
    with pytest.raises(WireError, match="expected"):
        agreed_version(greeting, 157, 176)


def test_name_that_a_form_does_not_have_is_refused() -> None:
    with pytest.raises(WireError, match="limit_prize"):
        answer("open_order", {"limit_prize": "1"}, 176)


def test_own_request_is_what_the_catalogue_reads() -> None:
    texts = request("contract_details", {"request_id": "9", "symbol": "ES", "security_type": "FUT"}, 176)
    assert text(read_request(texts, 176).record, "symbol") == "ES"


def test_own_answer_is_what_the_catalogue_reads() -> None:
    texts = answer("position", {"account": "DU1", **CONTRACT, "position": "10", "average_cost": "7"}, 176)
    assert number(read_answer(texts, 176).record, "position") == 10


def test_futures_order_without_connection_id_is_read(client: Client) -> None:
    contract: Contract = Future("ES", "202612", "CME")
    client.placeOrder(1, contract, Order(action="BUY", totalQuantity=1, orderType="LOC", lmtPrice=5000.25))
    read_back = read_request(sent(client), 176).record
    assert (text(read_back, "last_trade_date"), text(read_back, "order_type")) == ("202612", "LOC")
