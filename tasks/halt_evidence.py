"""The facts behind a halt, as rows: what this attempt found before it stopped.

Every kind of halt has its own witness in the journal: the comparison with the broker, the valuation, the verdict on
the exchange rates. A price that is no number was never recorded, so its row says what was known of it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

from engine.accounting.fx_rates import FxFinding, FxState, FxVerdict, rate_against_base
from engine.accounting.jumps import HeldGap, HeldJump
from engine.accounting.marks import StaleMark
from engine.accounting.reconciliation import ReconciliationReport
from engine.composition.stages import DayInputs, PreviousDay, TargetStep, ValuedFund, day_marks, value_fund
from engine.errors import DataError, HaltError, UnknownContract
from engine.model.context import RunKind
from engine.model.encoding import decode, significant
from engine.model.halts import ALLOWED_CHOICES, HaltKind
from engine.model.market import BASE_CURRENCY, Mark
from engine.model.money import round_money
from engine.model.policy import FxPolicy, MarkPolicy
from engine.model.portfolio import Valuation
from engine.model.universe import ContractBook
from engine.report import NOT_COMPARED, BreakRow, PriceFact
from tasks.adapters.expectations import QualityFinding
from tasks.asked_evidence import asked_rows
from tasks.day import CLOSED, INPUTS, VALUED, TradingDay
from tasks.reporting_prices import gap_unit_told, unit_told
from tasks.residual_evidence import residual_evidence
from tasks.tables import check_inputs, check_targets

Value = TypeVar("Value")


def halt_evidence(day: TradingDay, halt: HaltError) -> tuple[BreakRow, ...]:
    """Rows behind a halt of this attempt, the gravest first; none where its message is all there is to say."""
    kind = HaltKind(halt.kind)
    if kind is HaltKind.NAN_PRICE:
        return (impossible_price_row(halt.subject, _last_valued(day), day.world.contracts),)
    if halt.subject:
        return (impossible_figure_row(kind, halt.subject),)
    inputs = _recorded_inputs(day)
    if kind in (HaltKind.STALE_FX, HaltKind.FX_JUMP, HaltKind.FX_DIFFERENCE):
        verdict = _decided(day, "fx", FxVerdict)
        if verdict is not None and inputs is not None:
            return rate_rows(verdict, inputs, _valuation(day, inputs), day.policy.fx)
    if kind is HaltKind.DATA_QUALITY:
        return quality_rows(_broken_expectations(day, inputs))
    fund = _decided(day, "nav", ValuedFund)
    if kind is HaltKind.STALE_MARK and fund is not None and inputs is not None:
        return stale_mark_rows(fund, inputs, day.world.contracts, day.policy.marks)
    if kind in (HaltKind.PRICE_JUMP, HaltKind.PRICE_UNIT) and fund is not None and inputs is not None:
        return jump_rows(fund, inputs, day.world.contracts, day.policy.marks)
    if kind is HaltKind.BRIDGE_RESIDUAL and fund is not None and inputs is not None:
        return residual_evidence(day, inputs, fund)
    if kind is HaltKind.DRAWDOWN and fund is not None:
        return flatten_rows(fund.valuation, day.world.contracts)
    report = _decided(day, "reconcile", ReconciliationReport)
    return () if report is None else asked_rows(day, report)


def stale_mark_rows(
    fund: ValuedFund, inputs: DayInputs, contracts: ContractBook, policy: MarkPolicy
) -> tuple[BreakRow, ...]:
    """One row per held contract whose price is old: the oldest first, then the largest."""
    marks = day_marks(inputs)
    exposures = {line.contract_id: line.exposure_usd for line in fund.valuation.lines}
    ordered = sorted(
        fund.marks.stale, key=lambda row: (-row.age_sessions, -row.exposure_usd, row.contract_id)
    )
    return tuple(
        BreakRow(
            kind=HaltKind.STALE_MARK.value,
            subject=row.contract_id,
            ours=_sessions(row.age_sessions),
            broker=NOT_COMPARED,
            difference_usd=None,
            explanation=_stale_explanation(row, fund, policy),
            proposed_choice=ALLOWED_CHOICES[HaltKind.STALE_MARK][0].value,
            price=PriceFact(
                age=float(row.age_sessions),
                age_unit="sessions",
                limit=_stale_limit(fund, policy),
                last_price=marks[row.contract_id].price,
                unit=contracts.instrument(row.contract_id).price_unit,
                last_date=marks[row.contract_id].session_date,
                exposure_usd=exposures[row.contract_id],
                nav_fraction=_share(row.exposure_usd, fund.valuation.nav),
            ),
        )
        for row in ordered
    )


def _stale_limit(fund: ValuedFund, policy: MarkPolicy) -> str:
    return (
        f"{policy.flagged_sessions_max} sessions, and {fund.marks.limit_usd:,.2f} USD "
        f"({policy.flagged_gross_fraction:.2%} of NAV) at old prices together"
    )


def _stale_explanation(row: StaleMark, fund: ValuedFund, policy: MarkPolicy) -> str:
    if row.age_sessions > policy.flagged_sessions_max:
        return (
            f"its venue held {_sessions(row.age_sessions)} without a price of it, allowed are "
            f"{policy.flagged_sessions_max}"
        )
    if fund.valuation.flagged_gross > fund.marks.limit_usd:
        return (
            f"young enough by itself, but {fund.marks.flagged_usd:,.2f} USD stand at old prices together, "
            f"allowed are {fund.marks.limit_usd:,.2f} USD"
        )
    return "old, but within the limits: it is frozen, not a reason to stop"


def jump_rows(
    fund: ValuedFund, inputs: DayInputs, contracts: ContractBook, policy: MarkPolicy
) -> tuple[BreakRow, ...]:
    """One row per held contract whose price jumped or is far from the broker's, the largest effect first of each."""
    former = {} if inputs.previous is None else inputs.previous.marks
    jumped = tuple(_jump_row(found, fund, former, contracts, policy) for found in fund.jumps.jumps)
    return (*jumped, *(_gap_row(found, fund, contracts, policy) for found in fund.jumps.gaps))


