"""Rolls that go by legs in drawn days: which seeds have one, and whether a leg that stands alone was told."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal

from engine.model.instruments import VenueGroup
from engine.model.orders import (
    ChildOrder,
    ExecutionJob,
    ExecutionStyle,
    LiquidityWindow,
    OrderIntent,
    Reason,
    Side,
    Urgency,
)
from tests.engine.simulation.exchange_world import CONTRACTS, FUTURE, NEXT, World, utc

SHARE, SHARE_OF_TESTS = 0.06, 0.1
"""Of the days so many roll by legs; of those that are drawn for some faults alone more."""

GROUP = "roll:ES"


def leg_jobs(seed: int, day: date, share: float = SHARE) -> tuple[ExecutionJob, ...]:
    """The job of a roll by legs that a seed adds; of most seeds none."""
    chance = random.Random(f"{seed}|legs")
    if chance.random() >= share:
        return ()
    quantity, start = Decimal(chance.randint(2, 8)), utc(day, 15) + timedelta(minutes=5 * chance.randrange(4))
    window = LiquidityWindow(
        venue="US", style=ExecutionStyle.MIDDAY, start=start, end=start + timedelta(minutes=10)
    )
    return (
        ExecutionJob(
            job_id="job-legs",
            trade_date=day,
            venue="US",
            venue_group=VenueGroup.US,
            style=ExecutionStyle.MIDDAY,
            window=window,
            group=f"strategy/{GROUP}",
            after=(),
            intents=(_leg(day, FUTURE, Side.SELL, quantity), _leg(day, NEXT, Side.BUY, quantity)),
            content_digest="content-legs",
        ),
    )


def _leg(day: date, contract_id: str, side: Side, quantity: Decimal) -> OrderIntent:
    return OrderIntent(
        intent_id=f"{day}|legs|{contract_id}",
        contract_id=contract_id,
        instrument_id=CONTRACTS[contract_id].instrument_id,
        side=side,
        quantity=quantity,
        reason=Reason.ROLL,
        urgency=Urgency.NORMAL,
        group=GROUP,
        reduce_only=False,
        sleeves={"core_index_rv": quantity * side.sign},
        decision_price=World().closes[contract_id],
    )


def is_second_leg(child: ChildOrder) -> bool:
    """Whether an order opens the new contract by itself."""
    return child.contract_id == NEXT and child.near is None


def alone(
    jobs: Iterable[ExecutionJob], traded: Mapping[str, Decimal]
) -> Iterator[tuple[str, frozenset[str]]]:
    """Groups of rolls, with their parents, where one leg traded more than another follows it, by what each traded."""
    legs: dict[str, list[OrderIntent]] = {}
    for job in jobs:
        for intent in job.intents:
            if intent.reason is Reason.ROLL and intent.group is not None:
                legs.setdefault(intent.group, []).append(intent)
    for group, parents in legs.items():
        parts = [traded.get(parent.intent_id, Decimal(0)) / parent.quantity for parent in parents]
        lot = max(1 / parent.quantity for parent in parents)
        if max(parts) - min(parts) > lot or (max(parts) >= 1 and min(parts) != 1):
            yield group, frozenset(parent.intent_id for parent in parents)
