"""Value the fund; old marks, impossible prices and an unexplained change of NAV stop the day."""

from __future__ import annotations

from engine.composition.stages import DayInputs, ValuedFund, value_fund
from engine.errors import HaltError
from engine.model.halts import HaltKind
from tasks.day import TradingDay
from tasks.step import step


@step("compute NAV")
def compute_nav(day: TradingDay, inputs: DayInputs) -> ValuedFund:
    """Value the book on its own ledger and explain the change since the last day."""
    fund = day.decide("nav", ValuedFund, lambda: value_fund(day.setup, inputs))
    peak = inputs.memory.risk.closing.peak_unit_price
    day.world.records.save_valuation(day.run_id, day.key.account, inputs.portfolio, fund.valuation, peak)
    if fund.bridge is not None and not fund.bridge.closes:
        raise HaltError(
            HaltKind.BRIDGE_RESIDUAL.value,
            f"NAV changed by {fund.bridge.residual:,.6f} USD that no posting and no price explains",
        )
    return fund


@step("judge marks")
def judge_marks(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> None:
    """Stop on marks that are too old, unless a person chose to go on without new risk."""
    if fund.marks.halt_kind is not None and not inputs.abandoned:
        raise HaltError(
            fund.marks.halt_kind.value,
            f"prices are too old: {fund.marks.text}; mark them, write them down, or abandon the day",
        )
