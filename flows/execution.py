"""Work the day's jobs, each in its venue's liquidity window."""

from __future__ import annotations

from datetime import date

from prefect import flow
from prefect.client.schemas.objects import State

from engine.model.context import RunKind
from flows.day import trade
from flows.outcome import Outcome, as_state, skipped
from tasks.late_start import skipped_start
from tasks.opening import open_day


@flow(name="execution", retries=0, persist_result=False)
def execution(trade_date: date | None = None, profile: str = "fund") -> State[Outcome] | Outcome:
    """Execute one trade date, all venues' windows."""
    late = skipped_start(RunKind.EXECUTION, profile) if trade_date is None else None
    if late is not None:
        return as_state(skipped(*late))
    with open_day(RunKind.EXECUTION, trade_date, profile) as day:
        return as_state(trade(day))
