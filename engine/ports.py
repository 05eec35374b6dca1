"""What the engine asks of the outside world, in the engine's words. Adapters implement these; tests fake them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import NamedTuple, Protocol

from engine.model.absence import AbsenceEvidence, LinkState, Look
from engine.model.instruments import Contract
from engine.model.market import Dividend, FxRates, MarketInputs, OptionRange, Quote, Split, SymbolChange
from engine.model.orders import ChildOrder, ChildStatus, Fill, OpenOrder, TransportEvent
from engine.model.portfolio import BrokerSnapshot
from engine.sessions import SessionTable


class MarketFacts(Protocol):
    """The world's prices, as the exchange knows them (the fund never reads this port)."""

    @property
    def sessions(self) -> SessionTable:
        """Sessions of every venue."""

    def contract(self, contract_id: str) -> Contract:
        """Listed contract; raises `UnknownContract`."""

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        """Quote at a time, ``None`` while the venue is closed or the contract is not listed."""

    def official_close(self, contract_id: str, session_date: date) -> Decimal | None:
        """Settlement or closing price of a session, ``None`` where the day has none."""

    def fx(self, at: datetime) -> FxRates:
        """Exchange rates at a time."""

    def dividends(self, ex_date: date) -> tuple[Dividend, ...]:
        """Dividends whose ex-date is this date."""

    def splits(self, ex_date: date) -> tuple[Split, ...]:
        """Splits whose ex-date is this date."""

    def symbol_changes(self, day: date) -> tuple[SymbolChange, ...]:
        """Shares that trade under another id from this date."""


class MarketDataSource(Protocol):
    """Point-in-time market data of a decision."""

    def inputs(
        self, trade_date: date, as_of: datetime, held: Sequence[str], options: Mapping[str, OptionRange]
    ) -> MarketInputs:
        """All that was known at ``as_of``, with marks for every held contract that ever had a price.

        ``options`` names the options to quote, by line; held ones are quoted in any case.
        """


class BrokerAccount(Protocol):
    """Reads of the broker's account."""

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """Positions, cash, orders and executions now; raises `BrokerUnavailable`."""


class OrderTransport(Protocol):
    """The only way orders leave and news returns. It never retries and never invents an outcome."""

    def now(self) -> datetime:
        """Time of the venue's clock, UTC."""

    def quote(self, contract_id: str) -> Quote | None:
        """Live quote, ``None`` when there is none."""

    def send(self, child: ChildOrder) -> None:
        """Write one order once; raises `BrokerUnavailable` when it may or may not have left."""

    def cancel(self, order_ref: str) -> None:
        """Ask for a cancel; the outcome arrives as an event."""

    def next_event(self, until: datetime) -> TransportEvent | None:
        """Next message in order, or ``None`` when ``until`` has come (virtual time jumps there).

        Until now, it answers with what is there and does not wait. A signal to the process breaks a wait off: then
        ``None`` comes earlier.
        """

    def orders(self) -> tuple[OpenOrder, ...]:
        """All orders the broker lists, open and completed."""

    def executions(self) -> tuple[Fill, ...]:
        """All executions the broker still lists."""

    def link(self) -> LinkState:
        """The connection as it stands."""

    def look(self) -> Look:
        """Orders, executions and positions, each really answered; raises `BrokerUnavailable` otherwise."""


class GateOutcome(Enum):
    """Answer of the send gate."""

    CLAIMED = "claimed"
    HALTED = "halted"
    REDUCE_ONLY = "reduce_only"
    STALE_EPOCH = "stale_epoch"
    ALREADY_CLAIMED = "already_claimed"
    OVER_RESERVED = "over_reserved"
    LIMIT = "limit"


