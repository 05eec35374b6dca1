"""Why prices, rates or the net liquidation value differ although quantities and cash agree: units before markets."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from engine.accounting.break_values import Explanation, plain, ranked
from engine.accounting.sides import Evidence, Sides
from engine.accounting.tripwires import UnitMistake, unit_mistakes
from engine.model.breaks import BreakKind
from engine.model.halts import HaltChoice
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO

_NEAR = Decimal("0.02")
_SAME_MONEY = Decimal("0.001")
_LEAST_USD = Decimal(1)
_UNIT_CAUSES = {UnitMistake.HUNDREDFOLD: BreakKind.PENCE, UnitMistake.MULTIPLIER: BreakKind.MULTIPLIER}


def liquidation_causes(residue_usd: Decimal, sides: Sides, evidence: Evidence) -> tuple[Explanation, ...]:
    """Why the broker's own balances do not add up; ``residue_usd`` is our side less the broker's."""
    return ranked(_liquidation_causes(residue_usd, sides, evidence))


def _liquidation_causes(residue_usd: Decimal, sides: Sides, evidence: Evidence) -> Iterator[Explanation]:
    if evidence.last_liquidation is not None and sides.broker.net_liquidation == evidence.last_liquidation:
        text = "the net liquidation value is to the cent that of the last valued day: it was not refreshed"
        yield _retry(BreakKind.STALE_LIQUIDATION, text, residue_usd)
    for currency, amount in sorted(sides.broker.cash.items()):
        rate = sides.broker_rate(currency)
        if _is_near(residue_usd, -amount * rate):
            text = f"the net liquidation value holds the cash of {plain(amount)} {currency} twice, as swept cash would"
            yield _retry(BreakKind.SWEEP_CASH, text, residue_usd)
        if currency != BASE_CURRENCY and _is_near(residue_usd, amount * rate):
            text = f"the net liquidation value counts {plain(amount)} {currency} as nothing, as if it had no rate"
            yield _retry(BreakKind.CURRENCY_WITHOUT_RATE, text, residue_usd)
        if currency != BASE_CURRENCY and _is_near(residue_usd, amount * rate - amount / rate):
            text = f"the net liquidation value divides {plain(amount)} {currency} by its rate instead of multiplying"
            yield _retry(BreakKind.INVERTED_RATE, text, residue_usd)
    yield from _unit_errors(residue_usd, sides)
    text = "the broker's own balances do not add up to its net liquidation"
    yield _retry(BreakKind.LIQUIDATION_DRIFT, text, residue_usd)


def _unit_errors(residue_usd: Decimal, sides: Sides) -> Iterator[Explanation]:
    for contract_id, position in sides.portfolio.positions.items():
        instrument, mark = sides.contracts.instrument(contract_id), sides.broker_mark(contract_id)
        if mark is None:
            continue
        notional = instrument.notional(position.quantity, mark) * sides.broker_rate(instrument.currency)
        magnifier, multiplier = instrument.price_magnifier, instrument.multiplier
        if magnifier != 1 and _is_near(residue_usd, notional * (1 - magnifier)):
            text = f"the net liquidation value takes the pence of {contract_id} for pounds"
            yield _retry(BreakKind.PENCE, text, residue_usd)
        wrong = notional if instrument.is_future else notional * (multiplier - 1)
        if multiplier != 1 and (
            _is_near(residue_usd, -wrong) or _is_near(residue_usd, notional * (1 - 1 / multiplier))
        ):
            what = "holds the whole notional of" if instrument.is_future else "is off by the multiplier of"
            yield _retry(BreakKind.MULTIPLIER, f"the net liquidation value {what} {contract_id}", residue_usd)


def mark_causes(
    contract_id: str,
    ours: Decimal,
    theirs: Decimal,
    tolerance: Decimal,
    sides: Sides,
    evidence: Evidence,
) -> tuple[Explanation, ...]:
    """Why the prices of one moment differ: a unit, a multiplier, a split, or the market."""
    return ranked(_mark_causes(contract_id, ours, theirs, tolerance, sides, evidence))


def _mark_causes(
    contract_id: str,
    ours: Decimal,
    theirs: Decimal,
    tolerance: Decimal,
    sides: Sides,
    evidence: Evidence,
) -> Iterator[Explanation]:
    instrument = sides.contracts.instrument(contract_id)
    for mistake in unit_mistakes(ours, theirs, instrument, _NEAR):
        yield _mark_by_hand(_UNIT_CAUSES[mistake], f"the two prices are {mistake.told(instrument)}")
    for split in evidence.splits:
        ratio = Decimal(split.new_shares) / split.old_shares
        if split.instrument_id == instrument.instrument_id and _is_ratio(ours, theirs, ratio):
            text = f"our price is from before the split of {split.new_shares} for {split.old_shares} on {split.ex_date}"
            yield _mark_by_hand(BreakKind.SPLIT, text)
    unit = instrument.price_unit
    yield _mark_by_hand(
        BreakKind.MARK_DIFFERENCE,
        f"prices differ by {plain(abs(ours - theirs))} {unit}, allowed {plain(tolerance)} {unit}",
    )


def rate_causes(ours: Decimal, theirs: Decimal) -> tuple[Explanation, ...]:
    """Why the rates of one moment differ: one is upside down, or they are simply two rates."""
    found = []
    if abs(ours * theirs - 1) <= _NEAR:
        found.append(
            _retry(BreakKind.INVERTED_RATE, "one rate is one divided by the other: it is upside down", ZERO)
        )
    text = f"the rates differ by {(ours / theirs - 1) * 10_000:.1f} bps"
    return ranked((*found, _retry(BreakKind.RATE_DIFFERENCE, text, ZERO)))


def _is_ratio(larger: Decimal, smaller: Decimal, factor: Decimal) -> bool:
    return smaller != 0 and abs(larger / smaller / factor - 1) <= _NEAR


def _is_near(residue_usd: Decimal, amount_usd: Decimal) -> bool:
    return abs(amount_usd) > _LEAST_USD and abs(residue_usd - amount_usd) <= max(
        _LEAST_USD, abs(amount_usd) * _SAME_MONEY
    )


def _retry(cause: BreakKind, text: str, explains_usd: Decimal) -> Explanation:
    return Explanation(cause=cause, text=text, choice=HaltChoice.RETRY, explains_usd=explains_usd)


def _mark_by_hand(cause: BreakKind, text: str) -> Explanation:
    return Explanation(cause=cause, text=text, choice=HaltChoice.MARK_MANUALLY, explains_usd=ZERO)
