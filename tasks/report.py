"""Write the day's report."""

from __future__ import annotations

from engine.report import DayReport
from tasks.day import TradingDay
from tasks.reporting import build_report
from tasks.step import step


@step("write the report")
def write_report(day: TradingDay) -> DayReport:
    """Assemble the day's report from what was recorded."""
    return build_report(day.world, day.trade_date)
