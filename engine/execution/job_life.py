"""How a job of this run begins and ends: its parents, the check before its window, its clocks, its result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from engine.execution import ticket as t
from engine.execution.agenda import Agenda
from engine.execution.children import AT_THE_BROKER
from engine.execution.control import ControlWatch
from engine.execution.doubts import DoubtWatch
from engine.execution.inbox import Inbox
from engine.execution.legging import LeggingWatch
from engine.execution.messenger import Messenger
from engine.execution.outcome import AskAgain, ExecutionWorld, JobResult, ProgressKind
from engine.execution.revalidation import UNCHANGED
from engine.execution.schedule import order_core
from engine.model.orders import ChildStatus, ExecutionJob, JobStatus
from engine.ports import ChildRecord, Permission


class Watches(NamedTuple):
    """What is looked at while jobs run: what may leave, orders of unknown outcome, legs left behind."""

    control: ControlWatch
    doubts: DoubtWatch
    legging: LeggingWatch


class JobLife:
    """Begins the jobs of one run. ``has_begun`` is set where one did, for a job without parents is over at once."""

    def __init__(
        self,
        world: ExecutionWorld,
        jobs: Sequence[ExecutionJob],
        inbox: Inbox,
        agenda: Agenda,
        messenger: Messenger,
        watches: Watches,
    ) -> None:
        self._world, self._inbox, self._agenda, self._messenger = world, inbox, agenda, messenger
        self._control, self._doubts, self._legging = watches
        self._jobs = {job.job_id: job for job in jobs}
        self._checked: set[datetime] = set()
        self._asked_for: set[datetime] = set()
        self._waited: set[str] = set()
        self._verdict = UNCHANGED
        self._has_taken_back = False
        self.has_begun = False

    def start(self, job: ExecutionJob) -> datetime | None:
        """Begin a job's parents, or answer when to try again where the broker is asked again first."""
        if self._control.end_by is not None:
            return None  # the next attempt begins it
        asking = self._checked_window(job.window.start)
        if asking is None:
            self._begin(job)
            return None
        if asking.at >= job.last_send:
            raise asking.otherwise  # there is no time left in which an answer could be waited for
        self._waited.add(job.job_id)
        for record in self._alive(job):
            self._inbox.expect(record.child)
        return asking.at

    def _alive(self, job: ExecutionJob) -> list[ChildRecord]:
        """Orders of a job that an earlier attempt left at the broker."""
        found = (record for i in job.intents for record in self._world.book.children(i.intent_id))
        return [record for record in found if record.status in AT_THE_BROKER]

    def _note_filled(self, job: ExecutionJob) -> None:
        """Orders that filled while the broker was asked again: their executions are booked, and nothing else says it."""
        for record in self._alive(job):
            if record.whole >= record.child.quantity:
                self._world.book.record_status(
                    record.child.order_ref,
                    ChildStatus.FILLED,
                    self._agenda.now(),
                    "filled while the broker was asked again",
                )

    def _begin(self, job: ExecutionJob) -> None:
        """Start the parents with what an earlier attempt left of them, and set the clocks of the job's end."""
        if job.job_id in self._waited:
            self._note_filled(job)
        self._messenger.tell(ProgressKind.JOB_STARTED, job.job_id, job.group, JobStatus.RUNNING)
        cores = [
            order_core(job, intent, self._world, self._jobs, self._inbox.tickets, self._verdict)
            for intent in job.intents
        ]
        waiting = {core.near.intent_id for core in cores if core.near is not None}
        for intent, core in zip(job.intents, cores, strict=True):
            for record in core.children:
                self._inbox.route(record.child)
                if record.status is ChildStatus.UNKNOWN:
                    self._doubts.begin(record.child, self._agenda.now())
            self._inbox.tickets[intent.intent_id] = t.new_ticket(core)
            if intent.intent_id not in waiting:
                self._inbox.put(intent.intent_id, t.Start())
            if self._control.permission is not Permission.ALL:
                # An order found alive from an earlier attempt has not heard of what was forbidden since.
                self._inbox.put(intent.intent_id, t.HaltRequested(self._control.permission))
            for record in core.children:
                if record.status in AT_THE_BROKER:
                    self._inbox.tell_early(record.child)
            self._agenda.push(self._agenda.now(), partial(self._legging.look, intent))
        self.has_begun = True  # A job without parents is over at once.
        self._agenda.push(job.ends_at, lambda now: self._send_all(job, t.WindowClosing()))
        drained = job.ends_at + timedelta(seconds=self._world.drain_seconds)
        lost = t.VisibilityLost("no confirmation after the window")
        self._agenda.push(drained, lambda now: self._send_all(job, lost))

    def take_back(self) -> frozenset[str]:
        """Begin, where the process is to end, what an earlier attempt left at the broker, for else nobody takes it back.

        Answers the jobs.
        """
        if self._has_taken_back:
            return frozenset()
        self._has_taken_back = True
        alive = {row.child.intent_id for row in self._world.book.unresolved() if row.status in AT_THE_BROKER}
        names = alive - self._inbox.tickets.keys()
        jobs = [job for job in self._jobs.values() if names & {intent.intent_id for intent in job.intents}]
        begun = [job for job in jobs if self._agenda.now() < job.ends_at]
        for job in begun:
            self._begin(job)
        return frozenset(job.job_id for job in begun)

    def was_begun(self, job: ExecutionJob) -> bool:
        """Whether an earlier attempt ordered something for a job."""
        return any(self._world.book.children(intent.intent_id) for intent in job.intents)

    def _checked_window(self, start: datetime) -> AskAgain | None:
        """Let the account be compared before a window's first order; where it breaks, what works is cancelled."""
        if start not in self._checked and start not in self._asked_for:
            self._compare(start, self._agenda.now())
        return None if start in self._checked else self._control.asking

    def _compare(self, start: datetime, now: datetime) -> None:
        """Ask now, and wake up to ask again where that is the answer, whatever becomes of the jobs meanwhile."""
        self._asked_for.discard(start)
        if self._control.end_by is not None:
            return
        answer = self._world.before_window(now)
        if isinstance(answer, AskAgain):
            self._control.asking = answer
            self._asked_for.add(start)
            self._agenda.push(answer.at, partial(self._compare, start))
        else:
            self._control.asking = None
            self._checked.add(start)
            self._verdict = self._verdict.with_later(answer)

    def heed_stop(self) -> None:
        """Where trading stops while the broker is asked again, nobody waits any longer: what was found last stands."""
        asking = self._control.asking
        if asking is not None and self._control.is_stopped and self._control.end_by is None:
            raise asking.otherwise

    def _send_all(self, job: ExecutionJob, event: t.Event) -> None:
        for intent in job.intents:
            if not self._inbox.tickets[intent.intent_id].is_done:
                self._inbox.put(intent.intent_id, event)

    def closed(self, result: JobResult) -> None:
        """Tell a job's result, and alarm where it sent nothing."""
        if result.status in (JobStatus.SKIPPED, JobStatus.EXPIRED):
            self._messenger.alarm(result.job_id, result.text)
        self._messenger.tell(ProgressKind.JOB_FINISHED, result.job_id, result.text, result.status)
