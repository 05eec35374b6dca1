"""Begin a run: which world, which date, at which time it decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from prefect.context import FlowRunContext

from engine.model.context import RunKind
from tasks.day import TradingDay, run_key
from tasks.runtime import World, WorldOptions, open_world


@contextmanager
def open_day(kind: RunKind, trade_date: date | None, profile: str) -> Iterator[TradingDay]:
    """Claim the run of a date; without a date, that of the flow run's *original* scheduled start."""
    day = trade_date or scheduled_date()
    store = os.environ.get("FUND_STORE")
    options = WorldOptions(
        profile=profile,
        first=day,
        last=day,
        store=None if store is None else Path(store),
        seed=int(os.environ.get("FUND_SEED", "1")),
    )
    with open_world(options) as world:
        yield begin(world, day, kind)


def begin(world: World, trade_date: date, kind: RunKind) -> TradingDay:
    """Claim a run in a world; it decides at its clock time, or later when the broker already is."""
    at = world.close_time(trade_date) if kind is RunKind.CLOSE else world.decision_time(trade_date)
    return TradingDay(world, run_key(world, trade_date, kind), max(at, world.broker.now))


def scheduled_date() -> date:
    """Date for which Prefect planned the flow run, kept over its retries; today outside of a flow run."""
    context = FlowRunContext.get()
    planned = None if context is None or context.flow_run is None else context.flow_run.expected_start_time
    return (planned or datetime.now(UTC)).astimezone(UTC).date()
