"""What should the fund hold? All sleeves at today's scale, inside the limits, in whole lots.

In come prices, the portfolio and the risk decision's scales; out goes one target book. A sleeve without data is
``held``: it keeps its book. A sleeve that drifted less than its band keeps its quantities, which stay listed.
Crisis alpha is planned by `engine.hedging.tail` and counts here as exposure that the limits must leave alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

import numpy as np

from engine.carry.borrow import BorrowService
from engine.model.encoding import significant
from engine.model.instruments import CollarClass, floor_lots
from engine.model.market import FundamentalRecord, MarketHistory
from engine.model.money import ZERO, decimal_from_float, round_money
from engine.model.orders import TargetBook, TargetLine
from engine.model.policy import RiskPolicy, SleevePolicy
from engine.model.portfolio import Portfolio, Sleeve
from engine.risk.limits import limit_weights
from engine.sleeves.borrow import route_short
from engine.sleeves.credit_carry import credit_lines
from engine.sleeves.funding import FundedLeg, is_funded, limit_funding
from engine.sleeves.holdings import (
    Holdings,
    exposures,
    funded_longs,
    held_contract,
    holdings_by_sleeve,
    listed_instruments,
    sleeve_drift,
)
from engine.sleeves.relative_value import core_pair, sector_basket
from engine.sleeves.screener import ScreenInputs
from engine.sleeves.single_name import ScreenMemory, single_names
from engine.sleeves.sizing import PriceList, SleeveWish, WantedLine
from engine.sleeves.untold import sleeve_names, without_untold

UNSCALED_SLEEVES = (Sleeve.CRISIS_ALPHA, Sleeve.UNASSIGNED)
"""Exposure that is not scaled by risk but counts in the limits; the FX hedge and cash do neither (R-27)."""
FLOOR_PASSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInputs:
    """Facts of one target decision.

    ``nav`` in USD. ``scaling_factor``/``core_scale`` come from the risk decision. ``prices`` name the contract to
    hold of each future. ``expected_carry_annual`` is the carry net of financing per instrument (fraction a year).
    ``option_exposures`` are held options' signed delta exposures, one a contract, and ``option_value`` what they are
    worth, all as fractions of NAV: the limits count protection as the valuation does, so puts add to gross and lower
    net. ``untold`` names instruments of whose
    closes a broker told nothing, and why.
    """

    trade_date: date
    nav: Decimal
    portfolio: Portfolio
    prices: PriceList
    history: MarketHistory
    fundamentals: tuple[FundamentalRecord, ...]
    borrow: BorrowService
    scaling_factor: float
    core_scale: float
    expected_carry_annual: Mapping[str, float]
    option_exposures: tuple[float, ...]
    option_value: float
    untold: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetMemory:
    """What the next decision needs: the screens."""

    screens: ScreenMemory = field(default_factory=ScreenMemory)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sized:
    """Lines of one sleeve in quantities by instrument, with the weight wanted before rounding."""

    quantities: dict[str, Decimal]
    weights: dict[str, float]
    groups: dict[str, str | None]


def decide_targets(
    inputs: TargetInputs, policy: SleevePolicy, limits: RiskPolicy, memory: TargetMemory
) -> tuple[TargetBook, TargetMemory]:
    """Decide the target book of all risk sleeves."""
    holdings = holdings_by_sleeve(inputs.portfolio, inputs.prices)
    listed = listed_instruments(inputs.prices)
    wishes, screens = _wishes(inputs, policy, memory, holdings, listed)
    wishes = without_untold(wishes, sleeve_names(policy, holdings, listed), inputs.untold)
    scaled = _scaled_weights(wishes, inputs, holdings, policy, limits)
    lines: list[TargetLine] = []
    notes: list[str] = [note for wish in wishes.values() for note in wish.notes]
    held: dict[str, str] = {}
    for sleeve, wish in wishes.items():
        current = holdings.get(sleeve, {})
        if wish.gap is not None:
            held[sleeve.value] = wish.gap
            lines += _current_lines(sleeve, current, inputs)
            continue
        sized = _sized(wish, scaled[sleeve], current, inputs, policy, notes)
        drift = sleeve_drift(
            sized.quantities, current, inputs.prices, inputs.nav, policy.weights[sleeve.value]
        )
        if drift < policy.sleeve_drift_fraction and current:
            notes.append(
                f"{sleeve.value}: drift {100 * drift:.2f} % of the sleeve is inside its band; nothing is traded"
            )
            lines += _current_lines(sleeve, current, inputs)
            continue
        lines += _target_lines(sleeve, sized, inputs)
    lines = _floor_to_limits(lines, inputs, holdings, policy, limits)
    book = TargetBook(lines=tuple(lines), held=held, notes=tuple(notes))
    return book, TargetMemory(screens=screens)


def _wishes(
    inputs: TargetInputs,
    policy: SleevePolicy,
    memory: TargetMemory,
    holdings: Holdings,
    listed: frozenset[str],
) -> tuple[dict[Sleeve, SleeveWish], ScreenMemory]:
    held = holdings.get(Sleeve.SINGLE_NAME, {})
    universe = inputs.prices.contracts.universe
    longs = tuple(name for name in policy.single_long_universe if name in listed)
    shorts = tuple(
        name
        for name in policy.single_short_universe
        if name in listed and (held.get(name, ZERO) < 0 or _can_short(name, inputs, policy))
    )
    single, screens = single_names(
        _screen_inputs(inputs, longs),
        _screen_inputs(inputs, shorts),
        _held_names(held, listed),
        listed,
        universe,
        policy,
        memory.screens,
    )
    wishes = {
        Sleeve.CORE: core_pair(policy, listed),
        Sleeve.SECTOR: sector_basket(policy, listed),
        Sleeve.SINGLE_NAME: single,
        Sleeve.CREDIT: credit_lines(policy, listed),
    }
    return wishes, screens


def _screen_inputs(inputs: TargetInputs, candidates: tuple[str, ...]) -> ScreenInputs:
    return ScreenInputs(
        trade_date=inputs.trade_date,
        candidates=candidates,
        history=inputs.history,
        fundamentals=inputs.fundamentals,
    )


def _held_names(
    held: Mapping[str, Decimal], listed: frozenset[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    longs = tuple(sorted(name for name, quantity in held.items() if quantity > 0 and name in listed))
    shorts = tuple(sorted(name for name, quantity in held.items() if quantity < 0 and name in listed))
    return longs, shorts


def _can_short(name: str, inputs: TargetInputs, policy: SleevePolicy) -> bool:
    instrument = inputs.prices.contracts.universe[name]
    borrow = inputs.borrow
    if not borrow.needs_locate(instrument):
        return True
    proxy = policy.short_proxies.get(name)
    has_proxy = proxy is not None and inputs.prices.contract_id(proxy) is not None
    return has_proxy or borrow.shares_to_borrow(instrument) > 0


def _scaled_weights(
    wishes: Mapping[Sleeve, SleeveWish],
    inputs: TargetInputs,
    holdings: Holdings,
    policy: SleevePolicy,
    limits: RiskPolicy,
) -> dict[Sleeve, list[float]]:
    """Weights at today's scale inside the limits, per sleeve in the order of its wish."""
    legs = [
        FundedLeg(
            sleeve=sleeve.value,
            weight=_scaled(line, sleeve, inputs, policy),
            is_funded=is_funded(inputs.prices.contracts.universe[line.instrument_id]),
        )
        for sleeve, wish in wishes.items()
        for line in wish.lines
    ]
    kept = tuple(sleeve for sleeve, wish in wishes.items() if wish.gap is not None)
    limited = iter(_limited(legs, (*kept, *UNSCALED_SLEEVES), inputs, holdings, policy, limits))
    return {sleeve: [next(limited) for _ in wish.lines] for sleeve, wish in wishes.items()}