def _jump_row(
    found: HeldJump,
    fund: ValuedFund,
    former: Mapping[str, Mark],
    contracts: ContractBook,
    policy: MarkPolicy,
) -> BreakRow:
    jump = found.jump
    name, instrument = jump.contract_id, contracts.instrument(jump.contract_id)
    allowed = policy.jump_fraction(instrument.collar_class)
    return BreakRow(
        kind=_jump_kind(fund).value,
        subject=name,
        ours=f"{jump.price:f} {instrument.price_unit} ({jump.move:+.2%})",
        broker=NOT_COMPARED,
        difference_usd=found.effect_usd,
        explanation=(
            f"its price of {jump.session_date} is {jump.move:+.2%} from the one before, without a "
            f"corporate action; its class may move by {allowed:.0%}{unit_told(jump, contracts)}"
        ),
        proposed_choice=ALLOWED_CHOICES[_jump_kind(fund)][0].value,
        price=PriceFact(
            age=None,
            age_unit="",
            limit=_jump_limit(allowed, fund),
            last_price=jump.previous,
            unit=instrument.price_unit,
            last_date=former[name].session_date if name in former else None,
            exposure_usd=found.exposure_usd,
            nav_fraction=_share(found.exposure_usd, fund.valuation.nav),
        ),
    )


def _gap_row(found: HeldGap, fund: ValuedFund, contracts: ContractBook, policy: MarkPolicy) -> BreakRow:
    gap = found.gap
    instrument = contracts.instrument(gap.contract_id)
    allowed = policy.jump_fraction(instrument.collar_class)
    return BreakRow(
        kind=_jump_kind(fund).value,
        subject=gap.contract_id,
        ours=f"{gap.ours:f} {instrument.price_unit}",
        broker=f"{gap.theirs:f} {instrument.price_unit} ({gap.gap:+.2%})",
        difference_usd=found.effect_usd,
        explanation=(
            f"the broker prices it {gap.gap:+.2%} from our last close; its class may move by {allowed:.0%}"
            f"{gap_unit_told(found, contracts)}"
        ),
        proposed_choice=ALLOWED_CHOICES[_jump_kind(fund)][0].value,
        price=PriceFact(
            age=None,
            age_unit="",
            limit=_jump_limit(allowed, fund),
            last_price=gap.ours,
            unit=instrument.price_unit,
            last_date=None,
            exposure_usd=found.exposure_usd,
            nav_fraction=_share(found.exposure_usd, fund.valuation.nav),
        ),
    )


