"""Faults that the gateway itself makes, and scripts of what its market shows; the account and its trades stay true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from engine.model.instruments import Contract
from engine.model.market import Dividend, FxRates, Quote, Split, SymbolChange
from engine.sessions import SessionTable
from engine.simulation.matching import refresh_interval
from engine.simulation.terms import BrokerFacts


@dataclass(frozen=True, slots=True)
class Refusal:
    """A code and its text."""

    code: int
    text: str


class MarketFault(Enum):
    """What a client is shown of a contract instead of its live market; the market itself goes on."""

    NONE = "none"
    DELAYED = "delayed"
    FROZEN = "frozen"
    COMPETING = "competing"
    STALE = "stale"
    CROSSED = "crossed"
    ONE_SIDED = "one_sided"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class MarketTrouble:
    """A fault of market data since a time; ``missing`` is the side that a one-sided market lacks."""

    kind: MarketFault
    since: datetime
    missing: str = "ask"


EVERY_CONTRACT = ""
"""Stands for all contracts where a fault of market data names one."""


@dataclass(slots=True, kw_only=True)
class Faults:
    """What goes wrong from now on. A number counts how many times more, each time one less.

    ``account`` is shown as the managed account. ``unanswered`` requests are read and never answered.
    ``refused_orders`` are answered by a code and not passed on; ``lost_orders`` are not even read; ``silent_orders``
    work and nobody is told until they trade. ``rolled_back`` lowers the next order number. While the link to the
    broker is down, reports are lost. ``market_data`` is answered to requests of market data instead of data,
    ``market_troubles`` are by contract, and `EVERY_CONTRACT` for those that have none of their own.
    """

    account: str | None = None
    unanswered: dict[str, int] = field(default_factory=dict)
    refused_orders: list[Refusal] = field(default_factory=list)
    lost_orders: int = 0
    silent_orders: int = 0
    lost_cancels: int = 0
    hidden_executions: int = 0
    hidden_statuses: int = 0
    rolled_back: int = 0
    commission_first: bool = False
    link_is_down: bool = False
    market_data: Refusal | None = None
    market_troubles: dict[str, MarketTrouble] = field(default_factory=dict)
    paced_requests: int = 0

    def market_trouble(self, contract_id: str) -> MarketTrouble | None:
        """What is wrong with the data of a contract now."""
        return self.market_troubles.get(contract_id) or self.market_troubles.get(EVERY_CONTRACT)

    def take(self, name: str) -> bool:
        """Whether a counted fault strikes now; it is one less afterwards."""
        left: int = getattr(self, name)
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        return True

    def leaves_unanswered(self, request: str) -> bool:
        """Whether a request stays without an answer."""
        left = self.unanswered.get(request, 0)
        if left <= 0:
            return False
        self.unanswered[request] = left - 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteScript:
    """Sizes that both sides of a contract show, one for each refresh of the exchange from ``first`` on.

    After the last one the market shows its own sizes again. With ``bid`` and ``ask`` it quotes these prices throughout.
    """

    first: int
    sizes: tuple[Decimal, ...]
    bid: Decimal | None = None
    ask: Decimal | None = None


@dataclass(slots=True)
class ScriptedFacts:
    """The world's facts with scripts in its quotes (a `BrokerFacts`)."""

    world: BrokerFacts
    scripts: dict[str, QuoteScript] = field(default_factory=dict)

    @property
    def sessions(self) -> SessionTable:
        """Sessions of every venue."""
        return self.world.sessions

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        """Quote at a time, through the contract's script."""
        quote, script = self.world.quote(contract_id, at), self.scripts.get(contract_id)
        if script is None or quote is None:
            return quote
        step = refresh_interval(at) - script.first
        if script.bid is not None or script.ask is not None:
            quote = replace(quote, bid=script.bid, ask=script.ask)
        if 0 <= step < len(script.sizes):
            quote = replace(quote, bid_size=script.sizes[step], ask_size=script.sizes[step])
        return quote

    def contract(self, contract_id: str) -> Contract:
        """Listed contract; raises `UnknownContract`."""
        return self.world.contract(contract_id)

    def official_close(self, contract_id: str, session_date: date) -> Decimal | None:
        """Close of a session."""
        return self.world.official_close(contract_id, session_date)

    def fx(self, at: datetime) -> FxRates:
        """Exchange rates at a time."""
        return self.world.fx(at)

    def dividends(self, ex_date: date) -> tuple[Dividend, ...]:
        """Dividends whose ex-date is this date."""
        return self.world.dividends(ex_date)

    def splits(self, ex_date: date) -> tuple[Split, ...]:
        """Splits whose ex-date is this date."""
        return self.world.splits(ex_date)

    def symbol_changes(self, day: date) -> tuple[SymbolChange, ...]:
        """Shares that trade under another id from this date."""
        return self.world.symbol_changes(day)

    def borrow_available(self, instrument_id: str, day: date) -> bool:
        """Whether new shorts can be borrowed on a day."""
        return self.world.borrow_available(instrument_id, day)

    def borrow_fee_bps(self, instrument_id: str, day: date) -> Decimal:
        """Fee of a short per year, in basis points."""
        return self.world.borrow_fee_bps(instrument_id, day)


SYSTEM_TEXTS: Mapping[int, str] = {
    1100: "Connectivity between IB and Trader Workstation has been lost.",
    1101: "Connectivity between IB and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IB and Trader Workstation has been restored - data maintained.",
    1300: "TWS socket port has been reset and this connection is being dropped.",
    2103: "Market data farm connection is broken:usfarm",
    2104: "Market data farm connection is OK:usfarm",
    2105: "HMDS data farm connection is broken:ushmds",
    2106: "HMDS data farm connection is OK:ushmds",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
    2158: "Sec-def data farm connection is OK:secdefil",
    10197: "No market data during competing live session",
    100: "Max rate of messages per second has been exceeded:max=50 rec=0",
}
