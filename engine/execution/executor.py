"""The one loop that works the day's jobs: the messages or deadlines of a moment, step, journal, send.

It is synchronous, knows no clock but the transport's and sends only what the send gate has claimed, exactly
once. What a moment changes is committed before anything leaves because of it. The same loop runs on the broker, on
the simulated exchange in virtual time, and in the backtest.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from engine.errors import BrokerUnavailable, HaltError, InvariantError, SupersededError
from engine.execution import ticket as t
from engine.execution.agenda import Agenda
from engine.execution.control import ControlWatch
from engine.execution.doubts import DoubtWatch, Listeners
from engine.execution.inbox import Inbox
from engine.execution.job_life import JobLife, Watches
from engine.execution.legging import LeggingWatch
from engine.execution.line import OrderLine
from engine.execution.messenger import Messenger
from engine.execution.news import News
from engine.execution.outcome import (
    ExecutionReport,
    ExecutionWorld,
    ParentResult,
    ProgressKind,
)
from engine.execution.quoting import Quoting
from engine.execution.schedule import JobSchedule, in_order
from engine.execution.strangers import refuse_lost, refuse_recalled, refuse_strangers, stranger_text
from engine.model.orders import ExecutionJob, Fill
from engine.model.orders import TransportEvent as Message
from engine.model.orders import TransportEventKind as Kind


def execute(jobs: Sequence[ExecutionJob], world: ExecutionWorld) -> ExecutionReport:
    """Work all jobs, each in its window, until every parent ended.

    Raises
    ------
    HaltError
        When more was filled than ordered, or somebody else's order or trade shows up in the account; working orders are
        asked to cancel first.
    InvariantError
        When something came that no state machine knows an arrow for, or anything else failed that nobody expected,
        with its text; the same is asked first.
    """
    return OrderManager(jobs, world).run()


class OrderManager:
    """State of one execution run: tickets, deadlines and the messages not yet stepped."""

    def __init__(self, jobs: Sequence[ExecutionJob], world: ExecutionWorld) -> None:
        jobs = in_order(jobs, world.prices.contracts)
        self._world = world
        self._inbox = inbox = Inbox()
        self._agenda = agenda = Agenda(world.transport.now)
        self._messenger = messenger = Messenger(world, agenda.now)
        self._control = control = ControlWatch(world)
        self._line = OrderLine(world, inbox, messenger, agenda.now)
        self._news = News(world, messenger.alarm)
        self._fenced, self._ended, self._left = False, False, False
        told = Listeners(agenda.push, self._deliver, inbox.put, messenger.alarm)
        self._doubts = doubts = DoubtWatch(world.book, world.transport, world.absence, told)
        self._legging = LeggingWatch(world, jobs, inbox.tickets, agenda.push, messenger.alarm)
        self._quoting = Quoting(world, control, doubts, inbox.tickets, jobs, agenda.now)
        self._life = JobLife(world, jobs, inbox, agenda, messenger, Watches(control, doubts, self._legging))
        self._schedule = JobSchedule(
            jobs, world.execution, agenda.push, self._life.start, self._life.closed, self._life.was_begun
        )

    def run(self) -> ExecutionReport:
        """See `execute`."""
        try:
            refuse_recalled(self._world.recalled)
            while not (self._schedule.is_over or self._fenced or self._left):
                self._turn()
            if not self._fenced:
                now = self._agenda.now()
                self._doubts.leave(now)
                self._legging.leave(now)
        except SupersededError:
            self._fenced = True
        except Exception as error:  # whatever it is: nothing new may leave, and what works is taken back
            self._line.cancel_all()
            with suppress(Exception):  # what ended the run is told in any case
                self._legging.leave(self._agenda.seen)
            if isinstance(error, (HaltError, InvariantError, BrokerUnavailable, *self._world.outages)):
                raise
            raise InvariantError(
                f"expected to work the windows without a failure, found {type(error).__name__}: {error}"
            ) from error
        return ExecutionReport(
            jobs=tuple(self._schedule.results.values()),
            parents=tuple(ParentResult.of(ticket) for ticket in self._inbox.tickets.values()),
            alarms=tuple(self._messenger.alarms),
            fenced=self._fenced,
            interrupted=self._left,
        )

    def _turn(self) -> None:
        """Do what is due, then wait for the next message or deadline."""
        now = self._agenda.now()
        self._check_control(now)
        if self._control.end_by is not None and self._leave(self._control.end_by):
            return
        while self._agenda.is_due(now) and not self._fenced:
            self._agenda.take()(now)
            if not self._agenda.is_due(now):
                self._settle()
        if not (self._schedule.is_over or self._fenced):
            self._receive(self._until(now))

    def _until(self, now: datetime) -> datetime:
        """Next deadline; while an order works or the broker is asked again, the control state is looked at more often."""
        at = self._agenda.next_at
        if self._inbox.has_orders or self._control.asking is not None:
            at = min(at, max(now, self._control.look_at))
        if self._inbox.in_doubt and self._news.look_at is not None:
            at = min(at, max(now, self._news.look_at))
        return at

    def _check_control(self, now: datetime) -> None:
        is_stricter = self._control.became_stricter(now)
        self._fenced = self._fenced or self._control.is_superseded
        if is_stricter and not self._fenced:
            for name in self._inbox.tickets:
                self._inbox.put(name, t.HaltRequested(self._control.permission))
            self._settle()
        if self._control.end_by is not None and not self._fenced:
            self._schedule.leave_out(self._life.take_back())
            self._settle()
        self._life.heed_stop()

    def _leave(self, end_by: datetime) -> bool:
        """End once every cancel is confirmed; after a while what is not confirmed is in doubt, and its quantity held."""
        waiting = self._inbox.cancelling
        if waiting and self._agenda.now() < end_by:
            return False
        for intent_id in waiting:
            self._inbox.put(intent_id, t.VisibilityLost("no confirmation before the process ended"))
        self._settle()
        self._left = True
        return True

    def _receive(self, until: datetime) -> None:
        """Wait for a message, and book and step it with those that are there already."""
        messages, broken = self._news.take(until)
        if broken is None:
            messages += self._news.missed(
                self._agenda.now(),
                working=self._inbox.has_orders or self._inbox.in_doubt,
                missing=self._inbox.misses_executions,
            )
        self._work(messages, broken)

    def _deliver(self, messages: Sequence[Message]) -> None:
        """What a look at the broker makes up for; orders that this run does not work are left to the next recovery."""
        wanted = [m for m in messages if not m.is_ours or self._inbox.parent_of(m.order_ref)]
        self._work(wanted)

    def _work(self, messages: Sequence[Message], broken: BrokerUnavailable | None = None) -> None:
        told, fresh = self._read(messages)
        lost = self._lost(told)
        commands = self._journal([fill for fill in told if fill.order_ref not in lost])
        for fill in fresh:
            self._messenger.tell(ProgressKind.ORDER_FILLED, fill.order_ref or "", fill.contract_id)
        for ref in sorted(lost):
            self._line.cancel(ref)
        refuse_lost(lost)
        refuse_strangers(messages, self._world.strangers)
        if broken is not None:
            raise broken
        self._obey(commands)
        self._settle()
        for message in messages:
            ticket = self._inbox.parent_of(message.order_ref)
            if ticket is not None:
                self._legging.look(ticket.core.intent, self._agenda.now())

    def _lost(self, told: Sequence[Fill]) -> frozenset[str]:
        """Orders of ours that traded and that the book does not have; it is asked only about those nobody works here."""
        unworked = [fill.order_ref for fill in told if self._inbox.parent_of(fill.order_ref) is None]
        names = [name for name in unworked if name is not None]
        return self._world.book.spend(names) if names else frozenset()

    def _read(self, messages: Sequence[Message]) -> tuple[list[Fill], tuple[Fill, ...]]:
        """Put messages before the parents; answers the executions told, and those of them that are not booked yet."""
        told = [m.fill for m in messages if m.kind is Kind.FILL and m.fill is not None and m.is_ours]
        fresh = self._world.book.unbooked(told) if told else ()
        counted = {fill.execution_id for fill in fresh}
        for message in messages:
            if not message.is_ours:
                if message.fill is None or message.fill.execution_id not in self._world.strangers:
                    self._messenger.alarm("", stranger_text(message))
            elif message.kind is Kind.FILL and message.fill and message.fill.execution_id not in counted:
                continue
            elif not self._inbox.put_message(message):
                text = f"{message.kind.value} of {message.order_ref}, which this run does not work"
                self._messenger.alarm("", text)
        return told, fresh

    def _settle(self) -> None:
        """Let every waiting event take its step, and do what the steps command."""
        while self._inbox.has_events and not self._fenced:
            self._obey(self._journal())
        if self._ended or self._life.has_begun:
            self._ended = self._life.has_begun = False
            self._schedule.close_finished(self._inbox.tickets, self._agenda.now())

    def _journal(self, fills: Sequence[Fill] = ()) -> Sequence[tuple[str, t.Outward]]:
        """Take the steps of this moment, and commit what they change with its executions; answers their commands."""
        now = self._agenda.now()
        moment = self._inbox.take_steps(now, self._world.execution)
        if fills or moment.changes:
            self._world.book.record(fills, moment.changes, now)
            self._doubts.note(moment.changes, now)
        if moment.error is not None:
            raise moment.error
        return moment.commands

    def _obey(self, commands: Sequence[tuple[str, t.Outward]]) -> None:
        for intent_id, command in commands:
            if not (self._fenced or (isinstance(command, t.ClaimAndSend) and self._world.is_ending())):
                self._do(intent_id, command)

    def _do(self, intent_id: str, command: t.Outward) -> None:
        match command:
            case t.RequestQuote():
                self._inbox.answer(intent_id, self._quoting.answer(self._inbox.tickets[intent_id]))
            case t.ClaimAndSend(child):
                self._line.send(intent_id, child)
            case t.Cancel(order_ref):
                self._line.cancel(order_ref)
            case t.SetDeadline() | t.Finish() | t.StartLeg() | t.Alarm() | t.Halt():
                self._note(intent_id, command)

    def _note(self, intent_id: str, command: t.Note) -> None:
        """Do what concerns this run alone: clocks, other parents, the person who watches."""
        match command:
            case t.SetDeadline(at, kind):
                self._agenda.push(at, lambda now: self._inbox.put(intent_id, t.Deadline(kind, at)))
            case t.Finish(reason, text):
                self._ended = True
                self._fenced = self._fenced or reason is t.FinishReason.STALE_EPOCH
                self._messenger.tell(ProgressKind.PARENT_FINISHED, intent_id, text or reason.value)
            case t.StartLeg(name, arrival_mid):
                self._inbox.put(name, t.Start(arrival_mid))
            case t.Alarm(text):
                self._messenger.alarm(intent_id, text)
            case t.Halt(text):
                raise HaltError("overfill", f"more was filled than ordered: {text}")
