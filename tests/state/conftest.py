"""Both databases: SQLite in a file of the test's own, and a real PostgreSQL with a database for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from state.database import Database, open_database
from tests.postgresql import administration, own_database, running_server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Address of a real PostgreSQL server; one for the whole run."""
    with running_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database that holds a created, empty book; copying it is faster than making it anew."""
    with administration(postgres_url) as connection:
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
    with own_database(server, template) as url:
        yield url


@pytest.fixture
def empty_address(backend: str, request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Address of a database without any table."""
    if backend == "sqlite":
        yield None
        return
    with own_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
def database(address: str | None, tmp_path: Path) -> Iterator[Database]:
    """An open, empty book."""
    opened = open_database(address, tmp_path)
    yield opened
    opened.close()
