"""What a broker may say of an order, in every odd way, over TCP: the news that the engine gets of it.

The gateway of a few lines says what no exchange of ours does: states without orders, permanent numbers of 0, times
without a zone. The simulated one has what takes an account.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from engine.model.orders import ChildStatus, OrderType
from tasks.adapters.ibkr.errors import ERROR_RULES
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionPolicy, SessionState
from tasks.adapters.ibkr.session import IbkrSession
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, connected, library_loop, settle
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.market_gateway import MarketGateway, contract_desk
from tests.tasks.adapters.ibkr.tiny_gateway import Reply
from tests.tasks.adapters.ibkr.told import Told, charge, parts
from tests.tasks.adapters.ibkr.trading import CLIENT, Desk, Kind, trading
from tests.tasks.adapters.simulated_gateway.test_gateway import buy


@pytest.fixture(scope="module")
def shared() -> Iterator[Told]:
    gateway = MarketGateway()
    policy = SessionPolicy(
        account=ACCOUNT, client_id=CLIENT, is_paper=True, port=gateway.port, heartbeat_seconds=None,
        messages_per_second=0, reconnect_delays=(0.02,) * 5, request_timeout=5.0, broker_zone="US/Eastern",
    )  # fmt: skip
    session = IbkrSession(policy, lambda text: None)
    session.connect()
    transport = IbkrTransport(session, contract_desk(session), lambda name: None)
    yield Told(gateway, session, transport)
    session.close()
    gateway.close()


@pytest.fixture
def told(shared: Told) -> Told:
    shared.gateway.on_order = lambda request: []
    return shared


# ---------------------------------------------------------------- order messages


def test_fill_while_a_cancel_is_pending_is_a_fill(told: Told) -> None:
    child, number = told.order()
    told.heard(1, told.open(child, number, 101))
    told.transport.cancel(child.order_ref)
    told.gateway.wait_for("cancel_order")
    events = told.heard(
        1, told.status(number, "PendingCancel", permanent=101), told.execution(child, number, 100, "A.01"), charge("A.01"),
        told.status(number, "Filled", 100, permanent=101),
    )  # fmt: skip
    assert parts(events) == [(Kind.FILL, child.order_ref, Decimal(100))]


def test_execution_that_comes_after_the_cancel_it_belongs_to_is_told_after_it(told: Told) -> None:
    child, number = told.order()
    told.heard(1, told.open(child, number, 102))
    told.transport.cancel(child.order_ref)
    events = told.heard(
        2, told.status(number, "Cancelled", 40, permanent=102), told.execution(child, number, 40, "B.01"), charge("B.01")
    )  # fmt: skip
    assert parts(events) == [
        (Kind.CANCELLED, child.order_ref, Decimal(40)), (Kind.FILL, child.order_ref, Decimal(40)),
    ]  # fmt: skip


def test_order_that_may_only_trade_at_once_ends_with_what_it_met(told: Told) -> None:
    child, number = told.order()
    events = told.heard(
        3, told.open(child, number, 103), told.execution(child, number, 40, "C.01"), charge("C.01"),
        told.status(number, "Cancelled", 40, permanent=103),
    )  # fmt: skip
    assert parts(events) == [
        (Kind.ACKNOWLEDGED, child.order_ref, None), (Kind.FILL, child.order_ref, Decimal(40)),
        (Kind.CANCELLED, child.order_ref, Decimal(40)),
    ]  # fmt: skip


def test_execution_before_its_order_was_shown_belongs_to_it(told: Told) -> None:
    child, number = told.order()
    events = told.heard(
        2, told.execution(child, number, 100, "D.01"), charge("D.01"), told.status(number, "Filled", 100), told.open(child, number, 104)
    )  # fmt: skip
    assert {row[:2] for row in parts(events)} == {
        (Kind.FILL, child.order_ref),
        (Kind.ACKNOWLEDGED, child.order_ref),
    }


def test_permanent_number_of_nought_gives_no_execution_to_another_order(told: Told) -> None:
    first, first_number = told.order()
    second, second_number = told.order()
    told.heard(2, told.open(first, first_number), told.open(second, second_number))
    events = told.heard(1, told.execution(second, second_number, 30, "E.01"), charge("E.01"))
    assert parts(events) == [(Kind.FILL, second.order_ref, Decimal(30))]
    told.transport.cancel(first.order_ref)
    working, cancelled = told.status(second_number, "Submitted"), told.status(first_number, "Cancelled")
    ended = told.heard(1, working, cancelled)
    assert parts(ended) == [(Kind.CANCELLED, first.order_ref, Decimal(0))]


def test_state_of_an_order_that_nobody_knows_is_no_event(told: Told) -> None:
    assert told.heard(0, told.status(9_999, "Filled", 100, permanent=999)) == []


def test_order_placed_by_hand_is_told_as_not_ours(told: Told) -> None:
    child, _ = told.order()
    by_hand = told.open(child, 0, 777, client_id="0", order_ref="")
    [event] = told.heard(1, by_hand)
    assert (event.kind, event.order_ref, event.is_ours) == (Kind.ACKNOWLEDGED, None, False)
    [event] = told.heard(
        1, told.execution(child, 0, 5, "F.01", client_id="0", order_ref="", perm_id="777"), charge("F.01")
    )
    assert (event.kind, event.is_ours) == (Kind.FILL, False)


def test_time_without_a_zone_is_that_of_the_broker_and_one_with_a_zone_is_its_own(told: Told) -> None:
    child, number = told.order()
    told.heard(1, told.open(child, number, 105))
    plain = told.execution(child, number, 10, "G.01", time="20261120  10:45:00")
    zoned = told.execution(child, number, 10, "H.01", time="20261120 15:45:00 Europe/London")
    fills = [event.fill for event in told.heard(2, plain, charge("G.01"), zoned, charge("H.01"))]
    # 10:45 in New York is 15:45 UTC in November, and so is 15:45 in London.
    assert [fill.executed_at for fill in fills if fill] == [datetime(2026, 11, 20, 15, 45, tzinfo=UTC)] * 2


def test_order_that_is_held_for_a_locate_is_alive_and_fills_later(told: Told) -> None:
    child, number = told.order()
    held = told.open(child, number, 106, status="Inactive")
    remark: Reply = ("error", {"request_id": str(number), "code": "404", "text": "Shares are being located"})
    events = told.heard(2, remark, held, told.status(number, "Inactive", permanent=106))
    assert {event.kind for event in events} == {Kind.NOTICE, Kind.ACKNOWLEDGED}
    told.gateway.rows["all_open_orders"] = [held]
    assert [o.status for o in told.transport.orders() if o.order_ref == child.order_ref] == [
        ChildStatus.WORKING
    ]
    told.gateway.rows.clear()
    [fill] = told.heard(1, told.execution(child, number, 100, "I.01"), charge("I.01"))
    assert fill.kind is Kind.FILL


def test_execution_whose_commission_never_comes_is_told_without_and_again_when_it_does(told: Told) -> None:
    child, number = told.order()
    told.heard(1, told.open(child, number, 107))
    [bare] = told.heard(1, told.execution(child, number, 100, "J.01"))
    assert bare.fill is not None
    assert not bare.fill.is_charged
    [charged] = told.heard(1, charge("J.01"))
    assert charged.fill is not None
    assert (charged.fill.execution_id, charged.fill.commission) == ("J.01", Decimal("1.25"))


def test_modified_order_with_a_second_permanent_number_is_still_one_order_of_ours(told: Told) -> None:
    child, number = told.order()
    events = told.heard(
        1, told.open(child, number, 108), told.open(child, number, 109), told.status(number, "Submitted", permanent=109),
    )  # fmt: skip
    assert parts(events) == [(Kind.ACKNOWLEDGED, child.order_ref, None)]
    told.gateway.rows["all_open_orders"] = [told.open(child, number, 108), told.open(child, number, 109)]
    twins = [order for order in told.transport.orders() if order.order_ref == child.order_ref]
    assert len(twins) == 2, "both are shown to whoever compares"
    told.gateway.rows.clear()


def test_positions_that_lag_behind_a_fill_change_neither_the_fill_nor_the_list(told: Told) -> None:
    child, number = told.order()
    told.gateway.rows["executions"] = [told.execution(child, number, 100, "K.01"), charge("K.01")]
    look = told.transport.look()  # the gateway still lists no position
    told.gateway.rows.clear()
    assert look.positions == {}
    assert [(fill.order_ref, fill.quantity) for fill in look.executions] == [(child.order_ref, Decimal(100))]


# ---------------------------------------------------------------- system codes


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with trading() as made:
        yield made


LINK_LOST, LINK_RESTORED = {1100, 1300, 2110}, {1101, 1102}
"""As the notes on the protocol have them, not as our table does."""

SYSTEM = (
    100,
    502,
    504,
    1100,
    1101,
    1102,
    1300,
    2100,
    2103,
    2104,
    2105,
    2106,
    2107,
    2108,
    2109,
    2110,
    2157,
    2158,
    10197,
)


@pytest.mark.parametrize("code", SYSTEM)
def test_system_code_leaves_the_order_working_and_only_a_lost_link_stops_sending(
    desk: Desk, code: int
) -> None:
    child = desk.resting()
    desk.transport.send(child)
    assert desk.kinds(0.5) == [Kind.ACKNOWLEDGED]
    desk.alarms.clear()
    desk.gateway.control.ask("system", code=code)
    if code in LINK_LOST:
        eventually(lambda: desk.session.state is SessionState.DEGRADED)
        desk.gateway.control.ask("system", code=1102)
    [listed] = [order for order in desk.transport.orders() if order.order_ref == child.order_ref]
    assert listed.status is ChildStatus.WORKING
    eventually(lambda: desk.session.is_ready)
    desk.transport.cancel(child.order_ref)
    assert [kind for kind in desk.kinds() if kind is not Kind.NOTICE] == [Kind.CANCELLED]
    assert ["the link is degraded" in text for text in desk.alarms] == [True] * (code in LINK_LOST)


@pytest.mark.parametrize(
    "code",
    [
        c
        for c, rule in ERROR_RULES.items()
        if not rule.refuses_order and c not in LINK_LOST | LINK_RESTORED | {326}
    ],
)
def test_code_that_refuses_nothing_is_a_remark_about_a_new_order_whose_outcome_stays_open(
    desk: Desk, code: int
) -> None:
    desk.gateway.control.ask("refuse_orders", code=code, text="Remark")
    child = desk.resting()
    desk.transport.send(child)
    assert desk.kinds(0.5) == [Kind.NOTICE]
    assert child.order_ref not in {order.order_ref for order in desk.transport.orders()}


@pytest.mark.parametrize("code", [c for c in ERROR_RULES if c not in LINK_LOST | LINK_RESTORED | {326}])
def test_order_fills_after_every_code_about_it(desk: Desk, code: int) -> None:
    child = desk.child(quantity=1)
    desk.transport.send(child)
    until = desk.transport.now() + timedelta(seconds=5)
    acknowledged = desk.transport.next_event(until)
    assert acknowledged is not None
    assert acknowledged.kind is Kind.ACKNOWLEDGED
    desk.say_error(child, code)
    assert desk.kinds() == [Kind.NOTICE, Kind.FILL]


# ---------------------------------------------------------------- numbers, links and auctions


def test_order_of_another_client_with_our_number_is_neither_ours_nor_cancelled() -> None:
    with trading() as desk, library_loop():
        mine = desk.resting()
        desk.transport.send(mine)
        assert desk.kinds(0.5) == [Kind.ACKNOWLEDGED]
        other = connected(desk.gateway, 3)
        try:
            other.client._reqIdSeq = desk.number(mine) - 1  # one goes to the question for the contract
            theirs = buy(other, desk.gateway, factor="0.9", orderRef="OTHER.1")
            settle(other, desk.gateway)
            assert theirs.order.orderId == desk.number(mine)
            desk.transport.cancel("OTHER.1")
            assert [
                e.text for e in desk.events(0.5) if e.order_ref == "OTHER.1" and e.kind is Kind.NOTICE
            ] == ["cancel refused: the broker does not list the order"]
            rows = {row["reference"]: row["status"] for row in desk.ledger()}
            assert rows == {mine.order_ref: "WORKING", "OTHER.1": "WORKING"}
        finally:
            other.disconnect()


def test_order_for_an_auction_that_ended_unheard_is_resolved_by_the_list_of_completed_orders() -> None:
    with trading() as desk:
        close = OPENED.replace(hour=22)
        child = desk.child("AAPL", factor="0.5", order_type=OrderType.LIMIT_ON_CLOSE, good_till=close)
        desk.transport.send(child)
        assert desk.kinds(1) == [Kind.ACKNOWLEDGED]
        desk.gateway.control.ask("system", code=1100)
        eventually(lambda: desk.session.state is SessionState.DEGRADED)
        desk.gateway.run_until(close)
        desk.gateway.control.ask("system", code=1102)
        eventually(lambda: desk.session.is_ready)
        assert [event.kind for event in desk.events() if event.order_ref == child.order_ref] == []
        [listed] = [order for order in desk.transport.orders() if order.order_ref == child.order_ref]
        assert (listed.status, listed.filled) == (ChildStatus.CANCELLED, Decimal(0))


def test_worth_that_lags_is_told_as_the_broker_tells_it_beside_cash_and_positions_that_do_not(
    desk: Desk,
) -> None:
    before = desk.account.snapshot(desk.transport.now())
    assert desk.gateway.control.ask("fault", name="nlv-drift") == {"struck": True}
    during = desk.account.snapshot(desk.transport.now())
    desk.gateway.control.ask("clear", name="nlv-drift")
    assert before.net_liquidation is not None
    assert during.net_liquidation is not None
    # Half a percent off: whoever adds up cash and positions sees it, and stops the day.
    drift = abs(during.net_liquidation / before.net_liquidation - 1)
    assert drift.quantize(Decimal("0.0001")) == Decimal("0.0050")
    assert (during.cash, during.positions) == (before.cash, before.positions)
