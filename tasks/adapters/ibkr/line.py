"""The fund's one line to a broker: session, contracts, account, orders and clock, made once and closed together.

The line connects when it is needed first. In virtual time it moves the venue's clock, and hears all that happens on
the way before it goes on; on the real clock it waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from engine.model.market import Quote
from engine.model.portfolio import BrokerSnapshot
from engine.model.universe import ContractBook, Universe
from engine.sessions import SessionTable
from tasks.adapters.ibkr.account import IbkrAccount
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.market_data import MarketDesk, MarketTerms
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.pins import load_pins, save_pins
from tasks.adapters.ibkr.policy import SessionPolicy, SteadyClock
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.virtual_time import VenueLine, VirtualClock

_LOOK_SECONDS = 30.0
"""How long one wait lasts at most: the computer may sleep meanwhile."""


class SimulatedVenue(VenueLine, Protocol):
    """A simulated gateway's control interface, in virtual time."""

    def started(self) -> datetime:
        """Its time now, UTC."""

    def hold_barriers(self, client_id: int) -> None:
        """Take this client's questions for the time as barriers.

        Raises `ConfigurationError` when the client is not one of this gateway's.
        """

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineParts:
    """What a line is made of; ``pins`` is the file of pinned contracts."""

    policy: SessionPolicy
    universe: Universe
    book: Callable[[], ContractBook]
    in_session: Callable[[str, datetime], bool]
    sessions: SessionTable
    pins: Path
    market: MarketTerms


class IbkrLine:
    """A `BrokerLine`. ``venue`` is a simulated one in virtual time, ``None`` is a broker in the real time."""

    def __init__(self, parts: LineParts, venue: SimulatedVenue | None = None) -> None:
        self._parts, self._venue = parts, venue
        client = parts.policy.client_id
        self._clock = None if venue is None else VirtualClock(venue, client, venue.started())
        self._now = SteadyClock().now if self._clock is None else self._clock.now
        self._session = IbkrSession(parts.policy, now=self._now)
        self._known = load_pins(parts.pins)
        self.contracts = ContractDesk(self._session, parts.book, self._known)
        self.market = MarketDesk(self._session, self.contracts, parts.universe, parts.sessions, parts.market)
        self._transport = IbkrTransport(self._session, self.contracts, self.market.quote, clock=self._clock)
        self._account = IbkrAccount(
            self._session,
            self.contracts,
            self._transport.orders,
            self._transport.executions,
            parts.in_session,
        )
        self._is_open = False

    def open(self) -> None:
        """Connect, where it is not; raises `BrokerUnavailable`, `ConfigurationError` for another account."""
        if not self._is_open:
            self._session.connect()
            if self._venue is not None:
                self._venue.hold_barriers(self._parts.policy.client_id)
            self._is_open = True

    def now(self) -> datetime:
        """Time at the broker, UTC."""
        return self._now()

    def come_to(self, until: datetime) -> datetime:
        """Let time come to a moment, where it is not past it; the time then."""
        if self._clock is None:
            while (left := (until - self._now()).total_seconds()) > 0:
                time.sleep(min(left, _LOOK_SECONDS))
            return self._now()
        if self._clock.now() < until:
            self.open()
            while self._move(self._clock, until):
                continue
        return self._clock.now()

    def _move(self, clock: VirtualClock, until: datetime) -> bool:
        barrier = self._session.begin_barrier()
        has_news = clock.advance(until, barrier.number)
        self._session.end_barrier(barrier)
        return has_news

    @property
    def transport(self) -> IbkrTransport:
        """The way orders leave."""
        self.open()
        return self._transport

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """The account now; raises `BrokerUnavailable`."""
        self.open()
        return self._account.snapshot(as_of)

    def quote(self, contract_id: str) -> Quote | None:
        """Live quote, ``None`` where there is none that can be used."""
        self.open()
        return self.market.quote(contract_id)

    def close(self) -> None:
        """End the connection, and keep what was pinned meanwhile."""
        if self.contracts.pins != self._known:
            save_pins(self._parts.pins, self.contracts.pins)
        self._session.close()
        if self._venue is not None:
            self._venue.close()
