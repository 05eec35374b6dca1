"""The gateway under the real client: a full account, orders acknowledged, messages a second, and what is no gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ib_insync import IB, Contract, LimitOrder

from engine.simulation.faults import ForeignTrade, add_trade
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.simulated_gateway.framing import FrameReader, frame
from tasks.adapters.simulated_gateway.gateway import Gateway
from tasks.adapters.simulated_gateway.listing import contract_number
from tasks.adapters.simulated_gateway.messages import SPOKEN_VERSION, request
from tasks.adapters.simulated_gateway.server import GatewayServer
from tasks.gateway import PAPER_ACCOUNT, GatewayOptions, open_gateway, spare_the_collector
from tasks.options import ROOT

OPENED = datetime(2026, 11, 20, 14, 40, tzinfo=UTC)
"""A Friday on which London, Frankfurt, New York and the futures trade."""

HOLDINGS, ORDERS, QUESTIONS, LONGEST_WAIT = 76, 1_000, 20_000, 60.0
CLIENTS, ROUNDS, FILLED_EVERY = 5, 400, 8
"""Clients at once in the mix of messages, rounds of each, and every how many orders one is filled."""

QUOTED = ("CSPX", "CS51", "CNDX", "IUIT")
Figure = dict[str, str | float | bool | None]


def measure() -> list[Figure]:
    """All figures of the benchmark."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    with _serving(HOLDINGS) as (port, held, _):
        connect = _connect(port, held)
        full = _orders(port)
    with _serving(0) as (port, _, process):
        bare = _orders(port)
        sustained = _messages(port)
        mixed = _mixed(port)
        frozen = _noticed(port, process, signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
        dead = _noticed(port, process, signal.SIGKILL)
    return [
        _figure("load of the machine", os.getloadavg()[0], "processes"),
        _figure(f"connect and read an account of {held} positions", connect, "s", 1.5),
        _figure(f"{ORDERS} orders acknowledged, an account of cash", bare, "s", 1.0),
        _figure(f"{ORDERS} orders acknowledged, {held} positions in the margin of each", full, "s"),
        _figure("messages read and answered, of the time", sustained, "messages/s", 10_000, at_most=False),
        _figure(
            f"messages read and told, a mix of {CLIENTS} clients", mixed, "messages/s", 10_000, at_most=False
        ),
        _figure("a frozen gateway is reported", frozen, "s", 10.0),
        _figure("a dead gateway is reported", dead, "s", 10.0),
    ]


def _figure(
    metric: str, value: float, unit: str, target: float | None = None, *, at_most: bool = True
) -> Figure:
    met = None if target is None else (value <= target if at_most else value >= target)
    return {"metric": metric, "value": round(value, 3), "unit": unit, "baseline": None, "ratio": None,
            "target": target, "met": met}  # fmt: skip


@contextmanager
def _serving(holdings: int) -> Iterator[tuple[int, int, subprocess.Popen[str]]]:
    """A gateway on the real clock in a process of its own: its port, how many positions it holds, and the process."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gateway", str(holdings)],
            cwd=ROOT, env={**os.environ, "FUND_HOME": folder}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        port, held = process.stdout.readline().split()
        try:
            yield int(port), int(held), process
        finally:
            process.communicate("end\n")


async def _served(holdings: int) -> None:
    gateway = open_gateway(GatewayOptions(first=OPENED, last=date(2026, 11, 27)))
    held = _fill_account(gateway, holdings)
    spare_the_collector()
    server = GatewayServer(gateway)
    await server.start()
    print(server.port, held, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await server.stop()
    gateway.close()


def _fill_account(gateway: Gateway, wanted: int) -> int:
    """One position in each line that has a price, a further expiry of futures where there are too few; how many."""
    held, today = 0, gateway.now.date()
    for instrument in gateway.listing.universe:
        if instrument.is_option or instrument.kind.broker_name == "CASH":
            continue
        asked = {"symbol": instrument.ib_symbol, "security_type": instrument.kind.broker_name}
        listed = [
            c for c in gateway.listing.find(asked, today) if c.instrument_id == instrument.instrument_id
        ]
        for contract in listed[: 3 if instrument.is_future else 1]:
            closing = gateway.broker.terms.last_closing(contract.contract_id, gateway.now)
            if closing is None or held == wanted:
                continue
            trade = ForeignTrade(
                contract_id=contract.contract_id, quantity=instrument.lot, price=closing.price, order_ref=None
            )
            add_trade(gateway.broker, "opening", trade)
            held += 1
    gateway.broker.commit()
    return held


def _client(port: int, client_id: int) -> IB:
    ib = IB()
    ib.client.MaxRequests = 0
    ib.connect("127.0.0.1", port, clientId=client_id, timeout=30)
    return ib


def _connect(port: int, held: int) -> float:
    began = time.perf_counter()
    ib = _client(port, 1)
    ib.accountSummary()
    taken = time.perf_counter() - began
    if len(ib.positions()) != held or not ib.accountValues() or not ib.fills():
        raise AssertionError(f"expected the whole account, found {len(ib.positions())} positions")
    ib.disconnect()
    return taken


def _orders(port: int) -> float:
    """Seconds until the last order is acknowledged."""
    ib = _client(port, 2)
    [contract] = ib.qualifyContracts(Contract(symbol="CSPX", secType="STK", exchange="SMART", currency="USD"))
    heard: set[int] = set()
    ib.orderStatusEvent += lambda trade: heard.add(trade.order.orderId)
    began = time.perf_counter()
    for _ in range(ORDERS):
        ib.placeOrder(contract, LimitOrder("BUY", 1, 300.0, tif="DAY"))
    while len(heard) < ORDERS and time.perf_counter() < began + LONGEST_WAIT:
        ib.waitOnUpdate(timeout=0.05)
    taken = time.perf_counter() - began
    if len(heard) < ORDERS:
        raise AssertionError(f"expected {ORDERS} acknowledgements, found {len(heard)}")
    ib.disconnect()
    return taken


def _noticed(port: int, process: subprocess.Popen[str], ending: signal.Signals) -> float:
    """Seconds from a signal to the gateway until the adapter, with its waits as they are, raises its first alarm."""
    told, alarms = threading.Event(), list[str]()

    def alarm(text: str) -> None:
        alarms.append(text)
        told.set()

    session = IbkrSession(SessionPolicy(account=PAPER_ACCOUNT, client_id=4, is_paper=True, port=port), alarm)
    try:
        session.connect()
        began = time.perf_counter()
        process.send_signal(ending)
        if not told.wait(LONGEST_WAIT) or "the connection to the broker was lost" not in alarms[0]:
            raise AssertionError(f"expected an alarm about the lost connection, found {alarms}")
        return time.perf_counter() - began
    finally:
        session.close()


@dataclass
class _Line:
    """A connection by hand, for what is to be counted and not understood."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: FrameReader

    @classmethod
    async def open(cls, port: int, client_id: int) -> _Line:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        hello = b"v157..176"
        writer.write(
            b"API\0" + len(hello).to_bytes(4, "big") + hello + frame(["71", "2", str(client_id), ""])
        )
        line, heard = cls(reader, writer, FrameReader()), 0
        while heard < 6:
            heard += len(await line.read())
        return line

    async def read(self) -> list[bytes]:
        """What was told next."""
        data = await asyncio.wait_for(self.reader.read(1 << 16), LONGEST_WAIT)
        if not data:
            raise AssertionError("expected more messages, found the end of the connection")
        return self.frames.feed(data)


def _messages(port: int) -> float:
    """Messages that the gateway reads and answers in a second: requests of the time, each with its answer."""

    async def ask() -> float:
        line = await _Line.open(port, 3)
        began, heard = time.perf_counter(), 0
        line.writer.write(frame(["49", "1"]) * QUESTIONS)
        while heard < QUESTIONS:
            heard += len(await line.read())
        taken = time.perf_counter() - began
        line.writer.close()
        return 2 * QUESTIONS / taken

    return asyncio.get_event_loop().run_until_complete(ask())


def _mixed(port: int) -> float:
    """Messages read and told in a second while clients trade, cancel, take quotes and hear of each other's positions.

    A client's round is an order, its cancel (or none, where the order is filled), a stream of quotes begun and ended, and
    a question of the time. It is over once every order of every client has ended and every time was told.
    """

    async def trade(line: _Line) -> int:
        told, ended, times = 0, set[bytes](), 0
        sent = _rounds()
        line.writer.write(b"".join(sent))
        while len(ended) < ROUNDS or times < ROUNDS:
            for payload in await line.read():
                told += 1
                number, *fields = payload.split(b"\0", 3)
                times += number == b"49"
                if number == b"3" and fields[1] in (b"Cancelled", b"Filled"):
                    ended.add(fields[0])
        return told + len(sent)

    async def all_trade() -> float:
        lines = [await _Line.open(port, 10 + number) for number in range(CLIENTS)]
        began = time.perf_counter()
        counted = sum(await asyncio.gather(*(trade(line) for line in lines)))
        taken = time.perf_counter() - began
        for line in lines:
            line.writer.close()
        return counted / taken

    return asyncio.get_event_loop().run_until_complete(all_trade())


def _rounds() -> list[bytes]:
    """What one client of the mix sends: first that it watches positions."""
    share = {
        "con_id": str(contract_number("CSPX")), "symbol": "CSPX", "security_type": "STK", "exchange": "SMART",
        "currency": "USD", "action": "BUY", "quantity": "1", "order_type": "LMT", "tif": "DAY", "transmit": "1",
    }  # fmt: skip
    said: list[list[str]] = [["61", "1"]]
    for number in range(1, ROUNDS + 1):
        is_filled = number % FILLED_EVERY == 0
        order = share | {"order_id": str(number), "limit_price": "2000" if is_filled else "300"}
        quoted = {"request_id": str(number), "con_id": str(contract_number(QUOTED[number % len(QUOTED)]))}
        said.append(request("place_order", order, SPOKEN_VERSION))
        said.append(request("market_data", quoted, SPOKEN_VERSION))
        said += [] if is_filled else [["4", "1", str(number), ""]]
        said += [["2", "2", str(number)], ["49", "1"]]
    return [frame(one) for one in said]


if __name__ == "__main__":
    asyncio.run(_served(int(sys.argv[1])))
