"""Vocabulary of the order lifecycle: the ticket, the events it receives and the commands it answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from engine.execution.revalidation import PriceReference, Wish
from engine.execution.slicing import Slices
from engine.execution.spreads import SpreadMids, SpreadPart
from engine.model.instruments import Instrument
from engine.model.market import Quote
from engine.model.money import ZERO
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    Fill,
    OrderIntent,
    OrderPlan,
    OrderType,
    TransportEvent,
)
from engine.model.rows import quickly_replaced
from engine.model.windows import LiquidityWindow
from engine.ports import ChildRecord, GateOutcome, Permission, StatusChange


class Phase(Enum):
    """What a parent order waits for."""

    NEW = "new"
    QUOTING = "quoting"
    CLAIMING = "claiming"
    WORKING = "working"
    CANCELLING = "cancelling"
    RESTING = "resting"
    BLOCKED = "blocked"
    DONE = "done"


class FinishReason(Enum):
    """Why a parent order ended."""

    FILLED = "filled"
    WINDOW_CLOSED = "window_closed"
    REJECTED = "rejected"
    REFUSED = "refused"
    LIMIT = "limit"
    OVER_RESERVED = "over_reserved"
    STALE_EPOCH = "stale_epoch"
    UNKNOWN = "unknown_child"
    NOTHING_LEFT = "nothing_left"


class Goal(Enum):
    """What follows when a cancel is confirmed."""

    REPRICE = "reprice"
    REST = "rest"
    FINISH = "finish"


class DeadlineKind(Enum):
    """Which clock ran out."""

    QUOTE = "quote"
    REPRICE = "reprice"
    TIME_TO_LIVE = "time_to_live"


class Auction(NamedTuple):
    """Terms of a parent's auction order: sent and cancelled only before ``cutoff``, its outcome ``told_by`` then.

    What the auction leaves is worked in the ``fallback`` window, where there is one.
    """

    order_type: OrderType
    cutoff: datetime
    told_by: datetime
    fallback: LiquidityWindow | None = None

    @property
    def is_opening(self) -> bool:
        """Whether it comes before the venue's first price of the day."""
        return self.order_type is OrderType.LIMIT_ON_OPEN


class Doubt(NamedTuple):
    """A child whose outcome is not known: what is ``left`` of it may still trade, of a spread's near leg too.

    ``near_executed`` is ``None`` for an order of one contract.
    """

    left: Decimal
    executed: Decimal
    ending: TransportEvent | None = None
    near_left: Decimal = ZERO
    near_executed: Decimal | None = None

    @property
    def executions(self) -> tuple[Decimal, ...]:
        """What the executions of each leg said at first."""
        return (self.executed,) if self.near_executed is None else (self.executed, self.near_executed)

    def less(self, added: Decimal, told: Decimal, *, is_near: bool) -> Doubt:
        """The doubt after an execution of one leg."""
        if is_near:
            near = (self.near_executed or ZERO) + told
            return self._replace(near_left=self.near_left - added, near_executed=near)
        return self._replace(left=self.left - added, executed=self.executed + told)


