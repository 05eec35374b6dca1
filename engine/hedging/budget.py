"""What may still be paid for protection? Monthly allowances with a capped carry-over under a hard yearly cap.

Premium is counted when it is planned; what turns out not to have been bought is given back at the next decision.
All amounts are USD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from engine.errors import InvariantError
from engine.model.money import ZERO, round_money
from engine.model.policy import TailHedgePolicy
from engine.risk.regime import RiskRegime
from engine.sleeves.crisis_alpha import annual_budgets

MONTHS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPremium:
    """A purchase that was asked for: its premium, and what was held before."""

    contract_id: str
    category: str
    quantity: Decimal
    held_before: Decimal
    premium_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadRecord:
    """Sovereign spread after a decision: wanted contracts (long, short leg), contracts held and their marks.

    ``result_usd`` is the year's result; ``stopped`` says that it lost the leg's budget.
    """

    size: tuple[Decimal, Decimal] = (ZERO, ZERO)
    held: Mapping[str, Decimal] = field(default_factory=dict)
    marks: Mapping[str, Decimal] = field(default_factory=dict)
    result_usd: Decimal = ZERO
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TailRecord:
    """Premium accounts after a decision date.

    ``carried`` is unspent allowance of earlier months, ``spent_month``/``spent_year`` premium since their start,
    by category. ``proceeds_year`` is what sales of protection brought back since January: an account of its own that
    raises no budget, for the yearly cap on premium is hard (R-29). ``volatility_contracts`` of the volatility future are wanted since it was sized ``sized_for`` a regime.
    """

    month: date | None = None
    carried: Mapping[str, Decimal] = field(default_factory=dict)
    spent_month: Mapping[str, Decimal] = field(default_factory=dict)
    spent_year: Mapping[str, Decimal] = field(default_factory=dict)
    proceeds_year: Mapping[str, Decimal] = field(default_factory=dict)
    planned: tuple[PlannedPremium, ...] = ()
    spread: SpreadRecord = field(default_factory=SpreadRecord)
    sized_for: RiskRegime | None = None
    volatility_contracts: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class TailMemory:
    """Records before and after the last decision date, so that deciding a date again spends once."""

    trade_date: date | None = None
    opening: TailRecord = field(default_factory=TailRecord)
    closing: TailRecord = field(default_factory=TailRecord)

    def record_for(self, trade_date: date) -> TailRecord:
        """Record to start a date from; raises `InvariantError` for a date before the last one decided."""
        if self.trade_date is None or trade_date > self.trade_date:
            return self.closing
        if trade_date == self.trade_date:
            return self.opening
        raise InvariantError(f"hedges were decided for {self.trade_date}; {trade_date} lies before it")


def is_new_month(record: TailRecord, trade_date: date) -> bool:
    """Whether this is the first decision of its calendar month."""
    return record.month != trade_date.replace(day=1)


def settle_planned(record: TailRecord, held: Mapping[str, Decimal]) -> TailRecord:
    """Give back the premium of purchases that the holdings do not show."""
    month, year = dict(record.spent_month), dict(record.spent_year)
    for plan in record.planned:
        bought = min(plan.quantity, max(ZERO, held.get(plan.contract_id, ZERO) - plan.held_before))
        refund = round_money(plan.premium_usd * (plan.quantity - bought) / plan.quantity)
        month[plan.category] = max(ZERO, month.get(plan.category, ZERO) - refund)
        year[plan.category] = max(ZERO, year.get(plan.category, ZERO) - refund)
    return replace(record, spent_month=month, spent_year=year, planned=())


def open_month(record: TailRecord, trade_date: date, nav: Decimal, policy: TailHedgePolicy) -> TailRecord:
    """Start a new month, and with January a new year; nothing happens within a month.

    The allowance that earlier months left is carried, up to ``monthly_carry_over_months`` allowances.
    """
    month = trade_date.replace(day=1)
    if record.month == month:
        return record
    if record.month is None or record.month.year != month.year:
        spread = replace(record.spread, result_usd=ZERO, stopped=False)
        return replace(
            record, month=month, carried={}, spent_month={}, spent_year={}, proceeds_year={}, spread=spread
        )
    elapsed = month.month - record.month.month
    carried = {}
    for category, annual in annual_budgets(nav, policy).items():
        allowance = annual / MONTHS
        left = (
            record.carried.get(category, ZERO) + allowance * elapsed - record.spent_month.get(category, ZERO)
        )
        carried[category] = round_money(max(ZERO, min(left, allowance * policy.monthly_carry_over_months)))
    return replace(record, month=month, carried=carried, spent_month={})


def available_today(
    record: TailRecord, nav: Decimal, regime: RiskRegime, policy: TailHedgePolicy
) -> Mapping[str, Decimal]:
    """Premium that may be planned now by category: nothing in CRISIS, a raised allowance in ELEVATED.

    ``carried + allowance · multiplier − spent this month``, and never more than the year has left.
    """
    available = {}
    for category, annual in annual_budgets(nav, policy).items():
        allowance = annual / MONTHS
        if regime is RiskRegime.ELEVATED:
            allowance *= policy.elevated_multiplier
        left = record.carried.get(category, ZERO) + allowance - record.spent_month.get(category, ZERO)
        year_left = annual - record.spent_year.get(category, ZERO)
        amount = ZERO if regime is RiskRegime.CRISIS else max(ZERO, min(left, year_left))
        available[category] = round_money(amount)
    return available


def credit_sales(record: TailRecord, sales: Mapping[str, Decimal], policy: TailHedgePolicy) -> TailRecord:
    """Count what sales brought, USD by option instrument, to the category that bought it."""
    proceeds = dict(record.proceeds_year)
    for category, candidates in sorted(policy.candidates.items()):
        brought = sum((sales.get(name, ZERO) for name in candidates), ZERO)
        if brought != 0:
            proceeds[category] = proceeds.get(category, ZERO) + brought
    return replace(record, proceeds_year=proceeds)


def spend(record: TailRecord, plan: PlannedPremium) -> TailRecord:
    """Count a planned purchase."""
    month, year = dict(record.spent_month), dict(record.spent_year)
    month[plan.category] = month.get(plan.category, ZERO) + plan.premium_usd
    year[plan.category] = year.get(plan.category, ZERO) + plan.premium_usd
    return replace(record, spent_month=month, spent_year=year, planned=(*record.planned, plan))
