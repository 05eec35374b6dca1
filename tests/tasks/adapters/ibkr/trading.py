"""The adapter's transport over TCP to the simulated gateway, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from engine.model.market import Quote
from engine.model.orders import (
    ChildOrder,
    OrderType,
    Side,
    TransportEvent,
    TransportEventKind,
    order_reference,
)
from engine.model.universe import ContractBook
from tasks.adapters.ibkr.account import IbkrAccount
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.virtual_time import VirtualClock
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, RunningGateway, running, small_world

CLIENT = 7
Kind = TransportEventKind


@dataclass
class Desk:
    """Everything of one trading connection."""

    gateway: RunningGateway
    session: IbkrSession
    contracts: ContractDesk
    transport: IbkrTransport
    account: IbkrAccount
    alarms: list[str] = field(default_factory=list)
    sent: int = 0

    def quote(self, contract_id: str) -> Quote:
        found = self.gateway.gateway.facts.quote(contract_id, self.gateway.gateway.now)
        assert found is not None
        return found

    def child(
        self,
        contract_id: str = "CSPX",
        quantity: int = 10,
        factor: str = "1.01",
        side: Side = Side.BUY,
        **more: object,
    ) -> ChildOrder:
        """A limit order that meets the ask, or with a smaller factor rests below it."""
        self.sent += 1
        instrument = self.contracts.instrument(contract_id)
        assert instrument is not None
        quote = self.quote(contract_id)
        touch = quote.ask if side is Side.BUY else quote.bid
        assert touch is not None
        given: dict[str, object] = {
            "order_ref": order_reference(f"intent {self.sent}", 1), "intent_id": f"intent {self.sent}", "attempt": 1,
            "contract_id": contract_id, "side": side, "quantity": Decimal(quantity), "order_type": OrderType.LIMIT,
            "limit_price": instrument.floor_to_tick(touch * Decimal(factor)), "time_in_force": "DAY",
            "good_till": self.transport.now() + timedelta(minutes=20),
        }  # fmt: skip
        return ChildOrder(**{**given, **more})  # type: ignore[arg-type]

    def resting(self, **more: object) -> ChildOrder:
        return self.child(factor="0.97", **more)  # type: ignore[arg-type]

    def events(self, seconds: float = 2.0) -> list[TransportEvent]:
        """All that happens in so many seconds of virtual time."""
        until, found = self.transport.now() + timedelta(seconds=seconds), list[TransportEvent]()
        while (event := self.transport.next_event(until)) is not None:
            found.append(event)
        return found

    def kinds(self, seconds: float = 2.0) -> list[TransportEventKind]:
        return [event.kind for event in self.events(seconds)]

    def ledger(self) -> list[dict[str, object]]:
        """The gateway's own list of orders."""
        rows = self.gateway.control.ask("orders")["orders"]
        assert isinstance(rows, list)
        return rows

    def number(self, child: ChildOrder) -> int:
        [row] = [row for row in self.ledger() if row["reference"] == child.order_ref]
        number = row["order_id"]
        assert isinstance(number, int)
        return number

    def say_error(self, child: ChildOrder, code: int, order_id: int | None = None) -> None:
        number = self.number(child) if order_id is None else order_id
        self.gateway.control.ask("error", client_id=CLIENT, code=code, request_id=number, text="Injected")


def open_desk(gateway: RunningGateway, opened: datetime = OPENED, **changes: object) -> Desk:
    universe, _, world = small_world()
    contracts = {row.contract_id: row for chain in world.panel.chains.values() for row in chain}
    book = ContractBook(universe=universe, contracts=contracts)
    clock, alarms = VirtualClock(gateway.control, CLIENT, opened), list[str]()
    given: dict[str, object] = {
        "account": ACCOUNT, "client_id": CLIENT, "is_paper": True, "port": gateway.port, "heartbeat_seconds": None,
        "messages_per_second": 0, "reconnect_delays": (0.02,) * 5, "request_timeout": 5.0, "connect_timeout": 2.0,
    }  # fmt: skip
    session = IbkrSession(SessionPolicy(**{**given, **changes}), alarms.append, clock.now)  # type: ignore[arg-type]
    session.connect()
    gateway.control.ask("hold_barriers", client_id=CLIENT)
    desk = ContractDesk(session, lambda: book, {})
    transport = IbkrTransport(
        session, desk, lambda name: gateway.gateway.facts.quote(name, gateway.gateway.now), clock=clock
    )
    account = IbkrAccount(session, desk, transport.orders, transport.executions, lambda name, at: True)
    return Desk(gateway, session, desk, transport, account, alarms)


@contextmanager
def trading(**options: object) -> Iterator[Desk]:
    """A gateway and a connection to it."""
    with running(**options) as gateway:  # type: ignore[arg-type]
        desk = open_desk(gateway)
        try:
            yield desk
        finally:
            desk.session.close()
