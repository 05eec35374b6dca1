"""Rows of how much risk the fund carries: risk and regime of the day, premium budget, screens, crisis episodes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from engine.composition.stages import CrisisStep, DayInputs, RiskStep
from engine.hedging.tail import TailHedgePlan
from engine.model.context import ControlState
from engine.model.encoding import encode
from engine.model.market import FundamentalRecord
from engine.model.money import ZERO
from engine.model.policy import RiskPolicy
from engine.sleeves.single_name import ScreenMemory, ScreenSnapshot
from state.decision_tables import SCREEN_SIDES
from state.record_values import Record, Tables

EPISODE_PREFIX = "crisis-"


def risk_rows(
    run_id: str,
    account: str,
    risk: RiskStep,
    policy: RiskPolicy,
    control: ControlState,
    regime_before: Sequence[Record],
) -> Tables:
    """Risk decision, risk state and regime of a date; ``regime_before`` is the last date's row of regime_state."""
    decision = risk.decision
    scope: Record = {"run_id": run_id, "account": account, "trade_date": decision.trade_date}
    regime = decision.regime.value
    same = [row for row in regime_before if row["regime"] == regime]
    return {
        "risk_decisions": [
            {
                "run_id": run_id,
                "regime": regime,
                "scale": decision.scaling_factor,
                "realized_volatility_annual": decision.volatility.annual,
                "target_volatility_annual": policy.volatility_target_annual,
                "drawdown_fraction": decision.drawdown,
                "payload": encode(decision),
            }
        ],
        "risk_state": [
            {
                **scope,
                "regime": regime,
                "control_state": control.value,
                "peak_unit_price": round(decision.peak_unit_price, 12),
                "payload": encode(risk.memory.closing),
            }
        ],
        "regime_state": [
            {
                **scope,
                "regime": regime,
                "days_in_regime": 1 + (int(str(same[0]["days_in_regime"])) if same else 0),
                "vix": decision.vix,
                "reason": _regime_words(risk),
            }
        ],
    }


def _regime_words(risk: RiskStep) -> str:
    """What the regime was judged by, and a change that waits for confirmation."""
    decision, memory = risk.decision, risk.memory.closing.regime
    vix = "VIX unknown" if decision.vix is None else f"VIX {decision.vix:.2f}"
    words = f"{vix}, drawdown {100 * -decision.drawdown:.2f} %"
    if decision.regime is not decision.previous_regime:
        words += f"; was {decision.previous_regime.value}"
    if memory.pending is not None:
        words += f"; {memory.pending.value} pending since {memory.pending_days} days"
    return words


def budget_rows(run_id: str, account: str, trade_date: date, plan: TailHedgePlan) -> Tables:
    """Premium of the calendar year in USD: its budget at today's NAV, and what is spent or planned of it."""
    return {
        "premium_budget": [
            {
                "run_id": run_id,
                "account": account,
                "year": trade_date.year,
                "budget": sum((line.annual for line in plan.budgets), ZERO),
                "spent": sum((line.spent_year + line.planned for line in plan.budgets), ZERO),
            }
        ]
    }


def screen_rows(run_id: str, inputs: DayInputs, screens: ScreenMemory) -> Tables:
    """Names of the screens that were made today, with the accounts that they were judged by (null: prices only)."""
    rows: list[Record] = []
    for side, snapshot in zip(SCREEN_SIDES, (screens.longs, screens.shorts), strict=True):
        if snapshot is not None and snapshot.screened_on == inputs.context.trade_date:
            rows += _leg_rows(run_id, inputs, side, snapshot)
    return {"screen_results": rows}


def _leg_rows(run_id: str, inputs: DayInputs, side: str, snapshot: ScreenSnapshot) -> list[Record]:
    scored = zip(snapshot.names, snapshot.scores, strict=True)
    return [
        {
            "run_id": run_id,
            "account": inputs.context.account,
            "as_of": snapshot.screened_on,
            "side": side,
            "rank": rank,
            "instrument_id": name,
            "score": score,
            "payload": encode(_accounts(name, inputs)),
        }
        for rank, (name, score) in enumerate(scored, start=1)
    ]


def _accounts(name: str, inputs: DayInputs) -> FundamentalRecord | None:
    """Newest accounts of a company that were filed by the date."""
    filed = [
        record
        for record in inputs.market.fundamentals
        if record.instrument_id == name and record.filed_on <= inputs.context.trade_date
    ]
    return max(filed, key=lambda record: (record.period_end, record.filed_on), default=None)


def episode_rows(run_id: str, account: str, crisis: CrisisStep, known: Sequence[Record]) -> Tables:
    """The episode that starts, goes on or ends today; ``known`` is its row as it was written before, if it was.

    The row stays with the run that started the episode; while it goes on, it has no end.
    """
    opening, closing = crisis.memory.opening.episode_id, crisis.memory.closing.episode_id
    episode_id = closing or opening
    trade_date = crisis.memory.trade_date
    if episode_id is None:
        return {"crisis_episodes": []}
    first: Record = {
        "account": account,
        "episode_id": episode_id,
        "started_on": date.fromisoformat(episode_id.removeprefix(EPISODE_PREFIX)),
        "trigger": "; ".join(crisis.plan.triggers) or "not recorded",
        "payload": encode(crisis.plan),
        "run_id": run_id,
    }
    kept = {name: known[0][name] for name in first} if known and not crisis.plan.starts else first
    return {"crisis_episodes": [{**kept, "ended_on": trade_date if closing is None else None}]}
