"""The vocabulary of trading: reasons, targets, trades, plans, child orders, fills and jobs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from engine.errors import InvariantError
from engine.model.instruments import VenueGroup
from engine.model.spreads import NearLeg
from engine.model.windows import ExecutionStyle, LiquidityWindow


class Side(Enum):
    """Direction of an order; quantities of orders are unsigned."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """The other direction."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        """+1 for BUY, −1 for SELL."""
        return 1 if self is Side.BUY else -1

    @classmethod
    def of(cls, quantity: Decimal) -> Side:
        """Side that produces a signed quantity; raises `InvariantError` on zero."""
        if quantity == 0:
            raise InvariantError("a zero quantity has no side")
        return cls.BUY if quantity > 0 else cls.SELL


class Reason(Enum):
    """Why a trade exists (R-102)."""

    REBALANCE = "rebalance"
    ROLL = "roll"
    HEDGE_FX = "hedge_fx"
    HEDGE_TAIL = "hedge_tail"
    DERISK = "derisk"
    LIMIT_BREACH = "limit_breach"
    CRISIS = "crisis"
    OVERLAY_OPEN = "overlay_open"
    OVERLAY_UNWIND = "overlay_unwind"
    ROLLBACK = "rollback"
    CLOSE = "close"


ALONE = frozenset({Reason.LIMIT_BREACH, Reason.CRISIS, Reason.DERISK, Reason.ROLL, Reason.ROLLBACK})
"""Trades that do not wait for the other legs of their group."""


class Urgency(Enum):
    """How much an order may pay to finish."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    EMERGENCY = "EMERGENCY"


class OrderType(Enum):
    """Order types that may leave; MARKET exists to be refused (R-01)."""

    LIMIT = "LMT"
    MARKET = "MKT"
    LIMIT_ON_CLOSE = "LOC"
    LIMIT_ON_OPEN = "LOO"


class JobStatus(Enum):
    """Life of an execution job (REL-5.3)."""

    PENDING = "PENDING"
    CLAIMED = "CLAIMED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    SKIPPED = "SKIPPED"
    EXPIRED = "EXPIRED"
    RECOVERING = "RECOVERING"
    UNKNOWN = "UNKNOWN"


class ChildStatus(Enum):
    """Life of a child order (REL-5.3); nothing leads back to PLANNED."""

    PLANNED = "PLANNED"
    SENDING = "SENDING"
    WORKING = "WORKING"
    CANCEL_PENDING = "CANCEL_PENDING"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    ABANDONED = "ABANDONED"
    UNKNOWN = "UNKNOWN"
    ABSENT = "ABSENT"

    @property
    def is_terminal(self) -> bool:
        """Nothing more can be traded under this child (late fills are still booked)."""
        return self in _TERMINAL

    @property
    def holds_reservation(self) -> bool:
        """The unfilled quantity may still trade and stays reserved."""
        return self in _RESERVING


