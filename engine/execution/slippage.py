"""What trading costs: slippage against a reference (cost positive, R-92) and the expected cost of a trade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.accounting.charges import tax_due
from engine.errors import InvariantError
from engine.model.instruments import CollarClass, Instrument
from engine.model.market import FxRates
from engine.model.money import decimal_from_float
from engine.model.orders import Side
from engine.model.policy import CostPolicy

_BPS = Decimal(10_000)
UNTRADED_IMPACT_BPS = Decimal(100)
"""Impact where the average daily volume is zero, and the cap of the impact formula (EXEC-62)."""
REFERENCE_VOLATILITY = 0.20
"""Annual volatility at which the impact coefficient is quoted (EXEC-62)."""


def compute_slippage_bps(side: Side, fill_price: Decimal, reference: Decimal) -> Decimal:
    """``side × (fill − reference) / reference × 10⁴``: positive is a cost for buys and sells alike."""
    if reference <= 0:
        raise InvariantError(f"expected a positive reference price, found {reference}")
    return side.sign * (fill_price - reference) / reference * _BPS


@dataclass(frozen=True, slots=True, kw_only=True)
class CollarEnforcer:
    """Hard price limit of a parent order: a buy never above ``ceiling``, a sell never below ``floor``."""

    floor: Decimal
    ceiling: Decimal

    def allows(self, side: Side, price: Decimal) -> bool:
        """Whether a limit price respects the collar."""
        return price <= self.ceiling if side is Side.BUY else price >= self.floor

    def enforce(self, side: Side, price: Decimal) -> Decimal:
        """The price itself, or the collar where it would breach it."""
        return min(price, self.ceiling) if side is Side.BUY else max(price, self.floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlippageModel:
    """Measured limit offsets from the mid in bps: by instrument, else by collar class, else none."""

    instrument_bps: Mapping[str, Decimal] = field(default_factory=dict)
    class_bps: Mapping[CollarClass, Decimal] = field(default_factory=dict)

    def offset_bps(self, instrument: Instrument) -> Decimal | None:
        """Offset of an instrument, ``None`` where nothing was measured."""
        measured = self.instrument_bps.get(instrument.instrument_id)
        return measured if measured is not None else self.class_bps.get(instrument.collar_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCost:
    """Predicted cost of one trade in USD, by origin; each part is positive."""

    half_spread_usd: Decimal
    impact_usd: Decimal
    commission_usd: Decimal
    tax_usd: Decimal

    @property
    def total_usd(self) -> Decimal:
        """Sum of the parts."""
        return self.half_spread_usd + self.impact_usd + self.commission_usd + self.tax_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeSize:
    """Size of one trade for its cost: signed quantity, price in quote units, volatility a year, volume a day.

    ``average_daily_volume`` is ``None`` where unknown: the impact is then that of a trade of one day's volume.
    """

    quantity: Decimal
    price: Decimal
    volatility_annual: float
    average_daily_volume: Decimal | None
    half_spread: Decimal | None = None


def impact_bps(size: TradeSize, coefficient: Decimal) -> Decimal:
    """``coefficient × √participation × volatility / 20 %``, at most 100 bps."""
    volume = size.average_daily_volume
    if volume is None or volume <= 0:
        return UNTRADED_IMPACT_BPS
    participation = abs(size.quantity) / volume
    scaled = decimal_from_float(size.volatility_annual / REFERENCE_VOLATILITY)
    return min(coefficient * participation.sqrt() * scaled, UNTRADED_IMPACT_BPS)


def expected_cost(size: TradeSize, instrument: Instrument, costs: CostPolicy, fx: FxRates) -> ExpectedCost:
    """Half spread + impact + commission + tax of the rates' day in USD; a live ``half_spread`` (quote units) precedes the class default."""
    kind = instrument.collar_class
    notional = abs(instrument.notional(size.quantity, size.price))
    if size.half_spread is None:
        spread = notional * costs.half_spread_bps[kind] / _BPS
    else:
        spread = abs(instrument.notional(size.quantity, size.half_spread))
    impact = notional * impact_bps(size, costs.impact_coefficient[kind]) / _BPS
    rate = fx.get_rate(instrument.currency, "USD")
    tax = tax_due(instrument, size.quantity, size.price, fx.as_of.date(), costs.transaction_taxes)
    return ExpectedCost(
        half_spread_usd=spread * rate,
        impact_usd=impact * rate,
        commission_usd=commission(abs(size.quantity), notional, kind, costs) * rate,
        tax_usd=tax * rate,
    )


def commission(quantity: Decimal, notional: Decimal, kind: CollarClass, costs: CostPolicy) -> Decimal:
    """Commission of an unsigned quantity, in the currency of ``notional``."""
    return costs.commission(kind, quantity, notional)
