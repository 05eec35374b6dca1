"""The latch between the send gate and the wire: by it, who stops trading knows that nothing is on its way (REL-5.3).

An executor holds it shared from its claim until the order is written. Who stops trading commits the change first and
then takes the latch exclusively for a moment: from there on every order that was claimed before has been written,
and no other can be claimed. It holds across processes and dies with them: a stopped process keeps it, a killed one
does not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import BindParameter, Connection, Engine, bindparam, func, select
from sqlalchemy.exc import DatabaseError

from engine.ports import Holding

PATIENCE_SECONDS = 1.0
"""How long who stops trading waits for orders on their way; writing one takes far less."""

_POLL_SECONDS = 0.005
_KEY: BindParameter[int] = bindparam("key")


class Latch(Protocol):
    """The latch of one account."""

    def shared(self) -> AbstractContextManager[Holding]:
        """Hold it while one order is claimed and written; waits while somebody has it exclusively."""

    def was_free(self, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """Take it exclusively for a moment; ``False`` when it was held for as long as one would wait."""

    def close(self) -> None:
        """Let go of what it keeps open."""


def latch_of(engine: Engine, account: str) -> Latch:
    """The latch that belongs to a database: on the server, beside the file, or in this process alone."""
    digest = hashlib.sha256(account.encode()).digest()
    if engine.dialect.name == "postgresql":
        return ServerLatch(engine, int.from_bytes(digest[:8], "big", signed=True))
    if engine.url.database in (None, "", ":memory:"):
        return MemoryLatch()
    return FileLatch(Path(f"{engine.url.database}-latch-{digest.hex()[:8]}"))


class MemoryLatch:
    """For a database that no other process sees. Nobody waits: who holds it may be the one who asks."""

    def __init__(self) -> None:
        self._lock, self._holders = threading.Lock(), 0

    @contextmanager
    def shared(self) -> Iterator[Holding]:
        """See `Latch`."""
        with self._lock:
            self._holders += 1
        try:
            yield _held
        finally:
            with self._lock:
                self._holders -= 1

    def was_free(self, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """See `Latch`."""
        with self._lock:
            return self._holders == 0

    def close(self) -> None:
        """Nothing is kept open."""


class FileLatch:
    """A locked file beside the database: the operating system lets go of it when its process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def shared(self) -> Iterator[Holding]:
        """See `Latch`. Every holder opens the file anew, so that two of one process hold two locks."""
        with self._opened() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield _held

    def was_free(self, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """See `Latch`."""
        with self._opened() as descriptor:
            return _within(patience_seconds, lambda: _try_exclusive(descriptor))

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)  # with its last descriptor a lock goes


class ServerLatch:
    """An advisory lock of the PostgreSQL server, on a connection of its own: the server lets go when that ends."""

    def __init__(self, engine: Engine, key: int) -> None:
        self._engine, self._key = engine, {"key": key}
        self._connection: Connection | None = None

    @contextmanager
    def shared(self) -> Iterator[Holding]:
        """See `Latch`."""
        connection = self._take()
        try:
            yield lambda: self._is_held(connection)
        finally:
            self._leave(connection)

    def was_free(self, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """See `Latch`. A session never stands in its own way, so this asks on another connection."""
        with self._connect() as connection:

            def is_ours() -> bool:
                return bool(connection.execute(select(func.pg_try_advisory_lock(_KEY)), self._key).scalar())

            taken = _within(patience_seconds, is_ours)
            if taken:
                connection.execute(select(func.pg_advisory_unlock(_KEY)), self._key)
        return taken

    def close(self) -> None:
        """Close the connection of its own."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> Connection:
        return self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def _take(self) -> Connection:
        """Lock on the kept connection, or on a new one where the server has ended it."""
        if self._connection is not None:
            try:
                self._connection.execute(select(func.pg_advisory_lock_shared(_KEY)), self._key)
            except DatabaseError:
                self._forget(self._connection)
            else:
                return self._connection
        self._connection = self._connect()
        self._connection.execute(select(func.pg_advisory_lock_shared(_KEY)), self._key)
        return self._connection

    def _is_held(self, connection: Connection) -> bool:
        """A connection that the server ended holds nothing any more."""
        try:
            connection.execute(select(1))
        except DatabaseError:
            self._forget(connection)
        return not connection.closed

    def _leave(self, connection: Connection) -> None:
        if connection.closed:
            return
        try:
            connection.execute(select(func.pg_advisory_unlock_shared(_KEY)), self._key)
        except DatabaseError:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        connection.invalidate()
        connection.close()
        self._connection = None


def _held() -> bool:
    return True


def _try_exclusive(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _within(seconds: float, succeeds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not succeeds():
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECONDS)
    return True
