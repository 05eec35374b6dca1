"""A client by hand: frames written and read as they are on the wire, for what no library would send."""

from __future__ import annotations

import socket
from collections.abc import Callable
from decimal import Decimal

from tasks.adapters.simulated_gateway.framing import FrameReader, frame, split
from tasks.adapters.simulated_gateway.messages import SPOKEN_VERSION, read_answer, request
from tests.tasks.adapters.gateways import RunningGateway

SAID_FIRST = 5
"""Accounts, the next number, three notices."""

TIME = frame(["49", "1"])
Told = tuple[str, dict[str, str]]


class WireLine:
    """One connection, started; ``told`` is everything that it was told so far."""

    def __init__(self, gateway: RunningGateway, client_id: int) -> None:
        self.line = socket.create_connection(("127.0.0.1", gateway.port), 30)
        self._reader, self._greeted = FrameReader(), False
        self.told: list[Told] = []
        versions = b"v157..%d" % SPOKEN_VERSION
        self.send(
            b"API\0" + len(versions).to_bytes(4, "big") + versions + frame(["71", "2", str(client_id), ""])
        )
        self.until(lambda: len(self.told) >= SAID_FIRST)
        self.told.clear()

    def __enter__(self) -> WireLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def send(self, data: bytes) -> None:
        """Write at once, so that it is read at once."""
        self.line.sendall(data)

    def until(self, holds: Callable[[], bool]) -> bool:
        """Read until something holds; false when the gateway closes the connection before."""
        while not holds():
            try:
                data = self.line.recv(1 << 16)
            except ConnectionResetError:
                return False
            if not data:
                return False
            for payload in self._reader.feed(data):
                if self._greeted:
                    found = read_answer(split(payload), SPOKEN_VERSION)
                    self.told.append(
                        (found.name, {k: v for k, v in found.record.items() if isinstance(v, str)})
                    )
                self._greeted = True
        return True

    def named(self, name: str) -> list[dict[str, str]]:
        """What it was told under one name."""
        return [record for found, record in self.told if found == name]

    @property
    def ends(self) -> bool:
        """Whether the gateway closes the connection."""
        return not self.until(lambda: False)

    def asks_the_time(self) -> bool:
        """Whether it is still served: a question of the time is answered, and with it all before it."""
        self.send(TIME)
        heard = len(self.named("current_time"))
        return self.until(lambda: len(self.named("current_time")) > heard)


def order_frame(gateway: RunningGateway, number: int | str, **fields: str) -> bytes:
    """An order to buy one share far below the market, or whatever its fields say instead."""
    record = {
        "order_id": str(number), "con_id": str(gateway.gateway.listing.number("CSPX")), "symbol": "CSPX",
        "security_type": "STK", "exchange": "SMART", "currency": "USD", "action": "BUY", "quantity": "1",
        "order_type": "LMT", "limit_price": "300", "tif": "DAY", "transmit": "1",
    } | fields  # fmt: skip
    return frame(request("place_order", record, SPOKEN_VERSION))


def price_that_fills(gateway: RunningGateway) -> str:
    """Above the ask, on the tick."""
    quote = gateway.gateway.facts.quote("CSPX", gateway.gateway.now)
    assert quote is not None
    assert quote.ask is not None
    instrument = gateway.gateway.broker.terms.instrument("CSPX")
    return str(instrument.floor_to_tick(quote.ask * Decimal("1.05")))
