"""Orders whose line is lost, or that are lost on it, over TCP: each is in doubt until it is found, and written once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from engine.model.orders import ChildStatus
from tasks.adapters.ibkr.errors import NotWritten
from tasks.adapters.ibkr.policy import SessionState
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.test_orders import fills, sent, status
from tests.tasks.adapters.ibkr.trading import CLIENT, Desk, Kind, open_desk, trading


@pytest.fixture
def desk() -> Iterator[Desk]:
    with trading() as made:
        yield made


def test_order_lost_on_the_way_is_told_by_nobody_and_listed_nowhere(desk: Desk) -> None:
    desk.gateway.control.ask("lose_orders", times=1)
    child = sent(desk, desk.child())
    assert desk.kinds() == []
    look = desk.transport.look()
    assert (look.orders, look.executions) == ((), ())
    link = desk.transport.link()
    assert link.client_id == CLIENT
    assert link.last_sent_id is not None
    assert link.next_order_id is not None
    assert link.next_order_id <= link.last_sent_id  # the broker has not seen the number that was written
    assert child.order_ref not in {row["reference"] for row in desk.ledger()}


def test_order_without_acknowledgement_is_found_by_its_reference(desk: Desk) -> None:
    desk.gateway.control.ask("silence_orders", times=1)
    child = sent(desk, desk.resting())
    assert desk.kinds(0.5) == []
    assert status(desk, child) is ChildStatus.WORKING


@pytest.mark.parametrize("command", ["drop", "reset"])
def test_lost_line_puts_living_orders_in_doubt_and_finds_what_happened_meanwhile(
    desk: Desk, command: str
) -> None:
    done = sent(desk, desk.child())
    assert desk.kinds() == [Kind.ACKNOWLEDGED, Kind.FILL]
    child = sent(desk, desk.child())
    desk.gateway.control.ask(command)
    eventually(lambda: desk.session.state is not SessionState.READY)
    desk.gateway.run_until(desk.gateway.gateway.now + timedelta(seconds=2))
    events = [event for event in desk.events() if event.kind is not Kind.NOTICE]
    assert [event.order_ref for event in events] == [child.order_ref] * len(events)
    assert events[0].kind is Kind.VISIBILITY_LOST
    assert sum(event.fill.quantity for event in events if event.fill is not None) == child.quantity
    assert {order.order_ref for order in desk.transport.orders()} == {done.order_ref, child.order_ref}
    assert [row["reference"] for row in desk.ledger()].count(child.order_ref) == 1


def test_order_that_still_works_after_a_lost_line_is_found_and_can_be_cancelled(desk: Desk) -> None:
    child = sent(desk, desk.resting())
    assert desk.kinds(0.5) == [Kind.ACKNOWLEDGED]
    desk.gateway.control.ask("reset")
    eventually(lambda: desk.session.state is not SessionState.READY)
    assert desk.kinds(0.5) == [Kind.VISIBILITY_LOST, Kind.ACKNOWLEDGED]
    desk.transport.cancel(child.order_ref)
    assert [kind for kind in desk.kinds() if kind is not Kind.NOTICE] == [Kind.CANCELLED]


def test_numbers_that_roll_back_attribute_nothing_to_another_order(desk: Desk) -> None:
    first = sent(desk, desk.resting())
    desk.events(0.5)
    desk.gateway.control.ask("roll_back", times=1)
    desk.gateway.control.ask("drop")
    eventually(lambda: desk.session.state is not SessionState.READY)
    desk.events(0.5)
    second = sent(desk, desk.child())
    [fill] = fills(desk)
    assert fill.order_ref == second.order_ref
    assert desk.number(first) != desk.number(second)
    assert status(desk, first) is ChildStatus.WORKING


def test_reports_lost_while_the_broker_was_gone_are_read_when_it_is_back(desk: Desk) -> None:
    child = sent(desk, desk.child())
    desk.gateway.control.ask("system", code=1100)
    assert desk.kinds() == []
    with pytest.raises(NotWritten, match="degraded"):
        desk.transport.send(desk.resting())
    assert desk.transport.quote("CSPX") is None
    desk.gateway.control.ask("system", code=1102)
    eventually(lambda: desk.session.is_ready)
    found = fills(desk)
    assert [(fill.order_ref, fill.quantity) for fill in found] == [(child.order_ref, child.quantity)]
    interrupted = desk.transport.link().interrupted_at
    assert interrupted is not None


def test_new_process_of_the_same_client_sees_and_cancels_what_the_last_one_left(desk: Desk) -> None:
    child = sent(desk, desk.resting())
    desk.events(0.5)
    desk.session.close()
    later = open_desk(desk.gateway, desk.transport.now())
    try:
        assert status(later, child) is ChildStatus.WORKING
        later.transport.cancel(child.order_ref)
        ends = [event for event in later.events() if event.kind is Kind.CANCELLED]
        assert [event.order_ref for event in ends] == [child.order_ref]
    finally:
        later.session.close()


def test_line_lost_in_a_burst_leaves_every_order_in_doubt_or_known_as_not_written(desk: Desk) -> None:
    children = [desk.resting(quantity=1) for _ in range(200)]
    written, unwritten = list[str](), list[str]()
    for number, child in enumerate(children):
        if number == 120:
            desk.gateway.control.ask("reset")
            eventually(lambda: not desk.session.is_ready or len(desk.alarms) > 0)
        try:
            desk.transport.send(child)
            written.append(child.order_ref)
        except NotWritten:
            unwritten.append(child.order_ref)
    assert len(written) + len(unwritten) == 200
    lost = {event.order_ref for event in desk.events() if event.kind is Kind.VISIBILITY_LOST}
    taken = [row["reference"] for row in desk.ledger()]
    assert len(taken) == len(set(taken))
    assert set(children[number].order_ref for number in range(120)) <= lost
    assert not set(unwritten) & set(taken)
    listed = {order.order_ref for order in desk.transport.orders()}
    assert set(taken) <= listed
