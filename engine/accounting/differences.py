"""Where book and broker differ, in quantities and in cash, and which executions explain it.

All amounts of difference are ours less the broker's. The broker's cash holds the gains of futures up to its own
mark, so our side is ledger cash + Σ (quantity × broker's mark × multiplier − cost) over futures (R-107).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.accounting.average_cost import average_price
from engine.accounting.cash_bases import cash_with_gains
from engine.accounting.charges import tax_of
from engine.accounting.deliveries import delivered_cash, delivery_prices
from engine.accounting.sides import CASH_KINDS, KnownOrders, OurPrices, Sides
from engine.model.instruments import Instrument
from engine.model.money import ZERO, round_money
from engine.model.orders import Fill
from engine.model.policy import TransactionTax

__all__ = [
    "CashDifference",
    "KnownOrders",
    "MissedExecution",
    "OurPrices",
    "QuantityDifference",
    "Sides",
    "cash_differences",
    "expected_cash",
    "quantity_differences",
    "unbooked_executions",
]

OWN_REFERENCE_PREFIX = "AF1."
_PRICE_STEP = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedExecution:
    """An execution under one of our references that the ledger lacks; ``replaces`` the one it corrects."""

    fill: Fill
    replaces: Fill | None

    @property
    def quantity(self) -> Decimal:
        """Signed quantity that the ledger lacks."""
        return self.fill.signed_quantity - (ZERO if self.replaces is None else self.replaces.signed_quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityDifference:
    """One contract. ``foreign`` is the broker's surplus after our missed executions, first booked at ``foreign_price``.

    ``cash_effects`` is what all this moved in the broker's cash, by currency; ``net_effect_usd`` is its effect on
    NAV, ours less the broker's, quantity and cash together.
    """

    contract_id: str
    is_listed: bool
    ours: Decimal
    broker: Decimal
    missed: tuple[MissedExecution, ...]
    foreign: Decimal
    foreign_executions: tuple[Fill, ...]
    foreign_price: Decimal | None
    cash_effects: Mapping[str, Decimal]
    net_effect_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CashDifference:
    """One currency: what we expect in the broker's cash, what it says, and what no quantity explains."""

    currency: str
    expected: Decimal
    broker: Decimal
    unexplained: Decimal
    unexplained_usd: Decimal


def unbooked_executions(executions: Sequence[Fill], booked: Sequence[Fill]) -> tuple[MissedExecution, ...]:
    """Newest form of each execution at the broker that the ledger lacks or holds in an older form."""
    newest = _newest_by_root(executions)
    held = _newest_by_root(booked)
    return tuple(
        MissedExecution(fill=fill, replaces=held.get(root))
        for root, fill in sorted(newest.items())
        if root not in held or _suffix(fill) > _suffix(held[root])
    )


def _newest_by_root(fills: Sequence[Fill]) -> dict[str, Fill]:
    newest: dict[str, Fill] = {}
    for fill in fills:
        if fill.root not in newest or _suffix(fill) > _suffix(newest[fill.root]):
            newest[fill.root] = fill
    return newest


def _suffix(fill: Fill) -> tuple[int, str]:
    text = fill.execution_id.rpartition(".")[2]
    return (int(text), "") if text.isdecimal() else (-1, text)


def expected_cash(sides: Sides) -> dict[str, Decimal]:
    """What the broker's cash should be by our ledger: cash, and futures settled to the broker's mark."""
    return cash_with_gains(sides.portfolio, sides.broker_mark, sides.contracts)


def quantity_differences(
    sides: Sides, known: KnownOrders, taxes: Sequence[TransactionTax] = ()
) -> tuple[QuantityDifference, ...]:
    """Every contract whose quantities differ, or for which the ledger lacks one of our executions.

    ``taxes`` are what trades in shares are taxed: an execution that we lack moved them too.
    """
    unbooked = unbooked_executions(sides.broker.executions, known.booked)
    expected = expected_cash(sides)
    residual = {
        currency: expected.get(currency, ZERO) - sides.broker.cash.get(currency, ZERO)
        for currency in {*expected, *sides.broker.cash}
    }
    names = {*sides.portfolio.positions, *sides.broker.positions, *(row.fill.contract_id for row in unbooked)}
    agreed = delivery_prices(sides)
    found = []
    for contract_id in sorted(names):
        rows = tuple(row for row in unbooked if row.fill.contract_id == contract_id)
        difference = _quantity_difference(sides, contract_id, rows, residual, agreed.get(contract_id), taxes)
        if difference is not None:
            found.append(difference)
            for currency, effect in difference.cash_effects.items():
                residual[currency] = residual.get(currency, ZERO) + effect
    return tuple(found)


