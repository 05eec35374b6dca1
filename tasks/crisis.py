"""The crisis playbook."""

from __future__ import annotations

from engine.composition.stages import CrisisStep, DayInputs, RiskStep, TailStep, check_crisis
from tasks.day import TradingDay
from tasks.step import step


@step("check for crisis")
def run_playbook(day: TradingDay, inputs: DayInputs, risk: RiskStep, tail: TailStep) -> CrisisStep:
    """Start, continue or end a crisis episode."""
    crisis = day.decide(
        "crisis", CrisisStep, lambda: check_crisis(day.setup, inputs, risk.decision, tail.plan)
    )
    if crisis.plan.alert is not None:
        day.alert("CRITICAL", crisis.plan.alert)
    return crisis