class Permission(Enum):
    """What may leave now, from everything to nothing, and with it what becomes of the orders that work.

    REDUCTIONS lets only reductions leave and cancels the rest. HALTED lets nothing leave and spares what only reduces
    or unwinds. STOPPED (kill switch, EMERGENCY) lets nothing leave and cancels everything. SUPERSEDED means that
    another run took over: this one ends and touches nothing, its orders are the other's.
    """

    ALL = "all"
    REDUCTIONS = "reductions"
    HALTED = "halted"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"

    def is_stricter_than(self, other: Permission) -> bool:
        """Whether less is allowed than under the other."""
        members = tuple(Permission)
        return members.index(self) > members.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRecord:
    """Durable state of one child order: what a restart finds. ``filled`` is of its own contract, the far leg of a spread.

    ``client_id`` is that of the connection which was to write it, ``broker_ids`` what the broker calls it, where known.
    ``fills`` are its executions in their latest versions and ``corrected`` the versions that these replaced, where they
    were asked for.
    """

    child: ChildOrder
    status: ChildStatus
    filled: Decimal
    sent_at: datetime | None
    near_filled: Decimal = Decimal(0)
    client_id: int | None = None
    broker_ids: tuple[str, ...] = ()
    fills: tuple[Fill, ...] = ()
    corrected: tuple[Fill, ...] = ()

    @property
    def whole(self) -> Decimal:
        """Quantity that is done: of a spread, that of both legs."""
        return self.filled if self.child.near is None else min(self.filled, self.near_filled)

    @property
    def traded(self) -> tuple[tuple[str, Decimal], ...]:
        """Signed quantity that it filled of each of its contracts."""
        child, sign = self.child, self.child.side.sign
        own = (child.contract_id, self.filled * sign)
        return (own,) if child.near is None else (own, (child.near.contract_id, -self.near_filled * sign))

    def filled_of(self, intent_id: str) -> Decimal:
        """What it filled of one of its parents."""
        return self.filled if intent_id == self.child.intent_id else self.near_filled


class StatusChange(NamedTuple):
    """A child's new state, and why."""

    order_ref: str
    status: ChildStatus
    text: str


Holding = Callable[[], bool]
"""Whether the latch between the send gate and the line is still held."""


class OrderBook(Protocol):
    """Durable order state: the send gate and the journal of the executor (architecture §6)."""

    def passage(self) -> AbstractContextManager[Holding]:
        """Held while an order is claimed and written: only when nobody holds it is a halt reported as effective."""

    def is_passage_free(self) -> bool:
        """Whether no process is between a claim and the line: a stopped one may still write what it had claimed."""

    def claim(self, child: ChildOrder, notional_usd: Decimal, now: datetime) -> GateOutcome:
        """One transaction: the PLANNED child, control state, epoch, reservation, limits, PLANNED→SENDING.

        Commits before it answers. A child that may not leave now stays PLANNED, unless another run took over.
        """

    def record(self, fills: Sequence[Fill], changes: Sequence[StatusChange], now: datetime) -> None:
        """Journal one moment in one transaction: executions in their order, each booked once, then new states.

        What can not be booked or recorded is left out and raised as `InvariantError` once the rest is committed;
        when another run took over no state is touched, and `SupersededError` says so.
        """

    def record_status(self, order_ref: str, status: ChildStatus, now: datetime, text: str) -> None:
        """Store a child's new state.

        Raises `IllegalTransition` when the table has no such arrow, and `SupersededError` when another run took over.
        """

    def record_fill(self, fill: Fill, booked_at: datetime | None = None) -> bool:
        """Book an execution into fills and ledger in one transaction; ``False`` when it was booked already.

        ``booked_at`` is the ledger's time of one that comes after the books of its own day were closed.
        """

    def unbooked(self, executions: Sequence[Fill]) -> tuple[Fill, ...]:
        """Those of orders of this book that are not booked, or only in an earlier version, in the given order."""

    def uncharged(self, executions: Sequence[Fill]) -> tuple[Fill, ...]:
        """Those that are booked in this version without the commission that they name."""

    def child(self, order_ref: str) -> ChildRecord:
        """One child; raises `InvariantError` when it was never planned."""

    def children(self, intent_id: str) -> tuple[ChildRecord, ...]:
        """Children of a parent in order of attempts, with the spreads whose near leg is the parent's."""

    def spend(self, order_refs: Collection[str]) -> frozenset[str]:
        """Keep those of some listed references that are ours by their form and that no child here has; answers them."""

    def spent_attempts(self, intent_id: str) -> int:
        """The last attempt of a parent whose reference was kept so, 0 when none was; no child may take it again."""

    def unresolved(self) -> tuple[ChildRecord, ...]:
        """All children of the account that still hold a reservation, or are PLANNED."""

    def held(self, contract_ids: Collection[str]) -> Mapping[str, Decimal]:
        """Signed quantity of contracts by the ledger."""

    def was_acknowledged(self, order_ref: str) -> bool:
        """Whether the broker ever told that it had taken an order."""

    def note_doubt(self, evidence: AbsenceEvidence) -> None:
        """Keep what is known of an order in doubt; it stays UNKNOWN."""

    def prove_absent(self, evidence: AbsenceEvidence) -> None:
        """Keep the proof and end the order as ABSENT, in one transaction.

        Raises `InvariantError` for evidence that proves nothing, and `RefusedError` for an order that is in doubt no more.
        """

    def permission(self) -> Permission:
        """What the control state lets leave now."""


RatesByCurrency = Mapping[str, Decimal]