def _quantity_difference(
    sides: Sides,
    contract_id: str,
    rows: tuple[MissedExecution, ...],
    residual: Mapping[str, Decimal],
    agreed: Decimal | None,
    taxes: Sequence[TransactionTax],
) -> QuantityDifference | None:
    instrument = sides.instrument(contract_id)
    missed = tuple(row for row in rows if (row.fill.order_ref or "").startswith(OWN_REFERENCE_PREFIX))
    others = tuple(row for row in rows if row not in missed)
    ours = sides.portfolio.quantity(contract_id)
    held = sides.broker.positions.get(contract_id)
    theirs = ZERO if held is None else held.quantity
    is_cash = instrument is not None and instrument.kind in CASH_KINDS
    # The broker shows a virtual position for currency trades; it is cash and is compared there.
    foreign = ZERO if is_cash else theirs - ours - sum((row.quantity for row in missed), ZERO)
    if foreign == 0 and not missed:
        return None
    price = agreed
    if price is None:
        price = _foreign_price(sides, contract_id, foreign, others, is_untouched=ours == 0 and not missed)
    effects: dict[str, Decimal] = {}
    net = ZERO
    if instrument is not None:
        mark = sides.broker_mark(contract_id)
        for row in missed:
            _add(effects, _execution_cash(instrument, row.fill, mark, taxes), 1)
            if row.replaces is not None:
                _add(effects, _execution_cash(instrument, row.replaces, mark, taxes), -1)
        if foreign != 0 and price is not None:
            moved = _foreign_cash(instrument, foreign, price, mark, others, taxes)
            _add_if_it_explains(effects, moved, residual)
            _add_if_it_explains(effects, delivered_cash(sides, contract_id, ours, theirs, price), residual)
        if not instrument.is_future and not is_cash and mark is not None:
            net = instrument.notional(ours - theirs, mark) * sides.broker_rate(instrument.currency)
    net -= sum((effect * sides.broker_rate(currency) for currency, effect in effects.items()), ZERO)
    return QuantityDifference(
        contract_id=contract_id,
        is_listed=instrument is not None,
        ours=ZERO if is_cash else ours,
        broker=ZERO if is_cash else theirs,
        missed=missed,
        foreign=foreign,
        foreign_executions=tuple(row.fill for row in others),
        foreign_price=price,
        cash_effects=effects,
        net_effect_usd=round_money(net),
    )


def _foreign_price(
    sides: Sides,
    contract_id: str,
    foreign: Decimal,
    others: tuple[MissedExecution, ...],
    *,
    is_untouched: bool,
) -> Decimal | None:
    """Price at which a foreign quantity came: its executions, else the broker's average cost, else its mark."""
    if foreign == 0:
        return None
    if others and sum((row.quantity for row in others), ZERO) == foreign:
        paid = sum((row.fill.signed_quantity * row.fill.price for row in others), ZERO)
        return (paid / foreign).quantize(_PRICE_STEP)
    held = sides.broker.positions.get(contract_id)
    mark, instrument = sides.broker_mark(contract_id), sides.instrument(contract_id)
    if held is None or instrument is None or not is_untouched:
        return mark
    price = average_price(held.average_cost, instrument, mark)
    return None if price is None else price.quantize(_PRICE_STEP)


def _execution_cash(
    instrument: Instrument, fill: Fill, mark: Decimal | None, taxes: Sequence[TransactionTax]
) -> dict[str, Decimal]:
    """What one execution moved in the broker's cash, commission and tax included."""
    quantity = fill.signed_quantity
    effects = _holding_cash(instrument, quantity, fill.price, mark)
    if instrument.kind in CASH_KINDS:
        _add(effects, {instrument.exposure_currency: quantity * instrument.multiplier}, 1)
    _add(effects, _charges(instrument, fill, taxes), -1)
    return effects


def _charges(instrument: Instrument, fill: Fill, taxes: Sequence[TransactionTax]) -> Mapping[str, Decimal]:
    """Commission and tax of an execution by currency, positive for a cost."""
    charges = {instrument.currency: tax_of(fill, instrument, taxes)}
    if fill.commission is not None and fill.commission_currency:
        _add(charges, {fill.commission_currency: fill.commission}, 1)
    return charges


def _foreign_cash(
    instrument: Instrument,
    quantity: Decimal,
    price: Decimal,
    mark: Decimal | None,
    others: tuple[MissedExecution, ...],
    taxes: Sequence[TransactionTax],
) -> dict[str, Decimal]:
    effects = _holding_cash(instrument, quantity, price, mark)
    for row in others:
        _add(effects, _charges(instrument, row.fill, taxes), -1)
    return effects


def _holding_cash(
    instrument: Instrument, quantity: Decimal, price: Decimal, mark: Decimal | None
) -> dict[str, Decimal]:
    paid = round_money(instrument.notional(quantity, price))
    if instrument.is_future:
        return {instrument.currency: instrument.notional(quantity, price if mark is None else mark) - paid}
    return {instrument.currency: -paid}


def _add(effects: dict[str, Decimal], more: Mapping[str, Decimal], sign: int) -> None:
    for currency, amount in more.items():
        effects[currency] = effects.get(currency, ZERO) + sign * amount


def _add_if_it_explains(
    effects: dict[str, Decimal], more: Mapping[str, Decimal], residual: Mapping[str, Decimal]
) -> None:
    """A foreign quantity may have come without cash (a transfer): its cash counts only where cash is missing."""
    for currency, amount in more.items():
        left = residual.get(currency, ZERO) + effects.get(currency, ZERO)
        if abs(left + amount) < abs(left):
            _add(effects, {currency: amount}, 1)


def cash_differences(sides: Sides, quantities: tuple[QuantityDifference, ...]) -> tuple[CashDifference, ...]:
    """Every currency, with what remains after the cash legs of the quantity differences."""
    expected = expected_cash(sides)
    rows = []
    for currency in sorted({*expected, *sides.broker.cash}):
        ours, theirs = expected.get(currency, ZERO), sides.broker.cash.get(currency, ZERO)
        explained = sum((found.cash_effects.get(currency, ZERO) for found in quantities), ZERO)
        left = ours - theirs + explained
        left_usd = left * sides.broker_rate(currency) if left != 0 else ZERO
        rows.append(
            CashDifference(
                currency=currency,
                expected=round_money(ours),
                broker=theirs,
                unexplained=round_money(left),
                unexplained_usd=round_money(left_usd),
            )
        )
    return tuple(rows)
