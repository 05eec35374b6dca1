import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.model.context import ControlState, RunKind
from engine.model.halts import HaltChoice, HaltKind
from state.control import ControlStore, HaltSeverity, HaltStore
from state.database import Database, open_database
from state.marks import FileMarks, MemoryMarks
from state.runs import RunClaim, RunStore
from tests.state.builders import ACCOUNT, NOW, later, make_key


def claim(database: Database, kind: RunKind = RunKind.DECISION, seconds: float = 0) -> RunClaim:
    return RunStore(database).claim(make_key(kind), later(seconds), "code", "config")


def stop(database: Database, run_id: str, kind: HaltKind) -> None:
    HaltStore(database).raise_halt(
        ACCOUNT,
        run_id,
        kind.value,
        severity=HaltSeverity.HALT,
        message="what was found",
        evidence=b"",
        choices=(HaltChoice.RETRY,),
        now=NOW,
    )


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Database, Callable[[], Database]]:
    """A book on a file, and how to open the copy of its beginning in its place."""
    open_database(None, tmp_path).close()
    kept = tmp_path / "kept"
    shutil.copy(tmp_path / "fund.sqlite", kept)

    def restored() -> Database:
        for path in tmp_path.glob("fund.sqlite*"):
            path.unlink()
        shutil.copy(kept, tmp_path / "fund.sqlite")
        return open_database(None, tmp_path)

    return open_database(None, tmp_path), restored


@given(st.lists(st.integers(min_value=0, max_value=10**18), max_size=8))
def test_mark_in_memory_is_the_highest_that_was_seen(counts: list[int]) -> None:
    marks = MemoryMarks()
    for count in counts:
        marks.raise_to(ACCOUNT, count)
    assert marks.highest(ACCOUNT) == max(counts, default=0)


def test_mark_on_disk_never_falls_and_is_its_accounts_own(tmp_path: Path) -> None:
    marks = FileMarks(tmp_path / "marks")
    assert marks.highest(ACCOUNT) == 0
    for count, expected in ((5, 5), (3, 5), (12, 12)):
        marks.raise_to(ACCOUNT, count)
        assert FileMarks(tmp_path / "marks").highest(ACCOUNT) == expected
    assert marks.highest("another") == 0


@pytest.mark.parametrize("content", [b"7", b"seven seven seven 77\n", b"-0000000000000000007\n", b"0" * 22])
def test_mark_that_is_no_number_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    marks = FileMarks(tmp_path)
    marks.path(ACCOUNT).write_bytes(content)
    with pytest.raises(ConfigurationError, match="then remove the file"):
        marks.highest(ACCOUNT)
    with pytest.raises(ConfigurationError, match="then remove the file"):
        marks.raise_to(ACCOUNT, 99)
    assert marks.path(ACCOUNT).read_bytes() == content


def test_mark_that_can_not_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "marks").write_text("a file where the folder should be")
    marks = FileMarks(tmp_path / "marks")
    with pytest.raises(ConfigurationError, match="how far the database has come"):
        marks.raise_to(ACCOUNT, 1)
    with pytest.raises(ConfigurationError, match="how far the database has come"):
        marks.highest(ACCOUNT)


def test_every_claim_and_change_of_control_is_counted(database: Database) -> None:
    assert claim(database).behind == 0
    assert database.marks.highest(ACCOUNT) == 1
    claim(database)  # held by the first, so nothing changes
    assert database.marks.highest(ACCOUNT) == 1
    claim(database, RunKind.EXECUTION)
    control = ControlStore(database)
    control.engage_kill_switch(ACCOUNT, "why", "Ann", NOW)
    control.set_state(ACCOUNT, ControlState.REDUCING, "why", "Ann", later(1))
    assert database.marks.highest(ACCOUNT) == 4
    assert claim(database, RunKind.CLOSE).behind == 0


def test_claim_on_an_older_copy_says_how_much_it_lacks(
    copied: tuple[Database, Callable[[], Database]],
) -> None:
    newest, restored = copied
    claim(newest)
    ControlStore(newest).engage_kill_switch(ACCOUNT, "why", "Ann", NOW)
    newest.close()
    older = restored()
    assert claim(older).behind == 2
    assert claim(older, RunKind.EXECUTION).behind == 2  # it does not count before a halt has said so
    ControlStore(older).release_kill_switch(ACCOUNT, "why", "Ann", NOW)
    assert claim(older, RunKind.CLOSE).behind == 2
    older.close()


def test_fresh_database_under_an_account_that_was_seen_is_behind(tmp_path: Path) -> None:
    first = open_database(None, tmp_path)
    claim(first)
    first.close()
    other = open_database(f"sqlite:///{tmp_path / 'other.sqlite'}", tmp_path)
    assert claim(other).behind == 1
    other.close()


def test_halt_about_an_older_copy_is_raised_once_and_counts_on_from_the_mark(
    copied: tuple[Database, Callable[[], Database]],
) -> None:
    newest, restored = copied
    for kind in RunKind:
        claim(newest, kind)
    seen = newest.marks.highest(ACCOUNT)
    newest.close()
    older = restored()
    found = claim(older)
    assert found.behind == seen
    stop(older, found.run_id, HaltKind.RESTORED)
    assert older.marks.highest(ACCOUNT) == seen  # so the newest copy, put back, is no older one
    assert claim(older, RunKind.EXECUTION).behind == 0
    older.close()


def test_halt_of_another_kind_hides_no_older_copy(copied: tuple[Database, Callable[[], Database]]) -> None:
    newest, restored = copied
    for kind in RunKind:
        claim(newest, kind)
    newest.close()
    older = restored()
    found = claim(older)
    stop(older, found.run_id, HaltKind.CASH_BREAK)
    assert claim(older, RunKind.EXECUTION).behind == found.behind
    older.close()


def test_stop_holds_though_its_mark_can_not_be_kept_and_the_next_claim_is_refused(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    blind = replace(database, marks=FileMarks(tmp_path / "file"))
    ControlStore(blind).engage_kill_switch(ACCOUNT, "why", "Ann", NOW)
    assert "how far the database has come" in caplog.text
    control = ControlStore(database).control(ACCOUNT)
    assert control.state is ControlState.HALTED
    assert control.is_effective
    with pytest.raises(ConfigurationError, match="how far the database has come"):
        claim(blind)
