"""Orders of clients and what becomes of them: placed, changed, cancelled, and every report of the broker on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, Fill, TransportEvent, TransportEventKind
from engine.simulation.interventions import change_order
from tasks.adapters.simulated_gateway.faults import Faults
from tasks.adapters.simulated_gateway.forms import LARGEST_INTEGER, Record, flag, integer, number, text
from tasks.adapters.simulated_gateway.order_book import KnownOrder, PlacedOrder
from tasks.adapters.simulated_gateway.order_reading import OrderReader, OrderRefused
from tasks.adapters.simulated_gateway.orders import OrderDesk
from tasks.adapters.simulated_gateway.sessions import Answer, error, restated
from tasks.adapters.simulated_gateway.what_if import preview

LAST_ORDER_ID = LARGEST_INTEGER - 1 - 10_000_000
"""Highest number of an order: a client's next one, and those of its requests beyond, are still numbers of 32 bits."""

_SAME = ("con_id", "symbol", "security_type", "last_trade_date", "strike", "right", "action")
"""What a change of an order may not touch."""


@dataclass(slots=True, kw_only=True)
class Trading:
    """The gateway's trading side; answers go to the client that asked, reports to the one that placed the order."""

    desk: OrderDesk
    reader: OrderReader
    faults: Faults
    _told: dict[tuple[str, str], Decimal] = field(init=False, repr=False, default_factory=dict)
    _silent: set[int] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        self.recount()

    def recount(self) -> None:
        """Take what was told of the orders from the account: its executions, less those whose reports nobody read."""
        self._told.clear()
        state = self.desk.broker.state
        unread = {event.fill.execution_id for _, event in state.inbox.items() if event.fill is not None}
        for key, fill in state.executions.items():
            if key not in unread:
                self._note(fill)

    def place(self, client_id: int, record: Record, now: datetime) -> list[Answer]:
        """Place an order, change one, or say what one would cost; what is refused is answered by its code."""
        order_id = integer(record, "order_id")
        if self.faults.take("lost_orders"):
            return []
        if not (client_id != 0) <= order_id <= LAST_ORDER_ID:
            return [error(10149, f"Invalid order id: {order_id}", order_id)]
        if self.faults.refused_orders:
            refused = self.faults.refused_orders.pop(0)
            return [error(refused.code, refused.text, order_id)]
        known = self.desk.placed.of_client(client_id, order_id)
        try:
            if flag(record, "what_if"):
                child = self.reader.read(record, "", now)
                return [preview(record, child, self.desk.broker.state, self.desk.broker.terms)]
            if known is not None:
                return self._change(known, record, now)
            self._place(client_id, order_id, record, now)
        except OrderRefused as refusal:
            return [error(refusal.code, refusal.told, order_id)]
        return []

    def cancel(self, client_id: int, order_id: int) -> list[Answer]:
        """Ask for a cancel of a client's own order."""
        if self.faults.take("lost_cancels"):
            return []
        placed = self.desk.placed.of_client(client_id, order_id)
        known = None if placed is None else self.desk.by_reference(placed.reference)
        if known is None:
            return [error(10147, f"OrderId {order_id} that needs to be cancelled is not found.", order_id)]
        if not known.order.is_open:
            return [self._not_cancelled(known)]
        self.desk.broker.cancel(known.order.child.order_ref)
        return []

    def cancel_all(self) -> None:
        """Ask for a cancel of every order of the account, whoever placed it."""
        for reference in dict.fromkeys(o.child.order_ref for o in self.desk.broker.state.open_orders()):
            self.desk.broker.cancel(reference)

    def report(self, event: TransportEvent) -> tuple[int, list[Answer]]:
        """What a report of the broker says on the wire, and the client whose order it is about."""
        known = self.desk.by_reference(event.order_ref)
        if known is None:
            return 0, []
        match event.kind:
            case TransportEventKind.ACKNOWLEDGED:
                return known.client_id, self._acknowledged(known)
            case TransportEventKind.FILL if event.fill is not None:
                return known.client_id, self._filled(known, event, event.fill)
            case TransportEventKind.REJECTED:
                told = f"Order rejected - reason:{event.text}"
                return known.client_id, [error(201, told, known.order_id)]
            case TransportEventKind.CANCELLED:
                ended = error(202, f"Order Canceled - reason:{event.text}", known.order_id)
                return known.client_id, [self.desk.order_status(known, "Cancelled"), ended]
            case TransportEventKind.EXPIRED:
                return known.client_id, [self.desk.order_status(known, "Cancelled")]
            case _:
                return known.client_id, [self._not_cancelled(known)]

    # ------------------------------------------------------------ placing

    def _place(self, client_id: int, order_id: int, record: Record, now: datetime) -> None:
        broker = self.desk.broker
        # Read first: only what the broker is going to take is kept.
        child = self.reader.read(record, text(record, "order_ref"), now)
        placed = self.desk.placed.place(broker, client_id, order_id, record)
        if self.faults.take("silent_orders"):
            self._silent.add(placed.permanent)
        broker.submit(_referred(child, placed))

    def _change(self, placed: PlacedOrder, record: Record, now: datetime) -> list[Answer]:
        """A second order under a number of an open one changes its quantity and limit."""
        known = self.desk.by_reference(placed.reference)
        if known is None or not known.order.is_open:
            ended = known is not None and known.order.status is ChildStatus.FILLED
            code, told = (104, "Cannot modify a filled order.") if ended else (103, "Duplicate order id")
            raise OrderRefused(code, told)
        if any(text(record, name) != text(placed.record, name) for name in _SAME):
            raise OrderRefused(105, "Order being modified does not match original order.")
        child = self.reader.read(record, placed.reference, now)
        if (number(record, "quantity") or ZERO) <= known.order.filled:
            raise OrderRefused(104, "Cannot modify a filled order.")
        broker = self.desk.broker
        change_order(broker, "changed by its client", placed.reference, child.quantity, child.limit_price)
        broker.commit()
        self.desk.placed.change(placed, record)
        changed = self.desk.by_reference(placed.reference) or known
        return [self.desk.open_order(changed), self.desk.order_status(changed)]

    def _not_cancelled(self, known: KnownOrder) -> Answer:
        state = self.desk.status_name(known.order)
        told = f"OrderId {known.order_id} that needs to be cancelled cannot be cancelled, state: {state}."
        return error(10148, told, known.order_id)

    # ------------------------------------------------------------ reporting

    def _acknowledged(self, known: KnownOrder) -> list[Answer]:
        if known.permanent in self._silent:
            return []
        shown, status = (
            self.desk.open_order(known, "PreSubmitted"),
            self.desk.order_status(known, "PreSubmitted", ZERO),
        )
        if known.order.auction_date is not None:
            return [shown, status]
        return [shown, status, *(restated(told, "Submitted") for told in (shown, status))]

    def _filled(self, known: KnownOrder, event: TransportEvent, fill: Fill) -> list[Answer]:
        """An execution, the status that follows, and the commission; in another order where a fault wants it."""
        self._note(fill)
        done = self._whole(known)
        status = "Filled" if done == known.order.child.quantity else "Submitted"
        told = [self.desk.execution(fill)]
        if self.faults.take("hidden_executions"):
            told = []
        states = [self.desk.order_status(known, status, done, fill.price)]
        if self.faults.take("hidden_statuses"):
            states = []
        costs = [self.desk.commission(fill)] if fill.is_charged and told else []
        return [*costs, *told, *states] if self.faults.commission_first else [*told, *states, *costs]

    def _note(self, fill: Fill) -> None:
        key = (fill.order_ref or "", fill.contract_id)
        self._told[key] = self._told.get(key, ZERO) + fill.quantity

    def _whole(self, known: KnownOrder) -> Decimal:
        """What was told of an order so far: of a spread, what both legs have."""
        child = known.order.child
        return min(self._told.get((child.order_ref, name), ZERO) for name in child.contract_ids)


def _referred(child: ChildOrder, placed: PlacedOrder) -> ChildOrder:
    return replace(child, order_ref=placed.reference)
