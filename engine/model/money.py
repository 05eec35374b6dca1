"""Exact money: whole micro-units in storage, ``Decimal`` in values, one rounding, one place.

A micro-unit is 10⁻⁶ of a currency (or of an instrument, for quantities). The converters are exact in both
directions and refuse what does not fit; `round_money` is the only place where booked money is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, Inexact

from engine.errors import InvariantError, NonFiniteValue

MICROS_PER_UNIT = 1_000_000
MICRO_LIMIT = 9 * 10**12 * MICROS_PER_UNIT
_MICRO = Decimal("0.000001")
_MICROS_PER_UNIT = Decimal(MICROS_PER_UNIT)
_LOWEST, _HIGHEST = Decimal(-9 * 10**12), Decimal(9 * 10**12)
_EXACT = Context(prec=40, traps=[Inexact])
"""Refuses to round, whatever the precision of the caller's own context."""
ZERO = Decimal(0)


def to_micros(amount: Decimal) -> int:
    """Whole micro-units of an exact amount.

    Raises
    ------
    NonFiniteValue
        When the amount is NaN or infinite.
    InvariantError
        When the amount has more than six decimals or lies outside ±9·10¹² units.
    """
    if not amount.is_finite():
        raise NonFiniteValue(f"expected a finite amount of money, found {amount}")
    if not _LOWEST <= amount <= _HIGHEST:
        raise InvariantError(f"expected an amount within ±9e12 units, found {amount}")
    try:
        return int(_EXACT.to_integral_exact(_EXACT.multiply(amount, _MICROS_PER_UNIT)))
    except Inexact as error:
        raise InvariantError(
            f"expected at most six decimals, found {amount}; round it with round_money first"
        ) from error


def from_micros(micros: int) -> Decimal:
    """The exact amount of a number of micro-units; raises `InvariantError` outside ±9·10¹² units."""
    if abs(micros) > MICRO_LIMIT:
        raise InvariantError(f"expected at most ±9e18 micro-units, found {micros}")
    return Decimal(micros).scaleb(-6)


def require_finite(amount: Decimal | None, what: str, *, subject: str) -> None:
    """Raise `NonFiniteValue` where a figure is no number, or where there is none at all."""
    if amount is None or not amount.is_finite():
        raise NonFiniteValue(f"{subject}: expected a number for {what}, found {amount}", subject=subject)


def round_money(amount: Decimal) -> Decimal:
    """Half-even to six decimals: the one rounding of booked money; raises `NonFiniteValue` on NaN."""
    if not amount.is_finite():
        raise NonFiniteValue(f"expected a finite amount of money, found {amount}")
    return amount.quantize(_MICRO, rounding=ROUND_HALF_EVEN)


def round_lots(quantity: Decimal, lot: Decimal) -> Decimal:
    """Nearest whole number of lots, halves away from zero (R-36), sign kept."""
    if not quantity.is_finite():
        raise NonFiniteValue(f"expected a finite quantity, found {quantity}")
    return (quantity / lot).quantize(Decimal(1), rounding=ROUND_HALF_UP) * lot


def decimal_from_float(value: float) -> Decimal:
    """A float rounded to 12 significant digits, as an exact decimal; raises `NonFiniteValue` on NaN."""
    text = f"{value:.12g}"
    result = Decimal(text)
    if not result.is_finite():
        raise NonFiniteValue(f"expected a finite number, found {value}")
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An exact amount of one currency; sums across currencies are refused."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not self.amount.is_finite():
            raise NonFiniteValue(f"expected a finite amount of {self.currency}, found {self.amount}")
        if len(self.currency) != 3 or not self.currency.isupper():
            raise InvariantError(f"expected a three-letter currency, found {self.currency!r}")

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise InvariantError(f"cannot add {other.currency} to {self.currency}; convert first")
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __neg__(self) -> Money:
        return Money(amount=-self.amount, currency=self.currency)

    @property
    def micros(self) -> int:
        """Whole micro-units, exact."""
        return to_micros(self.amount)
