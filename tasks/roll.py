"""Move futures to their next contract before they end."""

from __future__ import annotations

from engine.composition.stages import DayInputs, roll_futures
from engine.roll import RollPlan
from tasks.day import TradingDay
from tasks.step import step


@step("roll futures")
def plan_rolls(day: TradingDay, inputs: DayInputs) -> RollPlan:
    """Plan the rolls of the day; contracts at their end are alarms."""
    plan = day.decide("roll", RollPlan, lambda: roll_futures(day.setup, inputs))
    for contract_id in plan.critical:
        day.alert("CRITICAL", f"{contract_id} is at most one session from its end and still held")
    return plan
