"""A gateway of a small generated world, on a port of this machine, in a thread of its own."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from ib_insync import IB

from config.policies import fund_policy
from config.settings import Settings, load_configuration
from config.universe import load_venues, universe_of
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.broker import AccountOpening, SimulatedBroker
from engine.simulation.facts import PanelFacts
from engine.simulation.journal import MemoryJournal
from engine.simulation.market import generate_panel
from engine.simulation.terms import BrokerTerms
from tasks.adapters.calendars import session_table
from tasks.adapters.simulated_account import open_account
from tasks.adapters.simulated_gateway.control import Control
from tasks.adapters.simulated_gateway.control_client import ControlLine
from tasks.adapters.simulated_gateway.faults import ScriptedFacts
from tasks.adapters.simulated_gateway.gateway import Gateway
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.market import GatewayMarket
from tasks.adapters.simulated_gateway.order_book import PlacedOrders
from tasks.adapters.simulated_gateway.references import References, references_of
from tasks.adapters.simulated_gateway.served import ServedMarket
from tasks.adapters.simulated_gateway.server import GatewayServer
from tasks.adapters.simulated_gateway.sessions import Market
from tasks.adapters.simulated_gateway.tape import Tape
from tasks.adapters.simulated_gateway.world import GatewayWorld
from tasks.adapters.simulated_market import PanelMarket

ACCOUNT = "DU1234567"
OPENED = datetime(2026, 11, 20, 14, 40, tzinfo=UTC)
"""A Friday on which London, Frankfurt, New York and the futures trade."""

LONGEST_WAIT = 600
"""Seconds in which a gateway begins and ends at the latest: its market may be made anew, on a machine that is busy."""

SEED, FIRST = 7, date(2026, 9, 1)


@lru_cache(maxsize=1)
def small_world() -> tuple[Universe, SessionTable, PanelFacts]:
    """Universe, sessions and facts, made once for all tests of a process."""
    universe = universe_of(_settings())
    cache = Path(tempfile.mkdtemp(prefix="gateway-sessions-"))
    sessions = session_table(FIRST, date(2027, 12, 31), cache)
    panel = generate_panel(universe, sessions, FIRST, date(2026, 11, 30), SEED)
    return universe, sessions, PanelFacts(panel=panel, universe=universe, sessions=sessions, seed=SEED)


@lru_cache(maxsize=1)
def small_references() -> References:
    """Underlyings of options of the small world."""
    universe, sessions, facts = small_world()
    return references_of(facts.panel, universe, sessions, SEED)


@lru_cache(maxsize=1)
def small_market() -> Market:
    """Market data over the small world."""
    universe, sessions, facts = small_world()
    known = PanelMarket(facts.panel, universe, sessions, facts)
    return GatewayMarket(tape=Tape(panel=facts.panel, known=known, references=small_references()))


@lru_cache(maxsize=1)
def _settings() -> Settings:
    return load_configuration("fund", ()).settings


def make_gateway(
    *,
    path: Path | None = None,
    opened: datetime = OPENED,
    clock: Callable[[], datetime] | None = None,
    market: Market | None = None,
    deposit: Decimal = Decimal(10_000_000),
    pence_executions: bool = True,
    pence_ticks: bool = True,
) -> Gateway:
    """A gateway of a new account, or of the account of a file; without a clock on virtual time."""
    universe, _, world = small_world()
    policy = fund_policy(_settings(), opened.date())
    facts = ScriptedFacts(world)
    terms = BrokerTerms(facts=facts, universe=universe, costs=policy.costs, carry=policy.carry)
    opening = AccountOpening(account=ACCOUNT, deposit=deposit, opened_at=opened, seed=SEED)
    if path is None:
        broker = SimulatedBroker.create(terms, MemoryJournal(), opening)
    else:
        broker = open_account(path, terms, opening)
    placed = PlacedOrders(path)
    placed.load(broker)
    listing = Listing(
        universe=universe, facts=facts, venues=load_venues(), chains=world.panel.chains,
        references=small_references(), pence_ticks=pence_ticks,
    )  # fmt: skip
    return Gateway(
        GatewayWorld(
            broker=broker, listing=listing, facts=facts, placed=placed, clock=clock,
            market=small_market() if market is None else market,
            pence_executions=pence_executions, served=ServedMarket(seed=SEED, first=FIRST),
        )
    )  # fmt: skip


@dataclass
class RunningGateway:
    """A gateway that listens: its ports, and a line to its control interface."""

    gateway: Gateway
    server: GatewayServer
    port: int
    control_port: int
    control: ControlLine
    loop: asyncio.AbstractEventLoop

    def call(self, function: Callable[[], Any]) -> Any:
        """Run something in the gateway's own thread."""

        async def inside() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(10)

    def run_until(self, until: datetime) -> int:
        """Move virtual time, event by event; how many there were."""
        events = 0
        while self.control.advance(until)[1]:
            events += 1
        return events


@contextmanager
def running(make: Callable[[], Gateway] = make_gateway, **options: Any) -> Iterator[RunningGateway]:
    """A gateway, made in its own thread, behind sockets until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> tuple[GatewayServer, int]:
        server = GatewayServer(make(), **options)
        await server.start()
        return server, await server.serve_beside(Control(server).serve)

    async def end(server: GatewayServer) -> None:
        await server.stop()
        server.gateway.close()
        await asyncio.sleep(0.01)

    server, control_port = asyncio.run_coroutine_threadsafe(begin(), loop).result(LONGEST_WAIT)
    line = ControlLine(control_port, timeout=30)
    try:
        yield RunningGateway(server.gateway, server, server.port, control_port, line, loop)
    finally:
        line.close()
        asyncio.run_coroutine_threadsafe(end(server), loop).result(LONGEST_WAIT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def library_loop() -> Iterator[None]:
    """An event loop for the client library, which its blocking calls run; closed with everything in it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        loop.run_until_complete(asyncio.sleep(0.01))  # connections that were just closed end here
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


def connected(gateway: RunningGateway, client_id: int = 1, **options: Any) -> IB:
    """The real client, connected, its throttle off and its errors raised."""
    ib = IB()
    ib.RaiseRequestErrors = True
    ib.client.MaxRequests = 0
    ib.connect("127.0.0.1", gateway.port, clientId=client_id, timeout=options.pop("timeout", 5), **options)
    return ib


def settle(ib: IB, gateway: RunningGateway, seconds: float = 1) -> None:
    """Let virtual time pass, and the client hear all of it."""
    ib.reqCurrentTime()
    gateway.run_until(gateway.gateway.now + timedelta(seconds=seconds))
    ib.reqCurrentTime()
