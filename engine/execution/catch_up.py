"""Whether a run that begins late may still do what it was planned for.

A decision that is late by more than its catch-up time is a wrong decision (R-100). An execution catches up in the
windows that are still open, each job by the rule of its style, and a close as long as the day is the latest one: once
the next date's decision is due, only that date runs.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from engine.model.context import RunKind


def why_skipped(
    kind: RunKind, planned: datetime, now: datetime, decision_clock: time, catch_up: timedelta
) -> str | None:
    """Why a run that was planned for one time is not begun at another, ``None`` when it is.

    Parameters
    ----------
    kind : RunKind
        Decision, execution or close.
    planned, now : datetime
        Planned and actual start, UTC.
    decision_clock : time
        When a weekday's decision is due, UTC.
    catch_up : timedelta
        Longest delay of a decision.
    """
    late = now - planned
    if kind is RunKind.DECISION and late > catch_up:
        return f"it was due at {planned:%Y-%m-%d %H:%M}Z and may begin up to {_minutes(catch_up)} late, found {_minutes(late)}"
    following = _next_decision(planned, decision_clock)
    if now >= following:
        return f"it was due at {planned:%Y-%m-%d %H:%M}Z, and since {following:%Y-%m-%d %H:%M}Z only {following:%Y-%m-%d} runs"
    return None


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"


def _next_decision(planned: datetime, clock: time) -> datetime:
    """When the decision of the next weekday is due."""
    day = planned.date() + timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return datetime.combine(day, clock, planned.tzinfo)
