"""How a session connects, and the shapes of what it answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from engine.errors import ConfigurationError
from tasks.adapters.ibkr.records import AccountValueShown, OrderShown, PortfolioShown, StatusShown

PAPER_PREFIXES = ("DU", "DF")
"""How the broker's accounts for paper trading begin: one of a person, one of an adviser's."""


class SessionState(Enum):
    """Where a session stands; only READY sends."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    READY = "ready"
    DEGRADED = "degraded"
    LOST = "lost"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """Where to connect, as whom, and how long to wait.

    ``heartbeat_seconds`` and ``heartbeat_timeout`` sum to the longest time in which a frozen gateway is noticed;
    ``None`` beats not at all (virtual time). ``messages_per_second`` 0 does not limit. ``broker_zone`` is the zone of
    times that the broker tells without one.

    ``degraded_seconds`` is how long a gateway without its broker is waited for before it is told again and the
    connection made anew: longer than the restarts of a minute or two that gateways mend by themselves, and short
    against a window. ``None`` waits for ever (virtual time).
    """

    account: str
    client_id: int
    is_paper: bool
    host: str = "127.0.0.1"
    port: int = 4002
    connect_timeout: float = 5.0
    request_timeout: float = 10.0
    heartbeat_seconds: float | None = 3.0
    heartbeat_timeout: float = 4.0
    degraded_seconds: float | None = 300.0
    messages_per_second: int = 45
    reconnect_delays: tuple[float, ...] = (30.0, 60.0, 90.0, 120.0, 120.0)
    broker_zone: str = "US/Eastern"

    def __post_init__(self) -> None:
        if self.is_paper != self.account.startswith(PAPER_PREFIXES):
            kind = "a paper account (DU…, DF…)" if self.is_paper else "a live account (not DU…, DF…)"
            raise ConfigurationError(f"expected {kind} for this mode, found {self.account}; check --mode")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenList:
    """Open orders with the states that were told with them."""

    orders: tuple[OrderShown, ...]
    statuses: tuple[StatusShown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountAnswer:
    """The account's values and its holdings with their marks."""

    values: tuple[AccountValueShown, ...]
    portfolio: tuple[PortfolioShown, ...]


class SteadyClock:
    """UTC that nobody sets: the wall clock as it was at the start, and the time that passed since."""

    def __init__(self) -> None:
        self._origin, self._started = datetime.now(UTC), time.monotonic()

    def now(self) -> datetime:
        """Time, UTC."""
        return self._origin + timedelta(seconds=time.monotonic() - self._started)
