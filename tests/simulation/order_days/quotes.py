"""What a broken feed makes of a good quote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from engine.model.market import Quote
from tests.simulation.order_days.drawing import Fault


def _moved(quote: Quote, spreads: int, age: timedelta) -> Quote:
    """A quote of another time, when the market stood elsewhere."""
    ask = quote.mid + spreads * quote.spread
    return replace(quote, observed_at=quote.observed_at - age, bid=ask - quote.spread, ask=ask)


def widened(quote: Quote) -> Quote:
    """A hundred times the spread around the same mid: a bad market, and a true one."""
    return replace(quote, bid=quote.mid - 50 * quote.spread, ask=quote.mid + 50 * quote.spread)


SPOILED: Mapping[Fault, Callable[[Quote], Quote]] = {
    Fault.QUOTE_STALE: lambda quote: _moved(quote, -6, timedelta(minutes=2)),
    Fault.QUOTE_DELAYED: lambda quote: _moved(quote, 5, timedelta(minutes=15)),
    Fault.QUOTE_CROSSED: lambda quote: replace(quote, bid=quote.mid + 9 * quote.spread, ask=quote.mid),
    Fault.QUOTE_ONE_SIDED: lambda quote: replace(quote, ask=None),
    Fault.QUOTE_ZERO: lambda quote: replace(quote, bid=Decimal(0)),
    Fault.QUOTE_NAN: lambda quote: replace(quote, ask=Decimal("NaN")),
    Fault.QUOTE_NEGATIVE: lambda quote: replace(quote, bid=Decimal(-1), ask=Decimal(-1)),
}
"""What no price may be made from, each from the good quote of the moment."""
