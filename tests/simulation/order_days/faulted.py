"""The fund's line to the broker and its database, with the day's faults in them."""

from __future__ import annotations

import contextlib
import heapq
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from engine.errors import BrokerUnavailable
from engine.model.market import Quote
from engine.model.orders import ChildOrder, Fill, OpenOrder, TransportEvent, TransportEventKind
from engine.simulation.broker import SimulatedBroker
from engine.simulation.exchange import SimulatedTransport
from state.database import Database, upgrade
from tests.simulation.order_days.drawing import Dice, Fault

Interruption = Callable[[], None]

_FALSE_CANCELS = (
    "error 10349: order TIF was set to DAY based on order preset",
    "error 161: cancel attempted when order is not in a cancellable state",
    "error 202: order cancelled",
)


class FaultedDatabase(Database):
    """A book whose statements and commits may fail, with a moment after every transaction."""

    def __init__(self, engine: Engine, dice: Dice, interrupt: Interruption) -> None:
        for name, value in (("engine", engine), ("latches", {}), ("dice", dice), ("interrupt", interrupt)):
            object.__setattr__(self, name, value)
        engine.dialect.do_execute = self._execute

    dice: Dice
    interrupt: Interruption

    def _execute(
        self, cursor: sqlite3.Cursor, statement: str, parameters: object, context: object = None
    ) -> None:
        """One statement, of a write or of a read, which may be the one that fails."""
        self.dice.counted["statements"] += 1
        if self.dice.strikes(Fault.STATEMENT):
            raise sqlite3.OperationalError("disk I/O error")
        cursor.execute(statement, parameters)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One view for reading; in memory there is nobody to be shut out."""
        with self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One write transaction, which may fail, or succeed and say that it failed."""
        with self.engine.begin() as connection:
            yield connection
            if self.dice.strikes(Fault.COMMIT_LOST):
                raise _database_error("the connection was lost before the commit")
        self.dice.counted["transactions"] += 1
        if self.dice.strikes(Fault.COMMIT_UNKNOWN):
            raise _database_error("the connection was lost at the commit")
        self.dice.moment("after a transaction")
        self.interrupt()


def _database_error(text: str) -> OperationalError:
    return OperationalError("COMMIT", None, sqlite3.OperationalError(text))


@cache
def _memory() -> tuple[Engine, bytes]:
    """One engine for all days, so that statements are compiled once, and an empty book to begin each with."""
    engine = create_engine(
        "sqlite://",
        poolclass=StaticPool,
        connect_args={"isolation_level": None, "check_same_thread": False},
    )
    # A listener would cost every statement; one connection needs no lock that shuts others out.
    engine.dialect.do_begin = _begin
    upgrade(Database(engine))
    return engine, _driver(engine).serialize()


def _begin(connection: object) -> None:
    connection.execute("BEGIN")


def _driver(engine: Engine) -> sqlite3.Connection:
    raw = engine.raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def image(database: Database) -> bytes:
    """The whole book, byte for byte."""
    return _driver(database.engine).serialize()


def empty_book(dice: Dice, interrupt: Interruption) -> FaultedDatabase:
    """A book of its own for a day, in memory."""
    engine, template = _memory()
    driver = _driver(engine)
    driver.deserialize(template)
    driver.execute("PRAGMA foreign_keys=ON")
    return FaultedDatabase(engine, dice, interrupt)


class UnwrittenBroker(SimulatedBroker):
    """A broker that keeps its account in memory alone: it outlives every process of the fund, and writes no file."""

    def commit(self) -> None:
        """Count the change and forget what a journal would be given."""
        state = self.state
        state.head = replace(state.head, commit=state.head.commit + 1)
        for table in (
            state.cash, state.positions, state.orders, state.executions, state.inbox,
            state.receivables, state.depth, state.faults, state.postings, state.unsettled,
        ):  # fmt: skip
            table.forget()


