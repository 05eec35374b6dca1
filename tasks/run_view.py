"""A recorded run, decoded as far as it came: what reports and questions look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from engine.accounting.fx_rates import FxVerdict
from engine.accounting.reconciliation import ReconciliationReport
from engine.accounting.uncharged import NavEstimate
from engine.composition.stages import DayInputs, RiskStep, TailStep, TargetStep, ValuedFund
from engine.composition.trading import TradeListDecision, Wishes
from engine.execution.jobs import JobPlan
from engine.execution.safety import SafetyVerdict
from engine.hedging.fx import FxHedgePlan
from engine.model.encoding import decode
from engine.roll import RollPlan
from state.journal import StepRecord
from state.runs import RunRecord
from tasks.runtime import World

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A recorded run: its row, inputs and step outputs, decoded as far as it came."""

    record: RunRecord
    inputs: DayInputs | None
    rates: FxVerdict | None
    fund: ValuedFund | None
    estimate: NavEstimate | None
    reconciliation: ReconciliationReport | None
    rolls: RollPlan | None
    risk: RiskStep | None
    targets: TargetStep | None
    tail: TailStep | None
    hedge: FxHedgePlan | None
    wishes: Wishes | None
    trades: TradeListDecision | None
    safety: SafetyVerdict | None
    jobs: JobPlan | None


def run_view(world: World, record: RunRecord) -> RunView:
    """What a run read and decided."""
    recorded = world.runs.inputs(record.run_id).get("inputs")
    steps = {step.step: step for step in world.runs.steps(record.run_id)}
    return RunView(
        record=record,
        inputs=None if recorded is None else world.recorded(DayInputs, recorded.payload),
        rates=_step(steps, "fx", FxVerdict),
        fund=_step(steps, "nav", ValuedFund),
        estimate=_estimate(steps),
        reconciliation=_step(steps, "reconcile", ReconciliationReport),
        rolls=_step(steps, "roll", RollPlan),
        risk=_step(steps, "risk", RiskStep),
        targets=_step(steps, "targets", TargetStep),
        tail=_step(steps, "tail", TailStep),
        hedge=_step(steps, "fx_hedge", FxHedgePlan),
        wishes=_step(steps, "wishes", Wishes),
        trades=_step(steps, "trades", TradeListDecision),
        safety=_step(steps, "safety", SafetyVerdict),
        jobs=_step(steps, "jobs", JobPlan),
    )


def _estimate(steps: dict[str, StepRecord]) -> NavEstimate | None:
    """Why the NAV is an estimate; what an earlier attempt said of an earlier NAV does not count."""
    found, valued = steps.get("estimate"), steps.get("nav")
    if found is None or valued is None or found.attempt != valued.attempt:
        return None
    return decode(NavEstimate, found.output)


def _step(steps: dict[str, StepRecord], name: str, kind: type[Value]) -> Value | None:
    found = steps.get(name)
    return None if found is None else decode(kind, found.output)
