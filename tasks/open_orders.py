"""Find at the broker what became of orders that our book holds open, and say aloud what came late."""

from __future__ import annotations

from engine.execution.recovery import RecoveryReport, recover
from tasks.day import TradingDay


def find_orders(day: TradingDay) -> RecoveryReport:
    """Bring open orders up to what the broker knows; nothing is sent. A late execution is booked with an alarm."""
    report = recover(day.orders, day.world.connect())
    for execution in report.late:
        day.alert("CRITICAL", f"late fill {execution}: it was booked after its order had ended")
    return report
