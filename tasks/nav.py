"""Value the fund; old marks, impossible prices and an unexplained change of NAV stop the day."""

from __future__ import annotations

from engine.accounting.bridge import RESIDUAL_LIMIT_USD, NavBridge
from engine.accounting.jumps import JumpVerdict
from engine.accounting.marks import MarkVerdict
from engine.composition.stages import DayInputs, ValuedFund, value_fund
from engine.errors import HaltError
from engine.model.halts import HaltKind
from engine.model.policy import MarkPolicy
from engine.model.universe import ContractBook
from tasks.day import TradingDay
from tasks.reporting_prices import gap_unit_told, unit_told
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


def doubtful_prices(
    fund: ValuedFund, policy: MarkPolicy, contracts: ContractBook, *, abandoned: bool
) -> HaltError | None:
    """The halt that doubtful marks ask for, ``None`` where the fund may trade on them, or on an abandoned day only reduce.

    A price in another unit gives the fund no value, on an abandoned day neither.
    """
    is_unit = fund.jumps.halt_kind is HaltKind.PRICE_UNIT
    if abandoned and not is_unit:
        return None
    if fund.marks.halt_kind is not None and not is_unit:
        return HaltError(fund.marks.halt_kind.value, marks_text(fund.marks, policy))
    if fund.jumps.halt_kind is not None:
        return HaltError(fund.jumps.halt_kind.value, jumps_text(fund.jumps, policy, contracts))
    return None


def residual_text(bridge: NavBridge) -> str:
    """What the bridge should have explained and did not."""
    return (
        f"expected postings and prices to explain the change of NAV to {RESIDUAL_LIMIT_USD} USD, found "
        f"{bridge.residual:+,.6f} USD that none of them explains"
    )


def marks_text(marks: MarkVerdict, policy: MarkPolicy) -> str:
    """What was expected of the prices and what was found, in one paragraph."""
    return (
        f"expected every held price at most {policy.flagged_sessions_max} sessions old, and at most "
        f"{marks.limit_usd:,.2f} USD ({policy.flagged_gross_fraction:.2%} of NAV) at old prices, found {marks.text}"
    )


def jumps_text(found: JumpVerdict, policy: MarkPolicy, contracts: ContractBook) -> str:
    """What was expected of the moves and what was found, in one paragraph."""
    moves = [
        f"{row.jump.contract_id} from {row.jump.previous:f} to {row.jump.price:f} ({row.jump.move:+.0%}"
        f"{unit_told(row.jump, contracts)})"
        for row in found.jumps
    ]
    moves += [
        f"{row.gap.contract_id} at {row.gap.ours:f} in our book and {row.gap.theirs:f} at the broker "
        f"({row.gap.gap:+.0%}{gap_unit_told(row, contracts)})"
        for row in found.gaps
    ]
    return (
        f"expected no held price to move by more than {policy.jump_quarantine_fraction:.0%} without a corporate "
        f"action, or such moves to change NAV by at most {found.limit_usd:,.2f} USD ({policy.jump_halt_fraction:.2%} "
        f"of NAV), found {found.effect_usd:,.2f} USD: {', '.join(moves)}"
    )
