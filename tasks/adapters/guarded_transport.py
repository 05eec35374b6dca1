"""What stands between a run and its line to the broker: leave that is asked for with each order, and alarms of the line.

What is not allowed is refused, and not one byte of it leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from engine.errors import BrokerUnavailable, RefusedError
from engine.model.absence import LinkState, Look
from engine.model.market import Quote
from engine.model.orders import ChildOrder, Fill, OpenOrder, TransportEvent
from engine.ports import OrderTransport
from tasks.adapters.ibkr.errors import NotWritten

PAUSE_SECONDS = 120.0
"""Between two tries to write alarms into a book that does not take them, from the end of one to the next.

A try at a locked book keeps the run waiting for up to `state.database.BUSY_SECONDS`, a quarter of this. The alarm
stands in the log from the moment it was raised, and the end of the run tries again in any case.
"""


def refusal_of(permit: Callable[[], object]) -> str | None:
    """Why nothing may leave, ``None`` where it may; what can not be asked gives no leave."""
    try:
        permit()
    except RefusedError as error:
        return str(error)
    except Exception as error:  # its text may hold what no log should
        return f"leave could not be asked for ({type(error).__name__})"
    return None


class PassingTransport:
    """An `OrderTransport` that hands everything on to another one, as it is."""

    def __init__(self, line: OrderTransport) -> None:
        self._line = line

    def send(self, child: ChildOrder) -> None:
        """Write one order once."""
        self._line.send(child)

    def cancel(self, order_ref: str) -> None:
        """Ask for a cancel: that is always allowed, for it only takes away."""
        self._line.cancel(order_ref)

    def now(self) -> datetime:
        """Time of the venue's clock, UTC."""
        return self._line.now()

    def quote(self, contract_id: str) -> Quote | None:
        """Live quote, ``None`` when there is none."""
        return self._line.quote(contract_id)

    def next_event(self, until: datetime) -> TransportEvent | None:
        """Next message in order, as the line tells it."""
        return self._line.next_event(until)

    def orders(self) -> tuple[OpenOrder, ...]:
        """All orders the broker lists."""
        return self._line.orders()

    def executions(self) -> tuple[Fill, ...]:
        """All executions the broker still lists."""
        return self._line.executions()

    def link(self) -> LinkState:
        """The connection as it stands."""
        return self._line.link()

    def look(self) -> Look:
        """Orders, executions and positions, each really answered."""
        return self._line.look()


class GuardedTransport(PassingTransport):
    """An `OrderTransport` over another one; ``permit`` raises where nothing may leave, whatever it raises."""

    def __init__(self, line: OrderTransport, permit: Callable[[], object]) -> None:
        super().__init__(line)
        self._permit = permit

    def send(self, child: ChildOrder) -> None:
        """Write one order once; raises `NotWritten` where there is no leave for it."""
        refusal = refusal_of(self._permit)
        if refusal is not None:
            raise NotWritten(f"{child.order_ref} was not written: {refusal}")
        super().send(child)


class HeardTransport(PassingTransport):
    """An `OrderTransport` whose run also takes in what the line itself has to say, when a wait brought no message.

    ``take_in`` writes it into the book and tells whether the book took it, ``seconds`` is a clock that only runs
    forward. Writing may take long: it never comes between a message and whoever asked for it, nor between messages
    that are taken together and worked after the last of them.
    """

    def __init__(
        self,
        line: OrderTransport,
        take_in: Callable[[], bool],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(line)
        self._take_in, self._seconds = take_in, seconds
        self._not_before = seconds()

    def next_event(self, until: datetime) -> TransportEvent | None:
        """Next message in order; what the line said is taken in when a wait brought none, or the line is gone."""
        is_wait = until > self.now()  # else whoever asks may still hold messages that it took before
        try:
            event = super().next_event(until)
        except BrokerUnavailable:
            if is_wait:
                self._hear()
            raise
        if is_wait and event is None:
            self._hear()
        return event

    def _hear(self) -> None:
        if self._seconds() >= self._not_before and not self._take_in():
            self._not_before = self._seconds() + PAUSE_SECONDS


class ReadingTransport(GuardedTransport):
    """For a run that sends nothing: no order leaves, and no cancel."""

    def __init__(self, line: OrderTransport) -> None:
        super().__init__(line, self._refuse)

    def cancel(self, order_ref: str) -> None:
        """Refused too."""
        raise NotWritten(f"the cancel of {order_ref} was not written: a dry run sends nothing")

    @staticmethod
    def _refuse() -> None:
        raise RefusedError("a dry run sends nothing")
