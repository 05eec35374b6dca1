"""Money of the investors: units are issued and cancelled at the NAV per unit, so that a flow is no return (R-15).

``units = amount in USD / NAV per unit``, rounded half-even to six decimals. What the rounding leaves is at most half a
millionth of a unit, far below a cent, and belongs to all holders.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from engine.accounting.ledger import CASH, EQUITY, FUND_UNIT, UNITS, EntryKind, LedgerEntry, pair
from engine.errors import InvariantError
from engine.model.market import BASE_CURRENCY, FxRates
from engine.model.money import Money, round_money
from engine.model.portfolio import Valuation

PRICE_STEP = Decimal("0.000000000001")


def subscription(
    money: Money, valuation: Valuation, fx: FxRates, booked_at: datetime, reference: str
) -> LedgerEntry:
    """Cash in, units out, at the NAV per unit of a valuation.

    ``fx`` are the rates of that valuation; ``reference`` names the order of the investor. Raises `InvariantError` on
    an amount that is not positive, `MissingFxRate` on a currency without a rate.
    """
    if money.amount <= 0:
        raise InvariantError(f"{reference}: expected a positive subscription, found {money.amount}")
    units = round_money(fx.to_base(money.amount, money.currency) / _unit_price(valuation))
    return _flow(EntryKind.SUBSCRIPTION, money, units, valuation, booked_at, reference)


def redemption(units: Decimal, valuation: Valuation, booked_at: datetime, reference: str) -> LedgerEntry:
    """Units are cancelled and paid in USD at the NAV per unit; raises `InvariantError` when there are not so many."""
    if not 0 < units <= valuation.units:
        raise InvariantError(
            f"{reference}: expected to redeem more than 0 and at most {valuation.units} units, found {units}"
        )
    paid = Money(amount=-round_money(units * _unit_price(valuation)), currency=BASE_CURRENCY)
    return _flow(EntryKind.REDEMPTION, paid, -units, valuation, booked_at, reference)


def _unit_price(valuation: Valuation) -> Decimal:
    if valuation.units <= 0 or valuation.nav <= 0:
        raise InvariantError(
            f"expected a fund with units and a positive value, found {valuation.units} units worth {valuation.nav} USD"
        )
    return valuation.unit_price.quantize(PRICE_STEP)


def _flow(
    kind: EntryKind,
    money: Money,
    units: Decimal,
    valuation: Valuation,
    booked_at: datetime,
    reference: str,
) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"{kind.value.lower()}:{reference}",
        kind=kind,
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=None,
        reference=reference,
        price=_unit_price(valuation),
        quantity=units,
        lines=(
            *pair(CASH, EQUITY, money.currency, money.amount),
            *pair(UNITS, EQUITY, FUND_UNIT, units),
        ),
    )
