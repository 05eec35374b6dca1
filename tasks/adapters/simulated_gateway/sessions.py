"""Connections of clients as the gateway sees them, and what it tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from engine.simulation.broker import SimulatedBroker
from tasks.adapters.simulated_gateway.faults import Faults, ScriptedFacts
from tasks.adapters.simulated_gateway.forms import Record, integer
from tasks.adapters.simulated_gateway.framing import WireError
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.messages import Request

NO_REQUEST = -1
"""Request id of a message that answers nobody's request."""


class Answer(NamedTuple):
    """A message of the gateway: its name in the catalogue and what it says."""

    name: str
    record: Record


class Say(NamedTuple):
    """Tell one client something."""

    session: Session
    answer: Answer


class Hangup(NamedTuple):
    """Close a connection: politely, or by a reset that loses what is on its way."""

    session: Session
    reset: bool


class Moved(NamedTuple):
    """Answer to who moved the virtual clock: the time now, and whether an event of an order came before ``until``.

    Without a time it did not move, for the client of the barrier left.
    """

    at: datetime | None
    event: bool


Effect = Say | Hangup | Moved


@dataclass(slots=True, kw_only=True)
class Stream:
    """A request that runs on, and what its client was told last: answers by what they are about."""

    request: Request
    contract_id: str | None = None
    told: dict[str, Answer] = field(default_factory=dict)
    seen: object = None


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One connection.

    ``client_id`` is set once the client started the interface. ``streams`` are running requests of market data by
    their request id, ``bars_asked`` the latest requests of bars. ``times_asked`` counts requests of the time, which
    can be barriers of the virtual clock.
    """

    number: int
    version: int
    client_id: int | None = None
    watches_positions: bool = False
    watches_account: bool = False
    summaries: dict[int, tuple[str, ...]] = field(default_factory=dict)
    market_data_type: int = 1
    streams: dict[int, Stream] = field(default_factory=dict)
    bars_asked: list[tuple[datetime, Record]] = field(default_factory=list)
    times_asked: int = 0
    times_told: int = 0


class Market(Protocol):
    """Who answers requests of market data (a module or an object)."""

    def handle(self, request: Request, session: Session, gateway: MarketView) -> Sequence[Answer]:
        """Answers to one request of `MARKET_REQUESTS`; what goes on is kept in the session's streams."""

    def ticks(self, session: Session, gateway: MarketView) -> Sequence[Answer]:
        """What a session's streams have to tell now that time has moved."""


class MarketView(Protocol):
    """What market data may see of the gateway."""

    @property
    def now(self) -> datetime:
        """The gateway's time, UTC: nothing later may be told."""

    @property
    def facts(self) -> ScriptedFacts:
        """The world's prices, through the scripts of the control interface."""

    @property
    def listing(self) -> Listing:
        """Contracts and their numbers."""

    @property
    def broker(self) -> SimulatedBroker:
        """The account."""

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""

    @property
    def sessions(self) -> Mapping[int, Session]:
        """Every connection, by its number."""


MARKET_REQUESTS = frozenset({
    "market_data", "cancel_market_data", "market_depth", "cancel_market_depth", "market_data_type",
    "historical_data", "cancel_historical_data", "head_timestamp", "cancel_head_timestamp", "option_parameters",
    "matching_symbols", "profit_and_loss", "cancel_profit_and_loss", "profit_and_loss_single",
    "cancel_profit_and_loss_single",
})  # fmt: skip


def error(code: int, text: str, request_id: int = NO_REQUEST) -> Answer:
    """An error or a notice; without a request or order id it is about the connection."""
    return Answer("error", {"request_id": str(request_id), "code": str(code), "text": text})


def client_of(session: Session) -> int:
    """The client of a session that was started."""
    return -1 if session.client_id is None else session.client_id


def subject(request: Request) -> int:
    """Number of the request or order that a message is about; none where it is no number that one can have."""
    try:
        return integer(request.record, "request_id", integer(request.record, "order_id", NO_REQUEST))
    except WireError:
        return NO_REQUEST


def said(session: Session, answers: Sequence[Answer]) -> list[Effect]:
    """Answers, told to one client."""
    return [Say(session, answer) for answer in answers]


def restated(told: Answer, status: str) -> Answer:
    """The same of an order in another status."""
    return Answer(told.name, {**told.record, "status": status})


def plain(value: Decimal) -> str:
    """A number without exponent and without zeros at its end."""
    shown = f"{value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
