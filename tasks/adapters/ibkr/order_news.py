"""What the broker says about orders, in the engine's words: from states and executions, never from an error code.

Orders are known by their reference. A number counts only within the connection that gave it, a permanent one across
connections and never when it is 0. An execution waits a little for its commission, and an end that nobody asked for
waits a little for the reason of a refusal; what waits holds back all that came after it, so the order of news stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from engine.errors import InvariantError
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, Fill, Side, TransportEvent, TransportEventKind
from tasks.adapters.ibkr.errors import rule_of
from tasks.adapters.ibkr.records import (
    COMBINATION,
    CommissionShown,
    ErrorShown,
    ExecutionShown,
    LinkChanged,
    News,
    OrderShown,
    StatusShown,
)

WORKING = frozenset({"PreSubmitted", "Submitted", "Inactive", "Filled"})
"""States that show that the broker took an order. Inactive is no end: it may be held and trade later."""

ENDED = frozenset({"Cancelled", "ApiCancelled"})
PATIENCE = timedelta(seconds=0.3)
_SIDES = {"BOT": Side.BUY, "BUY": Side.BUY, "SLD": Side.SELL, "SELL": Side.SELL}
Kind = TransportEventKind
ToFill = Callable[[ExecutionShown, str | None], Fill]


@dataclass(slots=True)
class _Order:
    """What is known of an order of ours that was sent over this transport."""

    child: ChildOrder
    is_acknowledged: bool = False
    is_ended: bool = False
    cancel_asked: bool = False
    is_doubtful: bool = False
    executed: dict[str, Fill] | None = None

    @property
    def filled(self) -> Decimal:
        """What it traded of its own contract, corrections in place of what they correct."""
        fills = (self.executed or {}).values()
        own = self.child.contract_id
        return sum((fill.quantity for fill in fills if fill.contract_id == own), ZERO)

    @property
    def is_alive(self) -> bool:
        """Whether anything may still come of it."""
        return not self.is_ended and self.filled < self.child.quantity


@dataclass(slots=True)
class _Draft:
    """An event that may still be completed."""

    event: TransportEvent
    since: datetime
    is_complete: bool


class OrderNews:
    """Turns messages into events; ``client_id`` is ours, ``to_fill`` names contracts and units.

    A list that shows an order stands for its acknowledgement, which may have been lost. In virtual time none is lost,
    and lists are read between events: there, without ``lists_acknowledge``, they only settle a doubt.
    """

    def __init__(self, client_id: int, to_fill: ToFill, *, lists_acknowledge: bool = True) -> None:
        self._client_id, self._to_fill = client_id, to_fill
        self._lists_acknowledge = lists_acknowledge
        self._orders: dict[str, _Order] = {}
        self._by_number: dict[tuple[int, int], str] = {}
        self._by_permanent: dict[int, str] = {}
        self._unplaced: dict[tuple[int, int], StatusShown] = {}
        self._strangers: set[int] = set()
        self._charges: dict[str, CommissionShown] = {}
        self._told: dict[str, Fill] = {}
        self._queue: deque[_Draft] = deque()
        self.refusals: dict[str, str] = {}

    # ------------------------------------------------------------ what we did

    def sent(self, child: ChildOrder, order_id: int) -> None:
        """An order was written under a number."""
        self._orders[child.order_ref] = _Order(child)
        self._by_number[self._client_id, order_id] = child.order_ref

    def is_known(self, order_ref: str) -> bool:
        """Whether an order was sent over this transport."""
        return order_ref in self._orders

    def cancel_asked(self, order_ref: str) -> None:
        """A cancel was written: the end that follows needs no other reason."""
        if order_ref in self._orders:
            self._orders[order_ref].cancel_asked = True

    def number_of(self, order_ref: str) -> int | None:
        """Number of an order of ours over this connection."""
        for (client_id, order_id), ref in self._by_number.items():
            if ref == order_ref and client_id == self._client_id:
                return order_id
        return None

    def note(self, order_ref: str, text: str, now: datetime) -> None:
        """Put a remark of our own before the engine."""
        self._put(TransportEvent(kind=Kind.NOTICE, at=now, order_ref=order_ref, text=text), now)

    # ------------------------------------------------------------ what the broker says

    def take(self, news: Iterable[News], now: datetime) -> None:
        """Read messages in their order."""
        for message in news:
            match message:
                case OrderShown():
                    self._order(message, now)
                case StatusShown():
                    self._status(message, now)
                case ExecutionShown():
                    self._execution(message, now)
                case CommissionShown():
                    self._commission(message, now)
                case ErrorShown():
                    self._error(message, now)
                case LinkChanged():
                    self._link(message, now)

    def pop(self, now: datetime, *, hurry: bool = False) -> TransportEvent | None:
        """The next event that is complete or waited long enough; in a hurry nothing waits."""
        if not self._queue:
            return None
        head = self._queue[0]
        if not head.is_complete and not hurry and now - head.since < PATIENCE:
            return None
        self._queue.popleft()
        return head.event

    @property
    def waits(self) -> bool:
        """Whether an event waits to be completed."""
        return bool(self._queue)

    def refused(self, order_ref: str, filled: Decimal | None, now: datetime) -> None:
        """A refusal was confirmed: the order is on no list of open ones."""
        text, order = self.refusals.pop(order_ref), self._orders.get(order_ref)
        if order is None or order.is_ended:
            return
        order.is_ended = True
        total = order.filled if filled is None else filled
        self._put(
            TransportEvent(kind=Kind.REJECTED, at=now, order_ref=order_ref, text=text, filled=total), now
        )

    def _order(self, shown: OrderShown, now: datetime) -> None:
        if shown.is_completed:
            return  # lists of ended orders are read by who asks for them
        ref = shown.order_ref
        if shown.perm_id > 0 and ref:
            self._by_permanent[shown.perm_id] = ref
        key = (shown.client_id, shown.order_id)
        if shown.order_id > 0 and ref:
            self._by_number[key] = ref
        if ref in self._orders:
            if shown.status in WORKING:
                self._acknowledge(ref, now, is_listed=shown.is_listed)
        elif shown.perm_id not in self._strangers and shown.client_id != self._client_id:
            self._strangers.add(shown.perm_id)
            text = f"an order of client {shown.client_id}: {shown.action} {shown.contract.local_symbol}"
            self._put(TransportEvent(kind=Kind.ACKNOWLEDGED, at=now, order_ref=ref or None, text=text), now)
        held = self._unplaced.pop(key, None)
        if held is not None:
            self._status(held, now)

    def _ref_of(self, perm_id: int, client_id: int, order_id: int) -> str | None:
        if perm_id > 0 and perm_id in self._by_permanent:
            return self._by_permanent[perm_id]
        ref = self._by_number.get((client_id, order_id))
        if ref is not None and perm_id > 0:
            self._by_permanent[perm_id] = ref
        return ref

    def _status(self, shown: StatusShown, now: datetime) -> None:
        ref = self._ref_of(shown.perm_id, shown.client_id, shown.order_id)
        if ref is None:
            self._unplaced[shown.client_id, shown.order_id] = shown
            return
        order = self._orders.get(ref)
        if order is None:
            if shown.status in ENDED:
                self._put(self._end(ref, shown, now), now)
            return
        if shown.status in WORKING:
            self._acknowledge(ref, now, is_listed=shown.is_listed)
        elif shown.status in ENDED and not order.is_ended:
            order.is_ended = True
            text = self.refusals.pop(ref, None)
            event = self._end(ref, shown, now)
            if text is not None:
                event = replace(event, kind=Kind.REJECTED, text=text)
            self._put(event, now, is_complete=text is not None or order.cancel_asked)

    def _end(self, ref: str, shown: StatusShown, now: datetime) -> TransportEvent:
        return TransportEvent(
            kind=Kind.CANCELLED, at=now, order_ref=ref, text=shown.status.lower(), filled=shown.filled
        )

    def _acknowledge(self, ref: str, now: datetime, *, is_listed: bool) -> None:
        order = self._orders[ref]
        if is_listed and not self._lists_acknowledge and not order.is_doubtful:
            return
        if not order.is_acknowledged and not order.is_ended:
            order.is_acknowledged = True
            self._put(TransportEvent(kind=Kind.ACKNOWLEDGED, at=now, order_ref=ref), now)

    def _execution(self, shown: ExecutionShown, now: datetime) -> None:
        if shown.contract.security_type == COMBINATION:
            return  # its legs are told as executions of their own
        known = self._told.get(shown.execution_id)
        if known is not None:
            return
        ref = shown.order_ref or self._ref_of(shown.perm_id, shown.client_id, shown.order_id)
        if ref and shown.perm_id > 0:
            self._by_permanent.setdefault(shown.perm_id, ref)
        fill = self.charged(self._to_fill(shown, ref))
        self._told[fill.execution_id] = fill
        order = self._orders.get(ref or "")
        if order is not None:
            executed = order.executed = order.executed or {}
            before = executed.get(fill.root)
            if before is None or before.version < fill.version:
                executed[fill.root] = fill
        event = TransportEvent(kind=Kind.FILL, at=now, order_ref=ref, fill=fill)
        self._put(event, now, is_complete=fill.is_charged)

    def charged(self, fill: Fill) -> Fill:
        """An execution with its commission, where that is known."""
        charge = self._charges.get(fill.execution_id)
        if charge is None or not charge.currency:
            return fill
        return replace(fill, commission=charge.commission, commission_currency=charge.currency)

    def learn_charges(self, charges: Iterable[CommissionShown]) -> None:
        """Remember commissions that a list told."""
        self._charges.update((charge.execution_id, charge) for charge in charges)

    def _commission(self, shown: CommissionShown, now: datetime) -> None:
        self._charges[shown.execution_id] = shown
        known = self._told.get(shown.execution_id)
        if known is None or known.is_charged:
            return
        fill = self._told[shown.execution_id] = self.charged(known)
        for draft in self._queue:
            if draft.event.fill is not None and draft.event.fill.execution_id == shown.execution_id:
                draft.event, draft.is_complete = replace(draft.event, fill=fill), True
                return
        if fill.is_charged:
            self._put(
                TransportEvent(kind=Kind.FILL, at=now, order_ref=fill.order_ref, fill=fill, text="charged"),
                now,
            )

    def _error(self, shown: ErrorShown, now: datetime) -> None:
        ref = self._by_number.get((self._client_id, shown.request_id)) if shown.request_id > 0 else None
        if ref is None:
            return
        rule, order = rule_of(shown.code), self._orders.get(ref)
        text = f"{shown.code} {shown.text}"
        if rule.refuses_order and order is not None:
            if not order.is_ended:
                self.refusals[ref] = text
            elif self._make_refused(ref, text):
                return
        self._put(TransportEvent(kind=Kind.NOTICE, at=now, order_ref=ref, text=text), now)

    def _make_refused(self, ref: str, text: str) -> bool:
        """Give an end that still waits the reason that came after it."""
        for draft in self._queue:
            if draft.event.order_ref == ref and draft.event.kind is Kind.CANCELLED and not draft.is_complete:
                draft.event, draft.is_complete = replace(draft.event, kind=Kind.REJECTED, text=text), True
                return True
        return False

    def _link(self, change: LinkChanged, now: datetime) -> None:
        """After a loss every order that may still live is in doubt, and numbers mean nothing any more."""
        if change.is_up:
            return
        self._by_number.clear()
        self._unplaced.clear()
        self.refusals.clear()
        for ref, order in self._orders.items():
            if order.is_alive:
                order.is_acknowledged, order.is_doubtful = False, True
                self._put(
                    TransportEvent(kind=Kind.VISIBILITY_LOST, at=now, order_ref=ref, text=change.text), now
                )

    def _put(self, event: TransportEvent, now: datetime, *, is_complete: bool = True) -> None:
        self._queue.append(_Draft(event, now, is_complete))


def side_of(told: str) -> Side:
    """Side of an execution or order; raises `InvariantError` for a word that is none, which never comes in."""
    side = _SIDES.get(told)
    if side is None:
        raise InvariantError(f"expected BOT, SLD, BUY or SELL, found {told!r}")
    return side
