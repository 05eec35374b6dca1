"""What every kind of protection needs: the facts of the day, what is held, and a proposal to change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.model.market import OptionQuote
from engine.model.money import ZERO
from engine.model.orders import Reason, TradeProposal
from engine.model.portfolio import Portfolio, Sleeve
from engine.risk.regime import RiskRegime
from engine.sleeves.sizing import PriceList


@dataclass(frozen=True, slots=True, kw_only=True)
class TailInputs:
    """Facts of one tail-hedge decision; ``nav`` in USD, chains by option instrument.

    ``sales`` is what options were sold for since the last decision, in USD by option instrument.
    """

    trade_date: date
    nav: Decimal
    regime: RiskRegime
    portfolio: Portfolio
    prices: PriceList
    option_chains: Mapping[str, tuple[OptionQuote, ...]]
    sales: Mapping[str, Decimal]


def protection_held(portfolio: Portfolio) -> dict[str, Decimal]:
    """Contracts of the crisis-alpha sleeve."""
    quantities = {
        name: position.sleeves.get(Sleeve.CRISIS_ALPHA, ZERO)
        for name, position in sorted(portfolio.positions.items())
    }
    return {name: quantity for name, quantity in quantities.items() if quantity != 0}


def protection_trade(
    contract_id: str, quantity: Decimal, group: str | None = None, *, reduces: bool = False
) -> TradeProposal:
    """Signed change of protection in the crisis-alpha sleeve."""
    return TradeProposal(
        sleeve=Sleeve.CRISIS_ALPHA.value,
        contract_id=contract_id,
        quantity=quantity,
        reason=Reason.HEDGE_TAIL,
        group=group,
        reduce_only=reduces,
    )
