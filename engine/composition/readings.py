"""Single figures that stages read off the day's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.accounting.bridge import NavBridge
from engine.accounting.jumps import JumpVerdict, jump_verdict, paid_prices, price_jumps, strange_jumps
from engine.accounting.ledger import POSITION_PREFIX, EntryKind, LedgerEntry
from engine.accounting.tripwires import price_gaps
from engine.carry.corporate_actions import CorporateActionsService
from engine.carry.financing import CarryBook, FinancingService
from engine.model.encoding import significant
from engine.model.market import FxRates, Mark, MarketInputs
from engine.model.money import ZERO, round_money
from engine.model.policy import FundPolicy, FxPolicy, MarkPolicy
from engine.model.portfolio import BrokerPosition, LineValue, Sleeve, Valuation
from engine.model.universe import ContractBook, Universe

VIX_ROWS = 3
SCALED_SLEEVES = (Sleeve.CORE, Sleeve.SECTOR, Sleeve.SINGLE_NAME, Sleeve.CREDIT)
"""Sleeves whose notionals the risk decision scales (R-27)."""


def strategy_return(bridge: NavBridge | None) -> float | None:
    """Return of the sleeves that risk scales, since the last decision, as a fraction of its NAV."""
    if bridge is None:
        return None
    gains = bridge.by_sleeve
    earned = sum((gains.get(sleeve, ZERO) for sleeve in SCALED_SLEEVES), ZERO)
    return significant(float(earned / bridge.opening_nav))


def latest_vix(market: MarketInputs) -> float | None:
    """Last official close of the VIX; ``None`` when the last three weekdays brought none.

    A US holiday publishes nothing and Friday's close still stands; a longer silence is missing data.
    """
    recent = market.history.vix[-VIX_ROWS:]
    published = recent[np.isfinite(recent)]
    return float(published[-1]) if len(published) else None


def future_rates(policy: FxPolicy, market: MarketInputs) -> Mapping[str, Decimal]:
    """Currency futures as the second source of a jump, by currency (R-116)."""
    rates = {}
    for currency, (micro, full) in policy.hedge_contracts.items():
        for name in (full, micro):
            chain = market.chains.get(name, ()) if name is not None else ()
            priced = [c.contract_id for c in chain if c.contract_id in market.marks]
            if priced:
                rates[currency] = market.marks[priced[0]].price
                break
    return rates


def option_exposures(valuation: Valuation, universe: Universe) -> tuple[float, ...]:
    """Signed delta exposure of every option held, as fractions of NAV."""
    return tuple(float(line.exposure_usd / valuation.nav) for line in _options(valuation, universe))


def option_value(valuation: Valuation, universe: Universe) -> float:
    """What the options held are worth together, as a fraction of NAV."""
    worth = sum((line.value_usd for line in _options(valuation, universe)), ZERO)
    return float(worth / valuation.nav)


def _options(valuation: Valuation, universe: Universe) -> list[LineValue]:
    return [line for line in valuation.lines if line.quantity != 0 and universe[line.instrument_id].is_option]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerPrices:
    """What the last valued day left to compare with: its marks, and what was booked since."""

    marks: Mapping[str, Mark]
    entries: Sequence[LedgerEntry]


def judge_jumps(
    marks: Mapping[str, Mark],
    former: FormerPrices,
    broker: Mapping[str, BrokerPosition],
    market: MarketInputs,
    valuation: Valuation,
    contracts: ContractBook,
    policy: MarkPolicy,
) -> JumpVerdict:
    """Which prices can not be trusted, and whether that stops the day; ``marks`` are those that nobody confirmed.

    Held ones are compared with the last valued day, or with what was paid since, and with the broker's; of the others
    the last daily return is looked at.
    """
    jumps = price_jumps(marks, former.marks, market.splits, contracts, policy, paid_prices(former.entries))
    held = {line.contract_id: line.instrument_id for line in valuation.lines if line.quantity != 0}
    return jump_verdict(
        jumps,
        price_gaps(marks, broker, contracts, policy),
        strange_jumps(marks, market.history, held, contracts, policy),
        valuation,
        market.fx,
        contracts,
        policy,
    )


def protection_sales(
    entries: Sequence[LedgerEntry], contracts: ContractBook, fx: FxRates
) -> Mapping[str, Decimal]:
    """What options of the protection were sold for since the last decision, in USD by option line."""
    sales: dict[str, Decimal] = {}
    account = POSITION_PREFIX + Sleeve.CRISIS_ALPHA.value
    for entry in entries:
        if entry.kind is not EntryKind.TRADE or entry.contract_id is None or entry.price is None:
            continue
        instrument = contracts.instrument(entry.contract_id)
        sold = -sum((line.amount for line in entry.lines if line.account == account), ZERO)
        # Purchases are the budget's; the reversal of a sale takes its proceeds back.
        if not instrument.is_option or sold * (-1 if entry.is_reversal else 1) <= 0:
            continue
        worth = fx.to_base(instrument.notional(sold, entry.price), instrument.currency)
        sales[instrument.instrument_id] = sales.get(instrument.instrument_id, ZERO) + round_money(worth)
    return sales


def corporate_actions(market: MarketInputs, policy: FundPolicy) -> CorporateActionsService:
    """Dividends as the day knows them."""
    return CorporateActionsService(
        day=market.trade_date,
        announced=market.dividends,
        infos=market.dividend_infos,
        config=policy.carry.dividends,
    )


def carry_book(market: MarketInputs, universe: Universe, policy: FundPolicy) -> CarryBook:
    """The lines whose carry is part of their purpose, what they pay, and what their cash costs."""
    return CarryBook(
        names=tuple(policy.sleeves.credit_weights),
        universe=universe,
        shares=corporate_actions(market, policy),
        financing=FinancingService(config=policy.carry.financing),
    )
