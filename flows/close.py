"""22:30 UTC: settle the day, value the fund, compare it with the broker once more, report."""

from __future__ import annotations

from datetime import date

from prefect import flow
from prefect.client.schemas.objects import State

from engine.model.context import RunKind
from flows.day import close
from flows.outcome import Outcome, as_state, skipped
from tasks.late_start import skipped_start
from tasks.opening import open_day


@flow(name="end-of-day", retries=0, persist_result=False)
def end_of_day(trade_date: date | None = None, profile: str = "fund") -> State[Outcome] | Outcome:
    """Close one trade date."""
    late = skipped_start(RunKind.CLOSE, profile) if trade_date is None else None
    if late is not None:
        return as_state(skipped(*late))
    with open_day(RunKind.CLOSE, trade_date, profile) as day:
        return as_state(close(day))
