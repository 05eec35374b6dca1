"""What the sleeves hold now, and how far that is from what they want."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.errors import UnknownContract
from engine.model.encoding import significant
from engine.model.money import ZERO
from engine.model.orders import TargetBook
from engine.model.policy import SleevePolicy
from engine.model.portfolio import Portfolio, Sleeve
from engine.sleeves.credit_carry import credit_lines
from engine.sleeves.funding import is_funded
from engine.sleeves.relative_value import core_pair, sector_basket
from engine.sleeves.sizing import PriceList

Holdings = Mapping[Sleeve, Mapping[str, Decimal]]
"""Signed quantity by sleeve and instrument."""


def listed_instruments(prices: PriceList) -> frozenset[str]:
    """Instruments with a priced contract."""
    return frozenset(name for name in prices.contracts.universe.ids if prices.contract_id(name) is not None)


def holdings_by_sleeve(portfolio: Portfolio, prices: PriceList) -> Holdings:
    """Signed quantity by sleeve and instrument; the expiries of a future count together."""
    result: dict[Sleeve, dict[str, Decimal]] = {}
    for contract_id, position in sorted(portfolio.positions.items()):
        instrument_id = prices.instrument(contract_id).instrument_id
        for sleeve, quantity in position.sleeves.items():
            if quantity != 0:
                part = result.setdefault(sleeve, {})
                part[instrument_id] = part.get(instrument_id, ZERO) + quantity
    return result


def structural_weights(policy: SleevePolicy, listed: frozenset[str]) -> Mapping[str, float]:
    """Weights at scale 1 that follow from the configuration alone: what ex-ante risk judges before a first book."""
    weights: dict[str, float] = {}
    for wish in (core_pair(policy, listed), sector_basket(policy, listed), credit_lines(policy, listed)):
        for line in wish.lines:
            weights[line.instrument_id] = weights.get(line.instrument_id, 0.0) + line.weight
    return weights


def weights_at_scale_one(book: TargetBook, scaling_factor: float, core_scale: float) -> Mapping[str, float]:
    """Weights of a target book by instrument, with the scales that made it taken out (0 scale: left out)."""
    weights: dict[str, float] = {}
    for line in book.lines:
        scale = core_scale if line.sleeve == Sleeve.CORE.value else scaling_factor
        if scale > 0.0:
            weights[line.instrument_id] = weights.get(line.instrument_id, 0.0) + line.weight / scale
    return weights


def sleeve_drift(
    wanted: Mapping[str, Decimal],
    current: Mapping[str, Decimal],
    prices: PriceList,
    nav: Decimal,
    sleeve_weight: float,
) -> float:
    """½·Σ|Δw| / sleeve weight, over all instruments wanted or held."""
    moved = ZERO
    for name in {*wanted, *current}:
        change = wanted.get(name, ZERO) - current.get(name, ZERO)
        contract = prices.contract_id(name)
        if change != 0 and contract is not None:
            moved += abs(change) * prices.unit_value_usd(contract)
    return significant(float(moved / nav) / 2.0 / sleeve_weight) if sleeve_weight > 0.0 else 0.0


def held_contract(portfolio: Portfolio, prices: PriceList, instrument_id: str) -> str:
    """Contract that is held of an instrument; raises `UnknownContract` when none is."""
    for contract_id in sorted(portfolio.positions):
        if prices.instrument(contract_id).instrument_id == instrument_id:
            return contract_id
    raise UnknownContract(f"expected a held contract of {instrument_id}, found none in the portfolio")


def exposures(
    sleeves: tuple[Sleeve, ...], holdings: Holdings, prices: PriceList, nav: Decimal
) -> list[float]:
    """Signed exposures of sleeves' holdings as fractions of NAV, without options, whose delta the valuation knows."""
    result = []
    for sleeve in sleeves:
        for name, quantity in holdings.get(sleeve, {}).items():
            contract = prices.contract_id(name)
            if contract is not None and not prices.instrument(contract).is_option:
                result.append(float(quantity * prices.unit_value_usd(contract) / nav))
    return result


def funded_longs(sleeves: tuple[Sleeve, ...], holdings: Holdings, prices: PriceList, nav: Decimal) -> float:
    """Value of what sleeves hold long and paid in full, as a fraction of NAV."""
    total = 0.0
    for sleeve in sleeves:
        for name, quantity in holdings.get(sleeve, {}).items():
            contract = prices.contract_id(name)
            if contract is not None and quantity > 0 and is_funded(prices.instrument(contract)):
                total += float(quantity * prices.unit_value_usd(contract) / nav)
    return total
