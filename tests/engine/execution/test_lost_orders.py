"""Orders of ours that a restored book has lost: no reference of theirs is taken, and what they trade stops the run."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from engine.errors import HaltError
from engine.execution.executor import execute
from engine.execution.inquiry import recover_all
from engine.model.absence import AbsencePolicy, LinkState
from engine.model.halts import HaltKind
from engine.model.orders import ChildOrder, ChildStatus, OpenOrder, OrderType, Side, order_reference
from engine.ports import ChildRecord
from tests import fakes
from tests.engine.execution.market import NOON, intent, job, world
from tests.fakes import CLIENT, MemoryOrderBook, ScriptedTransport

POLICY = AbsencePolicy(broker_zone="America/New_York")
REF1, REF2, OTHER1 = (
    order_reference("parent-1", 1),
    order_reference("parent-1", 2),
    order_reference("parent-2", 1),
)


class _Lagging(ScriptedTransport):
    """A broker that does not list its newest order to a connection that is younger than a minute."""

    def orders(self) -> tuple[OpenOrder, ...]:
        listed = super().orders()
        young = self.clock - self.connection.connected_at < timedelta(seconds=59)
        return listed[:-1] if young else listed


def cancelled(ref: str) -> OpenOrder:
    return OpenOrder(
        order_ref=ref, broker_order_id=ref[-1], contract_id="CSPX", side=Side.BUY, quantity=D(100),
        filled=D(0), limit_price=D("734.2"), status=ChildStatus.CANCELLED,
    )  # fmt: skip


def restored(*lost: str, connected_at: datetime = NOON) -> tuple[_Lagging, MemoryOrderBook]:
    """A book without any order, and a broker that ended some of ours, over a connection that was just made."""
    made, _, book = world(intent(name="parent-1"), intent(name="parent-2"))
    broker = _Lagging(NOON, made.transport.quote_at)  # type: ignore[attr-defined]
    broker.connection = LinkState(client_id=CLIENT, connected_at=connected_at)
    broker.open = {ref: cancelled(ref) for ref in lost}
    return broker, book


def test_lost_order_that_is_not_listed_yet_is_found_before_anything_is_sent() -> None:
    broker, book = restored(OTHER1, REF1)
    found = recover_all(book, broker, POLICY)
    assert found.lost == book.spent == {OTHER1, REF1}
    assert broker.clock == NOON + timedelta(seconds=60)
    made, _, _ = world(intent())
    execute([job(intent())], replace(made, transport=broker, book=book))
    assert broker.sent[0].order_ref == REF2


def test_book_that_lost_nothing_that_is_listed_does_not_wait() -> None:
    broker, book = restored()
    assert recover_all(book, broker, POLICY).lost == frozenset()
    assert broker.clock == NOON


def test_connection_that_is_quiet_already_is_not_waited_for() -> None:
    broker, book = restored(OTHER1, REF1, connected_at=NOON - timedelta(seconds=60))
    assert recover_all(book, broker, POLICY).lost == {OTHER1, REF1}
    assert broker.clock == NOON


def test_process_asked_to_end_does_not_wait_for_what_was_lost() -> None:
    broker, book = restored(OTHER1, REF1)
    assert recover_all(book, broker, POLICY, lambda: True).lost == {OTHER1}
    assert broker.clock == NOON


def test_execution_of_an_order_that_the_book_has_lost_halts_and_books_what_is_known() -> None:
    made, broker, book = world(intent())

    def trade(b: ScriptedTransport, child: ChildOrder) -> None:
        b.execute(child, D(40), after=0.2)
        b.execute(replace(child, order_ref=OTHER1, intent_id="parent-2"), D(7), after=0.2)

    broker.on_send = trade
    with pytest.raises(HaltError, match=f"{OTHER1} traded and is not in the book") as stopped:
        execute([job(intent())], made)
    assert stopped.value.kind == HaltKind.MISSED_FILL.value
    assert [(fill.order_ref, fill.quantity) for fill in book.fills.values()] == [(REF1, D(40))]
    assert broker.cancelled == [OTHER1, REF1], "the lost one may trade more"
    assert book.spent == {OTHER1}


# ---------------------------------------------------------------- lost, and at work


def at_work(ref: str) -> OpenOrder:
    return replace(cancelled(ref), status=ChildStatus.WORKING)


def end_when_asked(broker: ScriptedTransport, ref: str) -> None:
    fakes.confirm_cancel(broker, ref)
    broker.open[ref] = cancelled(ref)


def test_lost_order_that_works_is_taken_back_and_stops_every_run() -> None:
    broker, book = restored(connected_at=NOON - timedelta(hours=1))
    broker.open = {REF1: at_work(REF1), OTHER1: cancelled(OTHER1)}
    broker.on_cancel = end_when_asked
    found = recover_all(book, broker, POLICY)
    assert (found.recalled, broker.cancelled) == ({REF1}, [REF1])
    assert broker.clock < NOON + timedelta(seconds=2), "its end is waited for, and no longer"
    made, _, _ = world(intent())
    with pytest.raises(HaltError, match=f"{REF1} worked at the broker and is not in the book") as stopped:
        execute([job(intent())], replace(made, transport=broker, book=book, recalled=found.recalled))
    assert stopped.value.kind == HaltKind.UNKNOWN_ORDER.value
    assert broker.sent == []


def test_lost_order_that_is_listed_late_is_taken_back_too() -> None:
    broker, book = restored()
    broker.open = {OTHER1: cancelled(OTHER1), REF1: at_work(REF1)}
    broker.on_cancel = end_when_asked
    assert recover_all(book, broker, POLICY).recalled == {REF1}
    assert broker.cancel_times == [(NOON + timedelta(seconds=60), REF1)]


def test_cancel_of_a_lost_order_that_nobody_confirms_is_waited_for_a_while_and_stops_the_run_all_the_same() -> (
    None
):
    broker, book = restored(connected_at=NOON - timedelta(hours=1))
    broker.open, broker.on_cancel = {REF1: at_work(REF1)}, fakes.ignore_cancel
    assert recover_all(book, broker, POLICY, lambda: True).recalled == {REF1}
    assert broker.clock == NOON + timedelta(seconds=20)


def test_run_that_a_lost_order_stops_takes_back_what_an_earlier_attempt_left() -> None:
    broker, book = restored(connected_at=NOON - timedelta(hours=1))
    book.records[OTHER1] = left_at_work(OTHER1)
    broker.open = {REF1: at_work(REF1), OTHER1: at_work(OTHER1)}
    broker.on_cancel = end_when_asked
    found = recover_all(book, broker, POLICY)
    assert broker.cancelled == [REF1]
    made, _, _ = world(intent(name="parent-2"))
    with pytest.raises(HaltError, match="has lost it"):
        execute(
            [job(intent(name="parent-2"))],
            replace(made, transport=broker, book=book, recalled=found.recalled),
        )
    assert broker.cancelled == [REF1, OTHER1]


def left_at_work(ref: str) -> ChildRecord:
    child = ChildOrder(
        order_ref=ref, intent_id="parent-2", attempt=1, contract_id="CSPX", side=Side.BUY, quantity=D(100),
        order_type=OrderType.LIMIT, limit_price=D("734.2"), time_in_force="DAY",
        good_till=NOON + timedelta(hours=1), arrival_mid=D("734.15"),
    )  # fmt: skip
    return ChildRecord(child=child, status=ChildStatus.WORKING, filled=D(0), sent_at=NOON)
