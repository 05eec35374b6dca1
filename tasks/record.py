"""Hand the day on: what the next decision remembers of this one, and what the day record keeps of it."""

from __future__ import annotations

from engine.accounting.jumps import trusted_marks
from engine.composition.day import DayDecisions, next_memory
from engine.composition.stages import DayInputs, PreviousDay, ValuedFund, day_marks
from tasks.day import CLOSED, VALUED, TradingDay
from tasks.day_record import record_close, record_decision
from tasks.portfolio_state import portfolio_export, write_portfolio_state
from tasks.step import step


@step("remember the decision")
def remember_decision(day: TradingDay, inputs: DayInputs, decisions: DayDecisions) -> None:
    """Keep the stages' memories, the valuation that tomorrow's bridge starts from, and the day record."""
    day.remember("day", next_memory(inputs, decisions))
    day.remember(VALUED, _valued(inputs, decisions.nav))
    day.world.records.save_configuration(day.world.configuration_text(), day.run_id)
    record_decision(day, inputs, decisions)


@step("remember the close")
def remember_close(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> None:
    """Keep the valuation that the next close's bridge starts from, the day record, and the exported state."""
    day.remember(CLOSED, _valued(inputs, fund))
    record_close(day, inputs)
    if day.trade_date == day.world.options.last:  # of many days in a row only the last is anybody's present
        write_portfolio_state(day.world.options.home, portfolio_export(day, inputs, fund))


def _valued(inputs: DayInputs, fund: ValuedFund) -> PreviousDay:
    """A valued fund without its entries; only held contracts keep their marks, as far as they can be trusted."""
    held = {name for name, position in inputs.portfolio.positions.items() if position.quantity != 0}
    marks = {name: mark for name, mark in day_marks(inputs).items() if name in held}
    return PreviousDay(
        valuation=fund.valuation,
        portfolio=inputs.portfolio,
        marks=trusted_marks(marks, fund.jumps, inputs.manual_marks),
        fx=inputs.market.fx,
        entries=(),
        net_liquidation=inputs.broker.net_liquidation,
    )
