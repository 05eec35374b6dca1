"""A transport over TCP to a gateway of a few lines, and what that gateway may say of an order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine.model.orders import ChildOrder, OrderType, Side, TransportEvent, order_reference
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.session import IbkrSession
from tests.tasks.adapters.gateways import ACCOUNT
from tests.tasks.adapters.ibkr.market_gateway import MarketGateway
from tests.tasks.adapters.ibkr.tiny_gateway import Reply
from tests.tasks.adapters.ibkr.trading import CLIENT, Kind

LIMIT = Decimal(700)


@dataclass
class Told:
    """A transport, and the gateway that tells it what a test wants."""

    gateway: MarketGateway
    session: IbkrSession
    transport: IbkrTransport
    sent: int = 0

    def order(self, quantity: int = 100) -> tuple[ChildOrder, int]:
        """A written order and its number."""
        self.sent += 1
        key = f"told {self.sent}"
        child = ChildOrder(
            order_ref=order_reference(key, 1), intent_id=key, attempt=1, contract_id="CSPX", side=Side.BUY,
            quantity=Decimal(quantity), order_type=OrderType.LIMIT, limit_price=LIMIT, time_in_force="DAY",
            good_till=datetime.now(UTC) + timedelta(minutes=20),
        )  # fmt: skip
        self.transport.send(child)
        request = self.gateway.wait_for("place_order", self.sent)[-1]
        return child, request.integer("order_id")

    def contract(self) -> dict[str, object]:
        number = self.gateway.listing.number("CSPX")
        return {
            "con_id": str(number),
            "symbol": "CSPX",
            "security_type": "STK",
            "currency": "USD",
            "local_symbol": "CSPX",
        }

    def status(self, number: int, status: str, filled: int = 0, permanent: int = 0) -> Reply:
        return "order_status", {
            "order_id": str(number), "status": status, "filled": str(filled), "perm_id": str(permanent),
            "client_id": str(CLIENT),
        }  # fmt: skip

    def open(self, child: ChildOrder, number: int, permanent: int = 0, **more: object) -> Reply:
        given = {
            **self.contract(), "order_id": str(number), "client_id": str(CLIENT), "perm_id": str(permanent), "action": "BUY",
            "quantity": str(child.quantity), "order_type": "LMT", "limit_price": "700", "status": "Submitted",
            "account": ACCOUNT, "order_ref": child.order_ref,
        }  # fmt: skip
        return "open_order", {**given, **more}

    def execution(
        self, child: ChildOrder, number: int, shares: int, name: str = "0001.01", **more: object
    ) -> Reply:
        given = {
            **self.contract(), "request_id": "-1", "order_id": str(number), "client_id": str(CLIENT), "execution_id": name,
            "time": "20261120 15:45:00 UTC", "account": ACCOUNT, "side": "BOT", "shares": str(shares), "price": "699.5",
            "order_ref": child.order_ref,
        }  # fmt: skip
        return "execution", {**given, **more}

    def heard(self, count: int, *replies: Reply) -> list[TransportEvent]:
        """So many events after the gateway said something; no more come."""
        self.gateway.say(*replies)
        found: list[TransportEvent] = []
        end = time.monotonic() + 5
        while len(found) < count and time.monotonic() < end:
            event = self.transport.next_event(self.transport.now() + timedelta(seconds=1))
            found += [] if event is None else [event]
        self.session.ping()
        extra = self.transport.next_event(self.transport.now())
        return found if extra is None else [*found, extra]


def charge(name: str = "0001.01") -> Reply:
    return "commission", {"execution_id": name, "commission": "1.25", "currency": "USD"}


def parts(events: list[TransportEvent]) -> list[tuple[Kind, str | None, Decimal | None]]:
    return [
        (event.kind, event.order_ref, event.fill.quantity if event.fill else event.filled) for event in events
    ]