def _limited(
    legs: Sequence[FundedLeg],
    fixed_sleeves: tuple[Sleeve, ...],
    inputs: TargetInputs,
    holdings: Holdings,
    policy: SleevePolicy,
    limits: RiskPolicy,
) -> list[float]:
    """Weights inside cash, gross and net, beside what ``fixed_sleeves`` and options hold anyway."""
    fixed = [*exposures(fixed_sleeves, holdings, inputs.prices, inputs.nav), *inputs.option_exposures]
    paid = funded_longs(fixed_sleeves, holdings, inputs.prices, inputs.nav) + inputs.option_value
    payable = limit_funding(legs, paid, 1.0 - policy.weights[Sleeve.CASH.value])
    weights = np.array([*payable, *fixed], dtype=np.float64)
    limited: list[float] = limit_weights(weights, np.arange(len(weights)) >= len(legs), limits).tolist()
    return limited[: len(legs)]


def _scaled(line: WantedLine, sleeve: Sleeve, inputs: TargetInputs, policy: SleevePolicy) -> float:
    """Weight at today's scale; a company never exceeds its cap, whatever the scale."""
    weight = line.weight * (inputs.core_scale if sleeve is Sleeve.CORE else inputs.scaling_factor)
    instrument = inputs.prices.contracts.universe[line.instrument_id]
    if sleeve is not Sleeve.SINGLE_NAME or instrument.collar_class is not CollarClass.STK:
        return weight
    return max(-policy.single_name_cap, min(policy.single_name_cap, weight))


