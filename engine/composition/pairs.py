"""The leg of a pair that stands alone because the other one has ended: it is closed, for a pair has two sides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from engine.model.orders import Reason, TradeProposal
from engine.model.portfolio import Portfolio, Sleeve

PAIRED_SLEEVES = (Sleeve.CORE, Sleeve.SECTOR)


def lone_legs(
    portfolio: Portfolio,
    kept: Collection[str],
    closed: Collection[str],
    rolled: Mapping[str, str],
) -> tuple[TradeProposal, ...]:
    """Proposals that close what a paired sleeve holds on one side only while it can not be built.

    ``kept`` are sleeves that keep their book for lack of data, ``closed`` contracts that end without a successor,
    ``rolled`` the successors of the others that are due. A leg whose price is missing is still held, so a pair
    with a gap of some days stays whole; a sleeve that can be built is left to its targets.
    """
    proposals: list[TradeProposal] = []
    for sleeve in PAIRED_SLEEVES:
        if sleeve.value not in kept:
            continue
        held = _held(portfolio, sleeve, closed)
        if len({quantity > 0 for quantity in held.values()}) != 1:
            continue
        proposals += [
            TradeProposal(
                sleeve=sleeve.value,
                contract_id=rolled.get(contract_id, contract_id),
                quantity=-quantity,
                reason=Reason.ROLL,
                group=None,
                reduce_only=contract_id not in rolled,
            )
            for contract_id, quantity in held.items()
        ]
    return tuple(proposals)


def _held(portfolio: Portfolio, sleeve: Sleeve, closed: Collection[str]) -> dict[str, Decimal]:
    quantities = {
        contract_id: position.sleeves.get(sleeve, Decimal(0))
        for contract_id, position in sorted(portfolio.positions.items())
        if contract_id not in closed
    }
    return {contract_id: quantity for contract_id, quantity in quantities.items() if quantity != 0}
