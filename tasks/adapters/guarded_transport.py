"""What stands between a run and its line to the broker: leave that is asked for with each order, and alarms of the line.

What is not allowed is refused, and not one byte of it leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from engine.errors import RefusedError
from engine.model.absence import LinkState, Look
from engine.model.market import Quote
from engine.model.orders import ChildOrder, Fill, OpenOrder, TransportEvent
from engine.ports import OrderTransport
from tasks.adapters.ibkr.errors import NotWritten


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
    """An `OrderTransport` whose run also takes in what the line itself has to say, with each message it takes."""

    def __init__(self, line: OrderTransport, take_in: Callable[[], object]) -> None:
        super().__init__(line)
        self._take_in = take_in

    def next_event(self, until: datetime) -> TransportEvent | None:
        """Next message in order; what the line said meanwhile is taken in, however the wait ends."""
        try:
            return super().next_event(until)
        finally:
            self._take_in()


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
