"""Options as protection: which is bought, and when is a held one closed? Premium comes from the budget."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import numpy as np

from engine.hedging.budget import PlannedPremium, TailRecord, spend
from engine.hedging.protection import TailInputs, protection_trade
from engine.model.encoding import significant
from engine.model.instruments import Contract, Instrument, OptionRight
from engine.model.market import OptionQuote, OptionRange
from engine.model.money import ZERO, round_money
from engine.model.orders import TradeProposal
from engine.model.policy import TailHedgePolicy
from engine.model.universe import Universe
from engine.sleeves.crisis_alpha import affordable_contracts

TAIL_GROUP = "tail"
ALERT = "ALERT "
"""Begins a note that a person has to hear: the budget allows protection and no market offers it (HEDGE-22)."""
CALL_CATEGORY = "vol_options"
"""Instrument category whose protection is a call; all others protect by puts."""


def reason_to_close(
    contract: Contract, delta: float | None, trade_date: date, policy: TailHedgePolicy
) -> str | None:
    """Why a held option is closed today, ``None`` when it is kept; ``delta`` is ``None`` without a quote."""
    if contract.last_trade_date is None:
        return None
    days = (contract.last_trade_date - trade_date).days
    business_days = int(np.busday_count(trade_date, contract.last_trade_date))
    if business_days <= policy.hard_close_business_days:
        return f"{business_days} business days to expiry"
    if days < policy.roll_days_to_expiry:
        return f"{days} days to expiry"
    if delta is not None and significant(abs(delta)) < policy.roll_delta_below:
        return f"delta {delta:+.3f} protects no more"
    return None


def close_options(
    inputs: TailInputs, policy: TailHedgePolicy, held: Mapping[str, Decimal], notes: list[str]
) -> list[TradeProposal]:
    """Close held options that are about to expire or protect no more; each is named in ``notes``."""
    quoted = {q.contract.contract_id: q for chain in inputs.option_chains.values() for q in chain}
    proposals = []
    for contract_id, quantity in held.items():
        if not inputs.prices.instrument(contract_id).is_option:
            continue
        quote = quoted.get(contract_id)
        contract = inputs.prices.contracts.contract(contract_id)
        why = reason_to_close(contract, None if quote is None else quote.delta, inputs.trade_date, policy)
        if why is not None:
            proposals.append(protection_trade(contract_id, -quantity, reduces=True))
            notes.append(f"{contract_id}: closed, {why}")
    return proposals


def option_right(instrument: Instrument) -> OptionRight:
    """The right with which an option line protects."""
    return OptionRight.CALL if instrument.category == CALL_CATEGORY else OptionRight.PUT


def option_ranges(policy: TailHedgePolicy, universe: Universe) -> Mapping[str, OptionRange]:
    """Options that may be bought as protection, by line: what a decision asks the market for."""
    return {
        name: OptionRange(right=option_right(universe[name]), first_day=first_day, last_day=last_day)
        for category, (first_day, last_day) in policy.days_to_expiry.items()
        for name in policy.candidates.get(category, ())
        if name in universe
    }


def choose_option(
    chain: tuple[OptionQuote, ...],
    category: str,
    right: OptionRight,
    trade_date: date,
    policy: TailHedgePolicy,
) -> OptionQuote | None:
    """The liquid option nearest to the middle of its category's ranges of days and delta, ties by contract id."""
    first_day, last_day = policy.days_to_expiry[category]
    low, high = policy.delta[category]
    ranked = []
    for quote in chain:
        expiry = quote.contract.last_trade_date
        if quote.contract.right is not right or expiry is None or not _is_liquid(quote, policy):
            continue
        days, delta = (expiry - trade_date).days, significant(abs(quote.delta))
        if not (first_day <= days <= last_day and low <= delta <= high):
            continue
        distance = abs(2 * days - first_day - last_day) / max(1, last_day - first_day)
        distance += abs(2 * delta - low - high) / max(1e-9, high - low)
        ranked.append((significant(distance), quote.contract.contract_id, quote))
    return min(ranked, key=lambda item: item[:2])[2] if ranked else None


def _is_liquid(quote: OptionQuote, policy: TailHedgePolicy) -> bool:
    if quote.bid is None or quote.ask is None or quote.bid <= 0 or quote.ask < quote.bid:
        return False
    spread, middle = quote.ask - quote.bid, (quote.ask + quote.bid) / 2
    return (
        quote.open_interest >= policy.minimum_open_interest
        and spread <= policy.maximum_spread_fraction * middle
    )


def buy_options(
    inputs: TailInputs,
    policy: TailHedgePolicy,
    held: Mapping[str, Decimal],
    available: Mapping[str, Decimal],
    record: TailRecord,
    notes: list[str],
) -> tuple[list[TradeProposal], TailRecord]:
    """Buy within each category's available premium; the record counts what is planned."""
    proposals = []
    for category, budget in available.items():
        candidates = policy.candidates.get(category, ())
        listed = [name for name in candidates if inputs.option_chains.get(name)]
        if budget <= 0 or not candidates:
            continue
        if not listed:
            if policy.volatility_future is None:  # else that future stands in for the missing chains
                notes.append(
                    f"{ALERT}{category}: no option in its range of days is listed on {', '.join(candidates)}"
                )
            continue
        plan = _choose_purchase(category, budget, listed, inputs, policy, held, notes)
        if plan is not None:
            proposals.append(protection_trade(plan.contract_id, plan.quantity, TAIL_GROUP))
            record = spend(record, plan)
    return proposals, record


def _choose_purchase(
    category: str,
    budget: Decimal,
    listed: list[str],
    inputs: TailInputs,
    policy: TailHedgePolicy,
    held: Mapping[str, Decimal],
    notes: list[str],
) -> PlannedPremium | None:
    """First candidate in order of preference of which the budget buys at least one contract."""
    cheapest: Decimal | None = None
    for name in listed:
        instrument = inputs.prices.contracts.universe[name]
        right = option_right(instrument)
        quote = choose_option(inputs.option_chains[name], category, right, inputs.trade_date, policy)
        if quote is None or quote.ask is None:
            continue
        cost = inputs.prices.fx.to_base(instrument.notional(Decimal(1), quote.ask), instrument.currency)
        count = affordable_contracts(budget, cost)
        cheapest = cost if cheapest is None else min(cheapest, cost)
        if count > 0:
            contract_id = quote.contract.contract_id
            return PlannedPremium(
                contract_id=contract_id,
                category=category,
                quantity=count,
                held_before=held.get(contract_id, ZERO),
                premium_usd=round_money(count * cost),
            )
    if cheapest is None:
        notes.append(f"{ALERT}{category}: no liquid option in range on {', '.join(listed)}")
    else:
        notes.append(f"{category}: {budget:,.0f} USD buy no contract yet, the cheapest costs {cheapest:,.0f}")
    return None
