"""What breaks into the loop: a latch that is lost, a process that is asked to end, news that never came, and failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D
from itertools import pairwise

import pytest

from engine.errors import BrokerUnavailable, HaltError, InvariantError
from engine.execution.executor import execute
from engine.execution.outcome import AskAgain, ExecutionWorld, Progress, ProgressKind
from engine.execution.recovery import recover
from engine.execution.revalidation import WindowVerdict
from engine.model.market import Quote
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    OrderType,
    Side,
    TransportEventKind,
    order_reference,
)
from engine.ports import ChildRecord
from tests import fakes
from tests.engine.execution.market import NOON, intent, job, world
from tests.fakes import MemoryOrderBook, ScriptedTransport

REF1, OTHER1 = order_reference("parent-1", 1), order_reference("parent-2", 1)
TWO = (intent(), intent(name="parent-2", contract_id="MSFT"))


# ---------------------------------------------------------------- the latch


def test_order_is_claimed_and_written_while_the_latch_is_held_and_not_a_moment_longer() -> None:
    made, broker, book = world(intent())
    held: list[tuple[str, int]] = []

    def fill(b: ScriptedTransport, child: ChildOrder) -> None:
        held.append(("send", book.passing))
        fakes.fill_all(b, child)

    broker.on_send = fill

    def observe(fact: Progress) -> None:
        held.append((fact.kind.value, book.passing))

    execute([job(intent())], replace(made, observer=observe))
    assert ("send", 1) in held
    assert {count for name, count in held if name != "send"} == {0}


def test_claimed_order_is_not_written_when_the_latch_was_lost_before() -> None:
    made, broker, book = world(intent())
    book.holds_latch = False
    report = execute([job(intent())], made)
    assert broker.sent == []
    assert book.records[REF1].status is ChildStatus.UNKNOWN, "only a proof may say that it is absent"
    assert "nothing was written" in report.alarms[0]


# ---------------------------------------------------------------- asked to end


def asked_after(broker: ScriptedTransport, seconds: float) -> Callable[[], bool]:
    """Whether a signal has come: some seconds after noon."""
    return lambda: broker.now() >= NOON + timedelta(seconds=seconds)


def test_process_asked_to_end_cancels_confirms_and_leaves_at_once_with_nothing_at_the_broker() -> None:
    made, broker, book = world(*TWO)
    report = execute([job(*TWO)], replace(made, is_ending=asked_after(broker, 7)))
    assert report.interrupted
    assert sorted(broker.cancelled) == sorted([REF1, OTHER1])
    assert {record.status for record in book.records.values()} == {ChildStatus.CANCELLED}
    # Asked at 7 s, noticed at the next look 10 s after noon, and left as soon as both cancels are confirmed.
    assert NOON + timedelta(seconds=10) <= broker.now() < NOON + timedelta(seconds=15)
    assert report.jobs == (), "the job is not over: the next attempt takes it up"


def test_reduction_outlives_a_process_that_ends_as_it_outlives_a_halt() -> None:
    cut = intent(side=Side.SELL, reduce_only=True)
    made, broker, book = world(cut)
    report = execute([job(cut)], replace(made, is_ending=asked_after(broker, 7)))
    assert report.interrupted
    assert broker.cancelled == []
    assert book.records[REF1].status is ChildStatus.WORKING, "it is in the book: the next attempt owns it"


def test_cancel_that_nobody_confirms_is_in_doubt_when_the_process_has_waited_long_enough() -> None:
    made, broker, book = world(intent())
    broker.on_cancel = fakes.ignore_cancel
    report = execute([job(intent())], replace(made, is_ending=asked_after(broker, 7), ending_seconds=20))
    assert report.interrupted
    assert book.records[REF1].status is ChildStatus.UNKNOWN
    assert any("no confirmation before the process ended" in alarm for alarm in report.alarms)
    assert broker.now() == NOON + timedelta(seconds=30), "noticed at 10 s, and 20 s more"


def test_process_asked_to_end_before_a_window_begins_no_job() -> None:
    made, broker, book = world(intent(), start=NOON - timedelta(hours=1))
    report = execute([job(intent())], replace(made, is_ending=lambda: True))
    assert report.interrupted
    assert (broker.sent, book.records) == ([], {})
    assert broker.now() == NOON - timedelta(hours=1)


def test_process_asked_to_end_while_an_order_is_priced_sends_it_no_more() -> None:
    made, broker, book = world(intent())
    asked: list[str] = []
    quoted = broker.quote_at

    def signalled(name: str, at: datetime) -> Quote | None:
        asked.append(name)
        return quoted(name, at)

    broker.quote_at = signalled
    report = execute([job(intent())], replace(made, is_ending=lambda: bool(asked)))
    assert report.interrupted
    assert asked == ["CSPX"]
    assert (broker.sent, book.records) == ([], {})


def left_at_work(
    status: ChildStatus, **changes: object
) -> tuple[ExecutionWorld, ScriptedTransport, MemoryOrderBook]:
    """A book in which an attempt that died had ordered 100 of the second of two parents."""
    ordered = intent(name="parent-2", contract_id="MSFT", **changes)
    made, broker, book = world(intent(), ordered)
    child = ChildOrder(
        order_ref=OTHER1, intent_id="parent-2", attempt=1, contract_id="MSFT", side=ordered.side, quantity=D(100),
        order_type=OrderType.LIMIT, limit_price=D("734.375"), time_in_force="DAY",
        good_till=NOON + timedelta(hours=1), arrival_mid=D("734.15"),
    )  # fmt: skip
    book.records[OTHER1] = ChildRecord(child=child, status=status, filled=D(0), sent_at=NOON)
    return made, broker, book


@pytest.mark.parametrize("status", [ChildStatus.WORKING, ChildStatus.CANCEL_PENDING])
def test_order_of_a_dead_attempt_is_taken_back_by_a_process_asked_to_end_before_its_job_begins(
    status: ChildStatus,
) -> None:
    made, broker, book = left_at_work(status)
    report = execute(
        [job(intent()), job(TWO[1], name="second")], replace(made, is_ending=asked_after(broker, 0))
    )
    assert report.interrupted
    assert (broker.sent, broker.cancelled) == ([], [OTHER1])
    assert book.records[OTHER1].status is ChildStatus.CANCELLED
    assert broker.now() < NOON + timedelta(seconds=1)
    assert report.jobs == (), "the job is not over: the next attempt takes it up"


def test_order_of_a_dead_attempt_is_taken_back_by_a_process_asked_to_end_while_the_account_is_asked_about_again() -> (
    None
):
    made, broker, book = left_at_work(ChildStatus.WORKING)
    asking = AskAgain(NOON + timedelta(minutes=5), HaltError("nlv-drift", "book and broker do not agree"))
    report = execute(
        [job(TWO[1])],
        replace(made, before_window=lambda _: asking, is_ending=asked_after(broker, 7)),
    )
    assert report.interrupted
    assert broker.cancelled == [OTHER1]
    assert book.records[OTHER1].status is ChildStatus.CANCELLED


def test_reduction_of_a_dead_attempt_outlives_a_process_that_ends_before_its_job_begins() -> None:
    made, broker, book = left_at_work(ChildStatus.WORKING, side=Side.SELL, reduce_only=True)
    cut = intent(name="parent-2", contract_id="MSFT", side=Side.SELL, reduce_only=True)
    report = execute([job(cut)], replace(made, is_ending=asked_after(broker, 0)))
    assert report.interrupted
    assert (broker.cancelled, book.records[OTHER1].status) == ([], ChildStatus.WORKING)


def test_order_of_a_dead_attempt_is_taken_back_by_a_run_that_stops_before_its_job_begins() -> None:
    made, broker, _ = left_at_work(ChildStatus.WORKING)

    def differs(_: datetime) -> WindowVerdict:
        raise HaltError("missed-fill", "book and broker do not agree")

    with pytest.raises(HaltError, match="do not agree"):
        execute([job(TWO[1])], replace(made, before_window=differs))
    assert broker.cancelled == [OTHER1]


def test_next_attempt_goes_on_with_what_is_left() -> None:
    made, broker, book = world(intent())
    broker.on_send = partly_filled
    execute([job(intent())], replace(made, is_ending=asked_after(broker, 7)))
    assert book.records[REF1].filled == 40
    broker.on_send = fakes.fill_all
    recover(book, broker)
    report = execute([job(intent())], made)
    assert [child.quantity for child in broker.sent] == [100, 60]
    assert report.parents[0].unfilled == 0


def partly_filled(broker: ScriptedTransport, child: ChildOrder) -> None:
    fakes.acknowledge(broker, child)
    broker.execute(child, D(40), after=1)


# ---------------------------------------------------------------- news that never came


def end_without_executions(broker: ScriptedTransport, child: ChildOrder) -> None:
    """The order traded 40 and expired, and the message of the execution was lost."""
    fakes.acknowledge(broker, child)
    broker.execute(child, D(40))
    broker.queue = [item for item in broker.queue if item[2].kind is not TransportEventKind.FILL]
    broker.report(TransportEventKind.EXPIRED, child.order_ref, after=1, filled=D(40))
    broker.on_send = fakes.fill_all


def test_end_that_misses_executions_is_completed_from_the_brokers_list() -> None:
    made, broker, book = world(intent())
    broker.on_send = end_without_executions
    report = execute([job(intent())], made)
    assert (book.records[REF1].status, book.records[REF1].filled) == (ChildStatus.EXPIRED, 40)
    assert [child.quantity for child in broker.sent] == [100, 60]
    assert (report.parents[0].unfilled, report.alarms) == (0, ())


def test_execution_whose_message_was_lost_is_found_on_the_timer_while_the_order_works() -> None:
    made, broker, book = world(intent())

    def silent(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        b.execute(child, D(100))
        b.queue = [item for item in b.queue if item[2].kind is not TransportEventKind.FILL]

    broker.on_send = silent
    broker.on_cancel = fakes.ignore_cancel
    found: list[datetime] = []

    def observe(fact: Progress) -> None:
        if fact.kind is ProgressKind.ORDER_FILLED:
            found.append(fact.at)

    report = execute([job(intent())], replace(made, observer=observe))
    assert book.records[REF1].status is ChildStatus.FILLED
    assert report.parents[0].unfilled == 0
    # Read 30 s after the first message at 0.1 s; the loop looks at least every five seconds while an order works.
    assert NOON + timedelta(seconds=30) <= found[0] <= NOON + timedelta(seconds=36)


def test_order_in_doubt_is_resolved_by_its_executions_before_the_window_ends() -> None:
    made, broker, book = world(intent())

    def broken(b: ScriptedTransport, child: ChildOrder) -> None:
        b.execute(child, D(100))
        b.queue.clear()
        raise BrokerUnavailable("no answer")

    broker.on_send = broken
    report = execute([job(intent())], made)
    assert book.records[REF1].status is ChildStatus.FILLED
    assert (len(broker.sent), report.parents[0].unfilled) == (1, 0)


def test_list_that_can_not_be_read_is_asked_for_again() -> None:
    made, broker, _book = world(intent())
    broker.on_send = end_without_executions
    read, asked = broker.executions, []

    def executions() -> object:
        asked.append(broker.now())
        if len(asked) == 1:
            raise BrokerUnavailable("timed out")
        return read()

    broker.executions = executions  # type: ignore[assignment, method-assign]
    report = execute([job(intent())], made)
    assert report.parents[0].unfilled == 0
    assert "could not be read" in report.alarms[0]
    assert asked[1] - asked[0] >= timedelta(seconds=5)


def test_list_is_read_no_oftener_than_the_timer_says() -> None:
    made, broker, _ = world(intent())
    read, asked = broker.executions, []
    broker.executions = lambda: asked.append(broker.now()) or read()  # type: ignore[func-returns-value, method-assign]
    execute([job(intent(), minutes=5)], made)
    assert asked
    assert all(later - at >= timedelta(seconds=30) for at, later in pairwise(asked))


# ---------------------------------------------------------------- failures


def raising_observer(broker: ScriptedTransport, book: MemoryOrderBook) -> Callable[[Progress], None]:
    def observe(fact: Progress) -> None:
        if fact.kind is ProgressKind.ORDER_SENT and fact.subject == OTHER1:
            raise RuntimeError("it broke here")

    return observe


def raising_transport(broker: ScriptedTransport, book: MemoryOrderBook) -> None:
    def send(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        if child.order_ref == OTHER1:
            raise RuntimeError("it broke here")

    broker.on_send = send


def raising_book(broker: ScriptedTransport, book: MemoryOrderBook) -> None:
    record = book.record

    def raising(fills: object, changes: object, now: datetime) -> None:
        if any(change.order_ref == OTHER1 for change in changes):  # type: ignore[attr-defined]
            raise RuntimeError("it broke here")
        record(fills, changes, now)  # type: ignore[arg-type]

    book.record = raising  # type: ignore[assignment, method-assign]


@pytest.mark.parametrize("breaks", [raising_observer, raising_transport, raising_book])
def test_failure_that_nobody_expected_cancels_what_works_and_stops_with_its_text(
    breaks: Callable[[ScriptedTransport, MemoryOrderBook], Callable[[Progress], None] | None],
) -> None:
    made, broker, book = world(*TWO)
    observer = breaks(broker, book)
    with pytest.raises(InvariantError, match="found RuntimeError: it broke here"):
        execute([job(*TWO)], made if observer is None else replace(made, observer=observer))
    assert sorted(broker.cancelled) == sorted([REF1, OTHER1])


def test_cancel_that_fails_too_keeps_no_other_order_from_being_cancelled() -> None:
    made, broker, book = world(*TWO)
    raising_transport(broker, book)
    tried: list[str] = []

    def cancel(_: ScriptedTransport, order_ref: str) -> None:
        tried.append(order_ref)
        raise OSError("the line is gone")

    broker.on_cancel = cancel
    with pytest.raises(InvariantError, match="it broke here"):
        execute([job(*TWO)], made)
    assert sorted(tried) == sorted([REF1, OTHER1])


def test_broken_line_takes_back_what_works_and_is_told_as_what_it_is() -> None:
    made, broker, _ = world(intent())
    asked = broker.next_event

    def next_event(until: datetime) -> object:
        if broker.now() > NOON:
            raise BrokerUnavailable("the line was cut")
        return asked(until)

    broker.next_event = next_event  # type: ignore[assignment, method-assign]
    with pytest.raises(BrokerUnavailable, match="the line was cut"):
        execute([job(intent())], made)
    assert broker.cancelled == [REF1]


class BookAway(Exception):
    """A database that does not answer."""


def test_book_that_does_not_answer_ends_the_attempt_as_what_it_is_and_stops_no_fund() -> None:
    """The next attempt goes on: a database that was away for a moment is nothing that a person has to decide."""
    made, broker, book = world(*TWO)

    def away(fills: object, changes: object, now: datetime) -> None:
        raise BookAway("the server closed the connection")

    book.record = away  # type: ignore[assignment, method-assign]
    broker.on_send = fakes.acknowledge
    with pytest.raises(BookAway, match="closed the connection"):
        execute([job(*TWO)], replace(made, outages=(BookAway,)))
    assert sorted(broker.cancelled) == sorted([REF1, OTHER1])
