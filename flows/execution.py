"""Work the day's jobs, each in its venue's liquidity window."""

from __future__ import annotations

from datetime import date

from prefect import flow
from prefect.client.schemas.objects import State

from engine.errors import HaltError
from engine.model.context import RunKind, RunStatus
from flows.daily import day_is_taken
from flows.outcome import Outcome, as_state, halted
from tasks.artifacts import publish_fills
from tasks.day import TradingDay
from tasks.execute import decision_inputs, find_open_orders, work_jobs
from tasks.halting import join_open_halts, stop
from tasks.opening import open_day


@flow(name="execution")
def execution(trade_date: date | None = None, profile: str = "fund") -> State[Outcome] | Outcome:
    """Execute one trade date, all venues' windows."""
    with open_day(RunKind.EXECUTION, trade_date, profile) as day:
        return as_state(trade(day))


def trade(day: TradingDay) -> Outcome:
    """Find what an earlier attempt left at the broker, then work what is not finished."""
    if day.is_completed or day.is_held:
        return day_is_taken(day)
    try:
        find_open_orders(day)
        join_open_halts(day)
        inputs = decision_inputs(day)
        report = work_jobs(day, inputs)
        publish_fills(day)
    except HaltError as halt:
        return halted(day.run_id, stop(day, halt))
    day.finish(RunStatus.COMPLETED, b"")
    filled = sum(1 for parent in report.parents if parent.unfilled == 0)
    return Outcome(
        run_id=day.run_id,
        status=RunStatus.COMPLETED,
        text=f"{filled} of {len(report.parents)} parent orders filled on {day.trade_date}",
    )
