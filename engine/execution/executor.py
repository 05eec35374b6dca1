"""The one loop that works the day's jobs: the messages or deadlines of a moment, step, journal, send.

It is synchronous, knows no clock but the transport's and sends only what the send gate has claimed, exactly
once. What a moment changes is committed before anything leaves because of it. The same loop runs on the broker, on
the simulated exchange in virtual time, and in the backtest.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from engine.errors import BrokerUnavailable, HaltError, InvariantError, SupersededError
from engine.execution import ticket as t
from engine.execution.control import ControlWatch
from engine.execution.doubts import DoubtWatch, Listeners
from engine.execution.inbox import Inbox
from engine.execution.legging import LeggingWatch, missing_leg
from engine.execution.news import News
from engine.execution.outcome import (
    ExecutionReport,
    ExecutionWorld,
    JobResult,
    ParentResult,
    Progress,
    ProgressKind,
)
from engine.execution.revalidation import UNCHANGED, MarketView, PriceReference, price_reference
from engine.execution.schedule import Action, JobSchedule, in_order, order_core
from engine.execution.spreads import traded_prices
from engine.model.money import ZERO, round_money
from engine.model.orders import ChildOrder, ChildStatus, ExecutionJob, Fill, JobStatus, OrderIntent
from engine.model.orders import TransportEvent as Message
from engine.model.orders import TransportEventKind as Kind
from engine.ports import GateOutcome, Holding, Permission


def execute(jobs: Sequence[ExecutionJob], world: ExecutionWorld) -> ExecutionReport:
    """Work all jobs, each in its window, until every parent ended.

    Raises
    ------
    HaltError
        When more was filled than ordered; working orders are asked to cancel first.
    InvariantError
        When something came that no state machine knows an arrow for, or anything else failed that nobody expected,
        with its text; the same is asked first.
    """
    return OrderManager(jobs, world).run()


class OrderManager:
    """State of one execution run: tickets, deadlines and the messages not yet stepped."""

    def __init__(self, jobs: Sequence[ExecutionJob], world: ExecutionWorld) -> None:
        self._world = world
        self._inbox = Inbox()
        self._tickets = self._inbox.tickets
        self._heap: list[tuple[datetime, int, Action]] = []
        self._alarms: list[str] = []
        self._checked: set[datetime] = set()
        self._pushed, self._fenced, self._ended = 0, False, False
        self._verdict, self._control = UNCHANGED, ControlWatch(world)
        self._latest = world.transport.now()
        told = Listeners(self._push, self._deliver, self._inbox.put, self._alarm)
        self._doubts = DoubtWatch(world.book, world.transport, world.absence, told)
        self._legging = LeggingWatch(
            self._tickets, world.execution.max_legging_seconds, self._push, self._alarm
        )
        self._left, self._written = False, set[str]()
        self._news = News(world, self._alarm)
        self._schedule = JobSchedule(
            in_order(jobs, world.prices.contracts),
            world.execution,
            self._push,
            self._start,
            self._job_closed,
            self._begun,
        )

    def run(self) -> ExecutionReport:
        """See `execute`."""
        try:
            while not (self._schedule.is_over or self._fenced or self._left):
                self._turn()
            if not self._fenced:
                self._doubts.leave(self._now())
        except SupersededError:
            self._fenced = True
        except Exception as error:  # whatever it is: nothing new may leave, and what works is taken back
            self._cancel_all()
            if isinstance(error, HaltError | InvariantError | BrokerUnavailable):
                raise
            raise InvariantError(
                f"expected to work the windows without a failure, found {type(error).__name__}: {error}"
            ) from error
        return ExecutionReport(
            jobs=tuple(self._schedule.results.values()),
            parents=tuple(ParentResult.of(ticket) for ticket in self._tickets.values()),
            alarms=tuple(self._alarms),
            fenced=self._fenced,
            interrupted=self._left,
        )

    def _turn(self) -> None:
        """Do what is due, then wait for the next message or deadline."""
        now = self._now()
        self._check_control(now)
        if self._control.end_by is not None and self._leave(self._control.end_by):
            return
        while self._heap and self._heap[0][0] <= now and not self._fenced:
            heapq.heappop(self._heap)[2](now)
            if not (self._heap and self._heap[0][0] <= now):
                self._settle()
        if not (self._schedule.is_over or self._fenced):
            self._receive(self._until(now))

    def _now(self) -> datetime:
        """The venue's time, which stands still where its clock steps back: no deadline comes twice, none in the past."""
        self._latest = max(self._latest, self._world.transport.now())
        return self._latest

    def _push(self, at: datetime, action: Action) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, action))

    def _until(self, now: datetime) -> datetime:
        """Next deadline; while an order works, the control state is looked at more often."""
        at = self._heap[0][0]
        if self._inbox.has_orders:
            at = min(at, max(now, self._control.look_at))
        if self._inbox.in_doubt and self._news.look_at is not None:
            at = min(at, max(now, self._news.look_at))
        return at

    def _check_control(self, now: datetime) -> None:
        is_stricter = self._control.became_stricter(now)
        self._fenced = self._fenced or self._control.is_superseded
        if is_stricter and not self._fenced:
            for name in self._tickets:
                self._inbox.put(name, t.HaltRequested(self._control.permission))
            self._settle()

    def _leave(self, end_by: datetime) -> bool:
        """End once every cancel is confirmed; after a while what is not confirmed is in doubt, and its quantity held."""
        waiting = self._inbox.cancelling
        if waiting and self._now() < end_by:
            return False
        for intent_id in waiting:
            self._inbox.put(intent_id, t.VisibilityLost("no confirmation before the process ended"))
        self._settle()
        self._left = True
        return True

    # ------------------------------------------------------------ jobs

    def _start(self, job: ExecutionJob) -> None:
        if self._control.end_by is not None:
            return  # the next attempt begins it
        self._check_window(job.window.start)
        self._tell(ProgressKind.JOB_STARTED, job.job_id, job.group, JobStatus.RUNNING)
        cores = [
            order_core(job, intent, self._world, self._schedule.jobs, self._tickets, self._verdict)
            for intent in job.intents
        ]
        waiting = {core.near.intent_id for core in cores if core.near is not None}
        for intent, core in zip(job.intents, cores, strict=True):
            for record in core.children:
                self._inbox.route(record.child)
                if record.status is ChildStatus.UNKNOWN:
                    self._doubts.begin(record.child, self._now())
            self._tickets[intent.intent_id] = t.new_ticket(core)
            if intent.intent_id not in waiting:
                self._inbox.put(intent.intent_id, t.Start())
            if self._control.permission is not Permission.ALL:
                # An order found alive from an earlier attempt has not heard of what was forbidden since.
                self._inbox.put(intent.intent_id, t.HaltRequested(self._control.permission))
            self._push(self._now(), partial(self._legging.look, intent))
        self._ended = True  # A job without parents is over at once.
        self._push(job.ends_at, lambda now: self._send_all(job, t.WindowClosing()))
        drained = job.ends_at + timedelta(seconds=self._world.drain_seconds)
        lost = t.VisibilityLost("no confirmation after the window")
        self._push(drained, lambda now: self._send_all(job, lost))

    def _begun(self, job: ExecutionJob) -> bool:
        return any(self._world.book.children(intent.intent_id) for intent in job.intents)

    def _check_window(self, start: datetime) -> None:
        """Let the account be compared before a window's first order; where it breaks, what works is cancelled."""
        if start in self._checked:
            return
        self._checked.add(start)
        self._verdict = self._verdict.with_later(self._world.before_window(self._now()))

    def _send_all(self, job: ExecutionJob, event: t.Event) -> None:
        for intent in job.intents:
            if not self._tickets[intent.intent_id].is_done:
                self._inbox.put(intent.intent_id, event)

    def _job_closed(self, result: JobResult) -> None:
        if result.status in (JobStatus.SKIPPED, JobStatus.EXPIRED):
            self._alarm(result.job_id, result.text)
        self._tell(ProgressKind.JOB_FINISHED, result.job_id, result.text, result.status)

    # ------------------------------------------------------------ events and commands

    def _receive(self, until: datetime) -> None:
        """Wait for a message, and book and step it with those that are there already."""
        messages, broken = self._news.take(until)
        if broken is None:
            messages += self._news.missed(
                self._now(),
                working=self._inbox.has_orders or self._inbox.in_doubt,
                missing=self._inbox.misses_executions,
            )
        self._work(messages, broken)

    def _deliver(self, messages: Sequence[Message]) -> None:
        """What a look at the broker makes up for; orders that this run does not work are left to the next recovery."""
        self._work([message for message in messages if self._inbox.parent_of(message.order_ref)])

    def _work(self, messages: Sequence[Message], broken: BrokerUnavailable | None = None) -> None:
        told, fresh = self._read(messages)
        commands = self._journal(told)
        for fill in fresh:
            self._tell(ProgressKind.ORDER_FILLED, fill.order_ref or "", fill.contract_id)
        if broken is not None:
            raise broken
        self._obey(commands)
        self._settle()
        for message in messages:
            ticket = self._inbox.parent_of(message.order_ref)
            if ticket is not None:
                self._legging.look(ticket.core.intent, self._now())

    def _read(self, messages: Sequence[Message]) -> tuple[list[Fill], tuple[Fill, ...]]:
        """Put messages before the parents; answers the executions told, and those of them that are not booked yet."""
        told = [m.fill for m in messages if m.kind is Kind.FILL and m.fill is not None and m.is_ours]
        fresh = self._world.book.unbooked(told) if told else ()
        counted = {fill.execution_id for fill in fresh}
        for message in messages:
            if not message.is_ours:
                self._alarm("", f"{message.kind.value} of an order that is not ours: {message.order_ref}")
            elif message.kind is Kind.FILL and message.fill and message.fill.execution_id not in counted:
                continue
            elif not self._inbox.put_message(message):
                text = f"{message.kind.value} of {message.order_ref}, which this run does not work"
                self._alarm("", text)
        return told, fresh

    def _settle(self) -> None:
        """Let every waiting event take its step, and do what the steps command."""
        while self._inbox.has_events and not self._fenced:
            self._obey(self._journal())
        if self._ended:
            self._ended = False
            self._schedule.close_finished(self._tickets, self._now())

    def _journal(self, fills: Sequence[Fill] = ()) -> Sequence[tuple[str, t.Outward]]:
        """Take the steps of this moment, and commit what they change with its executions; answers their commands."""
        now = self._now()
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
                self._inbox.answer(intent_id, self._quote(self._tickets[intent_id]))
            case t.ClaimAndSend(child):
                self._send(intent_id, child)
            case t.Cancel(order_ref):
                self._cancel(order_ref)
            case t.SetDeadline() | t.Finish() | t.StartLeg() | t.Alarm() | t.Halt():
                self._note(intent_id, command)

    def _note(self, intent_id: str, command: t.Note) -> None:
        """Do what concerns this run alone: clocks, other parents, the person who watches."""
        match command:
            case t.SetDeadline(at, kind):
                self._push(at, lambda now: self._inbox.put(intent_id, t.Deadline(kind, at)))
            case t.Finish(reason, text):
                self._ended = True
                self._fenced = self._fenced or reason is t.FinishReason.STALE_EPOCH
                self._tell(ProgressKind.PARENT_FINISHED, intent_id, text or reason.value)
            case t.StartLeg(name, arrival_mid):
                self._inbox.put(name, t.Start(arrival_mid))
            case t.Alarm(text):
                self._alarm(intent_id, text)
            case t.Halt(text):
                raise HaltError("overfill", f"more was filled than ordered: {text}")

    def _quote(self, ticket: t.OrderTicket) -> t.Event:
        intent = ticket.core.intent
        near = ticket.core.near if ticket.state.is_spread else None
        if self._control.permission is Permission.REDUCTIONS and not intent.reduce_only:
            return t.NoQuote("only reductions may leave")
        if self._control.is_stopped:
            # A new price would cancel the order that works, and the send gate would refuse the next.
            return t.NoQuote("trading is halted")
        names = (intent.contract_id,) if near is None else (intent.contract_id, near.contract_id)
        for name in names:
            if self._doubts.blocks(name, intent.intent_id):
                return t.NoQuote(f"{name} is blocked by an order whose outcome is not known")
        auction = ticket.state.auction
        if auction is not None and auction.is_opening:
            # There is no market before the open: the decision's price is its arrival.
            return t.QuoteArrived(None)
        quotes = [self._world.transport.quote(name) for name in names]
        if quotes[0] is None:
            return t.NoQuote("no quote")
        if ticket.state.plan is not None:
            # Judged on arrival: later prices stand inside the collar of the first.
            return t.QuoteArrived(quotes[0], None if near is None else quotes[1])
        absent = missing_leg(intent, self._schedule.jobs.values(), self._tickets, self._has_market)
        if absent is not None:
            return t.NoQuote(f"not opened without {absent}, which has no market now")
        own = self._reference(intent)
        if near is None:
            return t.QuoteArrived(quotes[0], None, own)
        other = self._reference(self._tickets[near.intent_id].core.intent)
        return t.QuoteArrived(quotes[0], quotes[1], own, other)

    def _has_market(self, contract_id: str) -> bool:
        quote = self._world.transport.quote(contract_id)
        return quote is not None and quote.is_two_sided

    def _reference(self, intent: OrderIntent) -> PriceReference | None:
        """What a first price of a parent is judged by."""
        world = self._world
        view = MarketView(
            world.prices,
            world.futures,
            world.transport.quote,
            self._now(),
            world.execution.quote_age_plan_seconds,
        )
        return price_reference(intent, view, world.safety)

    def _send(self, intent_id: str, child: ChildOrder) -> None:
        """Claim, and write once what was claimed; a broken write leaves the outcome open, never a second try."""
        instrument = self._tickets[intent_id].core.instrument
        notional = sum(
            (abs(instrument.notional(child.quantity, price)) for price in traded_prices(child)), ZERO
        )
        usd = round_money(self._world.prices.fx.to_base(notional, instrument.currency))
        self._inbox.route(child)
        lost: tuple[t.Event, ...] = ()
        with self._world.book.passage() as is_held:
            outcome = self._world.book.claim(child, usd, self._now())
            if outcome is GateOutcome.CLAIMED:
                lost = self._write(child, is_held)
        if outcome is GateOutcome.CLAIMED:
            self._tell(ProgressKind.ORDER_SENT, child.order_ref, child.contract_id)
        self._inbox.answer(intent_id, t.ClaimResult(outcome), *lost)

    def _write(self, child: ChildOrder, is_held: Holding) -> tuple[t.Event, ...]:
        """Write a claimed order while nobody can have declared a halt effective; answers why its outcome is open."""
        if not is_held():
            return (t.VisibilityLost("the latch was lost between gate and line, so nothing was written"),)
        self._written.add(child.order_ref)
        try:
            self._world.transport.send(child)
        except BrokerUnavailable as error:
            return (t.VisibilityLost(str(error)),)
        return ()

    def _cancel(self, order_ref: str) -> None:
        try:
            self._world.transport.cancel(order_ref)
        except BrokerUnavailable as error:
            self._alarm(order_ref, f"cancel of {order_ref} may not have left: {error}")

    def _cancel_all(self) -> None:
        """Take back what may work, as far as that is possible: no failure keeps another order from being cancelled."""
        for ticket in self._tickets.values():
            child, is_planned = ticket.state.child, ticket.state.status is ChildStatus.PLANNED
            if child is not None and (not is_planned or child.order_ref in self._written):
                with suppress(Exception):
                    self._cancel(child.order_ref)

    def _alarm(self, subject: str, text: str) -> None:
        self._alarms.append(text)
        self._tell(ProgressKind.ALARM, subject, text)

    def _tell(self, kind: ProgressKind, subject: str, text: str, status: JobStatus | None = None) -> None:
        self._world.observer(Progress(kind, self._now(), subject, text, status))
