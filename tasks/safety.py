"""Net the wishes, keep what is worth its cost, shrink the day to its caps, and check it before anything is planned."""

from __future__ import annotations

from engine.accounting.fx_rates import FxVerdict
from engine.accounting.reconciliation import ReconciliationReport
from engine.composition.stages import (
    CrisisStep,
    DayInputs,
    RiskStep,
    TailStep,
    TargetStep,
    ValuedFund,
)
from engine.composition.trading import (
    TradeListDecision,
    Wishes,
    check_safety,
    collect_wishes,
    net_and_gate,
)
from engine.execution.safety import SafetyVerdict
from engine.hedging.fx import FxHedgePlan
from engine.roll import RollPlan
from tasks.day import TradingDay
from tasks.step import step


@step("collect wishes")
def gather_wishes(
    day: TradingDay,
    inputs: DayInputs,
    fund: ValuedFund,
    targets: TargetStep,
    rolls: RollPlan,
    tail: TailStep,
    crisis: CrisisStep,
) -> Wishes:
    """Everything that the stages would like to trade."""
    return day.decide(
        "wishes",
        Wishes,
        lambda: collect_wishes(day.setup, inputs, fund, targets.book, rolls, tail.plan, crisis.plan),
    )


@step("net and gate trades")
def choose_trades(
    day: TradingDay, inputs: DayInputs, fund: ValuedFund, risk: RiskStep, wishes: Wishes, hedge: FxHedgePlan
) -> TradeListDecision:
    """One trade a contract, worth its cost, within the day's caps."""
    return day.decide(
        "trades",
        TradeListDecision,
        lambda: net_and_gate(day.setup, inputs, fund, risk.decision, wishes, hedge),
    )


@step("safety check")
def verify_safety(
    day: TradingDay,
    inputs: DayInputs,
    fund: ValuedFund,
    risk: RiskStep,
    trades: TradeListDecision,
    rates: FxVerdict,
    report: ReconciliationReport,
) -> SafetyVerdict:
    """Fail closed: one failed check and nothing that adds risk is sent."""
    verdict = day.decide(
        "safety",
        SafetyVerdict,
        lambda: check_safety(
            day.setup,
            inputs,
            fund,
            risk.decision,
            trades.trades,
            fx_valid=rates.may_trade,
            reconciled=report.can_trade,
        ),
    )
    sent = "only what reduces is sent today" if verdict.permitted else "nothing is sent today"
    for reason in verdict.reasons:
        day.alert("CRITICAL", f"{sent}: {reason}")
    return verdict
