"""The one loop that works the day's jobs: next message or next deadline, step, journal, send.

It is synchronous, knows no clock but the transport's and sends only what the send gate has claimed, exactly
once. The same loop runs on the broker, on the simulated exchange in virtual time, and in the backtest.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from engine.errors import BrokerUnavailable, HaltError
from engine.execution import ticket as t
from engine.execution.jobs import followed_fraction
from engine.execution.lifecycle import step
from engine.execution.outcome import (
    ExecutionReport,
    ExecutionWorld,
    JobResult,
    ParentResult,
    Progress,
    ProgressKind,
)
from engine.model.orders import ChildOrder, ExecutionJob, JobStatus, OrderIntent, TransportEvent
from engine.model.orders import TransportEventKind as Kind
from engine.ports import GateOutcome


def execute(jobs: Sequence[ExecutionJob], world: ExecutionWorld) -> ExecutionReport:
    """Work all jobs, each in its window, until every parent ended.

    Raises
    ------
    HaltError
        When more was filled than ordered; working orders are asked to cancel first.
    """
    return OrderManager(jobs, world).run()


class OrderManager:
    """State of one execution run: tickets, deadlines and jobs."""

    def __init__(self, jobs: Sequence[ExecutionJob], world: ExecutionWorld) -> None:
        self._world, self._jobs = world, {job.job_id: job for job in jobs}
        self._tickets: dict[str, t.OrderTicket] = {}
        self._routes: dict[str, str] = {}
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._inbox: deque[tuple[str, t.Event]] = deque()
        self._waiting: set[str] = set()
        self._results: dict[str, JobResult] = {}
        self._alarms: list[str] = []
        self._pushed, self._may_send, self._fenced, self._ended = 0, True, False, False
        unresolved = [record for record in world.book.unresolved() if record.status.holds_reservation]
        self._blocked = {record.child.contract_id: record.child.intent_id for record in unresolved}

    def run(self) -> ExecutionReport:
        """See `execute`."""
        for job in self._jobs.values():
            self._push(job.window.start, partial(self._open, job))
        while len(self._results) < len(self._jobs) and not self._fenced:
            now = self._now()
            self._check_control()
            while self._heap and self._heap[0][0] <= now:
                heapq.heappop(self._heap)[2]()
                self._settle()
            if self._heap and len(self._results) < len(self._jobs):
                event = self._world.transport.next_event(self._until(now))
                if event is not None:
                    self._deliver(event)
        return ExecutionReport(
            jobs=tuple(self._results[job_id] for job_id in self._jobs if job_id in self._results),
            parents=tuple(ParentResult.of(ticket) for ticket in self._tickets.values()),
            alarms=tuple(self._alarms),
            fenced=self._fenced,
        )

    # ------------------------------------------------------------ time

    def _now(self) -> datetime:
        return self._world.transport.now()

    def _push(self, at: datetime, action: Callable[[], None]) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, action))

    def _until(self, now: datetime) -> datetime:
        at = self._heap[0][0]
        if any(ticket.state.child is not None for ticket in self._tickets.values()):
            at = min(at, now + timedelta(seconds=self._world.control_poll_seconds))
        return at

    def _check_control(self) -> None:
        may_send = self._world.book.may_send()
        if self._may_send and not may_send:
            self._inbox.extend((name, t.HaltRequested()) for name in self._tickets)
        self._may_send = may_send
        self._settle()

    # ------------------------------------------------------------ jobs

    def _open(self, job: ExecutionJob) -> None:
        """Start a job, or keep it waiting for the jobs it follows, but not past the last chance to trade."""
        now, policy = self._now(), self._world.execution
        if now >= job.window.end:
            text = f"its window ended at {job.window.end:%Y-%m-%d %H:%M}Z"
            self._alarm(job.job_id, f"job {job.job_id} skipped: {text}")
            return self._close_job(job.job_id, JobStatus.SKIPPED, text)
        needed = timedelta(seconds=max(2 * policy.order_ttl_seconds, policy.parent_retry_seconds))
        last_chance = job.window.end - needed
        pending = [name for name in job.after if name in self._jobs and name not in self._results]
        if pending and now < last_chance:
            if job.job_id not in self._waiting:
                self._waiting.add(job.job_id)
                self._push(last_chance, partial(self._start_waiting, job))
            return None
        return self._start(job, now)

    def _start_waiting(self, job: ExecutionJob) -> None:
        if job.job_id in self._waiting:
            self._open(job)

    def _start(self, job: ExecutionJob, now: datetime) -> None:
        self._waiting.discard(job.job_id)
        self._tell(ProgressKind.JOB_STARTED, job.job_id, job.group, JobStatus.RUNNING)
        for intent in job.intents:
            self._tickets[intent.intent_id] = t.new_ticket(self._core(job, intent))
            self._inbox.append((intent.intent_id, t.Start()))
        self._push(job.window.end, partial(self._end_window, job))
        self._settle()

    def _core(self, job: ExecutionJob, intent: OrderIntent) -> t.OrderCore:
        world, instrument = self._world, self._world.prices.contracts.instrument(intent.contract_id)
        children = world.book.children(intent.intent_id)
        self._routes.update({record.child.order_ref: intent.intent_id for record in children})
        legs = [
            (leg, self._tickets[leg.intent_id].state.filled)
            for name in job.after
            if name in self._jobs
            for leg in self._jobs[name].intents
            if leg.intent_id in self._tickets
        ]
        wanted = intent.quantity * followed_fraction(intent, legs, world.prices)
        return t.OrderCore(
            intent=intent,
            instrument=instrument,
            window_end=job.window.end,
            quantity=wanted // instrument.lot * instrument.lot if wanted < intent.quantity else wanted,
            children=children,
            model_bps=world.slippage.offset_bps(instrument),
            largest_quantity=world.liquidity.largest_quantity(
                intent.contract_id, intent.instrument_id, world.safety.max_adv_fraction, instrument.lot
            ),
        )

    def _end_window(self, job: ExecutionJob) -> None:
        self._inbox.extend((intent.intent_id, t.WindowClosing()) for intent in job.intents)
        self._push(job.window.end + timedelta(seconds=self._world.drain_seconds), partial(self._drain, job))

    def _drain(self, job: ExecutionJob) -> None:
        lost = t.VisibilityLost("no confirmation after the window")
        self._inbox.extend((i.intent_id, lost) for i in job.intents if not self._tickets[i.intent_id].is_done)

    def _finish_jobs(self) -> None:
        for job in self._jobs.values():
            tickets = [self._tickets[i.intent_id] for i in job.intents if i.intent_id in self._tickets]
            if job.job_id in self._results or len(tickets) < len(job.intents):
                continue
            if all(ticket.is_done for ticket in tickets):
                unknown = any(ticket.state.unknown for ticket in tickets)
                self._close_job(job.job_id, JobStatus.UNKNOWN if unknown else JobStatus.DONE, "")

    def _close_job(self, job_id: str, status: JobStatus, text: str) -> None:
        self._results[job_id] = JobResult(job_id=job_id, status=status, text=text)
        self._waiting.discard(job_id)
        self._tell(ProgressKind.JOB_FINISHED, job_id, text, status)
        for name in sorted(self._waiting):
            self._push(self._now(), partial(self._start_waiting, self._jobs[name]))

    # ------------------------------------------------------------ events and commands

    def _deliver(self, event: TransportEvent) -> None:
        """Book an execution before anything else, then let its parent know."""
        if event.kind is Kind.FILL and event.fill is not None:
            if event.fill.order_ref is None:
                return self._alarm("", f"execution {event.fill.execution_id} names no order of ours")
            if not self._world.book.record_fill(event.fill):
                return None
            self._tell(ProgressKind.ORDER_FILLED, event.fill.order_ref, event.fill.contract_id)
        intent_id = self._routes.get(event.order_ref or "")
        if intent_id is None:
            return self._alarm(
                "", f"{event.kind.value} of an order that no parent of this run knows: {event.text}"
            )
        self._inbox.append((intent_id, t.Broker(event)))
        return self._settle()

    def _settle(self) -> None:
        """Let every waiting event take its step, and do what the steps command."""
        while self._inbox:
            intent_id, event = self._inbox.popleft()
            self._tickets[intent_id], commands = step(
                self._tickets[intent_id], event, self._now(), self._world.execution
            )
            for command in commands:
                self._do(intent_id, command)
        if self._ended:
            self._ended = False
            self._finish_jobs()

    def _do(self, intent_id: str, command: t.Command) -> None:
        world = self._world
        match command:
            case t.RequestQuote():
                self._inbox.append((intent_id, self._quote(self._tickets[intent_id].core.intent)))
            case t.PlanChild(child):
                self._routes[child.order_ref] = intent_id
                world.book.plan_child(child)
            case t.ClaimAndSend(child):
                self._send(intent_id, child)
            case t.Cancel(order_ref):
                self._cancel(order_ref)
            case t.SetDeadline(at, kind):
                self._push(at, lambda: self._inbox.append((intent_id, t.Deadline(kind, at))))
            case t.RecordStatus(order_ref, status, text):
                world.book.record_status(order_ref, status, self._now(), text)
            case t.Finish(reason, text):
                self._ended = True
                self._tell(ProgressKind.PARENT_FINISHED, intent_id, text or reason.value)
                self._fenced = self._fenced or reason is t.FinishReason.STALE_EPOCH
            case t.Alarm(text):
                self._alarm(intent_id, text)
            case t.Halt(text):
                self._stop(text)

    def _quote(self, intent: OrderIntent) -> t.Event:
        if not self._may_send and not intent.reduce_only:
            return t.NoQuote("trading is halted or only reduces")
        if self._blocked.get(intent.contract_id, intent.intent_id) != intent.intent_id:
            return t.NoQuote(f"{intent.contract_id} is blocked by an order whose outcome is not known")
        quote = self._world.transport.quote(intent.contract_id)
        return t.NoQuote("no quote") if quote is None else t.QuoteArrived(quote)

    def _send(self, intent_id: str, child: ChildOrder) -> None:
        """Claim, and write once what was claimed; a broken write leaves the outcome open, never a second try."""
        instrument = self._tickets[intent_id].core.instrument
        notional = abs(instrument.notional(child.quantity, child.limit_price))
        usd: Decimal = self._world.prices.fx.to_base(notional, instrument.currency)
        outcome = self._world.book.claim(child.order_ref, usd, self._now())
        self._inbox.append((intent_id, t.ClaimResult(outcome)))
        if outcome is not GateOutcome.CLAIMED:
            return
        try:
            self._world.transport.send(child)
        except BrokerUnavailable as error:
            self._inbox.append((intent_id, t.VisibilityLost(str(error))))
        self._tell(ProgressKind.ORDER_SENT, child.order_ref, child.contract_id)

    def _cancel(self, order_ref: str) -> None:
        try:
            self._world.transport.cancel(order_ref)
        except BrokerUnavailable as error:
            self._alarm(order_ref, f"cancel of {order_ref} may not have left: {error}")

    def _stop(self, text: str) -> None:
        for ticket in self._tickets.values():
            if ticket.state.child is not None:
                self._cancel(ticket.state.child.order_ref)
        raise HaltError("overfill", f"more was filled than ordered: {text}")

    def _alarm(self, subject: str, text: str) -> None:
        self._alarms.append(text)
        self._tell(ProgressKind.ALARM, subject, text)

    def _tell(self, kind: ProgressKind, subject: str, text: str, status: JobStatus | None = None) -> None:
        self._world.observer(Progress(kind, self._now(), subject, text, status))
