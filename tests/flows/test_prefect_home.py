"""A new home gets Prefect's database as set-up made it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from flows.prefect_home import DATABASE, furnish


def make(database: Path, text: str) -> None:
    database.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE note (text TEXT)")
        connection.execute("INSERT INTO note VALUES (?)", (text,))


def note(database: Path) -> str:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT text FROM note").fetchone()[0])


def test_new_home_gets_a_copy_of_the_made_database(tmp_path: Path) -> None:
    make(tmp_path / "template" / DATABASE, "made")
    home = tmp_path / "fund" / "prefect"
    furnish(home, tmp_path / "template")
    assert note(home / DATABASE) == "made"
    assert [found.name for found in home.iterdir()] == [DATABASE]


def test_database_of_a_home_is_never_replaced(tmp_path: Path) -> None:
    make(tmp_path / "template" / DATABASE, "made")
    make(tmp_path / "home" / DATABASE, "lived in")
    furnish(tmp_path / "home", tmp_path / "template")
    assert note(tmp_path / "home" / DATABASE) == "lived in"


def test_home_stays_empty_where_set_up_made_no_database(tmp_path: Path) -> None:
    furnish(tmp_path / "home", tmp_path / "template")
    assert list((tmp_path / "home").iterdir()) == []
