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
from tasks.day import VALUED, TradingDay, valued_day
from tasks.step import step


@step("remember the decision")
def remember_decision(
    day: TradingDay,
    inputs: DayInputs,
    fund: ValuedFund,
    risk: RiskStep,
    targets: TargetStep,
    tail: TailStep,
    crisis: CrisisStep,
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
        ),
    )
    valued = PreviousDay(
        valuation=fund.valuation,
        portfolio=inputs.portfolio,
        marks=day_marks(inputs),
        fx=inputs.market.fx,
        entries=(),
    )
    day.remember(VALUED, valued_day(inputs, valued))
    day.world.records.save_configuration(day.world.configuration_text(), day.run_id)
