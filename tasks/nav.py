"""Value the fund; old marks, impossible prices and an unexplained change of NAV stop the day."""

from __future__ import annotations

from engine.accounting.bridge import RESIDUAL_LIMIT_USD, NavBridge
from engine.composition.stages import DayInputs, ValuedFund, value_fund
from engine.errors import HaltError
from engine.model.halts import HaltKind
from tasks.day import TradingDay
from tasks.doubtful import doubtful_prices
from tasks.step import step
from tasks.uncharged import flag_estimate


@step("compute NAV")
def compute_nav(day: TradingDay, inputs: DayInputs) -> ValuedFund:
    """Value the book on its own ledger and explain the change since the last day."""
    fund = day.decide("nav", ValuedFund, lambda: value_fund(day.setup, inputs))
    peak = inputs.memory.risk.closing.peak_unit_price
    day.world.records.save_valuation(day.run_id, day.key.account, inputs.portfolio, fund.valuation, peak)
    flag_estimate(day, inputs)
    if fund.bridge is not None and not fund.bridge.closes:
        raise HaltError(
            HaltKind.BRIDGE_RESIDUAL.value,
            residual_text(fund.bridge),
        )
    return fund


@step("judge marks")
def judge_marks(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> None:
    """Stop on marks in another unit, and on old or jumped ones unless a person chose to go on without new risk."""
    doubt = doubtful_prices(fund, day.policy.marks, day.world.contracts, abandoned=inputs.abandoned)
    if doubt is not None:
        raise doubt


@step("judge closing marks")
def judge_closing_marks(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> None:
    """Stop on closing marks in another unit: they give no official NAV. Of others that are doubtful the report tells."""
    doubt = doubtful_prices(fund, day.policy.marks, day.world.contracts, abandoned=True)
    if doubt is not None:
        raise doubt


def residual_text(bridge: NavBridge) -> str:
    """What the bridge should have explained and did not."""
    return (
        f"expected postings and prices to explain the change of NAV to {RESIDUAL_LIMIT_USD} USD, found "
        f"{bridge.residual:+,.6f} USD that none of them explains"
    )
