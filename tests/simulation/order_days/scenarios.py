"""Days of thirty orders without drawn faults: the ground on which a process is killed at every effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
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
from tests.engine.simulation.exchange_world import CONTRACTS, EURO, FUTURE, UNIVERSE, World, utc
from tests.simulation.order_days.drawing import DrawnDay, Fault, roll_intents

DAY = date(2024, 3, 5)
LINES = ("AAA", "PEN", "EUR.USD", FUTURE, EURO)
ORDERS = 30


def _intent(number: int, urgency: Urgency, side: Side) -> OrderIntent:
    contract_id = LINES[number % len(LINES)]
    instrument = UNIVERSE[CONTRACTS[contract_id].instrument_id]
    quantity = Decimal(1 + number % 4 if instrument.is_future else 40 + 7 * number)
    return OrderIntent(
        intent_id=f"{DAY}|{number}|{contract_id}",
        contract_id=contract_id,
        instrument_id=instrument.instrument_id,
        side=side,
        quantity=quantity,
        reason=Reason.REBALANCE,
        urgency=urgency,
        group=None,
        reduce_only=False,
        sleeves={"core_index_rv": quantity * side.sign},
        decision_price=World().closes[contract_id],
    )


def _jobs(
    per_job: int, *, chained: bool, minutes: int, urgency: Urgency, rolls: bool
) -> Iterator[ExecutionJob]:
    for number, first in enumerate(range(0, ORDERS, per_job)):
        start = utc(DAY, 15) + timedelta(minutes=0 if chained else 5 * number)
        end = start + timedelta(minutes=minutes)
        yield ExecutionJob(
            job_id=f"job-{number}",
            trade_date=DAY,
            venue="US",
            venue_group=VenueGroup.US,
            style=ExecutionStyle.MIDDAY,
            window=LiquidityWindow(venue="US", style=ExecutionStyle.MIDDAY, start=start, end=end),
            group="strategy/core",
            after=(f"job-{number - 1}",) if chained and number else (),
            intents=tuple(
                _intent(n, urgency, Side.SELL if n % len(LINES) > 1 and n % 3 == 0 else Side.BUY)
                for n in range(first, min(first + per_job, ORDERS) - 2 * rolls)
            )
            + (roll_intents(f"{DAY}|{number}", 3 + number, 4) if rolls else ()),
            content_digest=f"content-{number}",
        )


def _day(
    seed: int,
    *,
    depth: int = 100_000,
    drift: int = 0,
    per_job: int = 10,
    chained: bool = False,
    minutes: int = 25,
    urgency: Urgency = Urgency.NORMAL,
    rolls: bool = False,
    rates: Mapping[Fault, float] | None = None,
) -> DrawnDay:
    return DrawnDay(
        seed=seed,
        day=DAY,
        jobs=tuple(_jobs(per_job, chained=chained, minutes=minutes, urgency=urgency, rolls=rolls)),
        depth=Decimal(depth),
        drift=drift,
        rates=dict(rates or {}),
    )


SCENARIOS: Mapping[str, DrawnDay] = {
    "filled at once": _day(1),
    "filled in parts": _day(2, depth=110),
    "repriced in a moving market": _day(3, depth=200, drift=4, urgency=Urgency.HIGH),
    "each job after the last": _day(4, per_job=6, chained=True),
    "rolls as calendar spreads": _day(7, depth=130, rolls=True),
    "executions corrected and taken back": _day(5, rates={Fault.CORRECTION: 0.05, Fault.BUST: 0.02}),
    "lines that break while orders leave": _day(6, rates={Fault.SEND_UNKNOWN: 0.1, Fault.SEND_LOST: 0.05}),
}
"""Seven days of thirty orders each, by name."""
