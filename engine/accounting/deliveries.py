"""Contracts that end by handing something over: options by their underlying, currency futures by currencies."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.accounting.sides import Sides
from engine.model.instruments import OptionRight
from engine.model.money import ZERO, round_money


def delivery_prices(sides: Sides) -> Mapping[str, Decimal]:
    """Prices fixed by contract of what an exercised option leaves behind: nothing for it, its strike for the shares.

    An option counts as exercised when it is gone at the broker and its underlying changed by what it delivers.
    """
    prices: dict[str, Decimal] = {}
    for option, underlying in exercised_options(sides).items():
        strike = sides.contracts.contract(option).strike
        if strike is not None:
            prices[option], prices[underlying] = ZERO, strike
    return prices


def exercised_options(sides: Sides) -> Mapping[str, str]:
    """Underlying by option, of options that the broker exercised or assigned."""
    found: dict[str, str] = {}
    for contract_id, position in sides.portfolio.positions.items():
        instrument = sides.contracts.instrument(contract_id)
        held = sides.broker.positions.get(contract_id)
        gone = position.quantity - (ZERO if held is None else held.quantity)
        underlying = instrument.underlying
        if not instrument.is_option or underlying is None or gone * position.quantity <= 0:
            continue
        theirs = sides.broker.positions.get(underlying)
        change = (ZERO if theirs is None else theirs.quantity) - sides.portfolio.quantity(underlying)
        sign = 1 if sides.contracts.contract(contract_id).right is OptionRight.CALL else -1
        if change == gone * instrument.multiplier * sign:
            found[contract_id] = underlying
    return found


def is_over(sides: Sides, contract_id: str) -> bool:
    """Whether a contract's last trade date has come."""
    if sides.instrument(contract_id) is None:
        return False
    last = sides.contracts.contract(contract_id).last_trade_date
    return last is not None and last <= sides.broker.as_of.date()


def delivered_cash(
    sides: Sides, contract_id: str, ours: Decimal, theirs: Decimal, price: Decimal
) -> Mapping[str, Decimal]:
    """Currencies that a future which is gone after its last trade handed over, at its last price."""
    instrument = sides.instrument(contract_id)
    if instrument is None or not instrument.is_future or theirs != 0 or not is_over(sides, contract_id):
        return {}
    if instrument.exposure_currency == instrument.currency:
        return {}
    return {
        instrument.exposure_currency: round_money(ours * instrument.multiplier),
        instrument.currency: -round_money(instrument.notional(ours, price)),
    }
