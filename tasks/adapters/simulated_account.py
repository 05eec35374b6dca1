"""The simulated broker's file: ``$FUND_HOME/simulated/<account>.sqlite``, its own and nobody else's.

It is never joined with, restored from or reset by the fund's database. Each commit of the broker is one SQLite
transaction (WAL), so a SIGKILL at any point leaves the last whole commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from engine.errors import ConfigurationError, RefusedError, StoreError
from engine.simulation.account import AccountHead, AccountState
from engine.simulation.broker import AccountOpening, SimulatedBroker
from engine.simulation.journal import BrokerRecord, MemoryJournal, RecordKind, require_next_commit
from engine.simulation.terms import BrokerTerms
from state.write_ahead import use_write_ahead

BUSY_SECONDS = 10.0
_FORMAT = 1
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS records (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, "
    "live INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS live_records ON records (live, kind, key)",
    "CREATE TABLE IF NOT EXISTS commits (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO commits (id, number) VALUES (1, 0)",
)
_UPSERT = (
    "INSERT INTO records (kind, key, body, live) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, live = excluded.live"
)


class NotKept(StoreError):
    """The account's file could not take a change: nothing of what came with it was kept."""


class SqliteJournal:
    """A `BrokerJournal` in one SQLite file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        self._is_together, self._is_broken = False, False
        self._cause = ""
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise StoreError(
                f"expected the simulated account {path} to be a readable SQLite file, found: {error}; "
                "move it away and start a new account"
            ) from error

    def _prepare(self) -> None:
        use_write_ahead(self._connection, BUSY_SECONDS)
        # NORMAL survives a killed process; only a power cut could lose the last commits of this make-believe world.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found > _FORMAT:
            raise StoreError(
                f"expected a simulated account of format {_FORMAT} or older, found {found} in {self.path}; "
                "use the version of the program that wrote it"
            )
        if found < _FORMAT:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {_FORMAT:d}")
            self._connection.execute("COMMIT")

    def append(self, commit: int, records: Sequence[BrokerRecord]) -> None:
        """Store all records in one transaction; raises `SupersededError` unless ``commit`` follows the last one.

        Raises `NotKept` when the file can not take them: it is locked, full or broken, or a value fits into no row.
        """
        with self._transaction():
            (last,) = self._connection.execute("SELECT number FROM commits").fetchone()
            require_next_commit(last, commit)
            rows = [(record.kind.value, record.key, record.body, int(record.live)) for record in records]
            self._connection.executemany(_UPSERT, rows)
            self._connection.execute("UPDATE commits SET number = ?", (commit,))

    def keep(self, statement: str, values: Sequence[str | int]) -> None:
        """Store what a neighbour of the account keeps in the same file; raises `NotKept` when it can not be."""
        with self._transaction():
            self._connection.execute(statement, values)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep everything that is stored meanwhile in one transaction, durable once this has ended.

        Raises `NotKept` at the end when something could not be stored: then nothing was, nor is it after any other error.
        """
        self._is_together, self._is_broken = True, False
        try:
            yield
        except BaseException as error:
            self._undo(error)
            raise
        finally:
            self._is_together = False
            if self._connection.in_transaction:
                with self._undone_unless_stored():
                    self._connection.execute("COMMIT")
        if self._is_broken:
            raise self._part_failed()

    def _part_failed(self) -> NotKept:
        return NotKept(
            f"expected to store what came at once in {self.path}, found that a part failed: {self._cause}"
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction of its own, or a part of the one that is open; raises `NotKept` after a part that failed."""
        if self._is_together and self._is_broken:
            raise self._part_failed()
        with self._undone_unless_stored():
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            yield
            if not self._is_together:
                self._connection.execute("COMMIT")

    @contextmanager
    def _undone_unless_stored(self) -> Iterator[None]:
        """Undo the open transaction when a part of it fails; raises `NotKept` for what the file did not take."""
        try:
            yield
        except BaseException as error:
            self._undo(error)
            if isinstance(error, sqlite3.Error | OverflowError):
                raise NotKept(f"expected to store a change in {self.path}, found: {error}") from error
            raise

    def _undo(self, cause: BaseException) -> None:
        if not self._is_broken:
            self._is_broken, self._cause = True, str(cause)
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def load(self) -> tuple[BrokerRecord, ...]:
        """Live records, ordered by kind and key."""
        return self._read("SELECT kind, key, body, live FROM records WHERE live = 1 ORDER BY kind, key", ())

    def history(self, kind: RecordKind) -> tuple[BrokerRecord, ...]:
        """Every record of a kind, ordered by key."""
        query = "SELECT kind, key, body, live FROM records WHERE kind = ? ORDER BY key"
        return self._read(query, (kind.value,))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _read(self, query: str, parameters: tuple[str, ...]) -> tuple[BrokerRecord, ...]:
        return tuple(
            BrokerRecord(kind=RecordKind(kind), key=key, body=body, live=bool(live))
            for kind, key, body, live in self._connection.execute(query, parameters)
        )


def account_path(fund_home: Path, account: str) -> Path:
    """Where an account's file lies."""
    return fund_home / "simulated" / f"{account}.sqlite"


def open_account(
    path: Path, terms: BrokerTerms, opening: AccountOpening, journal: SqliteJournal | None = None
) -> SimulatedBroker:
    """The account of a file, created with its deposit when the file is new; close it when done.

    ``journal`` is that of the file, where somebody else needs it too. Raises `ConfigurationError` when the file holds
    another account or seed.
    """
    journal = journal or SqliteJournal(path)
    try:
        if not journal.load():
            return SimulatedBroker.create(terms, journal, opening)
        broker = SimulatedBroker.load(terms, journal)
        _require_same_account(path, broker.state.head, opening)
    except BaseException:
        journal.close()
        raise
    return broker


def account_time(path: Path) -> datetime | None:
    """Virtual time of the account of a file, ``None`` when there is none yet; nothing is created."""
    if not path.exists():
        return None
    with closing(SqliteJournal(path)) as journal:
        records = journal.load()
    return AccountState.load(records).head.virtual_time if records else None


def copy_account(path: Path, terms: BrokerTerms) -> SimulatedBroker:
    """The account of a file as it stands, in memory: what is done to the copy never happened."""
    with closing(SqliteJournal(path)) as journal:
        records = journal.load()
    memory = MemoryJournal()
    memory.append(1, records)
    broker = SimulatedBroker.load(terms, memory)
    memory.commits = broker.state.head.commit
    return broker


def _require_same_account(path: Path, head: AccountHead, opening: AccountOpening) -> None:
    if (head.account, head.seed) != (opening.account, opening.seed):
        raise ConfigurationError(
            f"expected account {opening.account} with seed {opening.seed} in {path}, found {head.account} with seed "
            f"{head.seed}; use another FUND_HOME or start over with `fund simulated reset`"
        )


def reset_account(path: Path, *, even_with_positions: bool = False) -> None:
    """Delete an account's file; raises `RefusedError` while it holds positions or working orders."""
    if not path.exists():
        return
    if not even_with_positions:
        _require_flat(path)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _require_flat(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        records = journal.load()
        if not records:
            return
        state = AccountState.load(records)
    held = [f"{p.quantity.normalize():f} {key}" for key, p in state.positions.items() if p.quantity != 0]
    working = [order.child.order_ref for order in state.open_orders()]
    if held or working:
        raise RefusedError(
            f"expected a flat account to reset, found {len(held)} positions ({', '.join(held[:5]) or 'none'}) and "
            f"{len(working)} working orders in {path}; flatten the book first, or reset it with its positions"
        )