@quickly_replaced
class TicketState(NamedTuple):
    """What changes while a parent is worked; quantities are unsigned.

    ``step`` counts the prices of this round, ``rounds`` the times to live that ran out before;
    ``executed`` is what the child's executions said at first, before corrections changed them, and ``ending`` its
    reported end while executions that belong to it have not come. ``unknown`` maps the references of children whose
    outcome is not known to what is known of them; ``released`` is how much the slices so far let trade in all, and ``next_slice_at`` when the next may begin;
    ``ended`` maps the references of the children that ended here to how, and ``wholes`` those that filled to what their executions said at first; ``fills`` maps execution roots to the latest version of each execution; ``quote_at``, ``reprice_at`` and
    ``expires_at`` are the deadlines in force. ``arrival_mid`` is where the outright order's collar stands when it is
    known before its first quote.

    While ``is_spread`` the parent is worked together with that of the old contract. ``child_near`` and
    ``executed_near`` say of the child's near leg what is said of its own; ``mids`` is where the legs arrived.
    While ``auction`` is set the parent has one order for it, which waits for its outcome.
    ``wanted`` is what the price on arrival left of the quantity, ``None`` while that is all of it, and ``less`` why.
    """

    phase: Phase = Phase.NEW
    plan: OrderPlan | None = None
    child: ChildOrder | None = None
    status: ChildStatus | None = None
    attempt: int = 0
    step: int = 0
    rounds: int = 0
    filled: Decimal = ZERO
    child_filled: Decimal = ZERO
    executed: Decimal = ZERO
    ending: TransportEvent | None = None
    unknown: Mapping[str, Doubt] = MappingProxyType({})
    fills: Mapping[str, Fill] = MappingProxyType({})
    released: Decimal = ZERO
    next_slice_at: datetime | None = None
    goal: Goal = Goal.REPRICE
    quote_at: datetime | None = None
    reprice_at: datetime | None = None
    expires_at: datetime | None = None
    finish: FinishReason | None = None
    text: str = ""
    arrival_mid: Decimal | None = None
    is_spread: bool = False
    child_near: Decimal = ZERO
    executed_near: Decimal = ZERO
    mids: SpreadMids | None = None
    ended: Mapping[str, ChildStatus] = MappingProxyType({})
    wholes: Mapping[str, Decimal] = MappingProxyType({})
    wanted: Decimal | None = None
    less: str = ""
    auction: Auction | None = None

    @property
    def misses_executions(self) -> bool:
        """Whether a child's end was reported whose executions have not all come."""
        return self.ending is not None or any(doubt.ending is not None for doubt in self.unknown.values())

    @property
    def executions(self) -> tuple[Decimal, ...]:
        """What the executions of each of the child's legs said at first."""
        is_single = self.child is None or self.child.near is None
        return (self.executed,) if is_single else (self.executed, self.executed_near)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCore:
    """What never changes of a parent order; ``quantity`` is what may be worked now, at most the intent's.

    ``spent_attempts`` is the last attempt that a lost database made: its reference stands for an order of its own.
    With a ``near`` part the parent of a roll's new contract is first worked as calendar spreads, and the other parent
    waits until they end. ``wish`` is what the quantity follows where the price moved, and ``less`` says why
    ``quantity`` is below the intent's.
    """

    intent: OrderIntent
    instrument: Instrument
    window_end: datetime
    quantity: Decimal
    children: tuple[ChildRecord, ...] = ()
    spent_attempts: int = 0
    model_bps: Decimal | None = None
    largest_quantity: Decimal | None = None
    slices: Slices | None = None
    near: SpreadPart | None = None
    wish: Wish | None = None
    less: str = ""
    auction: Auction | None = None

    def ends(self, state: TicketState) -> datetime:
        """Until when the parent's orders may trade, in the way in which it is worked now."""
        if self.auction is None:
            return self.window_end
        if state.auction is None and self.auction.fallback is not None:
            return self.auction.fallback.end
        return self.auction.told_by

    @property
    def own_children(self) -> tuple[ChildRecord, ...]:
        """Children that this parent works; a spread is worked by the parent of its far leg."""
        return tuple(row for row in self.children if row.child.intent_id == self.intent.intent_id)


class OrderTicket(NamedTuple):
    """A parent order being worked: frozen core and small state."""

    core: OrderCore
    state: TicketState

    @property
    def reserved(self) -> Decimal:
        """Quantity that may still trade under children alive or unknown."""
        child = self.state.child
        alive = child.quantity - self.state.child_filled if child is not None else ZERO
        return alive + sum((doubt.left for doubt in self.state.unknown.values()), ZERO)

    @property
    def is_done(self) -> bool:
        """Whether the parent ended; late fills are still booked."""
        return self.state.phase is Phase.DONE


