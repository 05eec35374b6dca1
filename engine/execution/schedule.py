"""Which job may start when, what each parent starts with, and when a job is over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from engine.execution.jobs import followed_fraction
from engine.execution.netting import market_rank
from engine.execution.outcome import ExecutionWorld, JobResult, ParentResult, job_note
from engine.execution.revalidation import UNCHANGED, WindowVerdict, wish_of
from engine.execution.slicing import plan_slices
from engine.execution.spreads import spread_part
from engine.execution.ticket import Auction, OrderCore, OrderTicket
from engine.model.money import ZERO
from engine.model.orders import ExecutionJob, JobStatus, OrderIntent
from engine.model.policy import ExecutionPolicy
from engine.model.universe import ContractBook
from engine.model.venues import ORDER_TYPES
from engine.model.windows import ExecutionStyle
from engine.ports import OrderBook

Action = Callable[[datetime], None]
Push = Callable[[datetime, Action], None]


class JobSchedule:
    """Jobs on their way from their window's start to their result.

    ``push`` wakes an action at a time, ``start`` begins a job's parents or says when to try again, ``closed`` hears of
    every result, and ``begun`` says whether an earlier attempt ordered something for a job.

    A job that comes too late sends nothing and is told with an alarm: MIDDAY is SKIPPED, an auction EXPIRED. Neither is
    carried over: the next day's decision looks anew at what is still missing.
    """

    def __init__(
        self,
        jobs: Sequence[ExecutionJob],
        policy: ExecutionPolicy,
        push: Push,
        start: Callable[[ExecutionJob], datetime | None],
        closed: Callable[[JobResult], None],
        begun: Callable[[ExecutionJob], bool],
    ) -> None:
        self.jobs = {job.job_id: job for job in jobs}
        self.results: dict[str, JobResult] = {}
        self._policy, self._push, self._start, self._closed = policy, push, start, closed
        self._begun = begun
        self._waiting: set[str] = set()
        self._left_out: set[str] = set()
        for job in self.jobs.values():
            push(job.window.start, partial(self._open, job))

    @property
    def is_over(self) -> bool:
        """Whether every job has its result."""
        return len(self.results) == len(self.jobs)

    def leave_out(self, job_ids: Iterable[str]) -> None:
        """Somebody else has begun these jobs."""
        self._left_out.update(job_ids)

    def _open(self, job: ExecutionJob, now: datetime) -> None:
        """Start a job, or keep it waiting for the jobs it follows, but not past the last chance to trade."""
        if job.job_id in self._left_out:
            return None
        last = job.last_send
        if now >= last and not (now < job.ends_at and self._begun(job)):
            status = JobStatus.SKIPPED if job.style is ExecutionStyle.MIDDAY else JobStatus.EXPIRED
            text = f"job {job.job_id} {status.value.lower()}: its window ended at {last:%Y-%m-%d %H:%M}Z"
            return self._close(job.job_id, status, text, now)
        needed = max(2 * self._policy.order_ttl_seconds, self._policy.parent_retry_seconds)
        last_chance = job.window.end - timedelta(seconds=needed)
        pending = [name for name in job.after if name in self.jobs and name not in self.results]
        if pending and now < last_chance:
            if job.job_id not in self._waiting:
                self._waiting.add(job.job_id)
                self._push(last_chance, partial(self._go_on, job))
            return None
        self._waiting.discard(job.job_id)
        again = self._start(job)
        if again is not None:
            self._push(again, partial(self._open, job))
        return None

    def _go_on(self, job: ExecutionJob, now: datetime) -> None:
        if job.job_id in self._waiting:
            self._open(job, now)

    def close_finished(self, tickets: Mapping[str, OrderTicket], now: datetime) -> None:
        """Give a result to every job whose parents have all ended."""
        for job in self.jobs.values():
            own = [tickets[i.intent_id] for i in job.intents if i.intent_id in tickets]
            if job.job_id in self.results or len(own) < len(job.intents):
                continue
            if all(ticket.is_done for ticket in own):
                unknown = any(ticket.state.unknown for ticket in own)
                status = JobStatus.UNKNOWN if unknown else JobStatus.DONE
                self._close(job.job_id, status, job_note([ParentResult.of(ticket) for ticket in own]), now)

    def _close(self, job_id: str, status: JobStatus, text: str, now: datetime) -> None:
        self.results[job_id] = JobResult(job_id=job_id, status=status, text=text)
        self._waiting.discard(job_id)
        self._closed(self.results[job_id])
        for name in sorted(self._waiting):
            self._push(now, partial(self._go_on, self.jobs[name]))


def _followed(
    job: ExecutionJob,
    jobs: Mapping[str, ExecutionJob],
    book: OrderBook,
    tickets: Mapping[str, OrderTicket],
) -> list[tuple[OrderIntent, Decimal]]:
    """Parents that a job follows and what they filled: also those of an earlier attempt, and nothing of skipped ones."""
    legs = [leg for name in job.after if name in jobs for leg in jobs[name].intents]
    return [
        (
            leg,
            tickets[leg.intent_id].state.filled
            if leg.intent_id in tickets
            else sum((row.filled_of(leg.intent_id) for row in book.children(leg.intent_id)), ZERO),
        )
        for leg in legs
    ]


def auction_of(job: ExecutionJob) -> Auction | None:
    """Terms of the auction that a job waits for, ``None`` for one that is worked continuously."""
    if job.window.cutoff is None:
        return None
    return Auction(
        order_type=ORDER_TYPES[job.style],
        cutoff=job.window.cutoff,
        told_by=job.window.end,
        fallback=job.fallback,
    )


def in_order(jobs: Sequence[ExecutionJob], contracts: ContractBook) -> tuple[ExecutionJob, ...]:
    """Jobs as they are begun: by their windows, and of one time those with futures first, then funds, then the rest."""

    def place(job: ExecutionJob) -> tuple[datetime, int, str]:
        ranks = (market_rank(contracts.instrument(intent.contract_id)) for intent in job.intents)
        return job.window.start, min(ranks, default=0), job.job_id

    return tuple(sorted(jobs, key=place))


def order_core(
    job: ExecutionJob,
    intent: OrderIntent,
    world: ExecutionWorld,
    jobs: Mapping[str, ExecutionJob],
    tickets: Mapping[str, OrderTicket],
    verdict: WindowVerdict = UNCHANGED,
) -> OrderCore:
    """What a parent starts with: earlier children, its frozen wish, and a hedge no larger than its legs justify."""
    instrument = world.prices.contracts.instrument(intent.contract_id)
    legs = _followed(job, {**world.finished, **jobs}, world.book, tickets)
    wanted = intent.quantity * followed_fraction(intent, legs, world.prices)
    quantity = wanted // instrument.lot * instrument.lot if wanted < intent.quantity else wanted
    children = world.book.children(intent.intent_id)
    near = None
    if intent.near_intent_id is not None:
        near = spread_part(intent, job, (*children, *world.book.children(intent.near_intent_id)))
    volume = world.liquidity.volume(intent.contract_id, intent.instrument_id)
    seconds = (job.window.end - job.window.start).total_seconds()
    return OrderCore(
        intent=intent,
        instrument=instrument,
        window_end=job.ends_at,
        quantity=quantity,
        children=children,
        spent_attempts=world.book.spent_attempts(intent.intent_id),
        model_bps=world.slippage.offset_bps(instrument),
        largest_quantity=world.liquidity.largest_quantity(
            intent.contract_id, intent.instrument_id, world.safety.max_adv_fraction, instrument.lot
        ),
        slices=plan_slices(intent, volume, instrument.lot, seconds, world.execution.slicing),
        near=near,
        auction=auction_of(job),
        wish=wish_of(intent, world.wanted(intent.contract_id), verdict, world.safety.retarget_move_fraction),
        less=""
        if quantity == intent.quantity
        else f"only {quantity} of {intent.quantity} is wanted after what its legs filled",
    )
