"""The fund's line to the broker and its database, with the day's faults in them."""

from __future__ import annotations

import contextlib
import heapq
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from engine.errors import BrokerUnavailable
from engine.model.absence import LinkState, Look
from engine.model.market import Quote
from engine.model.orders import ChildOrder, Fill, OpenOrder, TransportEvent, TransportEventKind
from engine.simulation.account import BrokerOrder
from engine.simulation.bookkeeping import sequence_key
from engine.simulation.broker import SimulatedBroker
from engine.simulation.exchange import SimulatedTransport
from state.database import Database, upgrade
from state.marks import MemoryMarks
from tests.simulation.order_days.drawing import Dice, Fault
from tests.simulation.order_days.far import Far
from tests.simulation.order_days.legs import is_second_leg
from tests.simulation.order_days.overtime import LivesOn
from tests.simulation.order_days.quotes import SPOILED, widened

Interruption = Callable[[], None]
Listed = TypeVar("Listed")
INVISIBLE = timedelta(seconds=59)
"""How long the broker may leave out what is new: less than the quiet time, as the proof of absence assumes."""
FURTHEST_BACK = timedelta(minutes=15)
"""A clock that steps back again and again stays this near to the true time: some minutes are what is assumed."""

_FALSE_CANCELS = (
    "error 10349: order TIF was set to DAY based on order preset",
    "error 161: cancel attempted when order is not in a cancellable state",
    "error 202: order cancelled",
    "order inactive: held while shares are located, cancelled unless found (404)",
)


class FaultedDatabase(Database):
    """A book whose statements and commits may fail, with a moment after every transaction."""

    def __init__(self, engine: Engine, dice: Dice, interrupt: Interruption) -> None:
        for name, value in (("engine", engine), ("latches", {}), ("marks", MemoryMarks()), ("dice", dice)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "interrupt", interrupt)
        engine.dialect.do_execute = partial(self._execute, sqlite3.Cursor.execute)
        engine.dialect.do_executemany = partial(self._execute, sqlite3.Cursor.executemany)

    dice: Dice
    interrupt: Interruption

    def _execute(
        self,
        run: Callable[..., object],
        cursor: sqlite3.Cursor,
        statement: str,
        parameters: object,
        context: object = None,
    ) -> None:
        """One statement, of a write or of a read, for one row or many, which may be the one that fails."""
        self.dice.counted["statements"] += 1
        if self.dice.strikes(Fault.STATEMENT):
            raise sqlite3.OperationalError("disk I/O error")
        run(cursor, statement, parameters)

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


def bring_back(database: Database, book: bytes) -> None:
    """Replace the book by an earlier image of it, as a restored backup does."""
    driver = _driver(database.engine)
    driver.deserialize(book)
    driver.execute("PRAGMA foreign_keys=ON")


