"""Lines to a broker that keep one contract: in the process, over TCP to the gateway, and to a real paper account."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count, pairwise

from engine.model.instruments import Contract
from engine.model.market import Quote
from engine.model.orders import (
    ChildOrder,
    Fill,
    OpenOrder,
    OrderType,
    Side,
    TransportEvent,
    TransportEventKind,
    order_reference,
)
from engine.model.universe import ContractBook
from engine.ports import OrderTransport
from engine.simulation.exchange import SimulatedTransport
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.session import IbkrSession
from tasks.gateway import scaled_clock
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, make_gateway, running, small_world
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.trading import CLIENT, open_desk

Kind = TransportEventKind
PAPER_VARIABLE = "FUND_PAPER_ACCOUNT"
ENDS = frozenset({Kind.CANCELLED, Kind.REJECTED, Kind.EXPIRED})
_numbers = count(1)


@dataclass
class Line:
    """One line. ``renew`` breaks it and gives the one after it.

    News that have to come are waited for ``patience`` seconds, those that must not come ``moment`` seconds. ``trades`` says whether a fill may be brought about: on a real account nothing is assumed about fills.
    """

    name: str
    transport: OrderTransport
    book: ContractBook
    renew: Callable[[], OrderTransport]
    trades: bool = True
    moment: float = 2.0
    patience: float = 10.0
    contract_id: str = "CSPX"
    distance: Decimal = Decimal("0.03")
    heard: list[TransportEvent] = field(default_factory=list)
    sent: list[ChildOrder] = field(default_factory=list)
    connections: list[int] = field(default_factory=lambda: [0])

    def quote(self, contract_id: str | None = None) -> Quote:
        """The live quote, which has to be there."""
        found = self.transport.quote(contract_id or self.contract_id)
        assert found is not None, f"{self.name}: no live quote of {contract_id or self.contract_id}"
        return found

    def at_limit(self, limit: Decimal, **more: object) -> ChildOrder:
        """An order with a limit; a day order to buy one share of the line's own contract unless told otherwise."""
        key = f"contract {os.getpid()} {next(_numbers)}"
        given: dict[str, object] = {
            "order_ref": order_reference(f"{key} {self.transport.now()}", 1), "intent_id": key, "attempt": 1,
            "contract_id": self.contract_id, "side": Side.BUY, "quantity": Decimal(1), "order_type": OrderType.LIMIT,
            "limit_price": limit, "time_in_force": "DAY", "good_till": self.transport.now() + timedelta(minutes=20),
        }  # fmt: skip
        return ChildOrder(**{**given, **more})  # type: ignore[arg-type]

    def order(
        self, through: Decimal, *, side: Side = Side.BUY, quantity: int = 1, **more: object
    ) -> ChildOrder:
        """One whose limit goes ``through`` the touch by that fraction, or stays away from it where negative."""
        name = str(more.get("contract_id", self.contract_id))
        quote, instrument = self.quote(name), self.book.instrument(name)
        touch = quote.ask if side is Side.BUY else quote.bid
        assert touch is not None
        price = touch * (1 + through * side.sign)
        limit = instrument.floor_to_tick(price) if side is Side.BUY else instrument.ceil_to_tick(price)
        return self.at_limit(limit, side=side, quantity=Decimal(quantity), **more)

    def send(self, child: ChildOrder) -> ChildOrder:
        """Write it once."""
        self.transport.send(child)
        self.sent.append(child)
        return child

    def resting(self, **more: object) -> ChildOrder:
        """An order of one share far below the market, sent."""
        return self.send(self.order(-self.distance, **more))  # type: ignore[arg-type]

    def meeting(self, **more: object) -> ChildOrder:
        """An order that meets the market, sent."""
        return self.send(self.order(Decimal("0.01"), **more))  # type: ignore[arg-type]

    def listen(self, child: ChildOrder | None = None, *, until: frozenset[Kind] = frozenset()) -> None:
        """Hear for a moment, or patiently until something of these kinds was told of an order."""
        end = self.transport.now() + timedelta(seconds=self.patience if until else self.moment)
        while True:
            event = self.transport.next_event(end)
            if event is not None:
                self.heard.append(event)
                if child is not None and event.order_ref == child.order_ref and event.kind in until:
                    return
            elif self.transport.now() >= end:
                return

    def told(self, child: ChildOrder) -> list[TransportEvent]:
        """All that was heard of an order, without remarks and doubts."""
        apart = (Kind.NOTICE, Kind.VISIBILITY_LOST)
        return [
            event for event in self.heard if event.order_ref == child.order_ref and event.kind not in apart
        ]

    def kinds(self, child: ChildOrder) -> list[Kind]:
        """Kinds of the same."""
        return [event.kind for event in self.told(child)]

    def fills(self, child: ChildOrder) -> list[Fill]:
        """Executions of an order that were heard."""
        return [event.fill for event in self.told(child) if event.fill is not None]

    def acknowledged(self, child: ChildOrder) -> ChildOrder:
        """The same order, once the broker took it."""
        self.listen(child, until=frozenset({Kind.ACKNOWLEDGED}) | ENDS)
        assert self.kinds(child) == [Kind.ACKNOWLEDGED]
        return child

    def filled(self, child: ChildOrder) -> Fill:
        """The execution of an order that is filled at once."""
        self.listen(child, until=frozenset({Kind.FILL}) | ENDS)
        [fill] = self.fills(child)
        assert fill.quantity == child.quantity
        return fill

    def listed(self, child: ChildOrder) -> OpenOrder:
        """How the broker lists an order."""
        [found] = [row for row in self.transport.orders() if row.order_ref == child.order_ref]
        return found

    def lose(self) -> None:
        """Lose the line and have a new one; what it has to tell at once is heard."""
        before, self.transport = self.transport, self.renew()
        if self.transport is not before:
            self.connections.append(len(self.heard))
        self.listen()

    def by_connection(self) -> list[list[TransportEvent]]:
        """All that was heard, apart for each object that was heard over: a new one does not know what the last one told."""
        return [self.heard[start:end] for start, end in pairwise([*self.connections, len(self.heard)])]

    def clear(self) -> None:
        """Cancel all that the suite sent and that still works, and see that nothing does."""
        refs = {child.order_ref for child in self.sent}
        for _ in range(10):
            working = [
                row for row in self.transport.orders() if row.order_ref in refs and not row.status.is_terminal
            ]
            if not working:
                return
            for row in working:
                self.transport.cancel(row.order_ref or "")
            self.listen()
        raise AssertionError(f"{self.name}: orders of the suite still work: {working}")


