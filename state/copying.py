"""A copy of the book as it stands, for a run that must leave the book itself alone."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from engine.errors import ConfigurationError
from state.database import DATABASE_FILE
from state.marks import MARKS_FOLDER


def copy_book(url: str | None, home: Path, target: Path) -> None:
    """Put a copy of the book of ``home`` into ``target`` in the place of an older copy; without a book there is none.

    The marks by which an older copy is noticed come with it: the copy counts on its own from where the book is.
    Raises `ConfigurationError` for a book on a server, which is copied by its own means.
    """
    if url:
        raise ConfigurationError(
            "expected the book in a file to make a copy of, found FUND_DATABASE_URL; copy the database with its own "
            "means, and name the copy as a FUND_HOME or FUND_DATABASE_URL of its own in mode paper or live"
        )
    target.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        (target / (DATABASE_FILE + suffix)).unlink(missing_ok=True)
    shutil.rmtree(target / MARKS_FOLDER, ignore_errors=True)
    # Before the book: what is claimed meanwhile is then in the book and beyond its mark, and not the other way round.
    if (home / MARKS_FOLDER).is_dir():
        shutil.copytree(home / MARKS_FOLDER, target / MARKS_FOLDER)
    source = home / DATABASE_FILE
    if not source.is_file():
        return
    with (
        contextlib.closing(sqlite3.connect(source)) as book,
        contextlib.closing(sqlite3.connect(target / DATABASE_FILE)) as copy,
    ):
        book.backup(copy)
