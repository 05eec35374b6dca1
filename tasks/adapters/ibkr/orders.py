"""The fund's orders at the broker: an `OrderTransport` over one session.

Messages wait in an inbox that the session's thread fills; they are read in the thread of who asks for events. A child
is written once, as a new order with a number of its own. An order leaves with its end written on it (GTD), so that
nothing of ours lives on when this process does not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from ib_insync import IB

from engine.errors import BrokerUnavailable, InvariantError
from engine.model.absence import LinkState, Look
from engine.model.market import Quote
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, Fill, OpenOrder, TransportEvent
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.errors import NotWritten
from tasks.adapters.ibkr.order_news import OrderNews, side_of
from tasks.adapters.ibkr.order_writing import written_order
from tasks.adapters.ibkr.policy import SessionState
from tasks.adapters.ibkr.records import (
    COMBINATION,
    CommissionShown,
    ExecutionShown,
    News,
    OrderShown,
    StatusShown,
)
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.units import WireUnits
from tasks.adapters.ibkr.virtual_time import VirtualClock

_SLICE = 0.25
"""Seconds of waiting after which the caller looks around: a signal to the process is seen then."""

_STATUS = {
    "ApiPending": ChildStatus.WORKING,
    "PendingSubmit": ChildStatus.WORKING,
    "PreSubmitted": ChildStatus.WORKING,
    "Submitted": ChildStatus.WORKING,
    "Inactive": ChildStatus.WORKING,
    "PendingCancel": ChildStatus.CANCEL_PENDING,
    "Cancelled": ChildStatus.CANCELLED,
    "ApiCancelled": ChildStatus.CANCELLED,
    "Filled": ChildStatus.FILLED,
}
_COMPLETED_STATUS = {**_STATUS, "Inactive": ChildStatus.REJECTED}
"""An open order that is Inactive may trade later; one that completed so was refused."""


class IbkrTransport:
    """See the module. ``quotes`` gives live quotes, ``clock`` is there for a venue in virtual time."""

    def __init__(
        self,
        session: IbkrSession,
        contracts: ContractDesk,
        quotes: Callable[[str], Quote | None],
        units: WireUnits | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        self._session, self._contracts, self._quotes = session, contracts, quotes
        self._units, self._clock = units or WireUnits(), clock
        self._inbox: deque[News] = deque()
        self._arrived = threading.Condition()
        self._news = OrderNews(session.policy.client_id, self._fill, lists_acknowledge=clock is None)
        session.listen(self._hear)

    def now(self) -> datetime:
        """Time of the venue's clock, UTC."""
        return self._session.now()

    def quote(self, contract_id: str) -> Quote | None:
        """Live quote, ``None`` when there is none or nothing could be sent."""
        return self._quotes(contract_id) if self._session.is_ready else None

    def send(self, child: ChildOrder) -> None:
        """Write one order once.

        Raises `NotWritten` when nothing left, `BrokerUnavailable` when it may or may not have left.
        """
        if self._news.is_known(child.order_ref):
            raise InvariantError(f"expected each order once, found {child.order_ref} again")
        wire, order = written_order(child, self._contracts, self._units, self._session.policy.account)
        try:
            self._take_in()
        except BrokerUnavailable as error:
            raise NotWritten(f"{child.order_ref} was not written: {error}") from error

        def write(ib: IB, number: int) -> None:
            ib.client.placeOrder(number, wire, order)

        self._news.sent(child, self._session.write_order(write))

    def cancel(self, order_ref: str) -> None:
        """Ask for a cancel; the outcome arrives as an event."""
        self._take_in()
        number = self._news.number_of(order_ref)
        if number is None:
            self._session.open_orders()  # teaches the number, where the order is ours and open
            self._take_in()
            number = self._news.number_of(order_ref)
        if number is None:
            self._news.note(order_ref, "cancel refused: the broker does not list the order", self.now())
            return
        self._news.cancel_asked(order_ref)
        self._session.write_order(lambda ib, listed: ib.client.cancelOrder(listed), number)

    def next_event(self, until: datetime) -> TransportEvent | None:
        """Next message in order, or ``None`` when ``until`` has come or a moment passed without any.

        Raises `BrokerUnavailable` when the connection is gone for good.
        """
        if self._clock is not None:
            return self._next_virtual(self._clock, until)
        give_up = self.now() + timedelta(seconds=_SLICE)
        while True:
            event = self._next_known(hurry=False)
            if event is not None:
                return event
            if self._session.state is SessionState.FAILED:
                raise self._gone()
            left = (min(until, give_up) - self.now()).total_seconds()
            if left <= 0:
                return None
            with self._arrived:
                if not self._inbox:
                    self._arrived.wait(min(left, 0.02) if self._news.waits else left)

    def orders(self) -> tuple[OpenOrder, ...]:
        """All orders the broker lists, open and completed; what ended meanwhile is shown as ended."""
        listed = self._session.open_orders()
        completed = self._session.completed_orders()
        filled = _filled(listed.statuses)
        status = {status.perm_id: status.status for status in listed.statuses if status.perm_id > 0}
        found: dict[str, OpenOrder] = {}
        for shown in (*listed.orders, *completed):
            order = self._open_order(shown, filled, status.get(shown.perm_id, shown.status))
            found[order.broker_order_id] = order
        return tuple(found.values())

    def executions(self) -> tuple[Fill, ...]:
        """All executions the broker still lists, each in its latest version."""
        rows = self._session.executions()
        self._news.learn_charges(row for row in rows if isinstance(row, CommissionShown))
        latest: dict[str, Fill] = {}
        for row in rows:
            if isinstance(row, ExecutionShown) and row.contract.security_type != COMBINATION:
                fill = self._news.charged(self._fill(row, row.order_ref or None))
                known = latest.get(fill.root)
                if known is None or known.version <= fill.version:
                    latest[fill.root] = fill
        return tuple(latest.values())

    def link(self) -> LinkState:
        """The connection as it stands."""
        return self._session.link()

    def look(self) -> Look:
        """Orders, executions and positions, each really answered."""
        at = self.now()
        orders, executions = self.orders(), self.executions()
        held = self._session.positions()
        self._session.refresh_next_number()
        return Look(
            at=at,
            orders=orders,
            executions=executions,
            positions={self._contracts.name_of(row.contract): row.quantity for row in held},
        )

    # ------------------------------------------------------------ inside

    def _gone(self) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"the broker can not be reached: every reconnection failed; {self._session.failure}"
        )

    def _hear(self, news: News) -> None:
        with self._arrived:
            self._inbox.append(news)
            self._arrived.notify_all()

    def _take_in(self) -> None:
        """Read what came; a message leaves the inbox once it was understood, which may take a question."""
        while self._inbox:
            try:
                self._news.take((self._inbox[0],), self.now())
            except BrokerUnavailable:
                if self._session.state in (SessionState.READY, SessionState.FAILED):
                    raise
                return  # there is no connection to ask over; it is read over the next one
            self._inbox.popleft()

    def _next_known(self, *, hurry: bool) -> TransportEvent | None:
        self._take_in()
        if self._news.refusals:
            self._confirm_refusals()
        return self._news.pop(self.now(), hurry=hurry)

    def _next_virtual(self, clock: VirtualClock, until: datetime) -> TransportEvent | None:
        """One event of the venue a call, with all that it says about it heard."""
        has_news = True
        while True:
            event = self._next_known(hurry=True)
            if event is not None or not has_news:
                return event
            self._await_connection()
            try:
                barrier = self._session.begin_barrier()
                has_news = clock.advance(until, barrier.number)
                self._session.end_barrier(barrier)
            except BrokerUnavailable:
                if self._session.is_ready:
                    raise

    def _await_connection(self) -> None:
        """Virtual time stands while there is no connection; what was lost with it is told first."""
        while self._session.state in (SessionState.LOST, SessionState.CONNECTING):
            with self._arrived:
                self._arrived.wait(_SLICE)
        if self._session.state is SessionState.FAILED:
            raise self._gone()

    def _confirm_refusals(self) -> None:
        """An order whose refusal was told is refused when no list of open orders has it; without a list it works on."""
        waiting = tuple(self._news.refusals)
        try:
            listed = self._session.open_orders()
            completed = {row.order_ref: row for row in self._session.completed_orders()}
        except BrokerUnavailable:
            return  # asked again with the next event
        self._take_in()
        alive = {
            row.order_ref for row in listed.orders if _STATUS.get(row.status) is not ChildStatus.CANCELLED
        }
        for ref in waiting:
            if ref not in self._news.refusals:
                continue
            ended = completed.get(ref)
            if ref in alive or (ended is not None and ended.status == "Filled"):
                del self._news.refusals[ref]
            else:
                self._news.refused(ref, None if ended is None else ended.filled, self.now())

    def _fill(self, shown: ExecutionShown, ref: str | None) -> Fill:
        name = self._contracts.name_of(shown.contract)
        instrument = self._contracts.instrument(name)
        price = shown.price if instrument is None else self._units.executed(instrument, shown.price)
        return Fill(
            execution_id=shown.execution_id,
            order_ref=ref,
            contract_id=name,
            side=side_of(shown.side),
            quantity=shown.quantity,
            price=price,
            executed_at=shown.at,
            commission=None,
            commission_currency=None,
        )

    def _open_order(
        self, shown: OrderShown, filled: dict[tuple[int, int, int], Decimal], status: str
    ) -> OpenOrder:
        far, near = self._names(shown)
        instrument, limit = self._contracts.instrument(far), shown.limit_price
        if instrument is not None and limit is not None:
            limit = self._units.limit(instrument, limit)
        told = filled.get((shown.perm_id, shown.client_id, shown.order_id), ZERO)
        done = shown.filled if shown.filled is not None else told
        number = str(shown.perm_id) if shown.perm_id > 0 else f"{shown.client_id}/{shown.order_id}"
        return OpenOrder(
            order_ref=shown.order_ref or None,
            broker_order_id=number,
            contract_id=far,
            side=side_of(shown.action),
            quantity=shown.quantity or done,
            filled=done,
            limit_price=limit,
            status=_known_status(shown, status),
            near_contract_id=near,
        )

    def _names(self, shown: OrderShown) -> tuple[str, str | None]:
        """Our id of an order's contract, of a spread those of its far and near legs."""
        if not shown.legs:
            return self._contracts.name_of(shown.contract), None
        bought = [leg for leg in shown.legs if leg.action == "BUY"]
        sold = [leg for leg in shown.legs if leg.action == "SELL"]
        if len(bought) != 1 or len(sold) != 1:
            return f"#{shown.contract.con_id} combination of {len(shown.legs)} legs", None
        return self._contracts.name_of_number(bought[0].con_id), self._contracts.name_of_number(
            sold[0].con_id
        )


def _filled(statuses: Sequence[StatusShown]) -> dict[tuple[int, int, int], Decimal]:
    return {(row.perm_id, row.client_id, row.order_id): row.filled for row in statuses}


def _known_status(shown: OrderShown, status: str) -> ChildStatus:
    """The state of a listed order, ``status`` its newest while it is open; UNKNOWN for a word that we do not know."""
    if shown.is_completed:
        return _COMPLETED_STATUS.get(shown.status, ChildStatus.UNKNOWN)
    return _STATUS.get(status, ChildStatus.UNKNOWN)
