"""The way out: close every position, when a person chooses it after the drawdown reached its last limit.

Currency hedges are left to the hedge plan, which sees what is left to hedge once the positions are gone.
"""

from __future__ import annotations

from collections.abc import Collection

from engine.model.orders import Reason, TradeProposal
from engine.model.portfolio import Portfolio
from engine.model.universe import ContractBook


def flatten_proposals(
    portfolio: Portfolio, contracts: ContractBook, currency_hedges: Collection[str]
) -> tuple[TradeProposal, ...]:
    """One closing trade per sleeve and contract held; ``currency_hedges`` are instruments that stay."""
    return tuple(
        TradeProposal(
            sleeve=sleeve.value,
            contract_id=contract_id,
            quantity=-quantity,
            reason=Reason.DERISK,
            group=None,
            reduce_only=True,
        )
        for contract_id, position in sorted(portfolio.positions.items())
        if contracts.instrument(contract_id).instrument_id not in currency_hedges
        for sleeve, quantity in position.sleeves.items()
        if quantity != 0
    )
