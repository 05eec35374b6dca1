"""Futures as protection: the sovereign spread, and the volatility future where no options are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from engine.hedging.budget import SpreadRecord, TailRecord
from engine.hedging.protection import TailInputs, protection_trade
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO, round_money
from engine.model.orders import TradeProposal
from engine.model.policy import TailHedgePolicy
from engine.risk.regime import RiskRegime
from engine.sleeves.crisis_alpha import (
    SOVEREIGN_SPREAD,
    VOLATILITY_FUTURE,
    affordable_contracts,
    annual_budgets,
    spread_contracts,
    volatility_contracts,
)

SPREAD_GROUP = "sovereign_spread"
VOLATILITY_CATEGORY = "volatility"
YEAR_DAYS = 252
MONTH_DAYS = 23
"""Most sessions from one monthly sizing to the next."""


def plan_spread(
    inputs: TailInputs,
    policy: TailHedgePolicy,
    held: Mapping[str, Decimal],
    record: TailRecord,
    new_month: bool,
    notes: list[str],
) -> tuple[list[TradeProposal], TailRecord]:
    """Hold the DV01-neutral spread at its loss budget; close it at the stop or when a leg is not listed.

    Its size is set when it opens and with each new month, never in CRISIS; until then what was not filled is
    asked for again, so that no leg stays alone.
    """
    mine = _spread_holdings(inputs, policy, held)
    budget = annual_budgets(inputs.nav, policy).get(SOVEREIGN_SPREAD, ZERO)
    spread = _mark_spread(record.spread, mine, inputs)
    if not spread.stopped and budget > 0 and -spread.result_usd >= budget:
        spread = replace(spread, stopped=True)
        notes.append(f"sovereign spread: lost its budget of {budget:,.0f} USD, closed until next year")
    long_id = _priced(policy.spread_long, inputs)
    short_id = _priced(policy.spread_short, inputs)
    if spread.stopped or long_id is None or short_id is None:
        record = replace(record, spread=replace(spread, size=(ZERO, ZERO)))
        return _close_all(mine, inputs, SPREAD_GROUP), record
    is_open = spread.size != (ZERO, ZERO)
    if inputs.regime is not RiskRegime.CRISIS and (new_month or not is_open):
        currency = inputs.prices.instrument(long_id).currency
        local = inputs.prices.fx.convert(budget, BASE_CURRENCY, currency)
        spread = replace(spread, size=spread_contracts(local, policy))
    changes = dict(zip((long_id, short_id), spread.size, strict=True))
    for name, quantity in _by_front(mine, inputs).items():
        changes[name] = changes.get(name, ZERO) - quantity
    proposals = [
        protection_trade(name, change, SPREAD_GROUP) for name, change in changes.items() if change != 0
    ]
    return proposals, replace(record, spread=spread)


def _priced(instrument_id: str | None, inputs: TailInputs) -> str | None:
    return None if instrument_id is None else inputs.prices.contract_id(instrument_id)


def _spread_holdings(
    inputs: TailInputs, policy: TailHedgePolicy, held: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Futures of the sleeve other than the volatility future: whatever the legs are called today."""
    mine = {}
    for name, quantity in held.items():
        instrument = inputs.prices.instrument(name)
        if instrument.is_future and not _is_volatility(name, inputs, policy):
            mine[name] = quantity
    return mine


def _by_front(mine: Mapping[str, Decimal], inputs: TailInputs) -> dict[str, Decimal]:
    """Holdings by the contract that stands for them today.

    A contract that is due counts as its successor, for the roll plan moves it; one without a successor is left
    to the roll plan.
    """
    result: dict[str, Decimal] = {}
    for name, quantity in mine.items():
        front = inputs.prices.contract_id(inputs.prices.instrument(name).instrument_id)
        if front is not None:
            result[front] = result.get(front, ZERO) + quantity
    return result


def _close_all(mine: Mapping[str, Decimal], inputs: TailInputs, group: str | None) -> list[TradeProposal]:
    return [
        protection_trade(name, -quantity, group, reduces=True)
        for name, quantity in _by_front(mine, inputs).items()
    ]


def _mark_spread(spread: SpreadRecord, mine: Mapping[str, Decimal], inputs: TailInputs) -> SpreadRecord:
    """Add the result since the last decision, of what was held then, to the year's."""
    result = spread.result_usd
    for name, quantity in spread.held.items():
        mark = inputs.prices.marks.get(name)
        if mark is None or name not in spread.marks:
            continue
        instrument = inputs.prices.instrument(name)
        gain = instrument.notional(quantity, mark.price - spread.marks[name])
        result += inputs.prices.fx.to_base(gain, instrument.currency)
    marks = {name: inputs.prices.marks[name].price for name in mine if name in inputs.prices.marks}
    return replace(spread, held=dict(mine), marks=marks, result_usd=round_money(result))


