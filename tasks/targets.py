"""What the fund should hold."""

from __future__ import annotations

from engine.composition.stages import DayInputs, RiskStep, TargetStep, ValuedFund, set_targets
from tasks.day import TradingDay
from tasks.step import step
from tasks.tables import ask_about_targets


@step("compute targets")
def compute_targets(day: TradingDay, inputs: DayInputs, fund: ValuedFund, risk: RiskStep) -> TargetStep:
    """All sleeves at today's scale, in lots, inside the limits."""
    targets = day.decide("targets", TargetStep, lambda: set_targets(day.setup, inputs, fund, risk.decision))
    ask_about_targets(targets.book)
    return targets
