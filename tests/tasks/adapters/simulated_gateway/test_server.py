"""The gateway behind its socket: who sends a lot at once is answered while the rest still waits to be read."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tasks.adapters.simulated_gateway.framing import FrameReader, frame, split
from tasks.adapters.simulated_gateway.gateway import Gateway
from tasks.adapters.simulated_gateway.messages import SPOKEN_VERSION, request
from tasks.adapters.simulated_gateway.server import READ_AT_ONCE, GatewayServer
from tasks.gateway import scaled_clock
from tests.tasks.adapters.gateways import OPENED, make_gateway

ORDERS = 300
SPEED = 10.0
"""A report comes 1 to 12 real milliseconds after its order, sooner than the next orders are read."""

STATUS_NUMBER = "3"


def _hello() -> bytes:
    versions = b"v157..176"
    return b"API\0" + len(versions).to_bytes(4, "big") + versions + frame(["71", "2", "5", ""])


def _orders(gateway: Gateway) -> bytes:
    record = {
        "con_id": str(gateway.listing.number("CSPX")), "symbol": "CSPX", "security_type": "STK", "exchange": "SMART",
        "currency": "USD", "action": "BUY", "quantity": "1", "order_type": "LMT", "limit_price": "300", "tif": "DAY",
        "transmit": "1",
    }  # fmt: skip
    return b"".join(
        frame(request("place_order", {**record, "order_id": str(number)}, SPOKEN_VERSION))
        for number in range(1, ORDERS + 1)
    )


async def _exchange() -> tuple[list[int], set[str]]:
    """How many orders the account had whenever reports were told, and the orders that a status was told of."""
    gateway = make_gateway(clock=scaled_clock(OPENED + timedelta(seconds=1), SPEED))
    server = GatewayServer(gateway, speed=SPEED)
    told: list[int] = []
    pump = gateway.pump

    def noted() -> list[object]:
        effects = pump()
        if effects:
            told.append(gateway.broker.state.head.orders)
        return list(effects)

    gateway.pump = noted  # type: ignore[method-assign, assignment]
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    sent = _orders(gateway)
    assert len(sent) > 2 * READ_AT_ONCE
    writer.write(_hello() + sent)
    frames, heard = FrameReader(), set[str]()
    while len(heard) < ORDERS:
        for payload in frames.feed(await asyncio.wait_for(reader.read(1 << 16), 30)):
            number, *rest = split(payload)
            if number == STATUS_NUMBER:
                heard.add(rest[0])
    writer.close()
    await writer.wait_closed()
    await server.stop()
    gateway.close()
    return told, heard


def test_first_orders_of_many_are_told_before_the_last_one_is_read() -> None:
    told, heard = asyncio.run(_exchange())
    assert heard == {str(number) for number in range(1, ORDERS + 1)}
    assert told[0] < ORDERS == told[-1]