# ---------------------------------------------------------------- the lines


def book_of_the_world() -> ContractBook:
    """Every contract of the small generated world."""
    universe, _, world = small_world()
    contracts: dict[str, Contract] = {
        row.contract_id: row for chain in world.panel.chains.values() for row in chain
    }
    return ContractBook(universe=universe, contracts=contracts)


@contextmanager
def in_the_process(opened: datetime = OPENED) -> Iterator[Line]:
    """The simulated exchange without a wire."""
    gateway = make_gateway(opened=opened)
    broker = gateway.broker

    def renew() -> OrderTransport:
        broker.advance(broker.now + timedelta(seconds=2))
        return SimulatedTransport(broker, CLIENT)

    yield Line("in the process", SimulatedTransport(broker, CLIENT), book_of_the_world(), renew)
    gateway.close()


@contextmanager
def over_the_wire(opened: datetime = OPENED) -> Iterator[Line]:
    """The adapter, over TCP to the gateway on virtual time."""
    with running(lambda: make_gateway(opened=opened)) as gateway:
        desk = open_desk(gateway, opened)
        # Where there is no market the exchange says so itself; the rig's own quote would insist.
        desk.transport._quotes = lambda name: gateway.gateway.facts.quote(name, gateway.gateway.now)

        def renew() -> OrderTransport:
            before = desk.session.link().connected_at
            interrupted = desk.session.link().interrupted_at
            gateway.control.ask("drop")
            eventually(lambda: not desk.session.is_ready or desk.session.link().interrupted_at != interrupted)
            gateway.run_until(gateway.gateway.now + timedelta(seconds=2))
            eventually(lambda: desk.session.is_ready)
            assert desk.session.link().connected_at >= before
            return desk.transport

        try:
            yield Line("over the wire", desk.transport, book_of_the_world(), renew)
        finally:
            desk.session.close()


@contextmanager
def on_the_real_clock() -> Iterator[Line]:
    """The adapter, over TCP to a gateway whose time runs by itself: the way a real account is reached."""
    small_world()
    clock = scaled_clock(OPENED, 1.0)
    with running(lambda: make_gateway(clock=clock)) as gateway, ExitStack() as stack:
        facts = gateway.gateway.facts
        policy = SessionPolicy(account=ACCOUNT, client_id=CLIENT, is_paper=True, port=gateway.port)
        opened = partial(connect, stack, policy, book_of_the_world(), clock)
        quotes = partial(_quote_at, facts.quote, clock)
        yield Line(
            "on the real clock", opened(quotes), book_of_the_world(), partial(opened, quotes), moment=1.5
        )


def connect(
    stack: ExitStack,
    policy: SessionPolicy,
    book: ContractBook,
    clock: Callable[[], datetime] | None,
    quotes: Callable[[str], Quote | None],
) -> OrderTransport:
    """A new connection in place of the one that the stack holds."""
    stack.pop_all().close()
    session = IbkrSession(policy, now=clock)
    stack.callback(session.close)
    session.connect()
    return IbkrTransport(session, ContractDesk(session, lambda: book, {}), quotes)


def _quote_at(
    quote: Callable[[str, datetime], Quote | None], clock: Callable[[], datetime], contract_id: str
) -> Quote | None:
    return quote(contract_id, clock())


SIMULATED: dict[str, Callable[[datetime], AbstractContextManager[Line]]] = {
    "in the process": in_the_process,
    "over the wire": over_the_wire,
}
"""Lines whose time is ours to set."""

EVERY: dict[str, Callable[[], AbstractContextManager[Line]]] = {
    **SIMULATED,
    "on the real clock": on_the_real_clock,
}