class FaultedTransport:
    """An `OrderTransport` that loses, delays, repeats and swaps, and whose quotes can not be trusted."""

    def __init__(self, inner: SimulatedTransport, dice: Dice, interrupt: Interruption) -> None:
        self._inner, self._dice, self._interrupt = inner, dice, interrupt
        self._late: list[tuple[datetime, int, TransportEvent]] = []
        self._ahead = timedelta(0)
        self._count = 0
        self._is_cut = False
        self.served: dict[str, set[Decimal]] = {}

    def now(self) -> datetime:
        """The venue's time, which may have jumped ahead."""
        if self._dice.strikes(Fault.CLOCK_STEP):
            self._ahead += timedelta(seconds=round(self._dice.amount(Fault.CLOCK_STEP, 5, 300)))
        return self._inner.now() + self._ahead

    def quote(self, contract_id: str) -> Quote | None:
        """A quote, or what a broken feed makes of it; only good ones may ever be the anchor of a collar."""
        quote = self._inner.quote(contract_id)
        if quote is None or self._dice.strikes(Fault.QUOTE_MISSING):
            return None
        good = quote = replace(quote, observed_at=quote.observed_at + self._ahead)
        if self._dice.strikes(Fault.QUOTE_STALE):
            moved = 7 * quote.spread
            quote = replace(quote, observed_at=quote.observed_at - timedelta(minutes=2))
            quote = replace(quote, bid=good.mid - moved, ask=good.mid - moved + good.spread)
        if self._dice.strikes(Fault.QUOTE_CROSSED):
            quote = replace(quote, bid=good.mid + 9 * good.spread, ask=good.mid)
        if self._dice.strikes(Fault.QUOTE_ONE_SIDED):
            quote = replace(quote, ask=None)
        if self._dice.strikes(Fault.QUOTE_ZERO):
            quote = replace(quote, bid=Decimal(0))
        if quote is good:
            self.served.setdefault(contract_id, set()).add(quote.mid)
        return quote

    def send(self, child: ChildOrder) -> None:
        """Write one order: it arrives, or not, and the line may say so, or not."""
        dice = self._dice
        dice.note(f"send {child.order_ref} {child.side.value} {child.quantity} at {child.limit_price}")
        if self._is_cut or dice.strikes(Fault.SEND_LOST):
            raise BrokerUnavailable("expected an open line, found none")
        if dice.strikes(Fault.SEND_SILENT):
            return
        if dice.strikes(Fault.REJECT):
            self._hold(self._told(TransportEventKind.REJECTED, child.order_ref, "error 201: rejected"), 0.05)
            return
        self._inner.send(child)
        if dice.strikes(Fault.SEND_UNKNOWN):
            raise BrokerUnavailable("expected an answer, found a broken line")
        if dice.strikes(Fault.FALSE_CANCEL):
            text = _FALSE_CANCELS[len(dice.log) % len(_FALSE_CANCELS)]
            self._hold(self._told(TransportEventKind.NOTICE, child.order_ref, text), 0.3)
        dice.moment("after a send")
        self._interrupt()

    def cancel(self, order_ref: str) -> None:
        """Ask for a cancel, which may never arrive."""
        self._dice.note(f"cancel {order_ref}")
        if self._is_cut:
            raise BrokerUnavailable("expected an open line, found none")
        if not self._dice.strikes(Fault.CANCEL_LOST):
            self._inner.cancel(order_ref)
        self._dice.moment("after a cancel")

    def next_event(self, until: datetime) -> TransportEvent | None:
        """The next message, after everything that can happen to one."""
        self._dice.counted["turns" if self._dice.faults_on else "calm turns"] += 1
        while True:
            bound = min(until - self._ahead, self._late[0][0]) if self._late else until - self._ahead
            event = self._inner.next_event(bound)
            if event is None and self._late and self._late[0][0] <= self._inner.now():
                return self._tell(heapq.heappop(self._late)[2])
            if event is None:
                if self._inner.now() + self._ahead >= until:
                    return None
                continue
            if self._dice.strikes(Fault.DISCONNECT):
                self._is_cut = True
                self._late.clear()
                raise BrokerUnavailable("expected an open line, found it cut")
            if self._dice.strikes(Fault.MESSAGE_LOST):
                continue
            if self._dice.strikes(Fault.MESSAGE_TWICE):
                self._hold(event, self._dice.amount(Fault.MESSAGE_TWICE, 0.01, 30))
            if self._dice.strikes(Fault.MESSAGE_LATE):
                self._hold(event, self._dice.amount(Fault.MESSAGE_LATE, 1, 90))
                continue
            if self._dice.strikes(Fault.MESSAGE_SWAPPED):
                self._hold(event, 0.2)
                continue
            return self._tell(event)

    def orders(self) -> tuple[OpenOrder, ...]:
        """What the broker lists, if it answers, and perhaps without the newest."""
        self._query()
        listed = self._inner.orders()
        return listed[:-1] if self._dice.strikes(Fault.QUERY_LAGS) else listed

    def executions(self) -> tuple[Fill, ...]:
        """What the broker lists, if it answers."""
        self._query()
        listed = self._inner.executions()
        return listed[:-1] if self._dice.strikes(Fault.QUERY_LAGS) else listed

    def _query(self) -> None:
        if self._is_cut or self._dice.strikes(Fault.QUERY_FAILS):
            raise BrokerUnavailable("expected an answer within its time, found none")

    def _tell(self, event: TransportEvent) -> TransportEvent:
        self._dice.counted["messages"] += 1
        self._dice.moment("after a message left the line")
        self._dice.note(f"told {event.kind.value} {event.order_ref} at {event.at:%H:%M:%S.%f}")
        return event

    def _told(self, kind: TransportEventKind, order_ref: str, text: str) -> TransportEvent:
        return TransportEvent(kind=kind, at=self._inner.now(), order_ref=order_ref, text=text)

    def _hold(self, event: TransportEvent, seconds: float) -> None:
        self._count += 1
        at = self._inner.now() + timedelta(milliseconds=round(1000 * seconds))
        heapq.heappush(self._late, (at, self._count, event))
