"""A broker's average cost as a price: our own fills are the cost of record, this reads theirs beside it (R-07, R-08)."""

from __future__ import annotations

from decimal import Decimal

from engine.model.instruments import Instrument

_FACTOR = 10
"""A price in the wrong unit is off by the magnifier, 100; within this factor of the mark it is in the right one."""


def average_price(raw: Decimal, instrument: Instrument, mark: Decimal | None) -> Decimal | None:
    """Average price per unit in quote units of a broker's average cost, which holds multiplier and commission.

    ``mark`` is in quote units. Brokers report lines quoted in hundredths either way, so for them the reading within
    a factor of ten of the mark counts. ``None`` where neither is: the cost is not understood, and never guessed.
    """
    unit_cost = raw / instrument.multiplier
    if instrument.price_magnifier == 1:
        return unit_cost
    if mark is None or mark <= 0:
        return None
    readings = (unit_cost * instrument.price_magnifier, unit_cost)
    return next((price for price in readings if mark < price * _FACTOR and price < mark * _FACTOR), None)
