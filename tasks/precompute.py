"""Put the day's trades into jobs, each for its venue's liquidity window."""

from __future__ import annotations

from engine.composition.stages import DayInputs
from engine.composition.trading import TradeListDecision, plan_jobs
from engine.execution.jobs import JobPlan
from engine.execution.safety import SafetyVerdict
from tasks.day import TradingDay
from tasks.step import step


@step("precompute jobs")
def precompute(
    day: TradingDay, inputs: DayInputs, trades: TradeListDecision, verdict: SafetyVerdict
) -> JobPlan:
    """Plan the jobs and store them with their frozen parents."""
    plan = day.decide(
        "jobs",
        JobPlan,
        lambda: plan_jobs(day.setup, inputs, trades.trades, verdict),
    )
    day.orders.save_jobs(plan.jobs)
    return plan
