"""The real client library over TCP: it connects, reads the account, trades, and finds everything again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ib_insync import (
    IB,
    Bag,
    ComboLeg,
    Contract,
    ExecutionFilter,
    Forex,
    Future,
    LimitOrder,
    Option,
    Order,
    Stock,
)
from ib_insync.wrapper import RequestError

from tests.tasks.adapters.gateways import (
    ACCOUNT,
    OPENED,
    RunningGateway,
    connected,
    library_loop,
    make_gateway,
    running,
    settle,
)

REFERENCE = "AF1.BUY.1"
IDS_OF_CONNECT = 2
"""The library takes numbers for its own requests from those of orders: two while it connects."""


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    with library_loop(), running() as found:
        yield found


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[IB]:
    made = connected(gateway)
    yield made
    made.disconnect()


def cspx(ib: IB) -> Contract:
    [found] = ib.qualifyContracts(Stock("CSPX", "SMART", "USD", primaryExchange="LSEETF"))
    return found


def limit(gateway: RunningGateway, contract_id: str, factor: str) -> float:
    """The ask times a factor, on the tick."""
    quote = gateway.gateway.facts.quote(contract_id, gateway.gateway.now)
    assert quote is not None
    assert quote.ask is not None
    instrument = gateway.gateway.broker.terms.instrument(contract_id)
    return float(instrument.floor_to_tick(quote.ask * Decimal(factor)))


def buy(ib: IB, gateway: RunningGateway, *, quantity: int = 10, factor: str = "1.05", **more: Any) -> Any:
    """A limit order that meets the ask, or with a smaller factor rests below it."""
    price = limit(gateway, "CSPX", factor)
    fields = {"tif": "DAY", "account": ACCOUNT, "orderRef": REFERENCE} | more
    return ib.placeOrder(cspx(ib), LimitOrder("BUY", quantity, price, **fields))


def errors(ib: IB) -> list[tuple[int, int]]:
    """Codes as they come: the request or order, and the code."""
    heard: list[tuple[int, int]] = []
    ib.errorEvent += lambda number, code, text, contract: heard.append((number, code))
    return heard


# ---------------------------------------------------------------- the account


def test_client_connects_and_reads_an_account_of_cash_alone(client: IB) -> None:
    assert client.managedAccounts() == [ACCOUNT]
    assert client.positions() == []
    values = {(v.tag, v.currency): v.value for v in client.accountValues()}
    assert Decimal(values["TotalCashBalance", "USD"]) == 10_000_000
    assert Decimal(values["TotalCashBalance", "BASE"]) == 10_000_000
    assert Decimal(values["NetLiquidation", "USD"]) == 10_000_000
    assert values["ExchangeRate", "USD"] == "1"


def test_summary_of_the_whole_ledger_has_every_currency_and_their_sum(
    client: IB, gateway: RunningGateway
) -> None:
    client.placeOrder(forex(client), LimitOrder("BUY", 100_000, limit(gateway, "EUR.USD", "1.01")))
    settle(client, gateway)
    rows = {(v.tag, v.currency): Decimal(v.value) for v in client.accountSummary() if v.tag != "Currency"
            and v.currency in ("EUR", "USD", "BASE")}  # fmt: skip
    euro, dollar, rate = (
        rows[key]
        for key in (("TotalCashBalance", "EUR"), ("TotalCashBalance", "USD"), ("ExchangeRate", "EUR"))
    )
    assert euro == 100_000
    # BASE holds all of it once: dollars, and euros at their rate, each rounded to a micro-unit.
    assert abs(rows["TotalCashBalance", "BASE"] - (dollar + euro * rate)) < Decimal("0.00001")


def forex(client: IB) -> Contract:
    [pair] = client.qualifyContracts(Forex("EURUSD"))
    return pair


def test_two_watchers_hear_of_a_holding_that_changed(client: IB, gateway: RunningGateway) -> None:
    other = connected(gateway, 2)
    buy(client, gateway)
    settle(client, gateway)
    other.reqCurrentTime()
    assert [(held.contract.symbol, held.position) for held in other.positions()] == [("CSPX", 10)]
    assert other.portfolio()[0].position == 10
    other.disconnect()


# ---------------------------------------------------------------- contracts


@pytest.mark.parametrize(
    ("contract", "magnifier"),
    [
        (Stock("CSPX", "LSEETF", "USD"), 1),
        (Stock("IUKD", "SMART", "GBP"), 100),
        (Future("ES", "202612", "CME"), 1),
        (Forex("EURUSD"), 1),
        (Option("SPX", "20261218", 5000, "P", "CBOE", currency="USD"), 1),
    ],
    ids=["fund", "pence", "future", "currency", "option"],
)
def test_details_name_one_contract(client: IB, contract: Contract, magnifier: int) -> None:
    [details] = client.reqContractDetails(contract)
    assert details.contract.conId > 0
    assert details.priceMagnifier == magnifier
    again = client.reqContractDetails(Contract(conId=details.contract.conId))
    assert [d.contract for d in again] == [details.contract]
    rules = client.reqMarketRule(int(details.marketRuleIds.split(",")[0]))
    assert min(rule.increment for rule in rules) == pytest.approx(details.minTick)


def test_contract_that_nobody_lists_is_error_200(client: IB) -> None:
    with pytest.raises(RequestError) as caught:
        client.reqContractDetails(Stock("NOSUCH", "SMART", "USD"))
    assert caught.value.code == 200


# ---------------------------------------------------------------- orders


def test_order_is_acknowledged_filled_charged_and_booked(client: IB, gateway: RunningGateway) -> None:
    trade = buy(client, gateway)
    heard: list[str] = []
    trade.statusEvent += lambda t: heard.append(t.orderStatus.status)
    settle(client, gateway)
    assert heard == ["PreSubmitted", "Submitted", "Filled"]
    assert (trade.orderStatus.status, trade.filled(), trade.remaining()) == ("Filled", 10, 0)
    [fill] = client.fills()
    assert (fill.execution.orderRef, fill.execution.acctNumber) == (REFERENCE, ACCOUNT)
    assert fill.execution.time == datetime(2026, 11, 20, 14, 40, tzinfo=UTC)
    assert (fill.commissionReport.currency, fill.commissionReport.execId) == ("USD", fill.execution.execId)
    assert trade.orderStatus.avgFillPrice == pytest.approx(fill.execution.price)
    [held] = client.positions()
    charge = fill.commissionReport.commission
    assert (held.position, held.avgCost) == (10, pytest.approx(fill.execution.price + charge / 10))


def test_resting_order_is_listed_and_cancelled_on_request(client: IB, gateway: RunningGateway) -> None:
    trade, heard = buy(client, gateway, factor="0.9"), errors(client)
    settle(client, gateway)
    assert [t.order.orderRef for t in client.reqOpenOrders()] == [REFERENCE]
    client.cancelOrder(trade.order)
    settle(client, gateway)
    assert trade.orderStatus.status == "Cancelled"
    assert heard == [(trade.order.orderId, 202)]
    assert client.reqAllOpenOrders() == []
    [ended] = client.reqCompletedOrders(False)
    assert (ended.order.orderRef, ended.orderStatus.status, ended.order.orderId) == (
        REFERENCE,
        "Cancelled",
        0,
    )


def test_cancel_of_what_is_done_or_unknown_is_told_by_its_code(client: IB, gateway: RunningGateway) -> None:
    trade, heard = buy(client, gateway), errors(client)
    settle(client, gateway)
    client.client.cancelOrder(trade.order.orderId)
    client.client.cancelOrder(777)
    settle(client, gateway)
    assert heard == [(trade.order.orderId, 10148), (777, 10147)]


def test_order_that_the_broker_refuses_is_a_201_and_listed_as_inactive(
    client: IB, gateway: RunningGateway
) -> None:
    heard = errors(client)
    trade = buy(client, gateway, quantity=10_000_000)
    settle(client, gateway)
    assert heard == [(trade.order.orderId, 201)]
    assert client.reqAllOpenOrders() == []
    assert [t.orderStatus.status for t in client.reqCompletedOrders(False)] == ["Inactive"]


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (LimitOrder("BUY", 1, 700.001), 110),
        (Order(action="BUY", totalQuantity=1, orderType="STP", auxPrice=700), 387),
        (Order(action="BUY", totalQuantity=1, orderType="LOC", lmtPrice=700, tif="GTC"), 113),
        (Order(action="BUY", totalQuantity=1, orderType="LMT"), 321),
        (LimitOrder("BUY", 0, 700), 321),
        (LimitOrder("BUY", 1, 700, account="DU7654321"), 321),
        (LimitOrder("BUY", 1, 700, tif="GTD", goodTillDate="soon"), 391),
    ],
    ids=["tick", "type", "auction", "no price", "no size", "account", "date"],
)
def test_order_that_the_protocol_refuses_never_reaches_the_broker(
    client: IB, gateway: RunningGateway, order: Order, code: int
) -> None:
    heard, contract = errors(client), cspx(client)
    trade = client.placeOrder(contract, order)
    settle(client, gateway)
    assert heard == [(trade.order.orderId, code)]
    assert gateway.control.ask("orders") == {"orders": []}


def test_order_at_once_or_not_at_all_ends_with_what_it_met(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("script", contract="CSPX", sizes=["40"])
    trade = buy(client, gateway, quantity=100, tif="IOC")
    settle(client, gateway)
    assert (trade.orderStatus.status, trade.filled(), trade.orderStatus.remaining) == ("Cancelled", 40, 60)


def test_order_is_filled_in_the_parts_that_the_script_shows(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("script", contract="CSPX", sizes=["30", "25", "45"])
    trade = buy(client, gateway, quantity=100)
    settle(client, gateway, 20)
    assert [fill.execution.shares for fill in trade.fills] == [30, 25, 45]
    assert [fill.execution.cumQty for fill in trade.fills] == [30, 55, 100]
    assert trade.orderStatus.status == "Filled"


def test_order_into_the_close_waits_and_trades_there(client: IB, gateway: RunningGateway) -> None:
    order = Order(
        action="BUY", totalQuantity=10, orderType="LOC", lmtPrice=limit(gateway, "CSPX", "1.05"), tif="DAY"
    )
    trade = client.placeOrder(cspx(client), order)
    settle(client, gateway)
    assert trade.orderStatus.status == "PreSubmitted"
    closes = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)
    settle(client, gateway, (closes - OPENED).total_seconds() + 2)
    close = gateway.gateway.facts.official_close("CSPX", closes.date())
    assert [fill.execution.price for fill in trade.fills] == [pytest.approx(float(close or 0))]


def test_spread_of_two_expiries_trades_leg_by_leg(client: IB, gateway: RunningGateway) -> None:
    near, far = (
        client.reqContractDetails(Future("ES", month, "CME"))[0].contract for month in ("202612", "202703")
    )
    legs = [
        ComboLeg(conId=c.conId, ratio=1, action=side, exchange="CME")
        for c, side in ((far, "BUY"), (near, "SELL"))
    ]
    spread = Bag(symbol="ES", exchange="CME", currency="USD", comboLegs=legs)
    trade = client.placeOrder(spread, LimitOrder("BUY", 2, 400, tif="DAY", orderRef="AF1.ROLL.1"))
    settle(client, gateway)
    assert trade.orderStatus.status == "Filled"
    assert [(f.contract.conId, f.execution.side, f.execution.shares) for f in trade.fills] == [
        (far.conId, "BOT", 2),
        (near.conId, "SLD", 2),
    ]
    assert {p.contract.conId: p.position for p in client.positions()} == {far.conId: 2, near.conId: -2}


def test_good_till_date_in_a_zone_ends_the_order(client: IB, gateway: RunningGateway) -> None:
    # 09:41 in New York is 14:41 UTC, a minute after the account was opened.
    trade = buy(client, gateway, factor="0.9", tif="GTD", goodTillDate="20261120 09:41:00 US/Eastern")
    settle(client, gateway, 59)
    assert trade.orderStatus.status == "Submitted"
    settle(client, gateway, 3)
    assert trade.orderStatus.status == "Cancelled"


def test_change_of_price_and_quantity_reaches_the_order(client: IB, gateway: RunningGateway) -> None:
    trade = buy(client, gateway, factor="0.9")
    settle(client, gateway)
    trade.order.lmtPrice, trade.order.totalQuantity = limit(gateway, "CSPX", "1.05"), 15
    client.placeOrder(trade.contract, trade.order)
    settle(client, gateway, 10)
    assert (trade.orderStatus.status, trade.filled()) == ("Filled", 15)
    [row] = gateway.control.ask("orders")["orders"]  # type: ignore[misc]
    assert (row["quantity"], row["status"]) == ("15", "FILLED")


def test_change_of_side_and_change_of_what_is_done_are_refused(client: IB, gateway: RunningGateway) -> None:
    resting, done, heard = buy(client, gateway, factor="0.9"), buy(client, gateway), errors(client)
    settle(client, gateway)
    turned = LimitOrder("SELL", 10, resting.order.lmtPrice, orderId=resting.order.orderId)
    client.client.placeOrder(turned.orderId, resting.contract, turned)
    client.client.placeOrder(done.order.orderId, done.contract, done.order)
    settle(client, gateway)
    assert heard == [(resting.order.orderId, 105), (done.order.orderId, 104)]


def test_what_if_tells_margin_and_cost_and_places_nothing(client: IB, gateway: RunningGateway) -> None:
    price = limit(gateway, "CSPX", "1.0")
    state = client.whatIfOrder(cspx(client), LimitOrder("BUY", 100, price))
    # A quarter of the value of a long share is held as margin.
    assert float(state.initMarginChange) == pytest.approx(0.25 * 100 * price, abs=0.01)
    assert (state.commissionCurrency, state.status) == ("USD", "PreSubmitted")
    assert gateway.control.ask("orders") == {"orders": []}


def test_global_cancel_ends_the_orders_of_every_client(client: IB, gateway: RunningGateway) -> None:
    other = connected(gateway, 2)
    trades = [buy(client, gateway, factor="0.9"), buy(other, gateway, factor="0.8")]
    settle(client, gateway)
    client.reqGlobalCancel()
    settle(client, gateway)
    other.reqCurrentTime()
    assert [trade.orderStatus.status for trade in trades] == ["Cancelled", "Cancelled"]
    other.disconnect()


def test_executions_are_filtered_by_client_time_and_symbol(client: IB, gateway: RunningGateway) -> None:
    buy(client, gateway)
    settle(client, gateway)
    assert len(client.reqExecutions()) == 1
    assert len(client.reqExecutions(ExecutionFilter(clientId=1, symbol="CSPX", side="BUY"))) == 1
    assert client.reqExecutions(ExecutionFilter(clientId=2)) == []
    assert client.reqExecutions(ExecutionFilter(symbol="ES")) == []
    assert client.reqExecutions(ExecutionFilter(time="20261120 14:40:01")) == []


# ---------------------------------------------------------------- connections


def test_order_is_found_again_by_the_same_client_and_by_another(client: IB, gateway: RunningGateway) -> None:
    placed = buy(client, gateway, factor="0.9")
    settle(client, gateway)
    number = placed.order.orderId
    client.disconnect()
    again, other = connected(gateway), connected(gateway, 2)
    assert [(t.order.orderId, t.order.orderRef) for t in again.openTrades()] == [(number, REFERENCE)]
    assert other.openTrades() == []
    assert [(t.order.clientId, t.order.orderRef) for t in other.reqAllOpenOrders()] == [(1, REFERENCE)]
    heard = errors(other)
    other.client.cancelOrder(number)
    other.reqCurrentTime()
    assert heard == [(number, 10147)]
    for ib in (again, other):
        ib.disconnect()


def test_client_id_in_use_is_refused_by_326_and_a_closed_line(client: IB, gateway: RunningGateway) -> None:
    second, heard = IB(), []
    second.errorEvent += lambda number, code, text, contract: heard.append(code)
    with pytest.raises((TimeoutError, ConnectionError)):
        second.connect("127.0.0.1", gateway.port, clientId=1, timeout=0.3)
    assert heard == [326]
    assert client.isConnected()


def test_next_order_number_follows_the_highest_of_that_client(client: IB, gateway: RunningGateway) -> None:
    client.client.placeOrder(41, cspx(client), LimitOrder("BUY", 1, limit(gateway, "CSPX", "0.9")))
    client.reqCurrentTime()
    client.disconnect()
    again, other = connected(gateway), connected(gateway, 2)
    assert again.client.getReqId() == 41 + 1 + IDS_OF_CONNECT
    assert other.client.getReqId() == 1 + IDS_OF_CONNECT
    for ib in (again, other):
        ib.disconnect()


def test_orders_and_numbers_survive_a_restart_of_the_gateway(tmp_path: Path) -> None:
    path = tmp_path / "account.sqlite"
    with library_loop():
        with running(lambda: make_gateway(path=path)) as gateway:
            client = connected(gateway)
            done, resting = buy(client, gateway), buy(client, gateway, factor="0.9", orderRef=REFERENCE)
            settle(client, gateway)
            client.disconnect()
        with running(lambda: make_gateway(path=path)) as gateway:
            client = connected(gateway)
            [trade] = client.openTrades()
            assert (trade.order.orderId, trade.order.permId) == (
                resting.order.orderId,
                resting.orderStatus.permId,
            )
            assert trade.order.orderRef == REFERENCE
            assert client.client.getReqId() == resting.order.orderId + 1 + IDS_OF_CONNECT
            [fill] = client.fills()
            assert fill.execution.orderId == done.order.orderId
            client.cancelOrder(trade.order)
            settle(client, gateway)
            assert client.reqAllOpenOrders() == []
            client.disconnect()


def test_reference_used_twice_or_never_is_told_as_it_was_given(client: IB, gateway: RunningGateway) -> None:
    for reference in (REFERENCE, REFERENCE, ""):
        buy(client, gateway, factor="0.9", orderRef=reference)
    settle(client, gateway)
    told = sorted(t.order.orderRef for t in client.reqAllOpenOrders())
    assert told == ["", REFERENCE, REFERENCE]
    [first, *_] = client.openTrades()
    client.cancelOrder(first.order)
    settle(client, gateway)
    assert len(client.reqAllOpenOrders()) == 2


def test_order_of_another_desk_is_seen_by_who_asks_for_all(client: IB, gateway: RunningGateway) -> None:
    price = str(Decimal(str(limit(gateway, "CSPX", "0.9"))))
    gateway.control.ask("foreign_order", contract="CSPX", quantity="5", limit=price)
    assert client.reqOpenOrders() == []
    [trade] = client.reqAllOpenOrders()
    assert (trade.order.clientId, trade.order.orderId, trade.order.totalQuantity) == (0, 0, 5)


# ---------------------------------------------------------------- the virtual clock


def test_time_moves_only_behind_the_barrier_and_by_one_event(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("hold_barriers", client_id=1)
    asked = gateway.call(lambda: next(iter(gateway.gateway.sessions.values())).times_asked)
    buy(client, gateway)
    client.client.reqCurrentTime()
    until = OPENED + timedelta(seconds=5)
    moments = []
    for step in range(1, 4):
        if step > 1:
            client.client.reqCurrentTime()
        moments.append(gateway.control.advance(until, 1, asked + step))
    # An acknowledgement, a fill, and nothing more up to the end.
    assert [event for _, event in moments] == [True, True, False]
    assert OPENED < moments[0][0] < moments[1][0] < moments[2][0] == until
