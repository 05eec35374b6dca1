"""The fund's one line to a broker: session, contracts, account, orders and clock, made once and closed together.

The line connects when it is needed first. In virtual time it moves the venue's clock, and hears all that happens on
the way before it goes on; on the real clock it waits.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Protocol

from config.settings import Settings
from engine.errors import UnknownContract
from engine.model.market import Quote
from engine.model.portfolio import BrokerSnapshot
from engine.model.universe import ContractBook, Universe
from engine.sessions import SessionTable
from tasks.adapters.broker_outside import Pinned
from tasks.adapters.ibkr.account import IbkrAccount
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.market_data import MarketDesk, MarketTerms
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.pinning import pin_contracts
from tasks.adapters.ibkr.pins import Pin, load_pins, pins_path, save_pins
from tasks.adapters.ibkr.policy import SessionPolicy, SteadyClock
from tasks.adapters.ibkr.quote_quality import QuoteQualityConfig
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.virtual_time import VenueLine, VirtualClock
from tasks.broker_place import BrokerPlace

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 30.0
"""How long one wait lasts at most: the computer may sleep meanwhile."""


class SimulatedVenue(VenueLine, Protocol):
    """A simulated gateway's control interface, in virtual time."""

    def started(self) -> datetime:
        """Its time now, UTC."""

    def hold_barriers(self, client_id: int) -> None:
        """Take this client's questions for the time as barriers."""

    def say(self, client_id: int, text: str) -> None:
        """Tell a client something over its own connection; raises `ConfigurationError` when there is no such client."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineWorld:
    """What a line knows of the fund; ``pins`` is the folder below which the pinned contracts lie."""

    universe: Universe
    sessions: SessionTable
    book: Callable[[], ContractBook]
    pins: Path
    broker_zone: str
    borrow_fee_bps_annual: Decimal

    def trades_now(self, contract_id: str, at: datetime) -> bool:
        """Whether the venue of a contract is in session; ``False`` for what is not ours."""
        try:
            venue = self.book().instrument(contract_id).venue
        except UnknownContract:
            return False
        return self.sessions.in_session(venue, at) is not None


def broker_line(
    place: BrokerPlace, settings: Settings, world: LineWorld, venue: SimulatedVenue | None
) -> IbkrLine:
    """The line to an account, not connected yet; a simulated venue needs neither a pace nor a heartbeat."""
    reconnecting = settings.broker.reconnect_delays[: settings.broker.max_reconnect_attempts]
    policy = SessionPolicy(
        account=place.account,
        client_id=settings.broker.client_id,
        is_paper=place.is_paper,
        host=place.host,
        port=place.port,
        reconnect_delays=tuple(map(float, reconnecting)),
        broker_zone=world.broker_zone,
    )
    if venue is not None:
        policy = replace(policy, heartbeat_seconds=None, degraded_seconds=None, messages_per_second=0)
    quality = QuoteQualityConfig.of_settings(settings.execution_phase2.market_data)
    terms = MarketTerms(
        quality=quality if venue is None else quality.in_virtual_time(),
        borrow_fee_bps_annual=world.borrow_fee_bps_annual,
    )
    return IbkrLine(policy, world, terms, venue)


class IbkrLine:
    """A `BrokerLine`. ``venue`` is a simulated one in virtual time, ``None`` is a broker in the real time."""

    def __init__(
        self, policy: SessionPolicy, world: LineWorld, terms: MarketTerms, venue: SimulatedVenue | None = None
    ) -> None:
        self.policy, self._venue, self._universe = policy, venue, world.universe
        self._clock = None if venue is None else VirtualClock(venue, policy.client_id, venue.started())
        self._now = SteadyClock().now if self._clock is None else self._clock.now
        self._alarms: deque[str] = deque()
        self._session = IbkrSession(policy, self._raise_alarm, self._now)
        if venue is not None:
            self._session.prove_by(partial(venue.say, policy.client_id))
        self._pins = pins_path(world.pins, policy.account)
        self._known = load_pins(self._pins)
        self.contracts = ContractDesk(self._session, world.book, self._known)
        self.market = MarketDesk(self._session, self.contracts, world.universe, world.sessions, terms)
        self._transport = IbkrTransport(self._session, self.contracts, self.market.quote, clock=self._clock)
        self._account = IbkrAccount(
            self._session,
            self.contracts,
            self._transport.orders,
            self._transport.executions,
            world.trades_now,
        )
        self._is_open = False

    def open(self) -> None:
        """Connect, where it is not; raises `BrokerUnavailable`, `ConfigurationError` for another account."""
        if not self._is_open:
            self._session.connect()
            if self._venue is not None:
                self._venue.hold_barriers(self.policy.client_id)
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

    def alarms(self) -> tuple[str, ...]:
        """What it raised an alarm about and nobody kept yet, oldest first, each with its time; they stay.

        The session's thread may add to them meanwhile: that can not move those that are there.
        """
        return tuple(self._alarms[number] for number in range(len(self._alarms)))

    def alarm_kept(self) -> None:
        """Let go of the oldest alarm: it stands where people read it. For the thread of the run alone."""
        self._alarms.popleft()

    def _raise_alarm(self, text: str) -> None:
        """On the session's thread, which has no part in the book: whoever works with the line writes it there."""
        _LOG.error(text)
        self._alarms.append(f"broker's line, {self._now():%Y-%m-%d %H:%M:%S} UTC: {text}")

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

    def pin_contracts(self) -> Pinned:
        """Qualify every contract of the fund but options, and keep what is new; raises `BrokerUnavailable`."""
        self.open()
        report = pin_contracts(self._session, self._universe, self.contracts.pins, self._now().date())
        save_pins(self._pins, report.pins)
        self._known = self.contracts.pins
        return Pinned(
            pinned={name: _described(pin) for name, pin in report.pins.items()},
            added=report.added,
            refused=report.refused,
            instruments=len({name.partition("_")[0] for name in report.pins} & set(self._universe.ids)),
            path=self._pins,
        )

    def close(self) -> None:
        """End the connection, and keep what was pinned meanwhile."""
        if self.contracts.pins != self._known:
            save_pins(self._pins, self.contracts.pins)
        self._session.close()
        if self._venue is not None:
            self._venue.close()


def _described(pin: Pin) -> str:
    place = pin.primary_exchange or pin.exchange
    size = f" x{pin.multiplier}" if pin.multiplier else ""
    pence = "" if pin.price_magnifier == 1 else f", prices in 1/{pin.price_magnifier}"
    return f"{pin.con_id} {pin.local_symbol} {place} {pin.currency}{size}{pence}: {pin.long_name}"
