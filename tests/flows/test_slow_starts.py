"""What loads for seconds beside a command: at once, but after a killed command only when it turns out to be needed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import flows.server
import flows.trading_days
from engine.model.context import RunStatus
from flows.outcome import Outcome
from flows.server import begin_slow_starts, was_killed
from state.write_ahead import use_write_ahead
from tests.flows.command_line import FIRST, PLAIN, SECOND, CommandLine


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was started."""
    names: list[str] = []
    monkeypatch.setattr(flows.server, "start_beside", lambda: names.append("suites"))
    monkeypatch.setattr(flows.server, "_postponed", [])
    return names


def leave_as_killed(home: Path) -> None:
    """A database as a killed process leaves it, with the write-ahead file that was there."""
    with closing(sqlite3.connect(home / "alive.sqlite")) as connection:
        use_write_ahead(connection, 1)
        connection.execute("CREATE TABLE rows (value)")
        for file in home.glob("alive.sqlite*"):
            shutil.copy(file, home / file.name.replace("alive", "killed"))


def test_only_a_database_that_nobody_closed_tells_of_a_killed_command(tmp_path: Path) -> None:
    assert not was_killed(tmp_path)
    leave_as_killed(tmp_path)
    assert {file.name for file in tmp_path.glob("*-wal")} == {"killed.sqlite-wal"}
    assert was_killed(tmp_path)
    assert was_killed(tmp_path.parent)


def test_suites_begin_at_once_in_a_home_that_was_closed(fund: CommandLine, started: list[str]) -> None:
    begin_slow_starts(with_prefect=False)
    assert started == ["suites"]


@pytest.mark.parametrize(("day", "begun"), [(FIRST, []), (SECOND, ["suites"])])
def test_suites_begin_after_a_kill_only_for_a_day_that_is_not_decided(
    after_a_day: CommandLine,
    started: list[str],
    monkeypatch: pytest.MonkeyPatch,
    day: str,
    begun: list[str],
) -> None:
    leave_as_killed(after_a_day.home)
    lived: list[list[str]] = []

    def held(*_: object, **__: object) -> Outcome:
        lived.append(list(started))
        return Outcome(run_id="", status=RunStatus.COMPLETED, text="held by the test", held=True)

    monkeypatch.setattr(flows.trading_days, "run_day", held)
    after_a_day("run", "--date", day, PLAIN)
    assert lived == [begun]
