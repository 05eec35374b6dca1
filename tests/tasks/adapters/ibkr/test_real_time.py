"""The same transport on a clock that runs by itself: it waits for news, and a frozen gateway does not stop it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from engine.errors import BrokerUnavailable, InvariantError
from engine.model.orders import TransportEvent
from engine.model.universe import ContractBook
from tasks.adapters.ibkr.account import IbkrAccount
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionPolicy, SessionState
from tasks.adapters.ibkr.session import IbkrSession
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, make_gateway, running, small_world
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.trading import CLIENT, Desk, Kind


@pytest.fixture
def desk() -> Iterator[Desk]:
    small_world()
    started = time.monotonic()

    def clock() -> datetime:
        return OPENED + timedelta(seconds=time.monotonic() - started)

    with running(lambda: make_gateway(clock=clock)) as gateway:
        alarms = list[str]()
        policy = SessionPolicy(
            account=ACCOUNT, client_id=CLIENT, is_paper=True, port=gateway.port, heartbeat_seconds=0.1,
            heartbeat_timeout=0.2, reconnect_delays=(0.05, 0.05), connect_timeout=0.3, request_timeout=2.0,
        )  # fmt: skip
        session = IbkrSession(policy, alarms.append, clock)
        session.connect()
        book = ContractBook(universe=small_world()[0], contracts={})
        contracts = ContractDesk(session, lambda: book, {})
        facts = gateway.gateway.facts
        transport = IbkrTransport(session, contracts, lambda name: facts.quote(name, clock()))
        account = IbkrAccount(
            session, contracts, transport.orders, transport.executions, lambda name, at: True
        )
        yield Desk(gateway, session, contracts, transport, account, alarms)
        session.close()


def wait_for(desk: Desk, kind: Kind, seconds: float = 5.0) -> TransportEvent:
    """The next event of a kind."""
    until = desk.transport.now() + timedelta(seconds=seconds)
    while desk.transport.now() < until:
        event = desk.transport.next_event(until)
        if event is not None and event.kind is kind:
            return event
    raise AssertionError(f"no {kind} came")


def test_order_is_acknowledged_and_filled_as_it_happens(desk: Desk) -> None:
    child = desk.child()
    desk.transport.send(child)
    assert wait_for(desk, Kind.ACKNOWLEDGED).order_ref == child.order_ref
    filled = wait_for(desk, Kind.FILL)
    assert filled.fill is not None
    assert filled.fill.is_charged


def test_nothing_comes_when_there_is_nothing_and_the_wait_is_short(desk: Desk) -> None:
    began = time.monotonic()
    assert desk.transport.next_event(desk.transport.now() + timedelta(hours=1)) is None
    # The wait is cut in slices of 0.25 s so that a signal to the process is seen.
    assert time.monotonic() - began < 1.0
    began = time.monotonic()
    assert desk.transport.next_event(desk.transport.now()) is None
    assert time.monotonic() - began < 0.2


def test_frozen_gateway_puts_orders_in_doubt_then_gives_up_with_an_alarm(desk: Desk) -> None:
    child = desk.resting()
    desk.transport.send(child)
    wait_for(desk, Kind.ACKNOWLEDGED)
    desk.gateway.control.ask("freeze")
    lost = wait_for(desk, Kind.VISIBILITY_LOST)
    assert (lost.order_ref, lost.text) == (child.order_ref, "time was not answered in 0.2 seconds")
    assert desk.transport.quote("CSPX") is None
    with pytest.raises(BrokerUnavailable):
        desk.transport.send(desk.resting())
    eventually(lambda: desk.session.state is SessionState.FAILED)
    with pytest.raises(BrokerUnavailable, match="every reconnection failed"):
        wait_for(desk, Kind.FILL)
    assert "after 2 attempts" in desk.alarms[-1]


def test_order_written_to_a_frozen_gateway_is_in_doubt_then_known_and_never_written_again(desk: Desk) -> None:
    desk.contracts.qualified("CSPX")
    child = desk.resting()
    desk.gateway.control.ask("freeze")
    desk.transport.send(child)  # into the buffer of the socket; the gateway may read it when it thaws
    assert wait_for(desk, Kind.VISIBILITY_LOST).order_ref == child.order_ref
    desk.gateway.control.ask("thaw")
    eventually(lambda: desk.session.is_ready)
    taken = [row["reference"] for row in desk.ledger()]
    assert taken in ([], [child.order_ref])
    assert [order.order_ref for order in desk.transport.orders()] == taken
    with pytest.raises(InvariantError, match="each order once"):
        desk.transport.send(child)


def test_thawed_gateway_is_found_again_with_the_order_that_worked_on(desk: Desk) -> None:
    child = desk.resting()
    desk.transport.send(child)
    wait_for(desk, Kind.ACKNOWLEDGED)
    desk.gateway.control.ask("freeze")
    wait_for(desk, Kind.VISIBILITY_LOST)
    desk.gateway.control.ask("thaw")
    assert wait_for(desk, Kind.ACKNOWLEDGED).order_ref == child.order_ref
    desk.transport.cancel(child.order_ref)
    assert wait_for(desk, Kind.CANCELLED).order_ref == child.order_ref
    assert [row["reference"] for row in desk.ledger()].count(child.order_ref) == 1


def test_second_session_with_the_same_client_id_is_refused_and_the_first_one_works_on(desk: Desk) -> None:
    second = IbkrSession(desk.session.policy)
    with pytest.raises(
        BrokerUnavailable, match=r"found 326 .*; another run or session holds the client id 7"
    ):
        second.connect()
    second.close()
    desk.session.ping()
    assert desk.session.is_ready


def test_account_of_another_name_is_refused_before_any_order(desk: Desk) -> None:
    desk.gateway.control.ask("account", name="DU7654321")
    desk.gateway.control.ask("drop")
    eventually(lambda: desk.session.state is SessionState.FAILED)
    assert any("expected the account DU1234567" in text for text in desk.alarms)
    assert desk.ledger() == []
