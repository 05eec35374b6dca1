"""Protection and currency hedges of the whole portfolio."""

from __future__ import annotations

from engine.composition.stages import (
    DayInputs,
    RiskStep,
    TailStep,
    ValuedFund,
    hedge_currencies,
    hedge_tails,
)
from engine.composition.trading import Wishes
from engine.hedging.fx import FxHedgePlan
from tasks.day import TradingDay
from tasks.step import step


@step("plan tail hedges")
def plan_tails(day: TradingDay, inputs: DayInputs, fund: ValuedFund, risk: RiskStep) -> TailStep:
    """Options, sovereign spread and volatility future within their premium budgets."""
    tail = day.decide("tail", TailStep, lambda: hedge_tails(day.setup, inputs, fund, risk.decision))
    for alert in tail.plan.alerts:
        day.alert("WARNING", alert)
    return tail


@step("hedge currencies")
def plan_currencies(day: TradingDay, inputs: DayInputs, fund: ValuedFund, wishes: Wishes) -> FxHedgePlan:
    """One currency hedge for the portfolio, after everything else that is planned."""
    return day.decide(
        "fx_hedge", FxHedgePlan, lambda: hedge_currencies(day.setup, inputs, fund, wishes.proposals)
    )