def _jump_kind(fund: ValuedFund) -> HaltKind:
    return fund.jumps.halt_kind or HaltKind.PRICE_JUMP


def _jump_limit(allowed: Decimal, fund: ValuedFund) -> str:
    return f"{allowed:.0%} a move, and {fund.jumps.limit_usd:,.2f} USD of NAV for all jumps together"


def rate_rows(
    verdict: FxVerdict, inputs: DayInputs, valuation: Valuation | None, policy: FxPolicy
) -> tuple[BreakRow, ...]:
    """One row per currency whose rate can not be used. ``valuation`` is absent where a rate is missing."""
    return tuple(
        _rate_row(found, inputs, valuation, policy)
        for found in verdict.findings
        if found.state is FxState.INVALID
    )


def _rate_row(found: FxFinding, inputs: DayInputs, valuation: Valuation | None, policy: FxPolicy) -> BreakRow:
    rate = rate_against_base(inputs.market.fx, found.currency)
    worth = None if valuation is None else valuation.currency_values.get(found.currency, Decimal(0))
    exposure = None
    if valuation is not None and worth is not None and rate is not None:
        exposure = round_money(inputs.market.fx.to_base(worth, found.currency))
    age = None if found.age_hours is None else significant(round(found.age_hours, 4))
    if age is not None:
        seen = f"{age:.1f} market hours old"
    else:
        differs = found.kind is HaltKind.FX_DIFFERENCE
        verb = "differs from its cross rate by" if differs else "moved"
        seen = "no rate" if found.move is None else f"{verb} {found.move:+.2%}"
    return BreakRow(
        kind=found.kind.value,
        subject=f"{found.currency}/{BASE_CURRENCY}",
        ours=seen,
        broker=NOT_COMPARED,
        difference_usd=None,
        explanation=f"what hangs on it is the net value held in {found.currency}",
        proposed_choice=ALLOWED_CHOICES[found.kind][0].value,
        price=PriceFact(
            age=age,
            age_unit="" if age is None else "market hours",
            limit=_rate_limit(found.kind, policy),
            last_price=None if rate is None else inputs.market.fx.get_rate(found.currency, BASE_CURRENCY),
            unit=f"{BASE_CURRENCY} per {found.currency}",
            last_date=None if rate is None else rate.observed_at.date(),
            exposure_usd=exposure,
            nav_fraction=None if exposure is None or valuation is None else _share(exposure, valuation.nav),
        ),
    )


def _rate_limit(kind: HaltKind, policy: FxPolicy) -> str:
    if kind is HaltKind.STALE_FX:
        return f"{policy.stale_invalid_hours:g} market hours"
    if kind is HaltKind.FX_DIFFERENCE:
        return f"a difference of {policy.triangle_tolerance_fraction:.2%}"
    return f"a move of {policy.jump_reject_fraction:.2%}"


def impossible_price_row(contract_id: str, previous: PreviousDay | None, contracts: ContractBook) -> BreakRow:
    """What was last known of a contract whose price is no number now."""
    known = None if previous is None else previous.marks.get(contract_id)
    exposure = None if previous is None else _exposure(previous.valuation, contract_id)
    return BreakRow(
        kind=HaltKind.NAN_PRICE.value,
        subject=contract_id or "not named",
        ours="not a number",
        broker=NOT_COMPARED,
        difference_usd=None,
        explanation="the source gave a price that is not a number; exposure and NAV are those of the last valuation",
        proposed_choice=ALLOWED_CHOICES[HaltKind.NAN_PRICE][0].value,
        price=PriceFact(
            age=None,
            age_unit="",
            limit="every price is a finite number",
            last_price=None if known is None else known.price,
            unit=_price_unit(contract_id, contracts),
            last_date=None if known is None else known.session_date,
            exposure_usd=exposure,
            nav_fraction=None
            if exposure is None or previous is None
            else _share(exposure, previous.valuation.nav),
        ),
    )


