"""Orders for auctions in drawn days: which jobs a seed adds to its day, and what surrounds their cut-offs."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from engine.model.instruments import VenueGroup
from engine.model.orders import (
    ExecutionJob,
    ExecutionStyle,
    LiquidityWindow,
    OrderIntent,
    Reason,
    Side,
    Urgency,
)
from tests.engine.simulation.exchange_world import CONTRACTS, World, utc

SHARE, SHARE_OF_TESTS = 0.08, 0.12
"""Of the days so many have orders for auctions; of those that are drawn for some faults alone more."""

AROUND = timedelta(minutes=3)
"""How near to a cut-off is around it."""

_OPEN, _CLOSE = ExecutionStyle.OPEN_AUCTION, ExecutionStyle.CLOSE_AUCTION
_TERMS = {
    # Venue and style: line, cut-off, when the outcome is known, and the continuous window for what is left.
    ("US", _OPEN): ("AAA", time(14, 27), time(14, 40), (time(14, 45), time(15, 15))),
    ("US", _CLOSE): ("AAA", time(20, 45), time(21, 15), None),
    ("EU", _CLOSE): ("PEN", time(16, 29), time(16, 45), None),
    ("EU", _OPEN): ("PEN", time(7, 57), time(8, 10), (time(8, 15), time(8, 45))),
}  # fmt: skip
_OFTEN = (
    ("US", _OPEN),
    ("EU", _CLOSE),
    ("EU", _OPEN),
    ("US", _OPEN),
    ("EU", _CLOSE),
    ("EU", _OPEN),
    ("US", _CLOSE),
)
"""New York's close is drawn rarely: its orders stand for a quarter of an hour, which is long to live."""


def auction_jobs(seed: int, day: date, share: float = SHARE) -> tuple[ExecutionJob, ...]:
    """Jobs that a seed adds for auctions; of most seeds none."""
    chance = random.Random(f"{seed}|auctions")
    if chance.random() >= share:
        return ()
    places = dict.fromkeys(chance.choice(_OFTEN) for _ in range(chance.randint(1, 2)))
    return tuple(_job(chance, day, venue, style) for venue, style in places)


def _job(chance: random.Random, day: date, venue: str, style: ExecutionStyle) -> ExecutionJob:
    line, cutoff, told_by, left = _TERMS[venue, style]
    at = _at(day, cutoff)
    # Some orders leave minutes before the cut-off and some in its last seconds.
    start = at - timedelta(seconds=chance.choice((2, 30, 90, 600)))
    name = f"{day}|{venue}|{style.value}"
    window = LiquidityWindow(venue=venue, style=style, start=start, end=_at(day, told_by), cutoff=at)
    fallback = None
    if left is not None and chance.random() < 2 / 3:
        start, end = (_at(day, clock) for clock in left)
        fallback = LiquidityWindow(venue=venue, style=ExecutionStyle.MIDDAY, start=start, end=end)
    return ExecutionJob(
        job_id=name,
        trade_date=day,
        venue=venue,
        venue_group=VenueGroup(venue),
        style=style,
        window=window,
        group="strategy/core",
        after=(),
        intents=(_intent(chance, f"{name}|{line}", line),),
        content_digest=name,
        fallback=fallback,
    )


def _intent(chance: random.Random, name: str, contract_id: str) -> OrderIntent:
    quantity = Decimal(chance.randint(50, 400))
    # A decision at another price: an opening auction may clear outside of the collar around it.
    price = World().closes[contract_id] * chance.choice((1, 1, Decimal("0.99"), Decimal("1.01")))
    return OrderIntent(
        intent_id=name,
        contract_id=contract_id,
        instrument_id=CONTRACTS[contract_id].instrument_id,
        side=Side.BUY,
        quantity=quantity,
        reason=Reason.REBALANCE,
        urgency=Urgency.NORMAL,
        group=None,
        reduce_only=False,
        sleeves={"core_index_rv": quantity},
        decision_price=price,
    )


def _at(day: date, clock: time) -> datetime:
    return utc(day, clock.hour, clock.minute)


def cutoffs(jobs: Iterable[ExecutionJob]) -> tuple[datetime, ...]:
    """Cut-offs of a day's jobs."""
    return tuple(job.window.cutoff for job in jobs if job.window.cutoff is not None)


def turns_of_waiting(jobs: Iterable[ExecutionJob]) -> int:
    """Turns of the loop while orders stand, or are in doubt, until their jobs end: it looks around every five seconds."""
    waits = (job.ends_at - job.window.start for job in jobs if job.window.cutoff is not None)
    return sum(wait // timedelta(seconds=5) for wait in waits)


def last_told(jobs: Iterable[ExecutionJob], otherwise: datetime) -> datetime:
    """When the last auction of a day is told, not before some other time."""
    told = (job.ends_at + AROUND for job in jobs if job.window.cutoff is not None)
    return max((otherwise, *told))
