"""Is an order too large for its market to take at once? Then it is worked in slices (EXEC-08).

A slice is never larger than an order that goes in one piece, and the next one waits until the market has traded
enough for the share that we may be of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from engine.model.orders import OrderIntent, Urgency
from engine.model.policy import SlicingPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """Largest quantity of one slice, and the least seconds from the start of one to the start of the next."""

    quantity: Decimal
    interval_seconds: float


def plan_slices(
    intent: OrderIntent,
    volume: Decimal | None,
    lot: Decimal,
    window_seconds: float,
    policy: SlicingPolicy,
) -> Slices | None:
    """Slices of a parent, ``None`` where it goes in one piece.

    ``volume`` is the average daily volume in the intent's units, ``None`` where unknown. It is taken to trade evenly
    over the window, which stands where the venue trades most. With symbols q = slice, p = largest share of the
    volume, V = volume and W = window, the interval is ``W · q / (p · V)`` seconds, and never below the policy's.
    A cut of the risk (HIGH) has to end today: its slices follow at the policy's interval, for the market may have
    left the collar before it has traded enough. An emergency is not sliced: its ladder counts seconds.
    """
    if volume is None or volume <= 0 or intent.urgency is Urgency.EMERGENCY:
        return None
    if intent.quantity <= volume * policy.adv_fraction_threshold:
        return None
    largest = max(volume * policy.adv_fraction_threshold // lot * lot, lot)
    count = _up(intent.quantity / largest)
    quantity = _up(intent.quantity / (count * lot)) * lot
    if intent.urgency is Urgency.HIGH:
        return Slices(quantity=quantity, interval_seconds=policy.interval_seconds)
    share = quantity / (volume * policy.max_participation_fraction)
    return Slices(
        quantity=quantity, interval_seconds=max(policy.interval_seconds, float(share) * window_seconds)
    )


def _up(value: Decimal) -> Decimal:
    return value.to_integral_value(rounding=ROUND_CEILING)
