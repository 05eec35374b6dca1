"""What a gateway is made of, and where its virtual clock waits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from engine.simulation.broker import SimulatedBroker
from tasks.adapters.simulated_gateway.faults import ScriptedFacts
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.order_book import PlacedOrders
from tasks.adapters.simulated_gateway.served import ServedMarket
from tasks.adapters.simulated_gateway.sessions import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """Where virtual time may move: once a client has asked for the time that often."""

    client_id: int
    times_asked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayWorld:
    """What the gateway is made of. ``clock`` is ``None`` on virtual time, where the account's own time holds.

    Messages that came at once are worked ``together``: what they change is durable when that ends. ``served`` names the
    market to whoever asks the control interface.
    """

    broker: SimulatedBroker
    listing: Listing
    facts: ScriptedFacts
    placed: PlacedOrders
    clock: Callable[[], datetime] | None = None
    market: Market | None = None
    pence_executions: bool = True
    together: Callable[[], AbstractContextManager[None]] = nullcontext
    served: ServedMarket | None = None
