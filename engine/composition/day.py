"""One day's decision from its recorded inputs, stage by stage, in the order in which a trader would say it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.accounting.fx_rates import FxVerdict
from engine.accounting.reconciliation import ReconciliationReport
from engine.composition.comparison import compare_with_broker
from engine.composition.stages import (
    CrisisStep,
    DayInputs,
    DayMemory,
    DaySetup,
    RiskStep,
    TailStep,
    TargetStep,
    ValuedFund,
    check_crisis,
    hedge_currencies,
    hedge_tails,
    judge_rates,
    judge_risk,
    roll_futures,
    set_targets,
    value_fund,
)
from engine.composition.trading import (
    TradeListDecision,
    Wishes,
    check_safety,
    collect_wishes,
    net_and_gate,
    plan_jobs,
)
from engine.execution.jobs import JobPlan
from engine.execution.safety import SafetyVerdict
from engine.hedging.fx import FxHedgePlan
from engine.model.encoding import canonical
from engine.roll import RollPlan

STEP_TYPES: dict[str, type] = {
    "fx": FxVerdict,
    "nav": ValuedFund,
    "reconcile": ReconciliationReport,
    "roll": RollPlan,
    "risk": RiskStep,
    "targets": TargetStep,
    "tail": TailStep,
    "crisis": CrisisStep,
    "wishes": Wishes,
    "fx_hedge": FxHedgePlan,
    "trades": TradeListDecision,
    "safety": SafetyVerdict,
    "jobs": JobPlan,
}
"""Name of every stage in order, and the type of what it decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayDecisions:
    """What every stage of a day decided."""

    fx: FxVerdict
    nav: ValuedFund
    reconcile: ReconciliationReport
    roll: RollPlan
    risk: RiskStep
    targets: TargetStep
    tail: TailStep
    crisis: CrisisStep
    wishes: Wishes
    fx_hedge: FxHedgePlan
    trades: TradeListDecision
    safety: SafetyVerdict
    jobs: JobPlan


def decide_day(setup: DaySetup, inputs: DayInputs) -> DayDecisions:
    """All stages of a day; halts are values here (a verdict or report says so), the flow acts on them."""
    stages = dict(decide_steps(setup, inputs))
    return DayDecisions(**stages)  # type: ignore[arg-type]  # decide_steps yields exactly these fields


def decide_steps(setup: DaySetup, inputs: DayInputs) -> Iterator[tuple[str, object]]:
    """Name and value of each stage, in order and lazily: a replay stops at the first difference.

    Each value is as its record gives it back, as in the flow, where a stage may follow on a recorded one.
    """
    rates = canonical(judge_rates(setup, inputs))
    yield "fx", rates
    fund = canonical(value_fund(setup, inputs))
    yield "nav", fund
    report = canonical(compare_with_broker(setup, inputs, fund))
    yield "reconcile", report
    rolls = canonical(roll_futures(setup, inputs))
    yield "roll", rolls
    risk = canonical(judge_risk(setup, inputs, fund))
    yield "risk", risk
    targets = canonical(set_targets(setup, inputs, fund, risk.decision))
    yield "targets", targets
    tail = canonical(hedge_tails(setup, inputs, fund, risk.decision))
    yield "tail", tail
    crisis = canonical(check_crisis(setup, inputs, risk.decision, tail.plan))
    yield "crisis", crisis
    wishes = canonical(collect_wishes(setup, inputs, fund, targets.book, rolls, tail.plan, crisis.plan))
    yield "wishes", wishes
    hedge = canonical(hedge_currencies(setup, inputs, fund, wishes.proposals))
    yield "fx_hedge", hedge
    trades = canonical(net_and_gate(setup, inputs, fund, risk.decision, wishes, hedge))
    yield "trades", trades
    may_trade = {"fx_valid": rates.may_trade, "reconciled": report.can_trade}
    safety = canonical(check_safety(setup, inputs, fund, risk.decision, trades.trades, **may_trade))
    yield "safety", safety
    yield "jobs", canonical(plan_jobs(setup, inputs, trades.trades, safety))


def next_memory(inputs: DayInputs, decisions: DayDecisions) -> DayMemory:
    """What this day's decision hands to the next one."""
    return DayMemory(
        risk=decisions.risk.memory,
        targets=decisions.targets.memory,
        tail=decisions.tail.memory,
        crisis=decisions.crisis.memory,
        weights=decisions.targets.weights or inputs.memory.weights,
        gate=decisions.trades.memory,
    )
