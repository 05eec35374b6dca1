"""Alarms of the broker's line while the book is locked: they stay with the line until a run of its world wrote them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from engine.errors import SupersededError
from engine.model.context import RunKind, RunStatus
from state import database
from state.runs import RunStore
from tasks.day import TradingDay, run_key, wall_clock
from tasks.runtime import World
from tests.factories import new_world

DAY = date(2026, 11, 20)
AT = datetime(2026, 11, 20, 6, tzinfo=UTC)


class Line:
    """What a line said and nobody kept yet."""

    def __init__(self) -> None:
        self.untold: list[str] = []

    def alarms(self) -> tuple[str, ...]:
        return tuple(self.untold)

    def alarm_kept(self) -> None:
        del self.untold[0]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """It waits no time for the lock of its book."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0)
    opened = new_world(tmp_path, last=DAY, first=DAY)
    yield opened
    opened.close()


@pytest.fixture
def line(world: World, monkeypatch: pytest.MonkeyPatch) -> Line:
    line = Line()
    monkeypatch.setattr(world.outside, "alarms", line.alarms)
    monkeypatch.setattr(world.outside, "alarm_kept", line.alarm_kept)
    return line


@pytest.fixture
def lock(world: World) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection to the book, who may take its lock."""
    path = world.database.engine.url.database
    assert path is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        yield other


def begun(world: World, kind: RunKind = RunKind.DECISION) -> TradingDay:
    return TradingDay(world, run_key(world, DAY, kind), AT)


def told(world: World) -> list[tuple[object, object]]:
    return sorted((row["run_id"], row["message"]) for row in world.records.rows("alerts"))


def test_alarm_is_written_after_the_end_of_a_run_that_the_book_could_not_write_it_in(
    world: World, line: Line, lock: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is let go of between the last try and the end of the run."""
    day, finish = begun(world), RunStore.finish

    def free_again(*given: object) -> None:
        lock.execute("ROLLBACK")
        finish(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(RunStore, "finish", free_again)
    line.untold = ["first", "second"]
    lock.execute("BEGIN IMMEDIATE")
    day.finish(RunStatus.COMPLETED, b"")

    assert told(world) == [(day.run_id, "first"), (day.run_id, "second")]
    assert line.untold == []


def test_alarm_that_a_run_never_wrote_is_written_by_the_next_run_of_its_world(
    world: World, line: Line, lock: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, finish = begun(world), RunStore.finish

    def free_for_a_moment(*given: object) -> None:
        lock.execute("ROLLBACK")
        finish(*given)  # type: ignore[arg-type]
        lock.execute("BEGIN IMMEDIATE")

    with monkeypatch.context() as moment:
        moment.setattr(RunStore, "finish", free_for_a_moment)
        line.untold = ["first"]
        lock.execute("BEGIN IMMEDIATE")
        day.finish(RunStatus.COMPLETED, b"")
    assert (told(world), line.untold) == ([], ["first"])
    lock.execute("ROLLBACK")

    following = begun(world, RunKind.CLOSE)
    following.finish(RunStatus.COMPLETED, b"")

    assert told(world) == [(following.run_id, "first")]
    assert line.untold == []


def test_alarm_that_is_raised_while_others_are_written_stays_for_the_next_time(
    world: World, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = TradingDay.alert

    def raised_meanwhile(day: TradingDay, level: str, message: str) -> None:
        alert(day, level, message)
        if message == "first":
            line.untold.append("later")

    day = begun(world)
    monkeypatch.setattr(TradingDay, "alert", raised_meanwhile)
    line.untold = ["first", "second"]
    assert day.take_in_alarms()
    assert line.untold == ["later"]
    assert day.take_in_alarms()
    assert [text for _, text in told(world)] == ["first", "later", "second"]


def test_only_what_was_written_is_let_go_of(
    world: World, line: Line, lock: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = TradingDay.alert

    def locked_after_the_first(day: TradingDay, level: str, message: str) -> None:
        alert(day, level, message)
        lock.execute("BEGIN IMMEDIATE")

    day = begun(world)
    with monkeypatch.context() as locked:
        locked.setattr(TradingDay, "alert", locked_after_the_first)
        line.untold = ["first", "second"]
        assert not day.take_in_alarms()
    lock.execute("ROLLBACK")
    assert ([text for _, text in told(world)], line.untold) == (["first"], ["second"])
    assert day.take_in_alarms()
    assert ([text for _, text in told(world)], line.untold) == (["first", "second"], [])


def superseded(world: World) -> TradingDay:
    """A run whose lease ended: another attempt has it by now."""
    day = begun(world)
    later = wall_clock() + timedelta(hours=1)
    RunStore(world.database).claim(day.key, later, world.code_version, world.config_digest)
    return day


def test_run_that_was_taken_over_still_tells_what_its_line_said(world: World, line: Line) -> None:
    """Who took it over may be another process, which has a line of its own and never hears of this one's."""
    day = superseded(world)
    line.untold = ["lost"]
    with pytest.raises(SupersededError, match="was taken over by attempt 2"):
        day.fail()
    assert (told(world), line.untold) == ([(day.run_id, "lost")], [])


def test_run_that_was_taken_over_leaves_its_alarms_to_the_next_where_the_book_is_locked(
    world: World, line: Line, lock: sqlite3.Connection
) -> None:
    day = superseded(world)
    line.untold = ["lost"]
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(SupersededError, match="was taken over by attempt 2"):
        day.fail()
    lock.execute("ROLLBACK")
    assert (told(world), line.untold) == ([], ["lost"])

    following = begun(world, RunKind.CLOSE)
    following.finish(RunStatus.COMPLETED, b"")
    assert told(world) == [(following.run_id, "lost")]


def test_failure_after_the_end_of_a_run_tells_what_the_line_said_since(world: World, line: Line) -> None:
    day = begun(world)
    day.finish(RunStatus.HALTED, b"")
    line.untold = ["since"]
    day.fail()
    assert (told(world), line.untold) == ([(day.run_id, "since")], [])


def test_alarms_are_written_by_the_thread_of_the_run_alone(
    world: World, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers, alert = set[int](), TradingDay.alert

    def noted(day: TradingDay, level: str, message: str) -> None:
        writers.add(threading.get_ident())
        alert(day, level, message)

    monkeypatch.setattr(TradingDay, "alert", noted)
    day = begun(world)
    teller = threading.Thread(target=line.untold.append, args=("from the session's thread",))
    teller.start()
    teller.join()
    day.finish(RunStatus.COMPLETED, b"")
    assert (len(told(world)), writers) == (1, {threading.get_ident()})
