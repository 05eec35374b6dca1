"""Which protection is bought, rolled or closed today? Options by budget, a sovereign spread, a volatility future.

Protection is paid from `engine.hedging.budget` and never scaled by risk. In CRISIS nothing is bought: taking
profits there is `engine.hedging.crisis`. Held options are closed before they lose their use or expire.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.hedging.budget import (
    TailMemory,
    available_today,
    credit_sales,
    is_new_month,
    open_month,
    settle_planned,
)
from engine.hedging.future_hedge import plan_spread, plan_volatility
from engine.hedging.option_hedge import ALERT, buy_options, close_options
from engine.hedging.protection import TailInputs, protection_held
from engine.model.money import ZERO, round_money
from engine.model.orders import TradeProposal
from engine.model.policy import TailHedgePolicy
from engine.risk.regime import RiskRegime
from engine.sleeves.crisis_alpha import annual_budgets


@dataclass(frozen=True, slots=True, kw_only=True)
class TailBudgetLine:
    """Premium of one category in USD: a year's budget, spent this year before today, available, planned today.

    ``proceeds`` is what sales of protection brought back this year; it is credited by itself and raises no budget.
    """

    category: str
    annual: Decimal
    spent_year: Decimal
    available: Decimal
    planned: Decimal
    proceeds: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TailHedgePlan:
    """Trades of the day's protection, the state of its budgets, and what was done or not done and why.

    ``alerts`` are those notes that a person has to hear: protection that the budget allows and no market offers.
    """

    proposals: tuple[TradeProposal, ...]
    budgets: tuple[TailBudgetLine, ...]
    notes: tuple[str, ...]

    @property
    def alerts(self) -> tuple[str, ...]:
        """Notes that must reach the people who watch, without their mark."""
        return tuple(note.removeprefix(ALERT) for note in self.notes if note.startswith(ALERT))


def plan_tail_hedges(
    inputs: TailInputs, policy: TailHedgePolicy, memory: TailMemory
) -> tuple[TailHedgePlan, TailMemory]:
    """Decide the day's protection."""
    opening = memory.record_for(inputs.trade_date)
    held = protection_held(inputs.portfolio)
    new_month = is_new_month(opening, inputs.trade_date)
    record = open_month(settle_planned(opening, held), inputs.trade_date, inputs.nav, policy)
    record = credit_sales(record, inputs.sales, policy)
    spent_before = dict(record.spent_year)
    available = available_today(record, inputs.nav, inputs.regime, policy)
    notes: list[str] = []
    proposals = close_options(inputs, policy, held, notes)
    bought, record = buy_options(inputs, policy, held, available, record, notes)
    spread, record = plan_spread(inputs, policy, held, record, new_month, notes)
    volatility, record = plan_volatility(inputs, policy, held, record, new_month, notes)
    budgets = tuple(
        TailBudgetLine(
            category=category,
            annual=round_money(annual),
            spent_year=spent_before.get(category, ZERO),
            available=available[category],
            planned=sum((plan.premium_usd for plan in record.planned if plan.category == category), ZERO),
            proceeds=record.proceeds_year.get(category, ZERO),
        )
        for category, annual in annual_budgets(inputs.nav, policy).items()
    )
    proposals = [*proposals, *bought, *spread, *volatility]
    if not held and not proposals and (reasons := _why_empty(inputs, policy)):
        notes.append(f"crisis_alpha is empty: {'; '.join(reasons)}")
    plan = TailHedgePlan(proposals=tuple(proposals), budgets=budgets, notes=tuple(notes))
    return plan, TailMemory(trade_date=inputs.trade_date, opening=opening, closing=record)


def _why_empty(inputs: TailInputs, policy: TailHedgePolicy) -> list[str]:
    """What keeps each kind of protection away; whatever it is, the other notes tell what was tried."""
    reasons = ["nothing is bought in CRISIS"] if inputs.regime is RiskRegime.CRISIS else []
    if not any(inputs.option_chains.get(name) for names in policy.candidates.values() for name in names):
        reasons.append("no option chain is recorded")
        reasons += ["no volatility future stands in for one"] if policy.volatility_future is None else []
    legs = (policy.spread_long, policy.spread_short)
    if None in legs:
        reasons.append("no sovereign spread is configured for this date")
    unpriced = [
        name
        for name in (*legs, policy.volatility_future)
        if name is not None and inputs.prices.contract_id(name) is None
    ]
    return [*reasons, *(f"{name} has no contract with a price" for name in unpriced)]
