"""A FUND_HOME and its book on either database, that can be kept as it stands and taken back to where it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import text

from tests.postgresql import administration, crash_and_restart, running_server

BACKENDS = ("sqlite", "postgresql")
ADDRESS = "FUND_DATABASE_URL"


class Stage:
    """One home under a folder. On SQLite the book lies in it; on PostgreSQL it is one database of a server."""

    def __init__(self, folder: Path, server: str | None = None) -> None:
        self.home, self._folder, self._server = folder / "home", folder, server
        self.home.mkdir(parents=True, exist_ok=True)
        self._book = f"stage_{os.getpid()}_{abs(hash(folder)) % 10_000}"
        if server is not None:
            self._copy_book("template0", self._book)

    @property
    def address(self) -> str | None:
        """Address of the book, ``None`` for the file in the home. What is committed is on disk, as in a real book."""
        if self._server is None:
            return None
        own = self._server.replace("/postgres?", f"/{self._book}?")
        # A process that stands still inside a transaction is cut off soon here, for nobody waits in a test.
        options = "-c synchronous_commit=on -c idle_in_transaction_session_timeout=500ms"
        return f"{own}&options={quote(options)}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this stage runs with."""
        others = {name: value for name, value in os.environ.items() if name != ADDRESS}
        own = {} if self.address is None else {ADDRESS: self.address}
        return {**others, "FUND_HOME": str(self.home), **own}

    def enter(self) -> None:
        """Let this process use the stage's book."""
        os.environ.pop(ADDRESS, None)
        if self.address is not None:
            os.environ[ADDRESS] = self.address

    def cut_off(self) -> None:
        """End every connection to the book, as a restart of the server does; without a server there are none."""
        if self._server is None:
            return
        with administration(self._server) as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                {"name": self._book},
            )

    def crash_server(self) -> None:
        """End the server without a checkpoint, and start it again: it recovers what was committed."""
        assert self._server is not None
        crash_and_restart(self._server)

    def keep(self, name: str) -> None:
        """Keep home and book as they stand; nobody may use them meanwhile."""
        shutil.rmtree(self._folder / name, ignore_errors=True)
        shutil.copytree(self.home, self._folder / name)
        if self._server is not None:
            self._copy_book(self._book, f"{self._book}_{name}")

    def take(self, name: str) -> None:
        """Home and book as they were kept under a name."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self._folder / name, self.home)
        self.take_book(name)

    def take_book(self, name: str) -> None:
        """The book alone as it was kept: the broker's own file goes on from where it is."""
        if self._server is not None:
            self._copy_book(f"{self._book}_{name}", self._book)
            return
        for path in self.home.glob("fund.sqlite*"):
            path.unlink()
        for path in (self._folder / name).glob("fund.sqlite*"):
            shutil.copy(path, self.home)

    def _copy_book(self, source: str, target: str) -> None:
        assert self._server is not None
        with administration(self._server) as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)"))
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                {"name": source},
            )
            connection.execute(text(f"CREATE DATABASE {target} TEMPLATE {source}"))


@contextmanager
def stage(backend: str, folder: Path) -> Iterator[Stage]:
    """An empty stage on a database; PostgreSQL lives as long as the context."""
    if backend == "sqlite":
        yield Stage(folder)
        return
    with running_server() as server:
        yield Stage(folder, server)
