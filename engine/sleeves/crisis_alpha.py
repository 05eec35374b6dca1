"""What may protection cost, and how much of it does that buy? Budgets are of NAV and never scaled by risk."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal

from engine.errors import DataError
from engine.model.money import round_lots
from engine.model.policy import TailHedgePolicy

SOVEREIGN_SPREAD = "sovereign_spread"
VOLATILITY_FUTURE = "volatility_future"
"""Category under which the volatility future's expected roll loss is counted."""


def annual_budgets(nav: Decimal, policy: TailHedgePolicy) -> Mapping[str, Decimal]:
    """USD a calendar year by category: NAV · annual fraction · split."""
    total = nav * policy.annual_premium_fraction
    return {category: total * share for category, share in sorted(policy.split.items())}


def affordable_contracts(budget_usd: Decimal, cost_usd: Decimal) -> Decimal:
    """Whole contracts within a budget; raises `DataError` unless each costs something."""
    if cost_usd <= 0:
        raise DataError(f"expected protection to cost something, found {cost_usd} USD a contract")
    return max(Decimal(0), (budget_usd / cost_usd).to_integral_value(rounding=ROUND_FLOOR))


def spread_contracts(budget: Decimal, policy: TailHedgePolicy) -> tuple[Decimal, Decimal]:
    """Contracts of the sovereign spread (long leg positive, short leg negative), DV01-neutral.

    ``budget`` is the loss at the stop in the spread's currency: n_long · DV01_long · stop_bps ≤ budget and
    n_short = n_long · DV01_long / DV01_short. (0, 0) when the budget pays for less than one contract.
    """
    loss_per_contract = policy.spread_long_dv01 * policy.spread_stop_move_bps
    long = affordable_contracts(budget, loss_per_contract)
    if long == 0:
        return Decimal(0), Decimal(0)
    short = round_lots(long * policy.spread_long_dv01 / policy.spread_short_dv01, Decimal(1))
    return long, -short


def volatility_contracts(budget_usd: Decimal, unit_value_usd: Decimal, policy: TailHedgePolicy) -> Decimal:
    """Contracts of the volatility future whose expected roll loss of a year is within a yearly budget."""
    return affordable_contracts(budget_usd, unit_value_usd * policy.volatility_future_roll_loss_annual)
