"""What did the investors earn? Returns and drawdown of the unit price, so that capital flows are no result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

from engine.errors import InvariantError
from engine.model.money import round_money
from engine.model.portfolio import Valuation


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """NAV per fund unit at the end of a day, in USD."""

    day: date
    price: Decimal

    def __post_init__(self) -> None:
        if not self.price.is_finite() or self.price <= 0:
            raise InvariantError(f"{self.day}: expected a positive unit price, found {self.price}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """Loss against the highest unit price so far, as negative fractions; ``peak`` is that price."""

    current: Decimal
    maximum: Decimal
    peak: Decimal
    peak_day: date


def unit_price(valuation: Valuation) -> UnitPrice:
    """Unit price of a valuation."""
    return UnitPrice(day=valuation.trade_date, price=valuation.unit_price)


def period_return(before: UnitPrice, after: UnitPrice) -> Decimal:
    """Time-weighted return between two unit prices, net of subscriptions and redemptions."""
    return after.price / before.price - 1


def daily_returns(prices: Sequence[UnitPrice]) -> tuple[Decimal, ...]:
    """Return of each day against the one before."""
    return tuple(period_return(before, after) for before, after in pairwise(prices))


def drawdown(prices: Sequence[UnitPrice]) -> Drawdown:
    """Current and largest ``price / highest price − 1``; raises `InvariantError` without prices."""
    if not prices:
        raise InvariantError("expected at least one unit price, found none")
    peak, worst = prices[0], Decimal(0)
    for row in prices:
        if row.price > peak.price:
            peak = row
        worst = min(worst, row.price / peak.price - 1)
    return Drawdown(
        current=prices[-1].price / peak.price - 1, maximum=worst, peak=peak.price, peak_day=peak.day
    )


def units_for_flow(amount_usd: Decimal, price: UnitPrice) -> Decimal:
    """Units that a subscription receives (negative for a redemption), to six decimals."""
    return round_money(amount_usd / price.price)
