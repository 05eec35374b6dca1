"""A run ends at a time that is known before: a drain after its last window, whatever the broker tells or does not."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import InvariantError
from engine.execution import ticket as t
from engine.execution.executor import execute
from engine.execution.lifecycle import step
from engine.execution.outcome import ExecutionReport, ExecutionWorld
from engine.execution.slicing import Slices
from engine.model.market import Quote
from engine.model.orders import ChildOrder, ChildStatus, ExecutionJob, JobStatus, TransportEventKind
from engine.ports import GateOutcome
from tests.engine.execution import test_auctions as auctions
from tests.engine.execution.market import DAY, NOON, intent, job, steady, utc, world
from tests.engine.execution.test_absence import POLICY as ABSENCE
from tests.engine.execution.test_lifecycle import (
    EVENTS,
    POLICY,
    SENT,
    after,
    event_of,
    execution,
    fresh,
    told,
)
from tests.fakes import ScriptedTransport, acknowledge

WORK = job(intent())
CLOSES = WORK.ends_at


def ended(work: ExecutionJob, made: ExecutionWorld, broker: ScriptedTransport) -> ExecutionReport:
    """What a run tells that ends a second after its drain at the latest."""
    drained = work.ends_at + timedelta(seconds=made.drain_seconds)
    report = execute([work], made)
    assert broker.clock <= drained + timedelta(seconds=1)
    return report


def watch(broker: ScriptedTransport, until: datetime) -> None:
    """Break a run off that would go on for ever."""

    def too_long() -> None:
        raise InvariantError(f"expected the run to be over by {until:%H:%M}")

    broker.at_times.append((until, too_long))


def test_child_that_fills_while_the_window_closes_asks_for_no_other_though_one_execution_was_taken_back() -> (
    None
):
    ticket, _ = after(*SENT)
    ticket, _ = step(ticket, told(TransportEventKind.ACKNOWLEDGED, ticket), NOON, POLICY)
    for quantity, name in (("60", "E1.01"), ("0", "E1.02")):
        ticket, _ = step(ticket, execution(ticket, quantity, name), NOON, POLICY)
    ticket, _ = step(ticket, t.WindowClosing(), CLOSES, POLICY)
    ticket, commands = step(ticket, execution(ticket, "40", "E2.01"), CLOSES, POLICY)
    assert (ticket.state.finish, ticket.state.filled) == (t.FinishReason.WINDOW_CLOSED, 40)
    assert not any(isinstance(command, t.RequestQuote) for command in commands)


def test_run_ends_though_its_last_order_fills_after_the_window_and_no_quote_may_be_had() -> None:
    """The cancel was lost, 60 of its 100 were taken back, and what could be ordered anew must wait for another day."""

    def only_before_the_end(contract_id: str, at: datetime) -> Quote | None:
        return steady(contract_id, at) if at < CLOSES else None

    def fill_late(broker: ScriptedTransport, child: ChildOrder) -> None:
        acknowledge(broker, child)
        first = broker.execute(child, D(60))
        back = replace(first, execution_id=first.execution_id.replace(".01", ".02"), quantity=D(0))
        broker.done.append(back)
        broker.report(TransportEventKind.FILL, child.order_ref, after=0.3, fill=back)
        broker.execute(child, D(40), after=(CLOSES - broker.clock).total_seconds() + 10, number=2)

    made, broker, _ = world(*WORK.intents)
    broker.quote_at, broker.on_send = only_before_the_end, fill_late
    broker.on_cancel = lambda broker, ref: None
    watch(broker, CLOSES + timedelta(minutes=5))
    report = ended(WORK, made, broker)
    assert [(parent.filled, parent.reason) for parent in report.parents] == [
        (40, t.FinishReason.WINDOW_CLOSED)
    ]


@pytest.mark.parametrize("policy", [None, ABSENCE], ids=["nobody looks", "the broker is asked"])
def test_auction_order_whose_cancel_an_earlier_attempt_asked_for_ends_its_run_in_doubt(
    policy: object,
) -> None:
    work = auctions.job(fallback=None)
    _, first, book = auctions.lived(work, utc(DAY, "19:00"))
    (child,) = first.sent
    row = book.records[child.order_ref]
    book.records[child.order_ref] = replace(row, status=ChildStatus.CANCEL_PENDING)
    made, broker, _ = world(auctions.BUY, start=utc(DAY, "19:30"))
    broker.on_cancel = lambda broker, ref: None
    watch(broker, work.ends_at + timedelta(minutes=5))
    report = ended(work, replace(made, book=book, absence=policy), broker)  # type: ignore[arg-type]
    assert [result.status for result in report.jobs] == [JobStatus.UNKNOWN]
    assert [parent.reason for parent in report.parents] == [t.FinishReason.UNKNOWN]
    assert book.records[child.order_ref].status is ChildStatus.UNKNOWN
    assert book.committed(auctions.BUY.intent_id) == 100, "all of it stays reserved"
    assert broker.sent == []


@given(
    before=st.lists(EVENTS, max_size=25),
    late=st.lists(EVENTS, max_size=15),
    slices=st.sampled_from([None, Slices(quantity=D(30), interval_seconds=20.0)]),
)
@example(
    before=["quote", GateOutcome.CLAIMED],
    late=[30, "none"],
    slices=Slices(quantity=D(30), interval_seconds=20.0),
)
def test_parent_has_ended_when_its_window_is_drained_and_what_is_in_doubt_stays_reserved(
    before: list[object], late: list[object], slices: Slices | None
) -> None:
    ticket, _ = step(fresh(slices=slices), t.Start(), NOON, POLICY)
    ticket = lived(ticket, before, NOON)
    if ticket.state.phase is t.Phase.CLAIMING:  # nothing else is stepped before the gate has answered
        ticket, _ = step(ticket, t.ClaimResult(GateOutcome.CLAIMED), CLOSES, POLICY)
    ticket, _ = step(ticket, t.WindowClosing(), CLOSES, POLICY)
    ticket = lived(ticket, late, CLOSES)
    reserved = ticket.reserved
    ticket, commands = step(ticket, t.VisibilityLost("drained"), CLOSES + timedelta(seconds=60), POLICY)
    assert ticket.is_done
    assert ticket.reserved == reserved, "an order whose fate is not known may trade yet"
    assert not any(isinstance(command, t.ClaimAndSend | t.RequestQuote) for command in commands)


def lived(ticket: t.OrderTicket, names: list[object], since: datetime) -> t.OrderTicket:
    """A ticket after events, a second apart; those that can not be are refused and change nothing."""
    for number, name in enumerate(names):
        now = since + timedelta(seconds=number + 1)
        try:
            ticket, _ = step(ticket, event_of(name, ticket, now, number), now, POLICY)
        except InvariantError:
            continue
    return ticket
