"""The fund's book of one account, opened once: its database, and the stores that read and write it."""

from __future__ import annotations

import os
from collections.abc import Collection
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from engine.model.orders import Fill
from state.control import ControlStore
from state.copying import copy_book
from state.database import Database, open_database
from state.halts import HaltStore
from state.ledger import LedgerStore
from state.order_reading import account_fills, order_references
from state.records import RecordStore
from state.runs import RunStore


class FundBook:
    """Nothing is opened before it is asked for. ``copied_from`` is whose book is copied into ``home`` first."""

    def __init__(self, home: Path, account: str, copied_from: Path | None) -> None:
        self.account = account
        self._home, self._copied_from = home, copied_from
        self._database: Database | None = None

    @cached_property
    def database(self) -> Database:
        """The fund's book."""
        url = os.environ.get("FUND_DATABASE_URL")
        if self._copied_from is not None:
            copy_book(url, self._copied_from, self._home)
        self._database = open_database(url, self._home)
        return self._database

    @cached_property
    def runs(self) -> RunStore:
        """Runs, journal and memories."""
        return RunStore(self.database)

    @cached_property
    def control(self) -> ControlStore:
        """Control state and kill switch."""
        return ControlStore(self.database)

    @cached_property
    def halts(self) -> HaltStore:
        """Halts and their resolutions."""
        return HaltStore(self.database)

    @cached_property
    def ledger(self) -> LedgerStore:
        """The ledger: the only source of the portfolio."""
        return LedgerStore(self.database)

    @cached_property
    def records(self) -> RecordStore:
        """Rows for reports and questions."""
        return RecordStore(self.database)

    def order_refs(self, among: Collection[str] | None = None) -> frozenset[str]:
        """References of orders that this account planned: all that it ever did, or those among some."""
        return order_references(self.database, self.account, among)

    def fills(self, roots: Collection[str] | None = None) -> tuple[Fill, ...]:
        """Executions that were booked through our own orders: all of them, or those of some execution roots."""
        return account_fills(self.database, self.account, roots)

    def latest_nav(self) -> Decimal | None:
        """NAV of the last valuation, in USD."""
        newest = self.records.latest("nav_history", "trade_date", account=self.account)
        return Decimal(str(newest[0]["nav"])) if newest else None

    def close_book(self) -> None:
        """Let go of the database, where it was opened."""
        if self._database is not None:
            self._database.close()
