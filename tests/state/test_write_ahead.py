import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from state.write_ahead import use_write_ahead

CHANGE = "PRAGMA journal_mode = WAL"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a new SQLite file that nobody holds."""
    return tmp_path / "book.sqlite"


@pytest.fixture
def holder(path: Path) -> Iterator[sqlite3.Connection]:
    """Return another connection that holds the whole file in the mode before."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (1)")
        yield connection


def mode(connection: sqlite3.Connection) -> str:
    (found,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(found)


def test_new_file_gets_the_mode(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        use_write_ahead(connection, 1)
        assert mode(connection) == "wal"


def test_file_that_has_the_mode_is_not_changed_again(path: Path) -> None:
    statements: list[str] = []
    with closing(sqlite3.connect(path)) as connection:
        use_write_ahead(connection, 1)
        connection.set_trace_callback(statements.append)
        use_write_ahead(connection, 1)
    assert statements == ["PRAGMA journal_mode"]


def test_file_held_by_another_is_changed_when_he_lets_go(path: Path, holder: sqlite3.Connection) -> None:
    changes: list[str] = []

    def let_go_at_the_third(statement: str) -> None:
        if statement == CHANGE:
            changes.append(statement)
            if len(changes) == 3:
                holder.execute("COMMIT")

    with closing(sqlite3.connect(path, timeout=0)) as connection:
        connection.set_trace_callback(let_go_at_the_third)
        use_write_ahead(connection, 20)
        assert mode(connection) == "wal"
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
    assert len(changes) == 3


@pytest.mark.usefixtures("holder")
def test_file_held_for_too_long_is_refused(path: Path) -> None:
    with (
        closing(sqlite3.connect(path, timeout=0)) as connection,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        use_write_ahead(connection, 0)


def test_other_failure_is_told_at_once(path: Path) -> None:
    path.write_bytes(b"this is not a database, whatever its name says" * 40)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError, match="not a"):
        use_write_ahead(connection, 20)
