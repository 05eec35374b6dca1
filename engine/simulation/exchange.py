"""The fund's line to the simulated exchange: an `OrderTransport` in virtual time."""

from __future__ import annotations

from datetime import datetime

from engine.errors import SupersededError
from engine.model.absence import LinkState, Look
from engine.model.market import Quote
from engine.model.orders import ChildOrder, Fill, OpenOrder, TransportEvent
from engine.simulation.broker import SimulatedBroker


class SimulatedTransport:
    """One connection to a simulated account.

    A new connection does not repeat reports that an earlier one left unread, as a real gateway does not: what
    happened meanwhile is found in `orders` and `executions`. It takes the place of the earlier one, over which
    nothing goes any more: a gateway lets a client in once.
    """

    def __init__(self, broker: SimulatedBroker, client_id: int = 0) -> None:
        self._broker = broker
        self._link = LinkState(client_id=client_id, connected_at=broker.now)
        broker.connections += 1
        self._number = broker.connections
        broker.discard_inbox()

    def now(self) -> datetime:
        """Virtual time of the exchange, UTC."""
        return self._broker.now

    def quote(self, contract_id: str) -> Quote | None:
        """Live quote, ``None`` while the venue is closed."""
        return self._broker.terms.facts.quote(contract_id, self._broker.now)

    def send(self, child: ChildOrder) -> None:
        """Write one order once."""
        self._require_connection()
        self._broker.submit(child)

    def cancel(self, order_ref: str) -> None:
        """Ask for a cancel; the outcome arrives as an event."""
        self._require_connection()
        self._broker.cancel(order_ref)

    def next_event(self, until: datetime) -> TransportEvent | None:
        """Next report in order; ``None`` when ``until`` has come."""
        self._require_connection()
        return self._broker.next_event(until)

    def orders(self) -> tuple[OpenOrder, ...]:
        """All orders the broker lists, open and completed."""
        self._require_connection()
        return self._broker.orders()

    def executions(self) -> tuple[Fill, ...]:
        """All executions the broker still lists."""
        self._require_connection()
        return self._broker.executions()

    def link(self) -> LinkState:
        """The connection as it stands: nothing disturbs it."""
        return self._link

    def look(self) -> Look:
        """Orders, executions and positions, all of one moment."""
        held = self._broker.state.positions.items()
        return Look(
            at=self.now(),
            orders=self.orders(),
            executions=self.executions(),
            positions={name: position.quantity for name, position in held},
        )

    def _require_connection(self) -> None:
        if self._number != self._broker.connections:
            raise SupersededError(
                "expected the account's only connection, found that a later one took its place"
            )
