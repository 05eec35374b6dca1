"""Runs of the schedule that begin late: caught up while that makes sense, else skipped, with an alarm.

What a person starts for a date is not late: only a run without a date is one of the schedule's.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from engine.execution.catch_up import why_skipped
from engine.model.context import RunKind
from engine.model.encoding import digest_bytes
from state.runs import ClaimOutcome, run_identifier
from tasks.day import run_key, wall_clock
from tasks.opening import day_options, planned_start
from tasks.runtime import World, open_world


def skipped_start(kind: RunKind, profile: str) -> tuple[str, str] | None:
    """Run id of a scheduled run that is not begun any more and why, ``None`` when it may begin."""
    planned = planned_start()
    if planned is None:
        return None
    with open_world(day_options(planned.date(), profile)) as world:
        text = skip_late(world, kind, planned, wall_clock())
        return None if text is None else (run_identifier(run_key(world, planned.date(), kind)), text)


def skip_late(world: World, kind: RunKind, planned: datetime, now: datetime) -> str | None:
    """Why a run is not begun any more, told to the people who watch; ``None`` when it may begin.

    A run that was begun in time goes on whenever it is retried, and its windows decide what it still may do.
    """
    day, scheduler = planned.date(), world.configuration.settings.execution_phase2.session_scheduler
    if world.runs.outlook(run_key(world, day, kind), now) is not ClaimOutcome.NEW:
        return None
    why = why_skipped(
        kind,
        planned,
        now,
        time.fromisoformat(world.configuration.settings.fund.decision_time_utc),
        timedelta(minutes=scheduler.catch_up_minutes),
    )
    decision = run_key(world, day, RunKind.DECISION)
    if why is None and kind is RunKind.EXECUTION and world.runs.outlook(decision, now) is ClaimOutcome.NEW:
        why = "its date has no decision"
    if why is None:
        return None
    text = f"the {kind.value} of {day} was skipped: {why}"
    _tell(world, text, now)
    return text


def _tell(world: World, text: str, now: datetime) -> None:
    """Keep the alarm; telling it again changes nothing."""
    world.records.save(
        "alerts",
        [
            {
                "alert_id": digest_bytes(f"{world.account}|{text.partition(': ')[0]}".encode())[:16],
                "account": world.account,
                "at": now,
                "level": "CRITICAL",
                "kind": "schedule",
                "message": text,
                "delivered": False,
                "run_id": None,
            }
        ],
    )