def empty_book(dice: Dice, interrupt: Interruption) -> FaultedDatabase:
    """A book of its own for a day, in memory."""
    engine, template = _memory()
    bring_back(Database(engine), template)
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

    def __init__(self, broker: SimulatedBroker, far: Far, dice: Dice, interrupt: Interruption) -> None:
        if dice.strikes(Fault.SESSION_TAKEN):
            raise BrokerUnavailable("expected a session, found error 326: client id already in use")
        self._inner, self._broker, self._far = SimulatedTransport(broker), broker, far
        far.sight.has_line = True
        self._dice, self._interrupt = dice, interrupt
        self._late: list[tuple[datetime, int, TransportEvent]] = []
        self._ahead = timedelta(0)
        self._count = 0
        self._is_cut = self._is_silent = False
        self._down_until: datetime | None = None

    def now(self) -> datetime:
        """The venue's time, which may have jumped ahead."""
        if self._dice.strikes(Fault.CLOCK_STEP):
            self._ahead += timedelta(seconds=round(self._dice.amount(Fault.CLOCK_STEP, 5, 300)))
        if self._dice.strikes(Fault.CLOCK_BACK):
            back = timedelta(seconds=round(self._dice.amount(Fault.CLOCK_BACK, 5, 300)))
            self._ahead = max(self._ahead - back, -FURTHEST_BACK)
        return self._inner.now() + self._ahead

    def quote(self, contract_id: str) -> Quote | None:
        """A quote, or what a broken feed makes of it; only good ones may ever be the anchor of a collar."""
        quote = self._inner.quote(contract_id)
        if quote is None or self._dice.strikes(Fault.QUOTE_MISSING):
            return None
        good = replace(quote, observed_at=quote.observed_at + self._ahead)
        true = widened(good) if self._dice.strikes(Fault.QUOTE_WIDE) else good
        struck = [spoil(good) for fault, spoil in SPOILED.items() if self._dice.strikes(fault)]
        if struck:
            return struck[-1]
        self._far.served.setdefault(contract_id, set()).add(true.mid)
        return true

    def send(self, child: ChildOrder) -> None:
        """Write one order: it arrives, or not, and the line may say so, or not."""
        dice = self._dice
        dice.note(f"send {child.order_ref} {child.side.value} {child.quantity} at {child.limit_price}")
        if self._is_cut or self._is_down or dice.strikes(Fault.SEND_LOST):
            raise BrokerUnavailable("expected an open line, found none")
        if self._is_silent or dice.strikes(Fault.SEND_SILENT):
            return
        is_refused = is_second_leg(child) and dice.strikes(Fault.LEG_REFUSED)
        if is_refused or dice.strikes(Fault.REJECT):
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
        self._far.sight.recalled.add(order_ref)
        if self._is_cut or self._is_down:
            raise BrokerUnavailable("expected an open line, found none")
        if not self._is_silent and not self._dice.strikes(Fault.CANCEL_LOST):
            self._inner.cancel(order_ref)
        self._dice.moment("after a cancel")

    def next_event(self, until: datetime) -> TransportEvent | None:
        """The next message, after everything that can happen to one."""
        self._refuse_overtime()
        self._dice.counted["turns" if self._dice.faults_on else "calm turns"] += 1
        while not self._far.is_signalled:
            bound = min(until - self._ahead, self._late[0][0]) if self._late else until - self._ahead
            event = self._inner.next_event(bound)
            if event is None and self._late and self._late[0][0] <= self._inner.now():
                return self._tell(heapq.heappop(self._late)[2])
            if event is None:
                if self._inner.now() + self._ahead >= until:
                    return None
                continue
            if (told := self._after_its_way(event)) is not None:
                return self._tell(told)
        self._far.is_signalled = False
        return None

    def _refuse_overtime(self) -> None:
        """A process waits too late by its own clock or by the true one: the first may jump, the second may lag."""
        at, by = self._inner.now() + max(self._ahead, timedelta(0)), self._far.must_end_by
        if by is not None and at > by:
            raise LivesOn(f"a process lives on at {at:%m-%d %H:%M} that should have ended by {by:%H:%M}")

    def _after_its_way(self, event: TransportEvent) -> TransportEvent | None:
        """What comes of a message now; ``None`` where it is lost or waits."""
        dice = self._dice
        if event.order_ref in self._far.strangers.unheard or self._is_outcome_unheard(event):
            return None
        if dice.strikes(Fault.DISCONNECT):
            self._is_cut = True
            self._late.clear()
            raise BrokerUnavailable("expected an open line, found it cut")
        if dice.strikes(Fault.HALF_OPEN):
            self._is_silent = True
        if self._is_silent or dice.strikes(Fault.MESSAGE_LOST):
            return None
        if event.fill is not None and dice.strikes(Fault.COMMISSION_LATE):
            self._hold(event, dice.amount(Fault.COMMISSION_LATE, 0.1, 60))
            event = replace(event, fill=replace(event.fill, commission=None, commission_currency=None))
        if dice.strikes(Fault.MESSAGE_TWICE):
            self._hold(event, dice.amount(Fault.MESSAGE_TWICE, 0.01, 30))
        seconds = self._delay()
        if seconds > 0:
            self._hold(event, seconds)
            return None
        return event

    def _is_outcome_unheard(self, event: TransportEvent) -> bool:
        """Whether a message tells how an order for an auction ended, and never comes."""
        is_drawn = Fault.AUCTION_UNHEARD in self._dice.drawn.rates
        if not is_drawn or event.kind not in (TransportEventKind.FILL, TransportEventKind.EXPIRED):
            return False
        is_told_by_auction = any(
            order.auction_date is not None and order.child.order_ref == event.order_ref
            for _, order in self._broker.state.orders.items()
        )
        return is_told_by_auction and self._dice.strikes(Fault.AUCTION_UNHEARD)

    def _delay(self) -> float:
        """Seconds for which a message waits: for the line, for no reason, or so that the next one comes first."""
        if self._dice.strikes(Fault.LINE_DOWN):
            seconds = self._dice.amount(Fault.LINE_DOWN, 1, 90)
            self._down_until = self._inner.now() + timedelta(milliseconds=round(1000 * seconds))
        if self._down_until is not None and self._is_down:
            return (self._down_until - self._inner.now()).total_seconds()
        if self._dice.strikes(Fault.MESSAGE_LATE):
            return self._dice.amount(Fault.MESSAGE_LATE, 1, 90)
        return 0.2 if self._dice.strikes(Fault.MESSAGE_SWAPPED) else 0.0

    def orders(self) -> tuple[OpenOrder, ...]:
        """What the broker lists, if it answers, and perhaps without the newest."""
        self._query()
        if self._dice.strikes(Fault.QUERY_EMPTY):
            return ()
        listed = self._listed_orders()
        if (before := self._far.forgotten) is not None:
            gone = {
                o.child.order_ref for _, o in self._broker.state.orders.items() if _ended_before(o, before)
            }
            listed = tuple(order for order in listed if order.order_ref not in gone)
        if self._far.renumbered:
            listed = tuple(
                replace(order, broker_order_id=sequence_key(max(1, number - self._far.renumbered)))
                for number, order in enumerate(listed, start=1)
            )
        self._show(listed, ())
        self._far.sight.show(listed)
        return listed

    def _listed_orders(self) -> tuple[OpenOrder, ...]:
        accepted = {key: order.accepted_at for key, order in self._broker.state.orders.items()}
        return self._lagging(self._inner.orders(), lambda order: accepted[order.broker_order_id])

    def _listed_executions(self) -> tuple[Fill, ...]:
        return self._lagging(self._inner.executions(), lambda fill: fill.executed_at)

    def _lagging(self, listed: tuple[Listed, ...], began: Callable[[Listed], datetime]) -> tuple[Listed, ...]:
        """A list without its newest row, while that is young, or the connection is."""
        if not self._dice.strikes(Fault.QUERY_LAGS) or not listed:
            return listed
        since = max(began(listed[-1]), self._inner.link().connected_at)
        return listed[:-1] if self._inner.now() - since < INVISIBLE else listed

    def link(self) -> LinkState:
        """The connection, by the clock that never jumps."""
        return replace(self._inner.link(), interrupted_at=self._down_until)

    def look(self) -> Look:
        """Orders, executions and positions; an empty list without its end is no answer, nor is one that began anew."""
        self._query()
        if self._dice.strikes(Fault.QUERY_EMPTY) or self._far.forgotten is not None:
            raise BrokerUnavailable("expected the end of every list, found one without it")
        look = self._inner.look()
        look = replace(look, orders=self._listed_orders(), executions=self._listed_executions())
        self._show((), look.executions)
        self._far.sight.show(look.orders)
        return look

    def executions(self) -> tuple[Fill, ...]:
        """What the broker lists, if it answers."""
        self._query()
        if self._dice.strikes(Fault.QUERY_EMPTY):
            return ()
        listed = self._listed_executions()
        if (before := self._far.forgotten) is not None:
            listed = tuple(fill for fill in listed if fill.executed_at >= before)
        self._show((), listed)
        return listed

    def _show(self, orders: tuple[OpenOrder, ...], executions: tuple[Fill, ...]) -> None:
        self._far.strangers.show_lists(orders, executions, self._broker.state.head.orders)

    @property
    def _is_down(self) -> bool:
        return self._down_until is not None and self._inner.now() < self._down_until

    def _query(self) -> None:
        if self._dice.strikes(Fault.IDS_REISSUED):
            self._far.renumbered += round(self._dice.amount(Fault.IDS_REISSUED, 1, 5))
        is_mute = self._is_cut or self._is_silent or self._is_down
        if is_mute or self._dice.strikes(Fault.QUERY_FAILS):
            raise BrokerUnavailable("expected an answer within its time, found none")

    def _tell(self, event: TransportEvent) -> TransportEvent:
        self._dice.counted["messages"] += 1
        self._far.strangers.show_message(event, self._broker.state.head.orders)
        self._dice.moment("after a message left the line")
        self._dice.note(f"told {event.kind.value} {event.order_ref} at {event.at:%H:%M:%S.%f}")
        return event

    def _told(self, kind: TransportEventKind, order_ref: str, text: str) -> TransportEvent:
        return TransportEvent(kind=kind, at=self._inner.now(), order_ref=order_ref, text=text)

    def _hold(self, event: TransportEvent, seconds: float) -> None:
        self._count += 1
        at = self._inner.now() + timedelta(milliseconds=round(1000 * seconds))
        heapq.heappush(self._late, (at, self._count, event))


def _ended_before(order: BrokerOrder, at: datetime) -> bool:
    return order.completed_at is not None and order.completed_at < at
