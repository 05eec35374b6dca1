"""Orders over TCP to the simulated gateway: the engine hears what happened, once, and never from an error code."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from engine.errors import InvariantError
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderType, Side
from engine.model.spreads import NearLeg
from tasks.adapters.ibkr.errors import ERROR_RULES, LINK_LOST, LINK_RESTORED, NotWritten
from tasks.adapters.ibkr.units import WireUnits
from tasks.adapters.simulated_gateway.messages import Request, read_request
from tasks.adapters.simulated_gateway.sessions import Effect, Session
from tests.tasks.adapters.gateways import ACCOUNT, make_gateway, small_world
from tests.tasks.adapters.ibkr.trading import CLIENT, Desk, Kind, trading

PLACE = "3"
LINK_CODES = LINK_LOST | LINK_RESTORED | {326}
ORDER_CODES = sorted(code for code in ERROR_RULES if code not in LINK_CODES)


@pytest.fixture(scope="module")
def calm() -> Iterator[Desk]:
    """A connection that tests of single messages share."""
    with trading() as desk:
        yield desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    with trading() as made:
        yield made


def sent(desk: Desk, child: ChildOrder) -> ChildOrder:
    desk.transport.send(child)
    return child


def fills(desk: Desk, seconds: float = 2.0) -> list[Fill]:
    return [event.fill for event in desk.events(seconds) if event.fill is not None]


def status(desk: Desk, child: ChildOrder) -> ChildStatus:
    [listed] = [order for order in desk.transport.orders() if order.order_ref == child.order_ref]
    return listed.status


# ---------------------------------------------------------------- the plain life of an order


def test_order_that_meets_the_market_is_acknowledged_and_filled_with_its_commission(calm: Desk) -> None:
    child = sent(calm, calm.child(quantity=10))
    acknowledged, filled = calm.events()
    assert (acknowledged.kind, acknowledged.order_ref) == (Kind.ACKNOWLEDGED, child.order_ref)
    assert filled.fill is not None
    assert (filled.fill.order_ref, filled.fill.contract_id) == (child.order_ref, "CSPX")
    assert (filled.fill.side, filled.fill.quantity) == (Side.BUY, Decimal(10))
    [own] = [f for f in calm.gateway.gateway.broker.executions() if f.order_ref == child.order_ref]
    assert (filled.fill.price, filled.fill.commission) == (own.price, own.commission)
    assert filled.fill.commission_currency == "USD"
    assert status(calm, child) is ChildStatus.FILLED


def test_cancel_ends_an_order_once_and_says_what_it_traded(calm: Desk) -> None:
    child = sent(calm, calm.resting())
    assert calm.kinds(0.5) == [Kind.ACKNOWLEDGED]
    calm.transport.cancel(child.order_ref)
    [end] = [event for event in calm.events() if event.kind is not Kind.NOTICE]
    assert (end.kind, end.order_ref, end.filled) == (Kind.CANCELLED, child.order_ref, Decimal(0))


def test_order_dies_at_its_written_end_without_this_process(calm: Desk) -> None:
    child = calm.resting()
    ends = calm.transport.now() + timedelta(seconds=10)
    sent(calm, ChildOrder(**{**fields_of(child), "good_till": ends}))
    kinds = [kind for kind in calm.kinds(15) if kind is not Kind.NOTICE]
    assert kinds == [Kind.ACKNOWLEDGED, Kind.CANCELLED]


def fields_of(child: ChildOrder) -> dict[str, object]:
    return {name: getattr(child, name) for name in ChildOrder.__dataclass_fields__}


def test_order_that_the_broker_refuses_ends_once_with_its_reason(calm: Desk) -> None:
    child = sent(calm, calm.child(quantity=10_000_000))
    [end] = [event for event in calm.events() if event.kind is not Kind.NOTICE]
    assert (end.kind, end.order_ref, end.filled) == (Kind.REJECTED, child.order_ref, Decimal(0))
    assert end.text.startswith("201 ")
    assert calm.kinds() == []
    # The broker lists it as completed and Inactive: while an order is open, the same word is no end.
    listed = {order.order_ref: order.status for order in calm.transport.orders()}
    assert listed[child.order_ref] is ChildStatus.REJECTED


def test_same_order_is_never_written_twice(calm: Desk) -> None:
    child = sent(calm, calm.resting())
    with pytest.raises(InvariantError, match="each order once"):
        calm.transport.send(child)
    calm.events(0.5)
    assert [row["reference"] for row in calm.ledger()].count(child.order_ref) == 1


def test_order_of_an_unknown_contract_is_known_as_not_written(calm: Desk) -> None:
    child = calm.resting()
    before = len(calm.ledger())
    with pytest.raises(NotWritten, match="was not written"):
        calm.transport.send(ChildOrder(**{**fields_of(child), "contract_id": "NOPE"}))
    assert len(calm.ledger()) == before


def test_limit_in_pence_is_written_and_executed_in_pence(calm: Desk) -> None:
    child = sent(calm, calm.child("IUKD", quantity=10))
    [fill] = fills(calm)
    quote = calm.quote("IUKD")
    assert quote.ask is not None
    # Pence on both ways: the price lies within 5 % of the ask and below the limit, not at a hundredth of it.
    assert abs(fill.price / quote.ask - 1) < Decimal("0.05")
    assert fill.price <= child.limit_price
    [listed] = [order for order in calm.transport.orders() if order.order_ref == child.order_ref]
    assert listed.limit_price == child.limit_price


def test_limit_beside_the_tick_is_written_on_its_passive_side(calm: Desk) -> None:
    child = calm.resting()
    beside = child.limit_price + Decimal("0.003")
    sent(calm, ChildOrder(**{**fields_of(child), "limit_price": beside}))
    calm.events(0.5)
    [listed] = [order for order in calm.transport.orders() if order.order_ref == child.order_ref]
    assert listed.limit_price == child.limit_price


def test_order_on_the_close_waits_for_its_auction(calm: Desk) -> None:
    close = datetime(2026, 11, 20, 22, tzinfo=calm.transport.now().tzinfo)
    child = sent(
        calm, calm.child("AAPL", factor="1.05", order_type=OrderType.LIMIT_ON_CLOSE, good_till=close)
    )
    assert calm.kinds(1) == [Kind.ACKNOWLEDGED]
    assert status(calm, child) is ChildStatus.WORKING


def test_calendar_spread_trades_both_legs_as_executions_of_their_own(calm: Desk) -> None:
    chain = sorted(small_world()[2].panel.chains["ES"], key=lambda row: str(row.last_trade_date))
    alive = [row for row in chain if str(row.last_trade_date) > "2026-11-20"]
    near, far = alive[0].contract_id, alive[1].contract_id
    far_quote, near_quote = calm.quote(far), calm.quote(near)
    assert far_quote.ask is not None
    assert near_quote.bid is not None
    limit = far_quote.ask - near_quote.bid + 1
    leg = NearLeg(intent_id="near", contract_id=near, arrival_mid=near_quote.mid)
    child = sent(calm, calm.child(far, quantity=1, limit_price=limit, near=leg))
    found = {fill.contract_id: fill for fill in fills(calm)}
    assert {name: fill.side for name, fill in found.items()} == {far: Side.BUY, near: Side.SELL}
    assert {fill.order_ref for fill in found.values()} == {child.order_ref}
    [listed] = [order for order in calm.transport.orders() if order.order_ref == child.order_ref]
    assert (listed.contract_id, listed.near_contract_id) == (far, near)


def test_every_order_names_the_account_that_it_is_for(calm: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login may manage others, and the broker would take the order for one of them."""
    placed, receive = list[Request](), calm.gateway.gateway.receive

    def heard(session: Session, texts: Sequence[str]) -> list[Effect]:
        if texts[0] == PLACE:
            placed.append(read_request(texts, session.version))
        return receive(session, texts)

    monkeypatch.setattr(calm.gateway.gateway, "receive", heard)
    for order_type in (OrderType.LIMIT, OrderType.LIMIT_ON_CLOSE, OrderType.LIMIT_ON_OPEN):
        sent(calm, calm.resting(contract_id="AAPL", order_type=order_type))
    calm.events(0.5)
    assert [request.record["account"] for request in placed] == [ACCOUNT] * 3


