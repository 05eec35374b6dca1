"""Orders in doubt while a run works: found, proved absent, or told to a person, each in its time (REL-5.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from engine.execution.executor import execute
from engine.execution.inquiry import look_again
from engine.execution.outcome import ExecutionReport, ExecutionWorld
from engine.execution.recovery import recover
from engine.execution.ticket import FinishReason
from engine.model.absence import AbsencePolicy
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    JobStatus,
    OpenOrder,
    OrderType,
    order_reference,
)
from engine.ports import ChildRecord
from tests import fakes
from tests.engine.execution.market import NOON, intent, job, world
from tests.fakes import CLIENT, MemoryOrderBook, ScriptedTransport

REF1, REF2 = order_reference("parent-1", 1), order_reference("parent-1", 2)
POLICY = AbsencePolicy(broker_zone="America/New_York")
S = ChildStatus


def watched(*names: str) -> tuple[ExecutionWorld, ScriptedTransport, MemoryOrderBook]:
    made, broker, book = world(*(intent(name=name) for name in names or ("parent-1",)))
    return replace(made, absence=POLICY), broker, book


def once(first: Callable[[ScriptedTransport, ChildOrder], None]) -> fakes.OnSend:
    """The first send goes wrong, the later ones fill."""

    def send(broker: ScriptedTransport, child: ChildOrder) -> None:
        (first if len(broker.sent) == 1 else fakes.fill_all)(broker, child)

    return send


def vanish(broker: ScriptedTransport, child: ChildOrder) -> None:
    """The order is gone and nobody says so."""


def listed(child: ChildOrder, status: ChildStatus = S.WORKING, filled: int = 0) -> OpenOrder:
    return OpenOrder(
        order_ref=child.order_ref,
        broker_order_id="1",
        contract_id=child.contract_id,
        side=child.side,
        quantity=child.quantity,
        filled=D(filled),
        limit_price=child.limit_price,
        status=status,
    )


def arrive_unheard(broker: ScriptedTransport, child: ChildOrder) -> None:
    """The order works at the broker, whose answer is lost."""
    broker.open[child.order_ref] = listed(child)
    fakes.lose_connection(broker, child)


def sent_at(book: MemoryOrderBook, ref: str) -> float:
    at = book.records[ref].sent_at
    assert at is not None
    return (at - NOON).total_seconds()


def reason(report: ExecutionReport) -> FinishReason:
    return report.parents[0].reason


def test_lost_order_is_proved_absent_and_its_parent_goes_on_with_a_new_child() -> None:
    made, broker, book = watched()
    broker.on_send = once(fakes.lose_connection)
    report = execute([job(intent())], made)
    assert [child.order_ref for child in broker.sent] == [REF1, REF2]
    assert (book.records[REF1].status, book.records[REF2].status) == (S.ABSENT, S.FILLED)
    # Asked at once, quiet for 60 seconds more, then two looks 30 seconds apart: 1 + 60 + 30 seconds after the first.
    assert (sent_at(book, REF1), sent_at(book, REF2)) == (0.0, 91.0)
    assert (reason(report), report.jobs[0].status) == (FinishReason.FILLED, JobStatus.DONE)
    assert any("proved absent" in alarm for alarm in report.alarms)


def test_silently_lost_order_is_decided_within_120_seconds() -> None:
    made, broker, book = watched()
    broker.on_send = once(vanish)
    execute([job(intent())], made)
    assert book.records[REF1].status is S.ABSENT
    assert sent_at(book, REF2) <= 120


def test_order_that_arrived_unheard_is_found_cancelled_and_worked_on() -> None:
    made, broker, book = watched()
    broker.on_send = once(arrive_unheard)

    def cancel(b: ScriptedTransport, ref: str) -> None:
        b.open[ref] = replace(b.open[ref], status=S.CANCELLED)
        fakes.confirm_cancel(b, ref)

    broker.on_cancel = cancel
    report = execute([job(intent())], made)
    assert broker.cancelled[0] == REF1
    assert (book.records[REF1].status, book.records[REF2].status) == (S.CANCELLED, S.FILLED)
    assert sent_at(book, REF2) < 5  # the first look follows after a second
    assert reason(report) is FinishReason.FILLED


def test_execution_that_nobody_told_is_booked_by_the_look() -> None:
    made, broker, book = watched()

    def fill_unheard(b: ScriptedTransport, child: ChildOrder) -> None:
        b.execute(child, child.quantity, after=0)
        b.queue.clear()
        fakes.lose_connection(b, child)

    broker.on_send = fill_unheard
    report = execute([job(intent())], made)
    assert (book.records[REF1].status, len(broker.sent)) == (S.FILLED, 1)
    assert (reason(report), report.parents[0].filled) == (FinishReason.FILLED, 100)


def test_unanswered_questions_prove_nothing_and_a_person_is_told_after_120_seconds() -> None:
    made, broker, book = watched()
    broker.on_send = once(fakes.lose_connection)
    broker.answers = False
    report = execute([job(intent(), minutes=10)], made)
    assert (book.records[REF1].status, len(broker.sent)) == (S.UNKNOWN, 1)
    assert (reason(report), report.jobs[0].status) == (FinishReason.UNKNOWN, JobStatus.UNKNOWN)
    (told,) = [alarm for alarm in report.alarms if "./fund orders resolve" in alarm]
    assert REF1 in told
    assert "two complete answers" in told
    # Noted when it was told and once more when the run ended.
    assert [(evidence.now - NOON).total_seconds() >= 120 for evidence in book.doubts] == [True, True]


def disturb(broker: ScriptedTransport) -> None:
    broker.connection = replace(broker.connection, interrupted_at=broker.clock)


def test_disturbed_link_begins_the_quiet_anew() -> None:
    made, broker, book = watched()
    broker.on_send = once(fakes.lose_connection)
    broker.at_times = [(NOON + timedelta(seconds=70), lambda: disturb(broker))]
    execute([job(intent())], made)
    # Disturbed at 70 s: looks count from 130 s, the second of them at 160 s or later.
    assert book.records[REF1].status is S.ABSENT
    assert sent_at(book, REF2) >= 160


def test_position_that_moved_keeps_the_order_in_doubt() -> None:
    made, broker, book = watched()
    broker.on_send = once(fakes.lose_connection)
    plain = broker.look
    broker.look = lambda: replace(plain(), positions={"CSPX": D(100)})  # type: ignore[method-assign]
    report = execute([job(intent(), minutes=10)], made)
    assert (book.records[REF1].status, len(broker.sent)) == (S.UNKNOWN, 1)
    assert any("the difference of +100 may be its executions" in alarm for alarm in report.alarms)


@pytest.mark.parametrize(
    ("hidden_seconds", "status", "live"),
    [
        (59, S.CANCELLED, 0),  # shorter than the quiet time: it is found, never taken for absent
        (90, S.CANCELLED, 0),  # the last look, at 91 seconds, still sees it
        (91.1, S.ABSENT, 1),  # longer than both looks: the assumption that the quiet time stands for
    ],
)
def test_what_becomes_visible_before_the_last_look_is_never_taken_for_absent(
    hidden_seconds: float, status: ChildStatus, live: int
) -> None:
    made, broker, book = watched()

    def accept_unseen(b: ScriptedTransport, child: ChildOrder) -> None:
        seen = NOON + timedelta(seconds=hidden_seconds)
        b.at_times.append((seen, lambda: b.open.update({child.order_ref: listed(child)})))
        fakes.lose_connection(b, child)

    def cancel(b: ScriptedTransport, ref: str) -> None:
        b.open[ref] = replace(b.open[ref], status=S.CANCELLED)
        fakes.confirm_cancel(b, ref)

    broker.on_send, broker.on_cancel = once(accept_unseen), cancel
    execute([job(intent())], made)
    assert book.records[REF1].status is status
    assert sum(order.status is S.WORKING for order in broker.open.values()) == live


def test_other_parents_of_the_contract_wait_until_the_doubt_is_decided() -> None:
    made, broker, book = watched("parent-1", "parent-2")
    second = intent(name="parent-2")
    broker.on_send = once(fakes.lose_connection)
    later = job(second, name="job-2", start=NOON + timedelta(seconds=10))
    execute([job(intent()), later], made)
    assert sent_at(book, order_reference("parent-2", 1)) >= 90


def doubted_earlier(sent: datetime) -> tuple[ScriptedTransport, MemoryOrderBook]:
    """Between runs: a child that an earlier run left in doubt."""
    _, broker, book = watched()
    child = ChildOrder(
        order_ref=REF1,
        intent_id="parent-1",
        attempt=1,
        contract_id="CSPX",
        side=intent().side,
        quantity=D(100),
        order_type=OrderType.LIMIT,
        limit_price=D(734),
        time_in_force="DAY",
        good_till=NOON,
    )
    book.records[REF1] = ChildRecord(
        child=child, status=S.UNKNOWN, filled=D(0), sent_at=sent, client_id=CLIENT
    )
    return broker, book


def test_evening_proves_what_the_day_left_open() -> None:
    broker, book = doubted_earlier(NOON - timedelta(hours=2))
    (found,) = look_again(book, broker, POLICY, NOON + timedelta(minutes=5))
    assert (found.order_ref, found.verdict.is_absent) == (REF1, True)
    assert book.records[REF1].status is S.ABSENT
    assert broker.clock == NOON + timedelta(seconds=90)  # asked, 60 seconds later and 30 seconds after that


def test_next_morning_only_a_statement_proves_and_nobody_waits() -> None:
    broker, book = doubted_earlier(NOON - timedelta(days=1))
    (found,) = look_again(book, broker, POLICY, NOON + timedelta(minutes=5))
    assert found.verdict.missing[0].startswith("a statement of the broker for")
    assert (book.records[REF1].status, len(book.doubts)) == (S.UNKNOWN, 1)
    assert broker.clock == NOON


def test_evening_without_time_notes_what_is_missing() -> None:
    broker, book = doubted_earlier(NOON - timedelta(hours=2))
    (found,) = look_again(book, broker, POLICY, NOON)
    assert not found.verdict.is_absent
    assert [len(evidence.looks) for evidence in book.doubts] == [1]


def test_evening_books_what_it_finds() -> None:
    broker, book = doubted_earlier(NOON - timedelta(hours=2))
    broker.execute(book.records[REF1].child, D(100), after=0)
    assert look_again(book, broker, POLICY, NOON) == ()
    assert book.records[REF1].status is S.FILLED
    assert recover(book, broker).blocked == ()
