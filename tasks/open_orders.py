"""Find at the broker what became of orders that our book holds open, and say aloud what came late or stays in doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from engine.errors import BrokerUnavailable
from engine.execution.inquiry import look_again, undecided_text
from engine.execution.recovery import RecoveryReport, recover
from engine.model.context import Mode, RunKind
from tasks.day import TradingDay


def find_orders(day: TradingDay) -> RecoveryReport:
    """Bring open orders up to what the broker knows; nothing is sent. A late execution is booked with an alarm.

    In the morning what is known of orders in doubt is noted once more; while a run works, it decides its own.
    """
    report = recover(day.orders, day.world.connect())
    for execution in report.late:
        day.alert("CRITICAL", f"late fill {execution}: it was booked after its order had ended")
    if not report.blocked or day.key.kind is not RunKind.DECISION:
        return report
    settle_doubts(day)
    return replace(report, blocked=tuple(sorted(day.orders.blocked_contracts())))


def settle_doubts(day: TradingDay) -> None:
    """Decide what can be decided of orders whose outcome is not known; a person is told of the others."""
    if not day.orders.blocked_contracts():
        return
    try:
        outcomes = look_again(day.orders, day.world.connect(), day.world.absence, _time_for_it(day))
    except BrokerUnavailable as error:
        day.alert("CRITICAL", f"orders in doubt could not be looked at: {error}")
        return
    for found in outcomes:
        if found.verdict.is_absent:
            day.alert("WARNING", f"{found.order_ref} never reached the broker: it is proved absent")
        else:
            day.alert("CRITICAL", undecided_text(found.order_ref, found.verdict))


def _time_for_it(day: TradingDay) -> datetime:
    """Until when it may be waited; the time of a simulated broker is not moved beyond the run's own."""
    if day.key.mode is Mode.SIMULATED:
        return day.context.as_of
    return day.world.now + timedelta(seconds=2 * day.world.absence.decided_within_seconds)
