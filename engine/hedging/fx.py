"""How much foreign currency is the fund exposed to, and how is it hedged? One hedge for the whole portfolio.

A currency's exposure is what the fund would still own in it: cash,
accruals, securities and unsettled variation, which the valuation already nets per currency. A planned purchase
settles in the security's own currency, so it moves nothing: value and cash change places. Only a line whose
*exposure* currency differs from its quote moves exposure when it is held or traded. Currency futures that are
held are the present hedge, never exposure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import Enum

from engine.errors import UnknownContract
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import BASE_CURRENCY, FxRates, Mark
from engine.model.money import ZERO, round_lots, round_money
from engine.model.orders import Reason, TradeProposal
from engine.model.policy import FxPolicy
from engine.model.portfolio import Portfolio, Sleeve, Valuation
from engine.model.universe import ContractBook, Universe

FX_GROUP = "fx_hedge"
SPOT_KINDS = (InstrumentType.CASH, InstrumentType.FX_SPOT)
FULL_PER_MICRO = 10
"""A full-size currency future is ten micros (6E/M6E, 6B/M6B, 6S/MSF)."""


class FxHedgeOutcome(Enum):
    """What was decided for one currency."""

    TRADE = "trade"
    ON_TARGET = "on_target"
    WITHIN_BAND = "within_band"
    NO_INSTRUMENT = "no_instrument"


@dataclass(frozen=True, slots=True, kw_only=True)
class FxHedgeInputs:
    """Facts of one hedge decision.

    ``planned`` are the day's other proposals (they matter only for lines whose exposure currency differs from
    their own). ``front_contracts`` maps futures to the contract to hold; ``marks`` price planned lines.
    """

    portfolio: Portfolio
    valuation: Valuation
    planned: tuple[TradeProposal, ...]
    contracts: ContractBook
    front_contracts: Mapping[str, str]
    marks: Mapping[str, Mark]
    fx: FxRates


@dataclass(frozen=True, slots=True, kw_only=True)
class FxHedgeLine:
    """One currency: net exposure, hedge held and wanted, all in its own units (a long future is positive)."""

    currency: str
    exposure: Decimal
    exposure_usd: Decimal
    hedge_held: Decimal
    hedge_target: Decimal
    outcome: FxHedgeOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class FxHedgePlan:
    """Hedge of every foreign currency and the trades that reach it."""

    lines: tuple[FxHedgeLine, ...]
    proposals: tuple[TradeProposal, ...]
    notes: tuple[str, ...]


def compute_net_fx_exposure(
    valuation: Valuation,
    contracts: ContractBook,
    fx: FxRates,
    planned: Sequence[TradeProposal] = (),
    marks: Mapping[str, Mark] | None = None,
) -> Mapping[str, Decimal]:
    """Net exposure by foreign currency, in its own units; positive = long the currency.

    Raises `MissingFxRate` when a line's value can not be moved to its exposure currency.
    """
    exposure = dict(valuation.currency_values)
    for line in valuation.lines:
        _move(exposure, contracts.instrument(line.contract_id), line.value, fx)
    for proposal in planned:
        instrument = contracts.instrument(proposal.contract_id)
        if not bears_other_currency(instrument):
            continue
        mark = (marks or {}).get(proposal.contract_id)
        if mark is not None:
            _move(exposure, instrument, instrument.notional(proposal.quantity, mark.price), fx)
    return {
        currency: round_money(amount)
        for currency, amount in sorted(exposure.items())
        if currency != BASE_CURRENCY
    }


def bears_other_currency(instrument: Instrument) -> bool:
    """Whether holding a line exposes the fund to a currency other than the one that pays for it.

    A future's gain is paid in its own currency; a spot line is cash already counted.
    """
    held_as_value = not instrument.is_future and instrument.kind not in SPOT_KINDS
    return held_as_value and instrument.exposure_currency != instrument.currency


def _move(exposure: dict[str, Decimal], instrument: Instrument, value: Decimal, fx: FxRates) -> None:
    if not bears_other_currency(instrument):
        return
    source, target = instrument.currency, instrument.exposure_currency
    exposure[source] = exposure.get(source, ZERO) - value
    exposure[target] = exposure.get(target, ZERO) + fx.convert(value, source, target)


def compute_fx_hedge_quantities(
    exposures: Mapping[str, Decimal], sizes: Mapping[str, Decimal], hedge_ratio: Decimal = Decimal(1)
) -> Mapping[str, Decimal]:
    """Contracts by currency: ``−round(exposure · ratio / size)``, halves away from zero.

    ``sizes`` are units of the currency per contract; currencies without a size are left out.
    """
    return {
        currency: round_lots(-exposure * hedge_ratio / sizes[currency], Decimal(1))
        for currency, exposure in sorted(exposures.items())
        if currency in sizes
    }


def split_micros(micros: Decimal, full_above: int) -> tuple[Decimal, Decimal]:
    """Full-size and micro contracts of a number of micros: above the limit, tens become full-size contracts."""
    if abs(micros) <= full_above:
        return ZERO, micros
    full = (micros / FULL_PER_MICRO).to_integral_value(rounding=ROUND_DOWN)
    return full, micros - full * FULL_PER_MICRO


def plan_fx_hedge(inputs: FxHedgeInputs, policy: FxPolicy) -> FxHedgePlan:
    """Decide the currency hedge of the book as it will stand after the planned trades: target less held.

    No trade while the gap is at most the larger of one contract and ``hedge_band_fraction`` of NAV.
    """
    exposures = compute_net_fx_exposure(
        inputs.valuation, inputs.contracts, inputs.fx, inputs.planned, inputs.marks
    )
    held = _held_hedges(inputs, policy)
    lines, proposals, notes = [], [], []
    for currency in sorted({*exposures, *held}):
        exposure = exposures.get(currency, ZERO)
        line, trades = _plan_currency(currency, exposure, held.get(currency, {}), inputs, policy)
        lines.append(line)
        proposals += trades
        if line.outcome is FxHedgeOutcome.NO_INSTRUMENT:
            notes.append(
                f"{currency}: {line.exposure_usd:,.0f} USD stay unhedged, no contract serves this currency"
            )
    return FxHedgePlan(lines=tuple(lines), proposals=tuple(proposals), notes=tuple(notes))


def _held_hedges(inputs: FxHedgeInputs, policy: FxPolicy) -> dict[str, dict[str, Decimal]]:
    """Hedge futures held, by currency and the contract that stands for them today.

    A contract that is due counts as its successor: the roll plan moves it, and is not to be repeated here. One
    without a successor is left to the roll plan.
    """
    currency_of = {
        name: currency
        for currency, pair in policy.hedge_contracts.items()
        for name in pair
        if name is not None
    }
    held: dict[str, dict[str, Decimal]] = {}
    for contract_id, position in sorted(inputs.portfolio.positions.items()):
        quantity = position.sleeves.get(Sleeve.FX_HEDGE, ZERO)
        instrument = inputs.contracts.instrument(contract_id)
        currency, front = (
            currency_of.get(instrument.instrument_id),
            inputs.front_contracts.get(instrument.instrument_id),
        )
        if quantity != 0 and currency is not None and front is not None:
            part = held.setdefault(currency, {})
            part[front] = part.get(front, ZERO) + quantity
    return held


def _plan_currency(
    currency: str, exposure: Decimal, held: Mapping[str, Decimal], inputs: FxHedgeInputs, policy: FxPolicy
) -> tuple[FxHedgeLine, list[TradeProposal]]:
    rate = inputs.fx.get_rate(currency, BASE_CURRENCY)
    micro, full = _hedge_instruments(currency, inputs, policy)
    smallest = micro or full
    if smallest is None:
        return _plan_spot(currency, exposure, rate, inputs, policy)
    sizes = {currency: smallest.multiplier}
    held_units = sum(
        (inputs.contracts.instrument(name).multiplier * quantity for name, quantity in held.items()), ZERO
    )
    count = compute_fx_hedge_quantities({currency: exposure}, sizes, policy.hedge_ratio)[currency]
    target_units = count * smallest.multiplier
    gap_usd = abs(-exposure * policy.hedge_ratio - held_units) * rate
    band = max(smallest.multiplier * rate, policy.hedge_band_fraction * inputs.valuation.nav)
    outcome = FxHedgeOutcome.TRADE
    if target_units == held_units:
        outcome = FxHedgeOutcome.ON_TARGET
    elif gap_usd <= band:
        outcome = FxHedgeOutcome.WITHIN_BAND
    line = _line(currency, exposure, rate, held_units, target_units, outcome)
    if outcome is not FxHedgeOutcome.TRADE:
        return line, []
    return line, _trades(_target_contracts(count, micro, full, inputs, policy), held)


def _hedge_instruments(
    currency: str, inputs: FxHedgeInputs, policy: FxPolicy
) -> tuple[Instrument | None, Instrument | None]:
    """Micro and full-size future of a currency, ``None`` where not configured or without a contract to hold."""
    micro, full = policy.hedge_contracts.get(currency, (None, None))
    universe = inputs.contracts.universe
    usable = [
        universe[name] if name is not None and name in inputs.front_contracts else None
        for name in (micro, full)
    ]
    return usable[0], usable[1]


def _target_contracts(
    count: Decimal, micro: Instrument | None, full: Instrument | None, inputs: FxHedgeInputs, policy: FxPolicy
) -> dict[str, Decimal]:
    if micro is None or full is None:
        only = micro or full
        return {} if only is None else {inputs.front_contracts[only.instrument_id]: count}
    full_count, micro_count = split_micros(count, policy.full_contract_above_micros)
    return {
        inputs.front_contracts[full.instrument_id]: full_count,
        inputs.front_contracts[micro.instrument_id]: micro_count,
    }


def _trades(target: Mapping[str, Decimal], held: Mapping[str, Decimal]) -> list[TradeProposal]:
    changes = {name: target.get(name, ZERO) - held.get(name, ZERO) for name in sorted({*target, *held})}
    return [_proposal(name, change) for name, change in changes.items() if change != 0]


def _plan_spot(
    currency: str, exposure: Decimal, rate: Decimal, inputs: FxHedgeInputs, policy: FxPolicy
) -> tuple[FxHedgeLine, list[TradeProposal]]:
    """Currencies without futures are converted at spot, which changes the exposure itself."""
    pair = spot_pair(currency, inputs.contracts.universe)
    wanted = -exposure * policy.hedge_ratio
    if pair is None:
        outcome = FxHedgeOutcome.NO_INSTRUMENT if exposure != 0 else FxHedgeOutcome.ON_TARGET
        return _line(currency, exposure, rate, ZERO, ZERO, outcome), []
    if abs(wanted) * rate <= policy.hedge_band_fraction * inputs.valuation.nav:
        outcome = FxHedgeOutcome.ON_TARGET if exposure == 0 else FxHedgeOutcome.WITHIN_BAND
        return _line(currency, exposure, rate, ZERO, ZERO, outcome), []
    line = _line(currency, exposure, rate, ZERO, round_money(wanted), FxHedgeOutcome.TRADE)
    # USD.SEK is quoted in SEK per USD and traded in USD: selling SEK is buying USD.
    in_base = wanted if pair.instrument_id.startswith(currency) else -wanted * rate
    quantity = round_lots(in_base, pair.lot)
    return line, [_proposal(pair.instrument_id, quantity)] if quantity != 0 else []


def spot_pair(currency: str, universe: Universe) -> Instrument | None:
    """The spot line of a currency against USD, whichever way it is quoted."""
    for name in (f"{currency}.{BASE_CURRENCY}", f"{BASE_CURRENCY}.{currency}"):
        if name in universe:
            instrument = universe[name]
            if instrument.kind not in SPOT_KINDS:
                raise UnknownContract(
                    f"expected {name} to be a spot currency line, found {instrument.kind.value}"
                )
            return instrument
    return None


def _line(
    currency: str, exposure: Decimal, rate: Decimal, held: Decimal, target: Decimal, outcome: FxHedgeOutcome
) -> FxHedgeLine:
    return FxHedgeLine(
        currency=currency,
        exposure=exposure,
        exposure_usd=round_money(exposure * rate),
        hedge_held=held,
        hedge_target=target,
        outcome=outcome,
    )


def _proposal(contract_id: str, quantity: Decimal) -> TradeProposal:
    return TradeProposal(
        sleeve=Sleeve.FX_HEDGE.value,
        contract_id=contract_id,
        quantity=quantity,
        reason=Reason.HEDGE_FX,
        group=FX_GROUP,
    )
