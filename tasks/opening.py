"""Begin a run: which world, which date, at which time it decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path

from engine.errors import ConfigurationError, RefusedError
from engine.model.context import Mode, RunKind
from state.lease import keeping_lease
from state.runs import ClaimOutcome, run_identifier
from tasks.day import TradingDay, run_key, wall_clock
from tasks.options import WorldOptions, environment_seed
from tasks.runtime import World, open_world
from tasks.step import in_flow_run


@contextmanager
def open_day(kind: RunKind, trade_date: date | None, profile: str) -> Iterator[TradingDay]:
    """Claim the run of a date; without a date, that of the flow run's *original* scheduled start."""
    day = trade_date or scheduled_date()
    with open_world(day_options(day, profile)) as world:
        claimed = begin(world, day, kind)
        with ending(claimed):
            yield claimed


def day_options(day: date, profile: str) -> WorldOptions:
    """World of one date for a run that Prefect starts: its store and seed come from the environment."""
    store = os.environ.get("FUND_STORE")
    return WorldOptions(
        profile=profile,
        first=day,
        last=day,
        store=None if store is None else Path(store),
        seed=environment_seed(),
    )


def begin(world: World, trade_date: date, kind: RunKind) -> TradingDay:
    """Claim a run in a world; it decides at its clock time, or later when the broker already is."""
    if kind is not RunKind.CLOSE:  # a close only reads
        world.require_leave()
    _refuse_the_past(world, trade_date, kind)
    if kind is RunKind.EXECUTION:
        _refuse_before_the_decision(world, trade_date)
    at = world.close_time(trade_date) if kind is RunKind.CLOSE else world.decision_time(trade_date)
    return TradingDay(world, run_key(world, trade_date, kind), max(at, world.now))


@contextmanager
def ending(day: TradingDay) -> Iterator[None]:
    """Keep the lease of a run that works; one that an unforeseen error ends is FAILED, and the next need not wait."""
    held = (
        keeping_lease(day.world.runs, day.run_id, day.claim.attempt) if day.claim.is_owner else nullcontext()
    )
    try:
        with held:
            yield
    except Exception:
        day.fail()
        raise


def require_claimable(world: World, trade_date: date) -> None:
    """Look before anything is written: raises as `begin` would, and `RefusedError` while another run holds the day."""
    for kind in RunKind:
        key = run_key(world, trade_date, kind)
        if world.runs.outlook(key, wall_clock()) is ClaimOutcome.HELD:
            raise RefusedError(held_text(run_identifier(key)))
        _refuse_the_past(world, trade_date, kind)


def held_text(run_id: str) -> str:
    """What a second run is told while the first is under way."""
    return f"expected {run_id} to be free, found it held by another run; nothing was done: wait until that run has ended"


def _refuse_the_past(world: World, trade_date: date, kind: RunKind) -> None:
    now = world.outside.lived_until()
    if now is None or trade_date >= now.date():
        return
    if world.runs.outlook(run_key(world, trade_date, kind), wall_clock()) is ClaimOutcome.COMPLETED:
        return
    raise ConfigurationError(
        f"expected a trade date from {now:%Y-%m-%d} on, for the account {world.account} has lived until "
        f"{now:%Y-%m-%d %H:%M} UTC and can not go back, found {trade_date}; {_way_out(world)}"
    )


def _refuse_before_the_decision(world: World, trade_date: date) -> None:
    """While a decision is under way its execution claims nothing: the claim would fence the decision out."""
    run_id = run_identifier(run_key(world, trade_date, RunKind.DECISION))
    decision = world.runs.run(run_id)
    if decision is not None and decision.status.is_held:
        raise RefusedError(
            f"expected the decision of {trade_date} to be finished before its execution, found {run_id} "
            f"{decision.status.value}; nothing was done: start the execution again when the decision has ended"
        )


def _way_out(world: World) -> str:
    if world.mode is Mode.SIMULATED:
        return "take a later date, start over with `fund simulated reset`, or use another FUND_HOME"
    return "take that date or a later one"


def scheduled_date() -> date:
    """Date for which Prefect planned the flow run, kept over its retries; today outside of a flow run."""
    return (planned_start() or datetime.now(UTC)).date()


def planned_start() -> datetime | None:
    """When Prefect planned the flow run to begin, UTC, kept over its retries; ``None`` outside of a flow run."""
    if not in_flow_run():
        return None
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    planned = None if context is None or context.flow_run is None else context.flow_run.expected_start_time
    return None if planned is None else planned.astimezone(UTC)
