"""The simulated broker's own account: cash, positions, orders, executions, events and faults.

Nothing here is shared with the fund's accounting; the two books meet only in the reconciliation. Signs: positive cash
belongs to the customer, quantities are signed, a short is negative.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Generic, TypeVar

from engine.errors import InvariantError
from engine.model.encoding import canonical_text, decode
from engine.model.market import FxRates
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, Fill, TransportEvent
from engine.simulation.journal import BrokerRecord, RecordKind

T = TypeVar("T")


class PostingKind(Enum):
    """Why cash moved."""

    DEPOSIT = "deposit"
    TRADE = "trade"
    COMMISSION = "commission"
    TAX = "tax"
    CONVERSION = "conversion"
    VARIATION = "variation"
    EXPIRY = "expiry"
    INTEREST = "interest"
    BORROW_FEE = "borrow_fee"
    DIVIDEND = "dividend"
    WITHHOLDING = "withholding"
    CASH_IN_LIEU = "cash_in_lieu"
    ADJUSTMENT = "adjustment"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHead:
    """Identity, virtual time and counters of an account; ``commit`` numbers its state-changing calls."""

    account: str
    base_currency: str
    virtual_time: datetime
    seed: int
    commit: int = 0
    orders: int = 0
    executions: int = 0
    events: int = 0
    postings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPosition:
    """One contract held.

    ``average_cost`` is currency per unit with multiplier and commission, as IB reports it. ``futures_cost`` is what
    the open variation is measured from: quantity × last settlement × multiplier, plus trades since; 0 for securities.
    ``last_settlement`` is in quote units.
    """

    contract_id: str
    quantity: Decimal
    average_cost: Decimal
    futures_cost: Decimal
    last_settlement: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """An order as the broker holds it.

    ``next_match`` is the next time at which the exchange looks at it, ``expires_at`` the end of its life,
    ``cancel_at`` when a requested cancel takes effect. ``notional`` is the traded value so far (unsigned, in the
    instrument's currency), ``charged`` the commission so far; the near leg of a spread has its own of both.
    """

    broker_order_id: str
    child: ChildOrder
    status: ChildStatus
    accepted_at: datetime
    next_match: datetime | None
    expires_at: datetime | None
    auction_date: date | None
    cancel_at: datetime | None
    last_event_at: datetime
    completed_at: datetime | None
    filled: Decimal = ZERO
    notional: Decimal = ZERO
    charged: Decimal = ZERO
    near_notional: Decimal = ZERO
    near_charged: Decimal = ZERO

    @property
    def remaining(self) -> Decimal:
        """Quantity that may still trade."""
        return self.child.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade."""
        return not self.status.is_terminal

    @property
    def due(self) -> datetime | None:
        """Next time at which something happens to it by itself, ``None`` once it is completed."""
        if not self.is_open:
            return None
        return min(t for t in (self.next_match, self.expires_at, self.cancel_at) if t is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivable:
    """Money earned (positive) or owed (negative) and not yet paid: a dividend, the tax on it, a month's interest.

    ``instrument_id`` is empty for what belongs to no security.
    """

    instrument_id: str
    currency: str
    amount: Decimal
    pay_date: date
    kind: PostingKind = PostingKind.DIVIDEND


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledTrade:
    """A trade in shares, signed, whose delivery is to come."""

    contract_id: str
    quantity: Decimal
    trade_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthTaken:
    """What we took of one side of one contract in one refresh interval of the exchange."""

    interval: int
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One movement of cash."""

    at: datetime
    kind: PostingKind
    currency: str
    amount: Decimal
    reference: str


class FaultKind(Enum):
    """What a fault distorts."""

    HIDDEN_EXECUTION = "hidden_execution"
    ADDED_TRADE = "added_trade"
    CHANGED_CASH = "changed_cash"
    SHIFTED_NET_LIQUIDATION = "shifted_net_liquidation"
    FROZEN_FX = "frozen_fx"
    POISONED_PRICE = "poisoned_price"
    CHANGED_HOLDING = "changed_holding"
    CHANGED_EXECUTION = "changed_execution"
    CLOSED_BY_BROKER = "closed_by_broker"
    PLACED_ORDER = "placed_order"
    WITHHELD_ANSWER = "withheld_answer"
    DELAYED_ANSWER = "delayed_answer"
    OTHER_ACCOUNT = "other_account"
    UNLISTED_HOLDING = "unlisted_holding"
    UNLISTED_CASH = "unlisted_cash"
    RENAMED_HOLDING = "renamed_holding"
    SCALED_QUANTITY = "scaled_quantity"
    SCALED_MARK = "scaled_mark"
    SCALED_CASH = "scaled_cash"
    SCALED_RATE = "scaled_rate"
    SHIFTED_CASH = "shifted_cash"
    UNREADABLE_CASH = "unreadable_cash"
    CHANGED_PROMISE = "changed_promise"
    ADDED_NET_LIQUIDATION = "added_net_liquidation"
    FIXED_NET_LIQUIDATION = "fixed_net_liquidation"
    UNLISTED_ORDER = "unlisted_order"
    CHANGED_ORDER = "changed_order"
    REFUSED_SPREADS = "refused_spreads"
    UNMATCHED_SPREADS = "unmatched_spreads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One injected fault: ``subject`` is a contract, execution or currency, ``amount`` its size.

    Units of ``amount``: a fraction of net liquidation, hours, or money, by kind. ``active`` faults distort what the
    broker reports until they are cleared; the others changed the account for good when they were injected.
    """

    name: str
    kind: FaultKind
    injected_at: datetime
    subject: str
    amount: Decimal
    active: bool


class Table(Generic[T]):
    """Rows of one record kind, in the order of their keys, that knows which rows are not yet committed."""

    def __init__(self, kind: RecordKind, row_type: type[T]) -> None:
        self.kind, self._type = kind, row_type
        self._rows: dict[str, T] = {}
        self._changed: dict[str, tuple[T, bool]] = {}
        self.changes = 0
        """How often a live row came, changed or went."""

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> T | None:
        """Row of a key, ``None`` when there is none."""
        return self._rows.get(key)

    def items(self) -> list[tuple[str, T]]:
        """All live rows by key: the same order before and after a reload."""
        return sorted(self._rows.items(), key=lambda item: item[0])

    def put(self, key: str, row: T) -> None:
        """Store a row."""
        self._rows[key] = row
        self._changed[key] = (row, True)
        self.changes += 1

    def retire(self, key: str) -> None:
        """Keep a row in the history only; raises `InvariantError` when it does not exist."""
        if key not in self._rows:
            raise InvariantError(f"expected a {self.kind.value} record {key}, found none")
        self._changed[key] = (self._rows.pop(key), False)
        self.changes += 1

    def archive(self, key: str, row: T) -> None:
        """Store a row that only the history needs."""
        self._changed[key] = (row, False)

    def restore(self, record: BrokerRecord) -> None:
        """Read a row back from its record."""
        self.changes += 1
        self._rows[record.key] = decode(self._type, record.body)

    def forget(self) -> None:
        """Let go of the changes: they are written down, or nobody writes them down."""
        if self._changed:
            self._changed = {}

    def pending(self) -> list[BrokerRecord]:
        """Records changed since the changes were let go of."""
        if not self._changed:
            return []
        return [
            BrokerRecord(kind=self.kind, key=key, body=canonical_text(row), live=live)
            for key, (row, live) in self._changed.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownExcess:
    """Excess liquidity as it was worked out last: for which time and which changes of the tables, at which rates."""

    cause: tuple[datetime, int, int, int]
    fx: FxRates
    amount: Decimal


class AccountState:
    """The whole account as tables; every change is a pending record until `note_committed`."""

    def __init__(self, head: AccountHead) -> None:
        self.head = head
        self.cash = Table(RecordKind.CASH, Decimal)
        self.positions = Table(RecordKind.POSITION, AccountPosition)
        self.orders = Table(RecordKind.ORDER, BrokerOrder)
        self.executions = Table(RecordKind.EXECUTION, Fill)
        self.inbox = Table(RecordKind.EVENT, TransportEvent)
        self.receivables = Table(RecordKind.RECEIVABLE, Receivable)
        self.depth = Table(RecordKind.DEPTH, DepthTaken)
        self.faults = Table(RecordKind.FAULT, Fault)
        self.postings = Table(RecordKind.POSTING, Posting)
        self.unsettled = Table(RecordKind.UNSETTLED, UnsettledTrade)
        self._agenda: dict[str, datetime] = {}
        self._dues: list[tuple[datetime, str]] = []
        self.excess: KnownExcess | None = None

    @classmethod
    def load(cls, records: Iterable[BrokerRecord]) -> AccountState:
        """State from a journal's live records; raises `InvariantError` without a head."""
        rows = list(records)
        heads = [record for record in rows if record.kind is RecordKind.HEAD]
        if len(heads) != 1:
            raise InvariantError(f"expected one head record of a simulated account, found {len(heads)}")
        state = cls(decode(AccountHead, heads[0].body))
        restore = {
            table.kind: table.restore
            for table in (
                state.cash, state.positions, state.orders, state.executions, state.inbox,
                state.receivables, state.depth, state.faults, state.postings, state.unsettled,
            )
        }  # fmt: skip
        for record in rows:
            if record.kind is not RecordKind.HEAD:
                restore[record.kind](record)
        for _, order in state.orders.items():
            state._note_due(order)
        return state

    def pending_records(self, head: AccountHead) -> list[BrokerRecord]:
        """Every uncommitted record, with the head under which they are to be committed last."""
        body = canonical_text(head)
        return [
            *self.cash.pending(), *self.positions.pending(), *self.orders.pending(), *self.executions.pending(),
            *self.inbox.pending(), *self.receivables.pending(), *self.depth.pending(),
            *self.faults.pending(), *self.postings.pending(), *self.unsettled.pending(),
            BrokerRecord(kind=RecordKind.HEAD, key="", body=body, live=True),
        ]  # fmt: skip

    def note_committed(self, head: AccountHead) -> None:
        """Take on the head under which every change was committed."""
        self.head = head
        for table in (
            self.cash, self.positions, self.orders, self.executions, self.inbox,
            self.receivables, self.depth, self.faults, self.postings, self.unsettled,
        ):  # fmt: skip
            table.forget()

    def balance(self, currency: str) -> Decimal:
        """Settled cash of a currency, 0 when none."""
        return self.cash.get(currency) or ZERO

    def quantity(self, contract_id: str) -> Decimal:
        """Signed quantity held, 0 when none."""
        held = self.positions.get(contract_id)
        return ZERO if held is None else held.quantity

    def has_fault(self, kind: FaultKind) -> bool:
        """Whether a fault of a kind lasts."""
        return any(fault.kind is kind and fault.active for _, fault in self.faults.items())

    def put_order(self, order: BrokerOrder) -> None:
        """Keep the newest form of an order, and when it is due next."""
        self.orders.put(order.broker_order_id, order)
        self._note_due(order)

    def open_orders(self) -> list[BrokerOrder]:
        """Orders that may still trade, in the order of their acceptance."""
        return [order for key in sorted(self._agenda) if (order := self.orders.get(key)) is not None]

    @property
    def next_due(self) -> datetime | None:
        """When the next open order is due, ``None`` when none is open."""
        self._drop_old_dues()
        return self._dues[0][0] if self._dues else None

    def due_orders(self, at: datetime) -> list[BrokerOrder]:
        """Open orders that are due at a time, in the order of their acceptance."""
        due: set[tuple[datetime, str]] = set()
        while self._dues and self._dues[0][0] <= at:
            entry = heapq.heappop(self._dues)
            if self._agenda.get(entry[1]) == entry[0]:
                due.add(entry)
        for entry in due:
            heapq.heappush(self._dues, entry)
        keys = sorted(key for _, key in due)
        return [order for key in keys if (order := self.orders.get(key)) is not None]

    def _note_due(self, order: BrokerOrder) -> None:
        key, due = order.broker_order_id, order.due
        if due is None:
            self._agenda.pop(key, None)
        elif self._agenda.get(key) != due:
            self._agenda[key] = due
            heapq.heappush(self._dues, (due, key))

    def _drop_old_dues(self) -> None:
        """Let go of the first entries of the heap as long as their orders are due at another time by now."""
        while self._dues and self._agenda.get(self._dues[0][1]) != self._dues[0][0]:
            heapq.heappop(self._dues)
