"""A SQLite file in write-ahead mode, also when several processes open a new file at the same moment."""

from __future__ import annotations

import sqlite3
import time

PAUSE_SECONDS = 0.01


def use_write_ahead(connection: sqlite3.Connection, patience_seconds: float) -> None:
    """Put the file of a connection into write-ahead mode, which it then keeps.

    SQLite asks nobody to wait for the lock that this change needs: where another connection holds it we wait here,
    up to ``patience_seconds``, and then raise `sqlite3.OperationalError`. A file that has the mode needs no lock.
    """
    until = time.monotonic() + patience_seconds
    while _mode(connection, "PRAGMA journal_mode") != "wal":
        try:
            _mode(connection, "PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)


def _mode(connection: sqlite3.Connection, statement: str) -> str:
    (mode,) = connection.execute(statement).fetchone()
    return str(mode)
