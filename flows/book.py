"""The fund's book of a FUND_HOME, opened by those who only look at what ran: they never make a new one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.environment import load_environment
from engine.errors import RefusedError
from state.control import ControlStore
from state.database import Database, is_empty, open_database
from state.halts import HaltRecord, HaltStore
from state.ledger import LedgerStore
from state.records import RecordStore
from state.runs import RunRecord, RunStore
from tasks.options import fund_home


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The fund's database through its stores, without a market or a broker."""

    database: Database
    runs: RunStore
    halts: HaltStore
    control: ControlStore
    ledger: LedgerStore
    records: RecordStore

    def accounts(self) -> tuple[str, ...]:
        """Accounts that ever ran, the one of the latest run first."""
        return tuple(dict.fromkeys(run.key.account for run in reversed(self.runs.runs())))

    def open_halts(self) -> tuple[HaltRecord, ...]:
        """Every halt that keeps an account stopped."""
        return tuple(halt for account in self.accounts() for halt in self.halts.open_halts(account))

    def latest_run(self, account: str) -> RunRecord:
        """Latest run of an account; raises `RefusedError` when it has none."""
        found = self.runs.latest_run(account)
        if found is None:
            raise RefusedError(f"expected a run of {account}, found none; nothing is under way there")
        return found


@contextmanager
def open_book() -> Iterator[Book]:
    """The book of this FUND_HOME; raises `RefusedError` when nothing ever ran there, and makes nothing."""
    home, url = require_book()
    database = open_database(url, home)
    try:
        yield Book(
            database=database,
            runs=RunStore(database),
            halts=HaltStore(database),
            control=ControlStore(database),
            ledger=LedgerStore(database),
            records=RecordStore(database),
        )
    finally:
        database.close()


def require_book() -> tuple[Path, str | None]:
    """Home and address of a book that is there; raises `RefusedError` when there is none."""
    home, secret = fund_home(), load_environment().database_url
    url = None if secret is None else secret.get_secret_value()
    if is_empty(url, home):
        raise RefusedError(f"expected a fund in {home}, found none yet; start one with ./fund run")
    return home, url
