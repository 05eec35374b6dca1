"""22:30 UTC: settle the day, value the fund, compare it with the broker once more, report."""

from __future__ import annotations

from datetime import date

from prefect import flow
from prefect.client.schemas.objects import State

from engine.errors import HaltError
from engine.model.context import RunKind, RunStatus
from flows.daily import day_is_taken
from flows.outcome import Outcome, as_state, halted
from tasks.artifacts import publish_summary
from tasks.day import TradingDay
from tasks.halting import stop
from tasks.nav import compute_nav
from tasks.opening import open_day
from tasks.reconcile import reconcile
from tasks.record import remember_close
from tasks.report import write_report
from tasks.sync import advance_market, recover_orders, sync_positions


@flow(name="end-of-day")
def end_of_day(trade_date: date | None = None, profile: str = "fund") -> State[Outcome] | Outcome:
    """Close one trade date."""
    with open_day(RunKind.CLOSE, trade_date, profile) as day:
        return as_state(close(day))


def close(day: TradingDay) -> Outcome:
    """Settle, value, compare, report; the report is written in every case."""
    if day.is_completed or day.is_held:
        return day_is_taken(day)
    try:
        advance_market(day)
        recovery = recover_orders(day)
        inputs = sync_positions(day, recovery)
        fund = compute_nav(day, inputs)
        reconcile(day, inputs, fund)
        remember_close(day, inputs, fund)
    except HaltError as halt:
        outcome = halted(day.run_id, stop(day, halt))
        write_report(day)
        return outcome
    day.finish(RunStatus.COMPLETED, b"")
    report = write_report(day)
    publish_summary(day, report)
    return Outcome(
        run_id=day.run_id,
        status=RunStatus.COMPLETED,
        text=f"{day.trade_date} closed at NAV {fund.valuation.nav:,.2f} USD",
    )
