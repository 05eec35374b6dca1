"""Work the day's jobs in their venues' windows; what an earlier attempt sent is found, never sent again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import partial

from engine.composition.stages import DayInputs
from engine.composition.trading import TradeListDecision, price_book
from engine.composition.window_risk import fund_futures
from engine.errors import FundError, RefusedError, SupersededError
from engine.execution.executor import execute
from engine.execution.liquidity import LiquidityEstimator
from engine.execution.outcome import AskAgain, ExecutionReport, ExecutionWorld, Progress, ProgressKind
from engine.execution.recovery import RecoveryReport
from engine.execution.revalidation import Wanted, WindowVerdict
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.money import ZERO
from engine.model.orders import ExecutionJob, JobStatus
from state.database import OUTAGES
from state.runs import run_identifier
from tasks.adapters.guarded_transport import HeardTransport
from tasks.asking import Asking, asking_of
from tasks.day import INPUTS, TradingDay, run_key
from tasks.interruption import GRACE_SECONDS, heeding_signals
from tasks.open_orders import find_orders, note_numbers
from tasks.pauses import without_long_pauses
from tasks.step import step

WindowCheck = Callable[[TradingDay, DayInputs, Asking, datetime], WindowVerdict | AskAgain]
"""Compares book and broker before a window opens and says what may still be entered, or when to ask again; raises `HaltError`."""

_TO_DO = (JobStatus.PENDING, JobStatus.CLAIMED, JobStatus.RUNNING, JobStatus.RECOVERING)
_PUT_OFF = frozenset({"caps", "balance"})
"""Stages of the decision that put a part of a wish off and do not give it up."""


@step("recover open orders", read_retries=2)
def find_open_orders(day: TradingDay) -> RecoveryReport:
    """Find at the broker what became of orders of an earlier attempt."""
    return find_orders(day)


@step("work jobs in their windows")
def work_jobs(
    day: TradingDay, inputs: DayInputs, check_window: WindowCheck, found: RecoveryReport
) -> ExecutionReport:
    """Run the executor over every job of the date that is not finished, each window after its check.

    ``found`` is what recovery read at the broker before.

    Raises `InterruptedRun` when the process was asked to end: jobs that were begun are taken up again by the next attempt.
    """
    jobs, over = jobs_of_date(day)
    observer = JobObserver(day)
    changes = wished_changes(decision_trades(day))
    clocks = day.world.configuration.settings.execution
    with heeding_signals() as is_ending:
        execution_world = ExecutionWorld(
            transport=HeardTransport(day.world.connect(), day.take_in_alarms),
            book=day.orders,
            prices=price_book(day.setup, inputs),
            execution=day.policy.execution,
            safety=day.policy.safety,
            liquidity=LiquidityEstimator(average_daily_volume=inputs.market.average_daily_volume),
            observer=observer,
            absence=day.world.absence,
            before_window=partial(check_window, day, inputs, asking_of(day)),
            wanted=partial(_wanted, inputs, changes),
            futures=fund_futures(day.setup, inputs),
            finished=over,
            strangers=found.strangers,
            recalled=found.recalled,
            control_poll_seconds=float(clocks.poll_interval_seconds),
            message_patience_seconds=float(clocks.poll_interval_seconds),
            reread_seconds=float(clocks.executions_poll_seconds),
            is_ending=is_ending,
            ending_seconds=GRACE_SECONDS,
            outages=OUTAGES,
        )
        try:
            with without_long_pauses():
                report = execute(jobs, execution_world)
        except FundError:
            with suppress(*OUTAGES):  # a book that does not answer now must not hide why the run was stopped
                observer.keep_alarms()
            raise
        observer.keep_alarms()
        if not report.fenced:
            note_numbers(day, execution_world.transport)
    if report.fenced:
        # What it left undone is the other run's: this one must neither book it nor call the date finished.
        raise SupersededError(f"{day.run_id}: another run of this account took over; this one has stopped")
    return report


def decision_inputs(day: TradingDay) -> DayInputs:
    """What the decision of this date read; raises `RefusedError` when there is none, or one that did not finish.

    An execution without all of its jobs would be COMPLETED, and what the decision planned later never be worked.
    """
    run_id = run_identifier(run_key(day.world, day.trade_date, RunKind.DECISION))
    recorded, decision = day.world.runs.inputs(run_id).get(INPUTS), day.world.runs.run(run_id)
    if recorded is None or decision is None:
        raise RefusedError(f"expected the decision of {day.trade_date} before its execution, found none")
    if decision.status is not RunStatus.COMPLETED:
        raise RefusedError(
            f"expected the decision of {day.trade_date} to be finished before its execution, found that it is "
            f"{decision.status.value}; run it again first"
        )
    return day.world.recorded(DayInputs, recorded.payload)


def decision_trades(day: TradingDay) -> TradeListDecision | None:
    """The trade list that the decision of this date left, ``None`` when it did not get so far."""
    run_id = run_identifier(run_key(day.world, day.trade_date, RunKind.DECISION))
    found = day.world.runs.step(run_id, "trades")
    return None if found is None else decode(TradeListDecision, found.output)


def wished_changes(decided: TradeListDecision | None) -> Mapping[str, Decimal]:
    """Signed change that the decision wanted of each traded contract: what goes today and what its caps deferred."""
    wished: dict[str, Decimal] = {}
    for row in () if decided is None else decided.decisions:
        if row.done or row.stage in _PUT_OFF:
            wished[row.contract_id] = wished.get(row.contract_id, ZERO) + row.quantity
    return wished


def _wanted(inputs: DayInputs, changes: Mapping[str, Decimal], contract_id: str) -> Wanted | None:
    change = changes.get(contract_id)
    return None if change is None else Wanted(inputs.portfolio.quantity(contract_id), change)


def jobs_of_date(day: TradingDay) -> tuple[tuple[ExecutionJob, ...], Mapping[str, ExecutionJob]]:
    """Jobs that still have something to do, those of a crashed attempt taken up again; and those that are over, by id."""
    now = day.world.now
    jobs, over = [], {}
    for record in day.orders.jobs(trade_date=day.trade_date):
        if record.status in (JobStatus.CLAIMED, JobStatus.RUNNING):
            day.orders.set_job_status(record.job.job_id, JobStatus.RECOVERING, now, "taken up again")
        if record.status in _TO_DO:
            jobs.append(record.job)
        else:
            over[record.job.job_id] = record.job
    return tuple(jobs), over


class JobObserver:
    """Stores what the executor tells: states of jobs, and facts for the person who watches."""

    def __init__(self, day: TradingDay) -> None:
        self._day = day
        self._alarms: list[str] = []

    def __call__(self, progress: Progress) -> None:
        """Keep one fact."""
        at = progress.at
        if progress.kind is ProgressKind.JOB_STARTED:
            self._day.orders.begin_job(progress.subject, at)
        elif progress.kind is ProgressKind.JOB_FINISHED and progress.status is not None:
            self._day.orders.end_job(progress.subject, progress.status, at, progress.text)
        elif progress.kind is ProgressKind.ALARM:
            self._alarms.append(progress.text)
        self._day.world.observer(progress.kind.value, f"{at:%H:%M} {progress.text}")

    def keep_alarms(self) -> None:
        """Let everybody who watches read the run's alarms and those of its line, however it ended."""
        self._day.take_in_alarms()
        for alarm in self._alarms:
            self._day.alert("CRITICAL", alarm)
