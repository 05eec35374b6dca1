"""How far this machine has seen an account come, kept outside the database: by it a restored copy is noticed.

The database counts the claims and the changes of control of an account; whoever commits one raises the mark before
anything follows from it. A database that counts less than the mark is an older copy of itself, even where the broker
shows nothing that it has lost.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Protocol

from engine.errors import ConfigurationError

MARKS_FOLDER = "marks"
_DIGITS = 20


class Marks(Protocol):
    """The highest count that was seen of each account; it never falls."""

    def highest(self, account: str) -> int:
        """Zero for an account that nobody has seen here."""

    def raise_to(self, account: str, count: int) -> None:
        """Keep a count that is higher than all before; a lower one changes nothing."""


class MemoryMarks:
    """For a database that lives no longer than its process."""

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}

    def highest(self, account: str) -> int:
        """See `Marks`."""
        return self._highest.get(account, 0)

    def raise_to(self, account: str, count: int) -> None:
        """See `Marks`."""
        self._highest[account] = max(count, self.highest(account))


class FileMarks:
    """One small file for each account, on disk before `raise_to` returns; the processes of a machine share it.

    Raises `ConfigurationError` where it can not be read or written: then nobody knows whether the database is older.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def highest(self, account: str) -> int:
        """See `Marks`."""
        path = self.path(account)
        try:
            return _number(path.read_bytes(), path)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _unusable(path, error) from error

    def raise_to(self, account: str, count: int) -> None:
        """See `Marks`."""
        path = self.path(account)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # its last descriptor lets go of it
                if _number(os.pread(descriptor, _DIGITS + 2, 0), path) < count:
                    # Of one length for ever, written at once: who dies here leaves the old number or the new one.
                    os.pwrite(descriptor, f"{count:0{_DIGITS}d}\n".encode(), 0)
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unusable(path, error) from error

    def path(self, account: str) -> Path:
        """Where an account's mark is kept."""
        return self._folder / f"{hashlib.sha256(account.encode()).hexdigest()[:16]}.mark"


def _number(text: bytes, path: Path) -> int:
    if not text:
        return 0  # made, and nothing written yet
    if len(text) != _DIGITS + 1 or not text.strip().isdigit():
        raise ConfigurationError(
            f"expected a number in {path}, found {text[:40]!r}; it tells an older copy of the database from the newest:"
            " make sure that this is the newest, then remove the file"
        )
    return int(text)


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"expected to keep in {path} how far the database has come, found: {error.strerror}"
    )
