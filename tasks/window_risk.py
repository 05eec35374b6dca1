"""Judge the fund's risk again before a window when an index future moved far since the decision."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from engine.composition.stages import DayInputs, RiskStep
from engine.composition.window_risk import (
    WindowReading,
    WindowRisk,
    far_moves,
    fund_futures,
    judge_risk_again,
)
from engine.errors import InvariantError
from engine.execution.revalidation import UNCHANGED, WindowVerdict
from engine.model.context import RunKind
from engine.model.encoding import decode, digest, encode
from state.runs import run_identifier
from tasks.day import TradingDay, run_key

STEP_PREFIX = "window risk "
"""How the names of these records begin; the time of the look follows."""


def judge_window(day: TradingDay, inputs: DayInputs, at: datetime) -> WindowVerdict:
    """What the market leaves of the decision: recorded where risk was judged again, and never taken back that day."""
    verdict = _known(day)
    futures = {name for names in fund_futures(day.setup, inputs).values() for name in names}
    if not far_moves(day.setup, inputs, _reading(day, futures, at)):
        return verdict
    reading = _reading(day, futures | inputs.portfolio.positions.keys(), at)
    found = judge_risk_again(day.setup, inputs, decided_risk(day), reading)
    day.world.runs.record_step(
        day.run_id, f"{STEP_PREFIX}{reading.at:%H:%M:%S}", day.claim.attempt, digest(reading), encode(found)
    )
    for text in (found.verdict.blocked, found.verdict.text):
        if text:
            day.alert("CRITICAL", text)
    day.world.observer("risk", f"{reading.at:%H:%M} {found.regime.value}, scale {found.scaling_factor:.3g}")
    return verdict.with_later(found.verdict)


def _reading(day: TradingDay, names: Collection[str], at: datetime) -> WindowReading:
    quotes = {name: day.world.outside.quote(name, at) for name in sorted(names)}
    return WindowReading(at=at, quotes={name: quote for name, quote in quotes.items() if quote is not None})


def decided_risk(day: TradingDay) -> RiskStep:
    """What the decision of this date left of risk; raises `InvariantError` when there is none."""
    run_id = run_identifier(run_key(day.world, day.trade_date, RunKind.DECISION))
    found = day.world.runs.step(run_id, "risk")
    if found is None:
        raise InvariantError(f"expected the risk decision of {day.trade_date}, found none")
    return decode(RiskStep, found.output)


def _known(day: TradingDay) -> WindowVerdict:
    """What earlier attempts of this run found on this date."""
    verdict = UNCHANGED
    if day.claim.attempt == 1:
        return verdict
    for record in day.world.runs.steps(day.run_id):
        if record.step.startswith(STEP_PREFIX):
            verdict = verdict.with_later(decode(WindowRisk, record.output).verdict)
    return verdict
