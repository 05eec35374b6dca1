"""Can the fund pay for what it would like to own? Longs that are bought with cash, beside the cash buffer (R-113)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.model.instruments import Instrument, InstrumentType

_PAID_IN_FULL = frozenset({InstrumentType.STK, InstrumentType.ETF})


@dataclass(frozen=True, slots=True, kw_only=True)
class FundedLeg:
    """A wanted line: its sleeve, its signed weight as a fraction of NAV, and whether a long of it is paid in full."""

    sleeve: str
    weight: float
    is_funded: bool


def is_funded(instrument: Instrument) -> bool:
    """Whether a long of it is paid in full: shares and funds are, futures only post margin."""
    return instrument.kind in _PAID_IN_FULL


def limit_funding(legs: Sequence[FundedLeg], paid: float, maximum: float) -> list[float]:
    """Weights with which the funded longs and what is ``paid`` already stay within ``maximum`` (fractions of NAV).

    Every sleeve with a funded long shrinks by one fraction, its shorts too: half a pair is a bet that nobody wanted.
    Short proceeds are no free cash and do not count. No line grows or changes its sign.
    """
    longs = sum(leg.weight for leg in legs if leg.is_funded and leg.weight > 0.0)
    if longs == 0.0 or longs + paid <= maximum:
        return [leg.weight for leg in legs]
    fraction = max(0.0, maximum - paid) / longs
    shrinking = {leg.sleeve for leg in legs if leg.is_funded and leg.weight > 0.0}
    return [leg.weight * fraction if leg.sleeve in shrinking else leg.weight for leg in legs]
