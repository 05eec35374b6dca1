"""How an order's urgency changes the way it is worked: how long, how often and how far from its arrival.

LOW waits at its own side of the market first; NORMAL follows the market inside its collar; HIGH does so three times
as fast in a wider collar; EMERGENCY climbs a ladder of collars (R-61). Only the rungs of that ladder widen a collar,
all of them measured from the arrival mid, and the last one is the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache

from engine.model.orders import Urgency
from engine.model.policy import ExecutionPolicy

_ONCE = (Decimal(1),)
_MOST_POLICIES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How one round of a parent is worked.

    ``collar_multiples`` are multiples of the class's collar, by price of the round, the last for all that follow.
    ``minimum_ticks`` is the least collar of a future. A passive round waits at its own side of the market and
    ``rest_seconds`` later the next one begins. ``climbs`` says that every price is that of its rung.
    """

    ttl_seconds: float
    replace_interval_seconds: float
    max_replaces: int
    rest_seconds: float
    collar_multiples: tuple[Decimal, ...] = _ONCE
    minimum_ticks: int = 0
    is_passive: bool = False
    climbs: bool = False
    replace_interval: timedelta = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "replace_interval", timedelta(seconds=self.replace_interval_seconds))

    def collar_multiple(self, step: int) -> Decimal:
        """Multiple of the class's collar that bounds the ``step``-th price of the round."""
        return self.collar_multiples[min(step, len(self.collar_multiples) - 1)]


def pace_of(urgency: Urgency, rounds: int, policy: ExecutionPolicy) -> Pace:
    """Pace of a round after ``rounds`` earlier ones of the same parent."""
    match urgency:
        case Urgency.LOW:
            return _of_normal(policy) if rounds else _passive(policy)
        case Urgency.NORMAL:
            return _of_normal(policy)
        case Urgency.HIGH:
            return Pace(
                ttl_seconds=policy.order_ttl_seconds,
                replace_interval_seconds=policy.urgency.high_replace_interval_seconds,
                max_replaces=policy.max_replaces,
                rest_seconds=policy.parent_retry_seconds,
                collar_multiples=(policy.urgency.high_collar_multiple,),
            )
        case Urgency.EMERGENCY:
            return _ladder(rounds, policy)


def widest_collar(urgency: Urgency, policy: ExecutionPolicy) -> tuple[Decimal, int]:
    """Largest multiple of the class's collar that a parent may ever reach, and a future's least ticks."""
    first = pace_of(urgency, 0, policy)
    return max(first.collar_multiples), first.minimum_ticks


def _of_normal(policy: ExecutionPolicy) -> Pace:
    return _normal(
        policy.order_ttl_seconds,
        policy.replace_interval_seconds,
        policy.max_replaces,
        policy.parent_retry_seconds,
    )


@lru_cache(maxsize=_MOST_POLICIES, typed=True)
def _normal(ttl: float, interval: float, replaces: int, rest: float) -> Pace:
    """Made once: every look at nearly every order asks for it."""
    return Pace(
        ttl_seconds=ttl,
        replace_interval_seconds=interval,
        max_replaces=replaces,
        rest_seconds=rest,
    )


def _passive(policy: ExecutionPolicy) -> Pace:
    """It follows its own side of the market for the whole time, then the marketable rounds begin at once."""
    seconds = policy.urgency.passive_seconds
    return Pace(
        ttl_seconds=seconds,
        replace_interval_seconds=policy.replace_interval_seconds,
        max_replaces=int(seconds // policy.replace_interval_seconds),
        rest_seconds=0.0,
        is_passive=True,
    )


def _ladder(rounds: int, policy: ExecutionPolicy) -> Pace:
    """Every rung once; its last price rests, and later rounds begin where the ladder ended."""
    rungs = policy.urgency.emergency_collar_multiples
    return Pace(
        ttl_seconds=policy.order_ttl_seconds,
        replace_interval_seconds=policy.urgency.emergency_rung_seconds,
        max_replaces=len(rungs) - 1,
        rest_seconds=policy.parent_retry_seconds,
        collar_multiples=rungs[-1:] if rounds else rungs,
        minimum_ticks=policy.urgency.emergency_minimum_ticks,
        climbs=True,
    )