def impossible_figure_row(kind: HaltKind, place: str) -> BreakRow:
    """The place of a figure that is missing or no number; there is nothing to set beside it."""
    return BreakRow(
        kind=kind.value,
        subject=place,
        ours="not a number",
        broker=NOT_COMPARED,
        difference_usd=None,
        explanation="a figure is missing or is no number; nothing is assumed in its place",
        proposed_choice=ALLOWED_CHOICES[kind][0].value,
    )


def flatten_rows(valuation: Valuation, contracts: ContractBook) -> tuple[BreakRow, ...]:
    """What flattening would close, the largest exposure first."""
    held = [line for line in valuation.lines if line.quantity != 0]
    return tuple(
        BreakRow(
            kind=HaltKind.DRAWDOWN.value,
            subject=line.contract_id,
            ours=f"{line.quantity:+,f} {contracts.instrument(line.contract_id).quantity_unit}",
            broker=NOT_COMPARED,
            difference_usd=None,
            explanation=(
                f"to flatten, {'sell' if line.quantity > 0 else 'buy'} {abs(line.quantity):,f}: "
                f"{-line.exposure_usd:+,.2f} USD of exposure; currency hedges follow what is left"
            ),
            proposed_choice=ALLOWED_CHOICES[HaltKind.DRAWDOWN][0].value,
        )
        for line in sorted(held, key=lambda line: (-abs(line.exposure_usd), line.contract_id))
    )


def quality_rows(findings: Sequence[QualityFinding]) -> tuple[BreakRow, ...]:
    """One row per expectation that the data broke."""
    return tuple(
        BreakRow(
            kind=HaltKind.DATA_QUALITY.value,
            subject=f"{found.suite}, {found.column}",
            ours=", ".join(found.found) or "no example",
            broker=NOT_COMPARED,
            difference_usd=None,
            explanation=f"expected {found.expectation}",
            proposed_choice=ALLOWED_CHOICES[HaltKind.DATA_QUALITY][0].value,
        )
        for found in findings
    )


# ---------------------------------------------------------------- what the journal holds


def _broken_expectations(day: TradingDay, inputs: DayInputs | None) -> Sequence[QualityFinding]:
    """What the gate found, asked again: of the inputs, else of the targets."""
    findings = () if inputs is None else check_inputs(inputs.market, day.world.universe)
    targets = _decided(day, "targets", TargetStep)
    return findings if findings or targets is None else check_targets(targets.book)


def _decided(day: TradingDay, step: str, kind: type[Value]) -> Value | None:
    """What this attempt decided in a step, ``None`` where it did not come so far."""
    found = day.world.runs.step(day.run_id, step)
    if found is None or found.attempt != day.claim.attempt:
        return None
    return decode(kind, found.output)


def _last_valued(day: TradingDay) -> PreviousDay | None:
    """The fund as it was valued last: at a close, or at a decision if that is later."""
    before = day.trade_date if day.key.kind is RunKind.DECISION else day.trade_date + timedelta(days=1)
    payloads = [day.world.runs.memory(day.key.account, name, before) for name in (VALUED, CLOSED)]
    valued = [decode(PreviousDay, payload) for payload in payloads if payload is not None]
    return max(valued, key=lambda known: known.valuation.as_of, default=None)


def _recorded_inputs(day: TradingDay) -> DayInputs | None:
    recorded = day.world.runs.inputs(day.run_id).get(INPUTS)
    return None if recorded is None else day.world.recorded(DayInputs, recorded.payload)


def _valuation(day: TradingDay, inputs: DayInputs) -> Valuation | None:
    """The fund at the rates in question; ``None`` where one of them is missing."""
    try:
        return value_fund(day.setup, inputs).valuation
    except DataError:
        return None


def _exposure(valuation: Valuation, contract_id: str) -> Decimal | None:
    return next((line.exposure_usd for line in valuation.lines if line.contract_id == contract_id), None)


def _price_unit(contract_id: str, contracts: ContractBook) -> str:
    try:
        return contracts.instrument(contract_id).price_unit
    except UnknownContract:
        return "quote units"


def _share(exposure: Decimal, nav: Decimal) -> float | None:
    return significant(float(abs(exposure) / nav)) if nav > 0 else None


def _sessions(count: int) -> str:
    return f"{count} session" if count == 1 else f"{count} sessions"
