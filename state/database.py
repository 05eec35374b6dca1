"""The book's database: SQLite inside FUND_HOME, or PostgreSQL by FUND_DATABASE_URL; one schema, one behaviour.

Every write is one transaction that holds the write lock from its first statement (SQLite: driver autocommit and
an explicit BEGIN IMMEDIATE), so what a transaction reads is what it decides on. Committed means on disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection as SqliteConnection

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError

from engine.errors import ConfigurationError
from state.latch import Latch, latch_of
from state.marks import MARKS_FOLDER, FileMarks, Marks, MemoryMarks
from state.tables import metadata
from state.write_ahead import use_write_ahead

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
)
"""Schema versions in order, as in state/migrations/versions."""

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
BUSY_SECONDS = 30
DATABASE_FILE = "fund.sqlite"
POSTGRESQL_OPTIONS = (
    # Compiling a statement to machine code costs a day's record more than it takes to run.
    "-c jit=off",
    # Who waits for a lock gives up as on SQLite; who stands still inside a transaction loses its locks before that.
    f"-c lock_timeout={BUSY_SECONDS}s",
    f"-c idle_in_transaction_session_timeout={BUSY_SECONDS - 10}s",
)
"""Of every session; options of the address come after these and win."""

_CREATE_LOCK = 0x46554E44


OUTAGES: tuple[type[Exception], ...] = (OperationalError, InterfaceError)
"""How a database fails that is away, full, locked or broken off: its caller may go on with a new attempt later."""


@dataclass(frozen=True, slots=True)
class Database:
    """Connections of one book."""

    engine: Engine
    latches: dict[str, Latch] = field(default_factory=dict, compare=False, repr=False)
    marks: Marks = field(default_factory=MemoryMarks, compare=False, repr=False)

    @property
    def is_postgresql(self) -> bool:
        """Whether the book is on a PostgreSQL server."""
        return self.engine.dialect.name == "postgresql"

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One write transaction: commits at the end, rolls back on an exception."""
        with self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view for reading; writers do not make it wait, nor it them."""
        isolation = {"isolation_level": "REPEATABLE READ"} if self.is_postgresql else {"fund_begin": "BEGIN"}
        with self.engine.connect() as connection:
            yield connection.execution_options(**isolation)

    def latch(self, account: str) -> Latch:
        """The latch between the send gate of an account and the wire."""
        if account not in self.latches:
            self.latches[account] = latch_of(self.engine, account)
        return self.latches[account]

    def close(self) -> None:
        """Close all connections."""
        for latch in self.latches.values():
            latch.close()
        self.engine.dispose()


def open_database(url: str | None, home: Path) -> Database:
    """Open the book, create it when it is empty, bring an older one to this version.

    ``url`` names a PostgreSQL (or SQLite) database; ``None`` is the file in ``home``. Raises
    `ConfigurationError` when the schema is newer than this code or the server can not be reached.
    """
    if not url:
        home.mkdir(parents=True, exist_ok=True)
    database = Database(_engine(_address(url, home)), marks=FileMarks(home / MARKS_FOLDER))
    try:
        version = schema_version(database)
        if version != REVISIONS[-1]:
            upgrade(database)
    except DatabaseError as error:
        database.close()
        raise ConfigurationError(_unusable(database, error)) from error
    except Exception:
        database.close()
        raise
    return database


def is_empty(url: str | None, home: Path) -> bool:
    """Whether nobody ever made a book there; looking makes none, and raises as `open_database`."""
    address = _address(url, home)
    if address.get_backend_name() == "sqlite" and not Path(address.database or "").is_file():
        return True
    database = Database(_engine(address))
    try:
        return schema_version(database) is None
    except DatabaseError as error:
        raise ConfigurationError(_unusable(database, error)) from error
    finally:
        database.close()


def schema_version(database: Database) -> str | None:
    """Version that the database says it has, ``None`` when it is empty; refuses one that we do not know."""
    with database.read() as connection:
        version = _stored_version(connection)
    _refuse_unknown(version)
    return version


def upgrade(database: Database) -> str:
    """Create the tables of an empty database, or migrate an older one; returns the version reached."""
    with database.transaction() as connection:
        if database.is_postgresql:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATE_LOCK})
        version = _stored_version(connection)  # again: another process may have been faster
        _refuse_unknown(version)
        if version is None:
            _create(connection)
        elif version != REVISIONS[-1]:
            migrate(connection, REVISIONS[-1])
    return REVISIONS[-1]


def migrate(connection: Connection, target: str) -> None:
    """Run the migrations up or down to ``target`` (a version, or ``base``) inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    current = _stored_version(connection)
    if target == "base" or (current is not None and target < current):
        command.downgrade(settings, target)
    else:
        command.upgrade(settings, target)


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL,"
            " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": REVISIONS[-1]})


def _stored_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _refuse_unknown(version: str | None) -> None:
    if version is not None and version not in REVISIONS:
        raise ConfigurationError(
            f"expected a database schema up to version {REVISIONS[-1]}, found version {version}, which is newer"
            " than this program; update the program, or choose another FUND_HOME or FUND_DATABASE_URL"
        )


def said_by_database(error: BaseException | None) -> str:
    """What the database said first of all that led to an error, empty where it said nothing.

    Later complaints only follow from the first.
    """
    said = ""
    while error is not None:
        if isinstance(error, DBAPIError):
            said = " ".join(str(error.orig).split())
        error = error.__context__ or error.__cause__
    return said


def _unusable(database: Database, error: DatabaseError) -> str:
    return (
        f"expected a database at {database.engine.url.render_as_string()}, found: {error.orig};"
        " check FUND_DATABASE_URL and FUND_HOME"
    )


def _address(url: str | None, home: Path) -> URL:
    if not url:  # an empty variable counts as absent
        return URL.create("sqlite", database=str(home / DATABASE_FILE))
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "expected FUND_DATABASE_URL like postgresql://user@host/fund, found no such address"
        ) from error
    if address.get_backend_name() not in ("postgresql", "sqlite"):
        raise ConfigurationError(
            f"expected FUND_DATABASE_URL of postgresql or sqlite, found {address.get_backend_name()!r}"
        )
    return address


def _engine(address: URL) -> Engine:
    if address.get_backend_name() == "postgresql":
        given = address.query.get("options", "")
        options = " ".join((*POSTGRESQL_OPTIONS, given if isinstance(given, str) else " ".join(given)))
        return create_engine(address, pool_pre_ping=True, connect_args={"options": options})
    engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: SqliteConnection, _record: object) -> None:
    use_write_ahead(connection, BUSY_SECONDS)
    # A day's record fits between two checkpoints: no write of a day has to wait for one.
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=4000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    driver = connection.connection.dbapi_connection
    if connection.get_execution_options().get("fund_begin") == "BEGIN" and driver is not None:
        driver.cursor().execute(
            "BEGIN"
        )  # takes no lock, so it can not fail; through SQLAlchemy it costs ten times that
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
