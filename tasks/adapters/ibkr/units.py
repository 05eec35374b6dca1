"""The units of this wire: which prices of lines quoted in hundredths are told in hundredths, and which in the currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.errors import NonFiniteValue
from engine.model.instruments import Instrument
from engine.model.orders import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class WireUnits:
    """Whether each is in the quote's unit (pence) or in the currency, as the broker is said to tell it.

    No public source settles it for executions: the first session of a paper account has to confirm all of them.
    """

    limits_in_quote_units: bool = True
    executions_in_quote_units: bool = True
    market_in_quote_units: bool = True
    dividends_in_quote_units: bool = False

    def limit_text(self, instrument: Instrument, price: Decimal, side: Side) -> str:
        """A limit as it is written: on the tick grid, on the passive side of it, without exponent."""
        if not price.is_finite():
            raise NonFiniteValue(f"{instrument.instrument_id}: expected a finite limit, found {price}")
        rounded = instrument.floor_to_tick(price) if side is Side.BUY else instrument.ceil_to_tick(price)
        wire = rounded if self.limits_in_quote_units else rounded / instrument.price_magnifier
        return plain(wire)

    def limit(self, instrument: Instrument, told: Decimal) -> Decimal:
        """A limit that the broker tells, in quote units."""
        return told if self.limits_in_quote_units else told * instrument.price_magnifier

    def ticked(self, instrument: Instrument, told: Decimal) -> Decimal:
        """A price of market data, a tick or a bar, in quote units."""
        return told if self.market_in_quote_units else told * instrument.price_magnifier

    def dividend(self, instrument: Instrument, told: Decimal) -> Decimal:
        """Cash per share, in the instrument's currency."""
        return told / instrument.price_magnifier if self.dividends_in_quote_units else told

    def executed(self, instrument: Instrument, told: Decimal) -> Decimal:
        """The price of an execution, in quote units."""
        return told if self.executions_in_quote_units else told * instrument.price_magnifier


def plain(value: Decimal) -> str:
    """A number without exponent and without zeros at its end."""
    shown = f"{value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
