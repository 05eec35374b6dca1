"""Where a process is struck: before and after every durable effect of a day, the fund's and the broker's.

An effect is a commit of the fund's book, or one of the simulated broker's own file: an order that is accepted, a cancel
that is asked for, a report that is read, time that passes. Nothing else outlives a process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from engine.model.orders import ChildOrder
from engine.simulation.exchange import SimulatedTransport
from engine.simulation.journal import BrokerRecord
from state.database import Database
from tasks.adapters.simulated_account import SqliteJournal

Moment = Callable[[str], None]
"""Hears the name of every moment: before a transaction, before its commit, after it; before and after the broker's;
and, as ``send``, between the claim of an order and the only time that it is written."""

BEGIN, COMMIT, DONE, BROKER, BROKER_DONE, SEND = "begin", "commit", "done", "broker", "broker done", "send"


def hear_effects(hear: Moment) -> None:
    """Tell of every moment of this process from now on; only for a process that ends soon."""
    transaction, append, send = Database.transaction, SqliteJournal.append, SimulatedTransport.send

    @contextmanager
    def heard_transaction(self: Database) -> Iterator[Connection]:
        hear(BEGIN)
        with transaction(self) as connection:
            yield connection
            hear(COMMIT)
        hear(DONE)

    def heard_append(self: SqliteJournal, commit: int, records: Sequence[BrokerRecord]) -> None:
        hear(BROKER)
        append(self, commit, records)
        hear(BROKER_DONE)

    def heard_send(self: SimulatedTransport, child: ChildOrder) -> None:
        hear(SEND)
        send(self, child)

    Database.transaction = heard_transaction  # type: ignore[method-assign]
    SqliteJournal.append = heard_append  # type: ignore[method-assign]
    SimulatedTransport.send = heard_send  # type: ignore[method-assign]


class Strike:
    """Counts moments, and does one thing at one of them: ends the process with SIGKILL unless it is told otherwise.

    ``only`` counts moments of that name alone.
    """

    def __init__(
        self, at: int | None, act: Callable[[], None] | None = None, only: str | None = None
    ) -> None:
        self.at, self.moments, self.struck = at, 0, ""
        self._act, self._only = act or end_here, only

    def __call__(self, name: str) -> None:
        """One moment."""
        if self._only is not None and name != self._only:
            return
        here = self.moments
        self.moments += 1
        if here == self.at:
            self.struck = name
            self._act()


def end_here() -> None:
    """No handler runs, nothing is flushed or closed."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop_here() -> None:
    """Stand still until somebody says SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)
