"""06:00 UTC: value the fund, reconcile it, decide what to hold, and put the trades into jobs."""

from __future__ import annotations

from datetime import date

from prefect import flow
from prefect.client.schemas.objects import State

from engine.model.context import RunKind
from flows.day import decide
from flows.outcome import Outcome, as_state, skipped
from tasks.late_start import skipped_start
from tasks.opening import open_day


@flow(name="daily-decision", retries=0, persist_result=False)
def daily_decision(trade_date: date | None = None, profile: str = "fund") -> State[Outcome] | Outcome:
    """Decide one trade date: its parameter, else the date of the run's scheduled start."""
    late = skipped_start(RunKind.DECISION, profile) if trade_date is None else None
    if late is not None:
        return as_state(skipped(*late))
    with open_day(RunKind.DECISION, trade_date, profile) as day:
        return as_state(decide(day))
