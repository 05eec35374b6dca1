"""Work the day's jobs, each in its venue's liquidity window."""

from __future__ import annotations

from datetime import date

from prefect import flow
from prefect.client.schemas.objects import State

from engine.model.context import RunKind
from flows.day import trade
from flows.outcome import Outcome, as_state
from tasks.opening import open_day


@flow(name="execution", retries=0, persist_result=False)
def execution(trade_date: date | None = None, profile: str = "fund") -> State[Outcome] | Outcome:
    """Execute one trade date, all venues' windows."""
    with open_day(RunKind.EXECUTION, trade_date, profile) as day:
        return as_state(trade(day))