def _sized(
    wish: SleeveWish,
    weights: list[float],
    current: Mapping[str, Decimal],
    inputs: TargetInputs,
    policy: SleevePolicy,
    notes: list[str],
) -> _Sized:
    """Quantities of a sleeve after locates; a pair's long leg shrinks to the short leg that can be had."""
    sized = _Sized(quantities={}, weights={}, groups={})
    blocked = short_total = ZERO
    for line, weight in zip(wish.lines, weights, strict=True):
        contract = inputs.prices.contract_id(line.instrument_id)
        if contract is None:
            continue
        notional = inputs.nav * decimal_from_float(weight)
        quantity = inputs.prices.quantity(contract, notional)
        if quantity >= 0:
            _add(sized, line.instrument_id, quantity, weight, line.group)
            continue
        instrument = inputs.prices.instrument(contract)
        held = current.get(line.instrument_id, ZERO)
        route = route_short(instrument, quantity, held, inputs.prices, inputs.borrow, policy.short_proxies)
        _add(
            sized,
            line.instrument_id,
            route.stock_quantity,
            _share(weight, route.stock_quantity, quantity),
            line.group,
        )
        if route.proxy_contract is not None:
            proxy = inputs.prices.instrument(route.proxy_contract).instrument_id
            rest = weight - _share(weight, route.stock_quantity, quantity)
            _add(sized, proxy, route.proxy_quantity, rest, line.group)
        if line.group is not None:
            blocked += route.blocked_usd
            short_total -= notional
        if route.note is not None:
            notes.append(route.note)
    return sized if blocked == 0 else _shrink_longs(sized, 1 - blocked / short_total, inputs.prices)


def _share(weight: float, part: Decimal, whole: Decimal) -> float:
    return weight * float(part / whole)


def _add(sized: _Sized, name: str, quantity: Decimal, weight: float, group: str | None) -> None:
    if quantity == 0 and weight == 0.0:
        return
    sized.quantities[name] = sized.quantities.get(name, ZERO) + quantity
    sized.weights[name] = sized.weights.get(name, 0.0) + weight
    sized.groups.setdefault(name, group)


def _shrink_longs(sized: _Sized, factor: Decimal, prices: PriceList) -> _Sized:
    ratio = max(ZERO, factor)
    quantities, weights = dict(sized.quantities), dict(sized.weights)
    for name, quantity in sized.quantities.items():
        if quantity > 0:
            lot = prices.contracts.universe[name].lot
            quantities[name] = floor_lots(quantity * ratio, lot)
            weights[name] = sized.weights[name] * float(ratio)
    return replace(sized, quantities=quantities, weights=weights)


def _target_lines(sleeve: Sleeve, sized: _Sized, inputs: TargetInputs) -> list[TargetLine]:
    lines = []
    for name, quantity in sized.quantities.items():
        contract = inputs.prices.contract_id(name)
        if contract is None:
            continue
        weight = significant(sized.weights[name])
        lines.append(
            TargetLine(
                sleeve=sleeve.value,
                instrument_id=name,
                contract_id=contract,
                weight=weight,
                notional_usd=round_money(inputs.nav * decimal_from_float(weight)),
                quantity=quantity,
                group=sized.groups[name],
                expected_carry_annual=inputs.expected_carry_annual.get(name, 0.0),
            )
        )
    return lines


def _current_lines(sleeve: Sleeve, current: Mapping[str, Decimal], inputs: TargetInputs) -> list[TargetLine]:
    """Holdings of a sleeve as its targets."""
    lines = []
    for name, quantity in current.items():
        contract = inputs.prices.contract_id(name) or held_contract(inputs.portfolio, inputs.prices, name)
        value = quantity * inputs.prices.unit_value_usd(contract)
        lines.append(
            TargetLine(
                sleeve=sleeve.value,
                instrument_id=name,
                contract_id=contract,
                weight=significant(float(value / inputs.nav)),
                notional_usd=round_money(value),
                quantity=quantity,
                group=None,
                expected_carry_annual=inputs.expected_carry_annual.get(name, 0.0),
            )
        )
    return lines


def _floor_to_limits(
    lines: list[TargetLine],
    inputs: TargetInputs,
    holdings: Holdings,
    policy: SleevePolicy,
    limits: RiskPolicy,
) -> list[TargetLine]:
    """Where rounding to lots broke a limit, shrink once more and round towards zero.

    Flooring both sides may tip the net again; a further pass then floors the larger side alone.
    """
    for _ in range(FLOOR_PASSES):
        legs = [_leg(line, inputs) for line in lines]
        limited = _limited(legs, UNSCALED_SLEEVES, inputs, holdings, policy, limits)
        if all(
            significant(after) == significant(leg.weight) for leg, after in zip(legs, limited, strict=True)
        ):
            break
        lines = [
            _shrunk(line, leg.weight, after, inputs.prices)
            for line, leg, after in zip(lines, legs, limited, strict=True)
        ]
    return lines


def _leg(line: TargetLine, inputs: TargetInputs) -> FundedLeg:
    """A line at the size of its whole lots."""
    value = line.quantity * inputs.prices.unit_value_usd(line.contract_id)
    return FundedLeg(
        sleeve=line.sleeve,
        weight=float(value / inputs.nav),
        is_funded=is_funded(inputs.prices.instrument(line.contract_id)),
    )


def _shrunk(line: TargetLine, before: float, after: float, prices: PriceList) -> TargetLine:
    if significant(after) == significant(before):
        return line
    lot = prices.contracts.universe[line.instrument_id].lot
    return replace(line, quantity=floor_lots(line.quantity * decimal_from_float(after / before), lot))
