"""Prices and rates that a decision did not trust, as rows and sentences of the report."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from engine.accounting.fx_rates import FxVerdict
from engine.accounting.jumps import HeldGap, HeldJump, PriceJump
from engine.accounting.marks import StaleMark
from engine.composition.stages import ValuedFund
from engine.model.money import ZERO
from engine.model.universe import ContractBook
from engine.report import FlaggedPrice, PriceFlag

REDUCE = "it may only be reduced"


def flagged_prices(fund: ValuedFund | None, contracts: ContractBook) -> tuple[FlaggedPrice, ...]:
    """Every price that a valuation did not trust: those that change NAV most, then the oldest, then what is not held."""
    return () if fund is None else tuple(_flagged(fund, contracts))


def _flagged(fund: ValuedFund, contracts: ContractBook) -> Iterator[FlaggedPrice]:
    exposures = {line.contract_id: line.exposure_usd for line in fund.valuation.lines}
    for jump in fund.jumps.jumps:
        yield _jumped(jump, contracts)
    for gap in fund.jumps.gaps:
        yield _far(gap, contracts)
    for stale in sorted(fund.marks.stale, key=lambda row: (-row.age_sessions, row.contract_id)):
        yield _old(stale, exposures[stale.contract_id])
    for watched in fund.jumps.watched:
        yield _watched(watched, contracts)


def _jumped(found: HeldJump, contracts: ContractBook) -> FlaggedPrice:
    jump = found.jump
    return FlaggedPrice(
        contract_id=jump.contract_id,
        flag=PriceFlag.JUMPED,
        price=jump.price,
        session_date=jump.session_date,
        age_sessions=0,
        reference=jump.previous,
        exposure_usd=found.exposure_usd,
        effect_usd=found.effect_usd,
        told=(
            f"{jump.contract_id}: its price moved by {jump.move:+.0%} without a corporate action "
            f"({found.effect_usd:+,.0f} USD of NAV){unit_told(jump, contracts)}; {REDUCE}"
        ),
    )


def _watched(jump: PriceJump, contracts: ContractBook) -> FlaggedPrice:
    return FlaggedPrice(
        contract_id=jump.contract_id,
        flag=PriceFlag.JUMPED,
        price=jump.price,
        session_date=jump.session_date,
        age_sessions=0,
        reference=jump.previous,
        exposure_usd=ZERO,
        effect_usd=ZERO,
        told=(
            f"{jump.contract_id}: its price moved by {jump.move:+.0%} without a corporate action"
            f"{unit_told(jump, contracts)}; it is not held, and nothing is opened on it today"
        ),
    )


def _far(found: HeldGap, contracts: ContractBook) -> FlaggedPrice:
    gap = found.gap
    unit = gap_unit_told(found, contracts)
    return FlaggedPrice(
        contract_id=gap.contract_id,
        flag=PriceFlag.FAR_FROM_BROKER,
        price=gap.ours,
        session_date=None,
        age_sessions=0,
        reference=gap.theirs,
        exposure_usd=found.exposure_usd,
        effect_usd=found.effect_usd,
        told=(
            f"{gap.contract_id}: the broker's price of {gap.theirs:f} is {gap.gap:+.0%} from ours of {gap.ours:f}, "
            f"which would change NAV by {found.effect_usd:+,.0f} USD{unit}; {REDUCE}"
        ),
    )


def _old(found: StaleMark, exposure_usd: Decimal) -> FlaggedPrice:
    sessions = "session" if found.age_sessions == 1 else "sessions"
    return FlaggedPrice(
        contract_id=found.contract_id,
        flag=PriceFlag.OLD,
        price=found.price,
        session_date=found.session_date,
        age_sessions=found.age_sessions,
        reference=None,
        exposure_usd=exposure_usd,
        effect_usd=None,
        told=(
            f"{found.contract_id}: its price is that of {found.session_date}, {found.age_sessions} {sessions} old; "
            f"{REDUCE}"
        ),
    )


def unit_told(jump: PriceJump, contracts: ContractBook) -> str:
    """What unit a jump looks like, as the rest of a sentence; nothing where none explains it."""
    if jump.unit is None:
        return ""
    return f"; its two prices are {jump.unit.told(contracts.instrument(jump.contract_id))}"


def gap_unit_told(found: HeldGap, contracts: ContractBook) -> str:
    """The same of a price at the broker."""
    if found.gap.unit is None:
        return ""
    return f"; the two prices are {found.gap.unit.told(contracts.instrument(found.gap.contract_id))}"


def price_notes(flagged: tuple[FlaggedPrice, ...]) -> tuple[str, ...]:
    """Prices that moved too far, in sentences; that a held one is old stands beside its position."""
    return tuple(row.told for row in flagged if row.flag is not PriceFlag.OLD)


def rate_notes(verdict: FxVerdict | None) -> tuple[str, ...]:
    """Exchange rates that moved far, are old, or contradict one another, in sentences."""
    return () if verdict is None else tuple(found.text for found in verdict.findings)
