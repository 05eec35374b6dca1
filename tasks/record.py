"""Hand the day on: what the next decision remembers of this one."""

from __future__ import annotations

from engine.composition.stages import (
    CrisisStep,
    DayInputs,
    DayMemory,
    PreviousDay,
    RiskStep,
    TailStep,
    TargetStep,
    ValuedFund,
    day_marks,
)
from engine.composition.trading import TradeListDecision
from tasks.day import CLOSED, VALUED, TradingDay
from tasks.step import step


@step("remember the decision")
def remember_decision(  # noqa: PLR0913, PLR0917  every stage has its memory
    day: TradingDay,
    inputs: DayInputs,
    fund: ValuedFund,
    risk: RiskStep,
    targets: TargetStep,
    tail: TailStep,
    crisis: CrisisStep,
    trades: TradeListDecision,
) -> None:
    """Keep the stages' memories and the valuation that tomorrow's bridge starts from."""
    day.remember(
        "day",
        DayMemory(
            risk=risk.memory,
            targets=targets.memory,
            tail=tail.memory,
            crisis=crisis.memory,
            weights=targets.weights or inputs.memory.weights,
            gate=trades.memory,
        ),
    )
    day.remember(VALUED, _valued(inputs, fund))
    day.world.records.save_configuration(day.world.configuration_text(), day.run_id)


@step("remember the close")
def remember_close(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> None:
    """Keep the valuation that the next close's bridge starts from."""
    day.remember(CLOSED, _valued(inputs, fund))


def _valued(inputs: DayInputs, fund: ValuedFund) -> PreviousDay:
    """A valued fund without its entries; only held contracts keep their marks."""
    held = {name for name, position in inputs.portfolio.positions.items() if position.quantity != 0}
    return PreviousDay(
        valuation=fund.valuation,
        portfolio=inputs.portfolio,
        marks={name: mark for name, mark in day_marks(inputs).items() if name in held},
        fx=inputs.market.fx,
        entries=(),
    )
