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
from engine.model.orders import ChildOrder, ChildStatus, OpenOrder, Side, order_reference
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
    assert broker.cancelled == [REF1]
    assert book.spent == {OTHER1}