# ---------------------------------------------------------------- codes


@pytest.mark.parametrize("code", ORDER_CODES)
def test_bare_code_with_the_number_of_a_working_order_ends_nothing(calm: Desk, code: int) -> None:
    child = sent(calm, calm.resting())
    assert calm.kinds(0.5) == [Kind.ACKNOWLEDGED]
    calm.say_error(child, code)
    [notice] = calm.events(0.5)
    assert (notice.kind, notice.order_ref) == (Kind.NOTICE, child.order_ref)
    assert notice.text == f"{code} Injected"
    assert status(calm, child) is ChildStatus.WORKING
    calm.transport.cancel(child.order_ref)
    assert [kind for kind in calm.kinds() if kind is not Kind.NOTICE] == [Kind.CANCELLED]


@pytest.mark.parametrize("code", [code for code, rule in ERROR_RULES.items() if rule.refuses_order])
def test_code_that_refuses_a_new_order_ends_it_once_because_no_list_has_it(calm: Desk, code: int) -> None:
    calm.gateway.control.ask("refuse_orders", code=code, text="No")
    child = sent(calm, calm.resting())
    [end] = [event for event in calm.events(0.5) if event.kind is not Kind.NOTICE]
    assert (end.kind, end.order_ref, end.filled, end.text) == (
        Kind.REJECTED, child.order_ref, Decimal(0), f"{code} No",
    )  # fmt: skip