def _is_volatility(contract_id: str, inputs: TailInputs, policy: TailHedgePolicy) -> bool:
    instrument = inputs.prices.instrument(contract_id)
    return instrument.is_future and (
        instrument.instrument_id == policy.volatility_future or instrument.category == VOLATILITY_CATEGORY
    )


def plan_volatility(
    inputs: TailInputs,
    policy: TailHedgePolicy,
    held: Mapping[str, Decimal],
    record: TailRecord,
    new_month: bool,
    notes: list[str],
) -> tuple[list[TradeProposal], TailRecord]:
    """Hold the volatility future for the categories that have no option chain.

    It is resized once a month and when the regime changes, not with its price: a rising future would otherwise
    be sold into the rise. It has no premium: its expected roll loss takes the premium's place and is counted day by
    day. ELEVATED spends faster, never more: what the year has left bounds every size, and when a day's loss no longer
    fits, the future is closed until January. CRISIS sells nothing for that: there the curve seldom rises.
    """
    mine = {name: quantity for name, quantity in held.items() if _is_volatility(name, inputs, policy)}
    name = policy.volatility_future
    if name is None:
        return _close_all(mine, inputs, None), record
    contract = inputs.prices.contract_id(name)
    if contract is None:
        notes.append(f"{name}: no contract with a price, the volatility future is kept as it is")
        return [], record
    count = sum(mine.values(), ZERO)
    unit = inputs.prices.unit_value_usd(contract)
    spent = record.spent_year.get(VOLATILITY_FUTURE, ZERO)
    spent += round_money(count * unit * policy.volatility_future_roll_loss_annual / YEAR_DAYS)
    record = replace(record, spent_year={**record.spent_year, VOLATILITY_FUTURE: spent})
    if inputs.regime is RiskRegime.CRISIS:
        return [], replace(record, sized_for=RiskRegime.CRISIS)
    left = _volatility_budget(record, inputs, policy) - spent
    day_loss = unit * policy.volatility_future_roll_loss_annual / YEAR_DAYS
    if new_month or record.sized_for is not inputs.regime:
        target = _volatility_target(unit, left, inputs, policy)
        record = replace(record, sized_for=inputs.regime, volatility_contracts=target)
        notes.append(
            f"{name}: {target} contracts, expected to lose {100 * policy.volatility_future_roll_loss_annual:.0f} % of"
            f" {target * unit:,.0f} USD a year to the roll; {max(ZERO, left):,.0f} USD are left of this year's budget"
        )
    elif record.volatility_contracts * day_loss > left:
        record = replace(record, volatility_contracts=ZERO)
        notes.append(f"{name}: this year's budget is spent, the volatility future is closed until January")
    change = record.volatility_contracts - count
    return [protection_trade(contract, change)] if change != 0 else [], record


def _volatility_budget(record: TailRecord, inputs: TailInputs, policy: TailHedgePolicy) -> Decimal:
    """USD of this year for the categories without a chain, less the premium that was paid while they had one."""
    uncovered = _without_chain(inputs, policy)
    return sum(
        (budget - record.spent_year.get(category, ZERO) for category, budget in uncovered.items()), ZERO
    )


def _volatility_target(
    unit_value_usd: Decimal, left: Decimal, inputs: TailInputs, policy: TailHedgePolicy
) -> Decimal:
    """Contracts whose roll loss of a year is the budget, in ELEVATED a multiple; of a month, what the year has left."""
    budget = sum(_without_chain(inputs, policy).values(), ZERO)
    if inputs.regime is RiskRegime.ELEVATED:
        budget *= policy.elevated_multiplier
    month_loss = unit_value_usd * policy.volatility_future_roll_loss_annual * MONTH_DAYS / YEAR_DAYS
    return min(
        volatility_contracts(budget, unit_value_usd, policy),
        affordable_contracts(max(ZERO, left), month_loss),
    )


def _without_chain(inputs: TailInputs, policy: TailHedgePolicy) -> dict[str, Decimal]:
    """Yearly budgets of the categories that the volatility future stands in for."""
    return {
        category: budget
        for category, budget in annual_budgets(inputs.nav, policy).items()
        if category != SOVEREIGN_SPREAD
        and not any(inputs.option_chains.get(option) for option in policy.candidates.get(category, ()))
    }
