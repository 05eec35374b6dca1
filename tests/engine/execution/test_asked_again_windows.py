"""Before a window the account is asked about again: what waits, what works on, and what ends the wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from engine.errors import HaltError
from engine.execution.executor import execute
from engine.execution.outcome import AskAgain, ExecutionWorld
from engine.execution.revalidation import UNCHANGED, WindowVerdict
from engine.model.context import ControlState
from engine.model.orders import JobStatus
from tests import fakes
from tests.engine.execution.market import NOON, intent, job, world
from tests.fakes import MemoryOrderBook, ScriptedTransport

STANDS = HaltError("nlv-drift", "book and broker do not agree")


def seconds(count: float) -> datetime:
    return NOON + timedelta(seconds=count)


class Account:
    """A comparison that agrees from a time on, and is asked again at given times until then."""

    def __init__(self, agrees_at: datetime, *again: datetime, first: datetime = NOON) -> None:
        self.agrees_at, self.again, self.first = agrees_at, again, first
        self.asked: list[datetime] = []

    def __call__(self, now: datetime) -> WindowVerdict | AskAgain:
        if now < self.first:
            return UNCHANGED
        self.asked.append(now)
        if now >= self.agrees_at:
            return UNCHANGED
        following = [at for at in self.again if at > now]
        if not following:
            raise STANDS
        return AskAgain(following[0], STANDS)


def opened(
    account: Callable[[datetime], WindowVerdict | AskAgain], *names: str
) -> tuple[ExecutionWorld, ScriptedTransport, MemoryOrderBook]:
    made, broker, book = world(*(intent(name=name) for name in names))
    return replace(made, before_window=account), broker, book


def test_nothing_leaves_until_the_account_agrees_then_the_window_is_worked() -> None:
    account = Account(seconds(30), seconds(5), seconds(60))
    made, broker, _ = opened(account, "parent-1")
    sent: list[datetime] = []
    answer = broker.on_send
    broker.on_send = lambda line, child: (sent.append(line.now()), answer(line, child))[1]
    report = execute([job(intent())], made)
    assert account.asked == [NOON, seconds(5), seconds(60)]
    assert min(sent) == seconds(60)
    assert report.jobs[0].status is JobStatus.DONE


def test_jobs_of_one_window_share_its_questions() -> None:
    account = Account(seconds(30), seconds(60))
    made, broker, _ = opened(account, "parent-1", "parent-2")
    execute([job(intent()), job(intent(name="parent-2"), name="second")], made)
    assert account.asked == [NOON, seconds(60)]
    assert {child.intent_id for child in broker.sent} == {"parent-1", "parent-2"}


def test_broker_that_never_agrees_stops_the_run_after_its_last_question() -> None:
    account = Account(seconds(9999), seconds(5), seconds(60), seconds(120))
    made, broker, _ = opened(account, "parent-1")
    with pytest.raises(HaltError, match="do not agree"):
        execute([job(intent())], made)
    assert account.asked == [NOON, seconds(5), seconds(60), seconds(120)]
    assert broker.sent == []


def test_window_that_would_be_over_before_the_next_question_stops_at_once() -> None:
    """The window ends at 12:05, the next question would be asked then."""
    account = Account(seconds(9999), seconds(300))
    made, broker, _ = opened(account, "parent-1")
    with pytest.raises(HaltError, match="do not agree"):
        execute([job(intent(), minutes=5)], made)
    assert (account.asked, broker.clock, broker.sent) == ([NOON], NOON, [])


def test_order_of_an_earlier_window_works_on_and_no_new_price_leaves_meanwhile() -> None:
    """The second window asks from 12:01 to 12:03: what works is left alone, and priced anew from 12:03 on."""
    account = Account(seconds(170), seconds(120), seconds(180), first=seconds(60))
    made, broker, _ = opened(account, "parent-1", "parent-2")
    sent: list[datetime] = []
    answer = broker.on_send
    broker.on_send = lambda line, child: (sent.append(line.now()), answer(line, child))[1]
    execute([job(intent()), job(intent(name="parent-2"), name="second", start=seconds(60))], made)
    assert account.asked == [seconds(60), seconds(120), seconds(180)]
    assert [at for at in sent if at < seconds(60)]
    assert not [at for at in sent if seconds(60) <= at < seconds(180)]
    assert [at for at in sent if at >= seconds(180)]


@pytest.mark.parametrize(("name", "value"), [("control", ControlState.HALTED), ("stopped", True)])
def test_stop_of_trading_ends_the_wait_within_a_poll(name: str, value: object) -> None:
    account = Account(seconds(9999), seconds(120))
    made, broker, book = opened(account, "parent-1")
    broker.at_times = [(seconds(12), lambda: setattr(book, name, value))]
    with pytest.raises(HaltError, match="do not agree"):
        execute([job(intent())], made)
    assert account.asked == [NOON]
    assert broker.clock <= seconds(12 + made.control_poll_seconds)
    assert broker.sent == []


def test_process_that_is_asked_to_end_waits_no_longer_and_leaves_the_window_to_the_next() -> None:
    account = Account(seconds(9999), seconds(120))
    made, broker, _ = opened(account, "parent-1")
    made = replace(made, is_ending=lambda: broker.clock >= seconds(12))
    report = execute([job(intent())], made)
    assert report.interrupted
    assert report.jobs == ()
    assert account.asked == [NOON]
    assert broker.clock <= seconds(12 + made.control_poll_seconds)


def test_clock_that_jumps_past_the_window_skips_it_and_the_other_one_is_worked() -> None:
    """The computer slept over the question: it is asked late, and nothing is held back any more."""
    account = Account(seconds(700), seconds(60))
    made, broker, _ = opened(account, "parent-1", "parent-2")
    broker.at_times = [(seconds(30), lambda: setattr(broker, "clock", seconds(800)))]
    short, long = job(intent(), minutes=10), job(intent(name="parent-2"), name="long")
    report = execute([short, long], made)
    assert {row.job_id: row.status for row in report.jobs} == {
        short.job_id: JobStatus.SKIPPED,
        "long": JobStatus.DONE,
    }
    assert {child.intent_id for child in broker.sent} == {"parent-2"}


@pytest.mark.parametrize("filled", [100, 40])
def test_order_of_an_earlier_attempt_that_ends_during_the_wait_is_neither_lost_nor_repeated(
    filled: int,
) -> None:
    """The first attempt is gone after 7 seconds, its order trades and ends 13 seconds into the wait of the next."""
    made, broker, book = opened(lambda _: UNCHANGED, "parent-1")
    broker.at_times = [(seconds(7), lambda: setattr(book, "superseded", True))]
    execute([job(intent(), minutes=20)], made)
    (alive,) = broker.sent
    book.superseded = False
    start = broker.clock
    account = Account(start + timedelta(seconds=30), start + timedelta(seconds=60), first=start)

    def end() -> None:
        broker.execute(alive, D(filled))
        if filled < 100:
            broker.report(fakes.TransportEventKind.EXPIRED, alive.order_ref, after=1, filled=D(filled))

    broker.at_times = [(start + timedelta(seconds=13), end)]
    broker.on_send = fakes.fill_all
    report = execute([job(intent(), minutes=20)], replace(made, before_window=account))
    assert [child.quantity for child in broker.sent[1:]] == ([] if filled == 100 else [D(60)])
    assert report.parents[0].filled == D(100)
    assert broker.cancelled == []
    assert report.alarms == ()
    assert report.jobs[0].status is JobStatus.DONE