def quantity_to_work(core: OrderCore, state: TicketState) -> Decimal:
    """What may be traded outright now, at most the intent's quantity."""
    return core.quantity if state.wanted is None else min(core.quantity, state.wanted)


def new_ticket(core: OrderCore) -> OrderTicket:
    """A parent that has not started."""
    filled = sum((record.filled_of(core.intent.intent_id) for record in core.children), ZERO)
    continuous = any(row.child.order_type is OrderType.LIMIT for row in core.own_children)
    auction = None if continuous else core.auction  # the fallback began before a restart
    fills = {fill.root: fill for record in core.children for fill in record.fills}
    return OrderTicket(
        core, TicketState(filled=filled, fills=fills, is_spread=core.near is not None, auction=auction)
    )


# ---------------------------------------------------------------- events


class Start(NamedTuple):
    """The window opened, or the spread of a roll ended; work begins or, with earlier children, goes on."""

    arrival_mid: Decimal | None = None


class QuoteArrived(NamedTuple):
    """A quote that was asked for, for spreads with that of the old contract; the references judge a first one."""

    quote: Quote | None
    near: Quote | None = None
    reference: PriceReference | None = None
    near_reference: PriceReference | None = None


class NoQuote(NamedTuple):
    """No quote, or no permission to send now: ask again later."""

    text: str


class ClaimResult(NamedTuple):
    """Answer of the send gate for the planned child."""

    outcome: GateOutcome


class Broker(NamedTuple):
    """A message of the transport about one of the parent's children."""

    event: TransportEvent


class Deadline(NamedTuple):
    """A clock that was set ran out at the given time."""

    kind: DeadlineKind
    at: datetime


class WindowClosing(NamedTuple):
    """The window ends: nothing new, cancel what works."""


class HaltRequested(NamedTuple):
    """Less may leave than before: cancel what works unless it is spared; go on when the halt is resolved."""

    permission: Permission


class VisibilityLost(NamedTuple):
    """The outcome of the child can not be known now (no answer to a send or to a cancel)."""

    text: str


class ProvedAbsent(NamedTuple):
    """A child whose outcome was not known is proved never to have reached the broker."""

    order_ref: str


Event = (
    Start
    | QuoteArrived
    | NoQuote
    | ClaimResult
    | Broker
    | Deadline
    | WindowClosing
    | HaltRequested
    | VisibilityLost
    | ProvedAbsent
)

# ---------------------------------------------------------------- commands


class RequestQuote(NamedTuple):
    """Look at the market now and answer with a quote event."""


class ClaimAndSend(NamedTuple):
    """Plan a child and ask the send gate; when it claims, write the order once."""

    child: ChildOrder


class Cancel(NamedTuple):
    """Ask the broker to cancel."""

    order_ref: str


class SetDeadline(NamedTuple):
    """Wake the ticket at a time."""

    at: datetime
    kind: DeadlineKind


class RecordStatus(StatusChange):
    """Write a child's new state."""

    __slots__ = ()


class Finish(NamedTuple):
    """The parent ended."""

    reason: FinishReason
    text: str


class StartLeg(NamedTuple):
    """The spreads of a roll ended: what is left of the old contract is worked by its own parent now."""

    intent_id: str
    arrival_mid: Decimal | None


class Alarm(NamedTuple):
    """A person should know."""

    text: str


class Halt(NamedTuple):
    """More was traded than ordered: stop everything after booking it."""

    text: str


Note = SetDeadline | Finish | StartLeg | Alarm | Halt
"""Commands that neither write an order's state nor reach the broker by themselves."""

Outward = RequestQuote | ClaimAndSend | Cancel | Note
"""Commands that are done once what the steps changed is journaled."""

Command = RecordStatus | Outward

Commands = tuple[Command, ...]
Result = tuple[TicketState, Commands]