_TERMINAL = frozenset({
    ChildStatus.FILLED, ChildStatus.CANCELLED, ChildStatus.REJECTED,
    ChildStatus.EXPIRED, ChildStatus.ABANDONED, ChildStatus.ABSENT,
})  # fmt: skip
_RESERVING = frozenset({ChildStatus.SENDING, ChildStatus.WORKING, ChildStatus.CANCEL_PENDING, ChildStatus.UNKNOWN})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLine:
    """Wanted holding of one sleeve: signed ``weight`` as fraction of NAV, ``notional_usd``, lots ``quantity``.

    ``sleeve`` is the value of `portfolio.Sleeve`. Lines of one ``group`` are traded and gated as one.
    ``expected_carry_annual`` is the net carry of a long unit of weight per year (fraction), 0 if structural.
    """

    sleeve: str
    instrument_id: str
    contract_id: str
    weight: float
    notional_usd: Decimal
    quantity: Decimal
    group: str | None
    expected_carry_annual: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBook:
    """All wanted holdings. A sleeve in ``held`` keeps its book for the reason given (no data is not "sell all")."""

    lines: tuple[TargetLine, ...]
    held: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeProposal:
    """Signed change of one sleeve's holding that a stage asks for, before netting."""

    sleeve: str
    contract_id: str
    quantity: Decimal
    reason: Reason
    group: str | None
    reduce_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """Net signed change of one contract and its exact split over sleeves (sums to ``quantity``)."""

    contract_id: str
    instrument_id: str
    quantity: Decimal
    reason: Reason
    group: str | None
    reduce_only: bool
    sleeves: Mapping[str, Decimal]

    def __post_init__(self) -> None:
        if sum(self.sleeves.values(), Decimal(0)) != self.quantity:
            raise InvariantError(f"{self.contract_id}: sleeve quantities do not sum to the trade")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntent:
    """A parent order: what is to be done, frozen once committed.

    ``intent_id`` depends on run key, contract, purpose and leg only (REL-5.2), never on quantity, price or time.
    ``decision_price`` is the mark used at the decision, in quote units. ``near_intent_id`` names the parent that closes
    the old contract of the same roll: the two are first worked as one calendar spread.
    """

    intent_id: str
    contract_id: str
    instrument_id: str
    side: Side
    quantity: Decimal
    reason: Reason
    urgency: Urgency
    group: str | None
    reduce_only: bool
    sleeves: Mapping[str, Decimal]
    decision_price: Decimal
    near_intent_id: str | None = None

    def __post_init__(self) -> None:
        if not self.quantity.is_finite() or self.quantity <= 0:
            raise InvariantError(
                f"{self.intent_id}: expected a positive order quantity, found {self.quantity}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionJob:
    """Orders of one group for one venue window, decided at 06:00 and worked later.

    ``job_id`` = sha256(account | mode | trade_date | venue | style | book | group)[:16]; ``content_digest`` is
    separate, so a recomputation with other quantities is the same job. ``after`` lists job ids that must be
    done first (the FX hedge follows the equity legs that create it). What an auction did not take is worked in the
    ``fallback``, a continuous window of the same day, as far as there is one.
    """

    job_id: str
    trade_date: date
    venue: str
    venue_group: VenueGroup
    style: ExecutionStyle
    window: LiquidityWindow
    group: str
    after: tuple[str, ...]
    intents: tuple[OrderIntent, ...]
    content_digest: str
    fallback: LiquidityWindow | None = None

    @property
    def windows(self) -> tuple[LiquidityWindow, ...]:
        """Its own window and the fallback's."""
        return (self.window,) if self.fallback is None else (self.window, self.fallback)

    @property
    def last_send(self) -> datetime:
        """From when on nothing of the job may leave any more."""
        return max(window.last_send for window in self.windows)

    @property
    def ends_at(self) -> datetime:
        """When all that it sent has its outcome."""
        return max(window.end for window in self.windows)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlan:
    """How one parent is worked: limit, collar anchored at the arrival mid, time to live, repricing.

    ``price_ceiling`` bounds every limit of a buy, ``price_floor`` every limit of a sell, in quote units on the
    tick grid, whatever the rung of an emergency; on its favourable side a limit follows the market. Time to live and
    repricing are those of the first round.
    """

    intent_id: str
    contract_id: str
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal
    arrival_mid: Decimal
    price_floor: Decimal
    price_ceiling: Decimal
    ttl_seconds: float
    replace_interval_seconds: float
    max_replaces: int
    time_in_force: str = "DAY"
    urgency: Urgency = Urgency.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOrder:
    """One order at the broker. ``order_ref`` is the only key shared by open orders, executions and statements.

    ``arrival_mid`` is the anchor of the parent's collar: a restart keeps it, so the collar never moves. With a
    ``near`` leg it is a calendar spread: contract and side are the far leg's, the limit is far less near price.
    """

    order_ref: str
    intent_id: str
    attempt: int
    contract_id: str
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal
    time_in_force: str
    good_till: datetime
    arrival_mid: Decimal | None = None
    near: NearLeg | None = None

    @property
    def contract_ids(self) -> tuple[str, ...]:
        """Every contract that it may trade."""
        return (self.contract_id,) if self.near is None else (self.contract_id, self.near.contract_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution at the broker. ``execution_id`` is ``root.NN``: the highest suffix corrects the others.

    ``commission`` is positive for a cost, in ``commission_currency``; ``None`` until reported. A broker may tell of
    0 in no currency first: that reports nothing.
    """

    execution_id: str
    order_ref: str | None
    contract_id: str
    side: Side
    quantity: Decimal
    price: Decimal
    executed_at: datetime
    commission: Decimal | None
    commission_currency: str | None

    @property
    def signed_quantity(self) -> Decimal:
        """Quantity with the side's sign."""
        return self.quantity * self.side.sign

    @property
    def is_charged(self) -> bool:
        """Whether the commission is reported."""
        return self.commission is not None and bool(self.commission_currency)

    @property
    def root(self) -> str:
        """Execution id without its correction suffix."""
        return self.execution_id.rpartition(".")[0] or self.execution_id

    @property
    def version(self) -> int:
        """Number of the correction: the digits after the root, 0 without."""
        suffix = self.execution_id.removeprefix(self.root).lstrip(".")
        return int(suffix) if suffix.isdigit() else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An order as the broker lists it, open or completed; of a spread the far leg, and which contract the near one is."""

    order_ref: str | None
    broker_order_id: str
    contract_id: str
    side: Side
    quantity: Decimal
    filled: Decimal
    limit_price: Decimal | None
    status: ChildStatus
    near_contract_id: str | None = None


class TransportEventKind(Enum):
    """What a transport reports about a child."""

    ACKNOWLEDGED = "acknowledged"
    FILL = "fill"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VISIBILITY_LOST = "visibility_lost"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportEvent:
    """One message from the broker about one order, in the order of its inbox.

    ``filled`` is what the order traded in all, as the broker says with its end; ``None`` where it does not.
    """

    kind: TransportEventKind
    at: datetime
    order_ref: str | None
    fill: Fill | None = None
    text: str = ""
    filled: Decimal | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is about an order of the fund's own."""
        return (self.order_ref or "").startswith(ORDER_REFERENCE_PREFIX)


ORDER_REFERENCE_PREFIX = "AF1."
"""How every order reference of ours begins."""


def order_reference(intent_id: str, attempt: int) -> str:
    """Deterministic order reference: ``AF1.<20 base32 digits of the child key>.<attempt>`` (REL-5.2)."""
    child_key = f"{intent_id}|{attempt}"
    coded = base64.b32encode(hashlib.sha256(child_key.encode()).digest()).decode("ascii")[:20]
    return f"{ORDER_REFERENCE_PREFIX}{coded}.{attempt}"
