"""How much risk the fund may carry today."""

from __future__ import annotations

from engine.composition.stages import DayInputs, RiskStep, ValuedFund, judge_risk
from tasks.day import TradingDay
from tasks.step import step


@step("evaluate risk")
def evaluate_risk(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> RiskStep:
    """Volatility, regime, scale and the ladder of losses."""
    risk = day.decide("risk", RiskStep, lambda: judge_risk(day.setup, inputs, fund))
    for warning in risk.decision.warnings:
        day.alert("CRITICAL" if warning.startswith("CRITICAL") else "WARNING", warning)
    return risk
