"""Whether the prices of a valuation are to be believed, and in which words they are not."""

from __future__ import annotations

from engine.accounting.jumps import JumpVerdict
from engine.accounting.marks import MarkVerdict
from engine.composition.stages import ValuedFund
from engine.errors import HaltError
from engine.model.halts import HaltKind
from engine.model.policy import MarkPolicy
from engine.model.universe import ContractBook
from tasks.reporting_prices import gap_unit_told, unit_told


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
