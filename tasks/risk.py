"""How much risk the fund may carry today."""

from __future__ import annotations

from engine.composition.stages import DayInputs, RiskStep, ValuedFund, judge_risk
from engine.errors import HaltError
from engine.model.halts import HaltKind
from engine.model.policy import RiskPolicy
from tasks.day import TradingDay
from tasks.step import step


@step("evaluate risk")
def evaluate_risk(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> RiskStep:
    """Volatility, regime, scale and the ladder of losses; its last rung stops the day until a person answers."""
    risk = day.decide("risk", RiskStep, lambda: judge_risk(day.setup, inputs, fund))
    for warning in risk.decision.warnings:
        day.alert("CRITICAL" if warning.startswith("CRITICAL") else "WARNING", warning)
    stopped = drawdown_text(inputs, risk, day.policy.risk)
    if stopped:
        raise HaltError(HaltKind.DRAWDOWN.value, stopped, emergency=True)
    return risk


def drawdown_text(inputs: DayInputs, risk: RiskStep, policy: RiskPolicy) -> str:
    """Why the drawdown stops the day; empty when it does not, was answered today, or nothing is held."""
    holds = any(position.quantity != 0 for position in inputs.portfolio.positions.values())
    if not risk.decision.kill or inputs.drawdown_answered or not holds:
        return ""
    return (
        f"expected a drawdown of less than {-policy.drawdown_kill:.1%} from the highest value of a unit, "
        f"found {-risk.decision.drawdown:.2%}"
    )
