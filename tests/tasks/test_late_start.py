"""Runs of the schedule that begin late, against a book of their own."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from engine.model.context import RunKind, RunStatus
from tasks.day import run_key
from tasks.late_start import skip_late
from tasks.options import WorldOptions
from tasks.runtime import World

DAYS = [date(2026, 11, 16) + timedelta(days=n) for n in range(5)]
LAST = DAYS[-1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(WorldOptions(profile="fund", first=LAST, last=LAST, home=tmp_path))
    try:
        yield made
    finally:
        made.close()


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def alarms(world: World) -> list[str]:
    rows = world.records.rows("alerts")
    return sorted(str(row["message"]) for row in rows if row["level"] == "CRITICAL")


def decided(world: World, day: date, now: datetime) -> None:
    """Claim a decision and end it, as a run in time does."""
    claim = world.runs.claim(run_key(world, day, RunKind.DECISION), now, "test", "test")
    world.runs.finish(claim.run_id, RunStatus.COMPLETED, now, b"", claim.attempt)


def test_after_an_outage_of_five_days_only_the_latest_is_decided(world: World) -> None:
    now = at(LAST, 6, 20)
    begun = [day for day in DAYS if skip_late(world, RunKind.DECISION, at(day, 6), now) is None]
    assert begun == [LAST]
    assert [alarm.split(" was skipped: ")[0] for alarm in alarms(world)] == [
        f"the decision of {day}" for day in DAYS[:-1]
    ]


def test_execution_and_close_of_the_days_that_were_missed_are_skipped_too(world: World) -> None:
    decided(world, LAST, at(LAST, 6, 1))
    for kind, hour, minute in ((RunKind.EXECUTION, 6, 55), (RunKind.CLOSE, 22, 30)):
        now = at(LAST, hour, minute)
        begun = [day for day in DAYS if skip_late(world, kind, at(day, hour, minute), now) is None]
        assert begun == [LAST]
    assert len(alarms(world)) == 8


def test_execution_without_a_decision_is_skipped(world: World) -> None:
    text = skip_late(world, RunKind.EXECUTION, at(LAST, 6, 55), at(LAST, 6, 55))
    assert text == f"the execution of {LAST} was skipped: its date has no decision"
    assert alarms(world) == [text]


def test_run_that_was_begun_in_time_goes_on_however_late_it_is_retried(world: World) -> None:
    now = at(LAST, 6)
    claim = world.runs.claim(run_key(world, LAST, RunKind.DECISION), now, "test", "test")
    world.runs.finish(claim.run_id, RunStatus.HALTED, now, b"", claim.attempt)
    assert skip_late(world, RunKind.DECISION, at(LAST, 6), at(LAST, 15)) is None
    assert alarms(world) == []


def test_alarm_that_is_told_twice_is_kept_once(world: World) -> None:
    for minute in (0, 5):
        assert skip_late(world, RunKind.DECISION, at(LAST, 6), at(LAST, 9, minute)) is not None
    assert len(alarms(world)) == 1