@pytest.mark.parametrize("code", [10349, 399, 404, 10148])
def test_code_that_refuses_nothing_leaves_the_outcome_open_even_when_no_list_has_the_order(
    calm: Desk, code: int
) -> None:
    calm.gateway.control.ask("refuse_orders", code=code, text="Remark")
    child = sent(calm, calm.resting())
    assert calm.kinds(0.5) == [Kind.NOTICE]
    assert child.order_ref not in {order.order_ref for order in calm.transport.orders()}


def test_code_with_the_number_of_nobody_is_not_about_an_order_of_ours(calm: Desk) -> None:
    calm.gateway.control.ask("error", client_id=CLIENT, code=201, request_id=999_999, text="Other")
    assert calm.events(0.2) == []


# ---------------------------------------------------------------- executions


def test_execution_told_again_is_one_execution(desk: Desk) -> None:
    sent(desk, desk.child())
    [fill] = fills(desk)
    desk.gateway.control.ask("repeat_execution", execution=fill.execution_id)
    assert fills(desk) == []
    assert [known.execution_id for known in desk.transport.executions()] == [fill.execution_id]


def test_correction_takes_the_place_of_what_it_corrects(desk: Desk) -> None:
    sent(desk, desk.child(quantity=10))
    [fill] = fills(desk)
    desk.gateway.control.ask(
        "correct_execution", execution=fill.execution_id, quantity="8", price=str(fill.price)
    )
    [corrected] = fills(desk)
    assert (corrected.root, corrected.version, corrected.quantity) == (
        fill.root,
        fill.version + 1,
        Decimal(8),
    )
    assert [(known.execution_id, known.quantity) for known in desk.transport.executions()] == [
        (corrected.execution_id, Decimal(8))
    ]


def test_commission_that_comes_first_is_not_lost(desk: Desk) -> None:
    desk.gateway.control.ask("commission_first", on=True)
    sent(desk, desk.child())
    [fill] = fills(desk)
    assert fill.is_charged


def test_fill_whose_execution_was_not_told_is_found_by_reading(desk: Desk) -> None:
    desk.gateway.control.ask("hide_executions", times=1)
    child = sent(desk, desk.child())
    assert desk.kinds() == [Kind.ACKNOWLEDGED]
    [fill] = desk.transport.executions()
    assert (fill.order_ref, fill.quantity) == (child.order_ref, child.quantity)
    assert fills(desk, 0.1) == [fill]


def test_fill_without_a_status_is_heard_by_its_execution(desk: Desk) -> None:
    desk.gateway.control.ask("hide_statuses", times=1)
    child = sent(desk, desk.child())
    assert sum(fill.quantity for fill in fills(desk)) == child.quantity


# ---------------------------------------------------------------- other orders


def test_cancel_of_an_order_that_nobody_lists_is_a_remark_and_reaches_no_other_order(desk: Desk) -> None:
    child = sent(desk, desk.resting())
    desk.events(0.5)
    desk.transport.cancel("AF1.NOBODY.1")
    [notice] = desk.events(0.5)
    assert (notice.kind, notice.order_ref) == (Kind.NOTICE, "AF1.NOBODY.1")
    assert status(desk, child) is ChildStatus.WORKING


def test_orders_of_another_desk_are_listed_and_told(desk: Desk) -> None:
    quote = desk.quote("CSPX")
    assert quote.bid is not None
    instrument = desk.contracts.instrument("CSPX")
    assert instrument is not None
    limit = instrument.floor_to_tick(quote.bid * Decimal("0.9"))
    desk.gateway.control.ask("foreign_order", contract="CSPX", quantity="5", limit=str(limit))
    desk.events(0.5)
    assert [(order.contract_id, order.quantity) for order in desk.transport.orders()] == [
        ("CSPX", Decimal(5))
    ]


# ---------------------------------------------------------------- speed


def test_thousand_orders_are_written_and_listed_quickly_without_the_throttle(desk: Desk) -> None:
    children = [desk.resting(quantity=1) for _ in range(1000)]
    desk.contracts.qualified("CSPX")
    began = time.perf_counter()
    for child in children:
        desk.transport.send(child)
    listed = {order.order_ref for order in desk.transport.orders()}
    took = time.perf_counter() - began
    assert listed == {child.order_ref for child in children}
    print(f"1,000 orders written and listed in {took:.2f} s")
    assert took < 10.0  # a bound against something quadratic: the tests share their machine


@pytest.mark.parametrize("are_pence", [True, False])
def test_execution_of_a_pence_line_is_read_in_the_unit_that_the_wire_is_said_to_use(
    *, are_pence: bool
) -> None:
    with trading(make=lambda: make_gateway(pence_executions=are_pence)) as desk:
        units = WireUnits(executions_in_quote_units=are_pence)
        desk.transport._units = units
        child = sent(desk, desk.child("IUKD", quantity=10))
        [fill] = fills(desk)
        [own] = desk.gateway.gateway.broker.executions()
        assert (fill.order_ref, fill.price) == (child.order_ref, own.price)
