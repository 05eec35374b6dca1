"""What has two sides keeps them: a leg left alone is closed, and longs are not opened without their shorts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal

from engine.execution.caps import resized
from engine.execution.netting import DroppedTrade, PriceBook
from engine.model.money import ZERO
from engine.model.orders import Reason, Trade, TradeProposal
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


def even_openings(
    workable: Sequence[Trade], waiting: Sequence[Trade], prices: PriceBook, lots: Mapping[str, Decimal]
) -> tuple[tuple[Trade, ...], tuple[DroppedTrade, ...]]:
    """Open the longs of the single names only as far as their shorts, and the other way round.

    Where a venue is closed, part of one side waits: the other side opens the same fraction of what it wants, in
    whole lots (``lots``, by instrument). Reductions and all other trades stay as they are.
    """
    able, late = (_opening_usd(trades, prices) for trades in (workable, waiting))
    if not any(late.values()):
        return tuple(workable), ()
    fractions = {
        side: able[side] / (able[side] + late[side]) if able[side] + late[side] else Decimal(1)
        for side in able
    }
    least = min(fractions.values())
    kept: list[Trade] = []
    dropped: list[DroppedTrade] = []
    for trade in workable:
        own = fractions[trade.quantity > 0]
        quantity = trade.quantity
        if _opens_single_name(trade) and own > least:
            lot = lots[trade.instrument_id]
            quantity = (trade.quantity * least / own / lot).to_integral_value(rounding=ROUND_DOWN) * lot
        if quantity != 0:
            kept.append(resized(trade, quantity))
        if quantity != trade.quantity:
            why = "venue closed: opened only as far as the other side of its sleeve"
            dropped.append(
                DroppedTrade(contract_id=trade.contract_id, quantity=trade.quantity - quantity, reason=why)
            )
    return tuple(kept), tuple(dropped)


def _opens_single_name(trade: Trade) -> bool:
    alone = set(trade.sleeves) == {Sleeve.SINGLE_NAME.value}
    return alone and trade.reason is Reason.REBALANCE and not trade.reduce_only


def _opening_usd(trades: Sequence[Trade], prices: PriceBook) -> dict[bool, Decimal]:
    """USD of single names that are opened, by side: ``True`` is long."""
    sums = {True: ZERO, False: ZERO}
    for trade in trades:
        if _opens_single_name(trade):
            sums[trade.quantity > 0] += abs(prices.notional_usd(trade.contract_id, trade.quantity))
    return sums
