"""The fund's line to the simulated exchange: an `OrderTransport` in virtual time."""

from __future__ import annotations

from datetime import datetime

from engine.model.market import Quote
from engine.model.orders import ChildOrder, Fill, OpenOrder, TransportEvent
from engine.simulation.broker import SimulatedBroker


class SimulatedTransport:
    """One connection to a simulated account.

    A new connection does not repeat reports that an earlier one left unread, as a real gateway does not: what
    happened meanwhile is found in `orders` and `executions`.
    """

    def __init__(self, broker: SimulatedBroker) -> None:
        self._broker = broker
        broker.discard_inbox()

    def now(self) -> datetime:
        """Virtual time of the exchange, UTC."""
        return self._broker.now

    def quote(self, contract_id: str) -> Quote | None:
        """Live quote, ``None`` while the venue is closed."""
        return self._broker.terms.facts.quote(contract_id, self._broker.now)

    def send(self, child: ChildOrder) -> None:
        """Write one order once."""
        self._broker.submit(child)

    def cancel(self, order_ref: str) -> None:
        """Ask for a cancel; the outcome arrives as an event."""
        self._broker.cancel(order_ref)

    def next_event(self, until: datetime) -> TransportEvent | None:
        """Next report in order; ``None`` when ``until`` has come."""
        return self._broker.next_event(until)

    def orders(self) -> tuple[OpenOrder, ...]:
        """All orders the broker lists, open and completed."""
        return self._broker.orders()

    def executions(self) -> tuple[Fill, ...]:
        """All executions the broker still lists."""
        return self._broker.executions()
