"""What a gateway is made of, and where its virtual clock waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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


class Whole:
    """What happens meanwhile is kept whole, or never happened, neither in the file nor in memory.

    It may be begun again inside itself: a part that fails undoes all, even where somebody caught its error. ``remembered``
    is called at the beginning and answers with what takes the memory back to it.
    """

    def __init__(
        self,
        together: Callable[[], AbstractContextManager[None]],
        remembered: Callable[[], Callable[[], None]],
    ) -> None:
        self._together, self._remembered = together, remembered
        self._is_begun = False
        self._failed: Exception | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Begin it; raises what a part of it raised."""
        if self._is_begun:
            try:
                yield
            except Exception as error:
                self._failed = self._failed or error
                raise
            return
        self._is_begun, self._failed = True, None
        undo = self._remembered()
        try:
            with self._together():
                yield
                if self._failed is not None:
                    raise self._failed
        except Exception:
            undo()
            raise
        finally:
            self._is_begun = False


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
