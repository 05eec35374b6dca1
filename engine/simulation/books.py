"""Spread and depth of the simulated order books: how wide and how deep, by class of instrument and time of day."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from engine.model.instruments import CollarClass, Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class BookHabit:
    """Usual top of book: spread in basis points (never below a tick), and the size on each side.

    Size is ``lots`` of the instrument where set, else ``notional`` in its currency.
    """

    spread_bps: float
    lots: float | None
    notional: float | None


HABITS: Mapping[CollarClass, BookHabit] = {
    CollarClass.ETF: BookHabit(spread_bps=6.0, lots=None, notional=400_000.0),
    CollarClass.STK: BookHabit(spread_bps=3.0, lots=None, notional=180_000.0),
    CollarClass.FUT: BookHabit(spread_bps=0.3, lots=40.0, notional=None),
    CollarClass.FX_FUT: BookHabit(spread_bps=0.5, lots=60.0, notional=None),
    CollarClass.FX_SPOT: BookHabit(spread_bps=0.6, lots=None, notional=2_000_000.0),
    CollarClass.BOND_FUT: BookHabit(spread_bps=0.6, lots=150.0, notional=None),
    CollarClass.VOL_FUT: BookHabit(spread_bps=25.0, lots=80.0, notional=None),
    CollarClass.OPT: BookHabit(spread_bps=0.0, lots=50.0, notional=None),
}

OPENING_MINUTES, CLOSING_MINUTES = 15, 10
_EDGE_WIDENING, _NIGHT_WIDENING, _CALM_VIX = 2.0, 1.5, 20.0


def widening(minute: int, minutes: int, hour_utc: int, vix: float) -> float:
    """How much wider than usual: near open and close, at night, and as volatility rises above calm."""
    factor = max(1.0, vix / _CALM_VIX) if math.isfinite(vix) else 1.0
    if minute < OPENING_MINUTES or minute >= minutes - CLOSING_MINUTES:
        return factor * _EDGE_WIDENING
    return factor * _NIGHT_WIDENING if hour_utc < 7 or hour_utc >= 21 else factor


def price_two_sided(instrument: Instrument, mid: float, factor: float) -> tuple[Decimal, Decimal]:
    """Bid and ask on the tick grid around a mid, at least one tick apart; bids of securities stay positive."""
    tick = float(instrument.tick_at(Decimal(repr(mid))))
    width = mid * HABITS[instrument.collar_class].spread_bps * 1e-4 * factor
    ticks = max(1, round(width / tick))
    lowest = math.floor(mid / tick - ticks / 2 + 0.5)
    exact = instrument.tick_at(Decimal(repr(mid)))
    bid = instrument.floor_to_tick(exact * max(1, lowest))
    ask = instrument.ceil_to_tick(exact * (max(1, lowest) + ticks))
    return bid, ask


def depth(instrument: Instrument, mid: float, factor: float, drawn: float) -> Decimal:
    """Size at the best price, whole lots: a draw in [0, 1) around the usual, thinner when spreads are wide."""
    habit = HABITS[instrument.collar_class]
    scale = (0.4 + 1.2 * drawn) / factor
    lot = float(instrument.lot)
    if habit.lots is not None:
        lots = habit.lots * scale
    else:
        assert habit.notional is not None
        lots = habit.notional * scale / (mid * float(instrument.effective_multiplier) * lot)
    return Decimal(max(1, int(lots))) * instrument.lot
