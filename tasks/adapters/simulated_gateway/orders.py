"""Orders and executions as the wire tells them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderType, Side
from engine.simulation.account import BrokerOrder
from engine.simulation.broker import SimulatedBroker
from engine.simulation.matching import AUCTIONS
from tasks.adapters.simulated_gateway.forms import Record, names, text
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.order_book import KnownOrder, PlacedOrders, broker_key
from tasks.adapters.simulated_gateway.order_forms import COMPLETED_ORDER, OPEN_ORDER
from tasks.adapters.simulated_gateway.sessions import Answer, plain

_STATUS = {
    ChildStatus.WORKING: "Submitted",
    ChildStatus.CANCEL_PENDING: "PendingCancel",
    ChildStatus.FILLED: "Filled",
    ChildStatus.CANCELLED: "Cancelled",
    ChildStatus.EXPIRED: "Cancelled",
    ChildStatus.REJECTED: "Inactive",
}
_TOLD_TYPES = {OrderType.MARKET: "MKT", OrderType.LIMIT: "LMT", OrderType.LIMIT_ON_CLOSE: "LOC", OrderType.LIMIT_ON_OPEN: "LOO"}  # fmt: skip
_OPEN_NAMES, _COMPLETED_NAMES = names(OPEN_ORDER), names(COMPLETED_ORDER)
_NOT_COMPLETED = frozenset({"order_id", "client_id"})


@dataclass(slots=True, kw_only=True)
class OrderDesk:
    """Shows orders of the account.

    ``pence_executions``: executions of lines that quote in pence are told in pence (else in pounds).
    """

    broker: SimulatedBroker
    listing: Listing
    placed: PlacedOrders
    pence_executions: bool = True

    def known(self, order: BrokerOrder) -> KnownOrder:
        """An order with what is known of who placed it."""
        return KnownOrder(order=order, placed=self.placed.of_reference(order.child.order_ref))

    def by_reference(self, reference: str | None) -> KnownOrder | None:
        """The newest order that the broker knows by a reference, ``None`` when it lists none."""
        placed = self.placed.of_reference(reference)
        if placed is not None:
            order = self.broker.state.orders.get(broker_key(placed.permanent))
            return None if order is None else KnownOrder(order=order, placed=placed)
        orders = [o for _, o in self.broker.state.orders.items() if o.child.order_ref == (reference or "")]
        return self.known(orders[-1]) if orders else None

    def listed(self, *, is_open: bool) -> list[KnownOrder]:
        """Orders that the broker lists, open or completed."""
        told = {order.broker_order_id for order in self.broker.orders()}
        orders = (
            self.broker.state.open_orders() if is_open else [o for _, o in self.broker.state.orders.items()]
        )
        return [
            self.known(order)
            for order in orders
            if order.is_open is is_open and order.broker_order_id in told
        ]

    def open_order(self, known: KnownOrder, status: str = "") -> Answer:
        """The order as it stands, with its client's own words."""
        record = self._shown(known, _OPEN_NAMES) | {
            "order_id": str(known.order_id),
            "client_id": str(known.client_id),
            "status": status or self.status_name(known.order),
        }
        return Answer("open_order", record)

    def completed_order(self, known: KnownOrder) -> Answer:
        """An order that ended; the wire tells neither its client nor its number, and a quantity of 0."""
        order, shown = known.order, self._shown(known, _COMPLETED_NAMES - _NOT_COMPLETED)
        ended = order.completed_at or order.last_event_at
        status = self.status_name(order)
        size = f" Size: {plain(order.filled)}" if order.filled else ""
        return Answer(
            "completed_order",
            shown
            | {"quantity": "0", "status": status, "filled_quantity": plain(order.filled),
               "completed_time": f"{ended:%Y%m%d %H:%M:%S} UTC", "completed_status": f"{status}{size}"},
        )  # fmt: skip

    def order_status(
        self, known: KnownOrder, status: str = "", filled: Decimal | None = None, last: Decimal = ZERO
    ) -> Answer:
        """Status, quantities and average price; ``filled`` when a report is older than the order's state."""
        order = known.order
        done = order.filled if filled is None else filled
        return Answer(
            "order_status",
            {
                "order_id": str(known.order_id),
                "status": status or self.status_name(order),
                "filled": plain(done),
                "remaining": plain(order.child.quantity - done),
                "average_price": plain(self._average(order)) if done else "0",
                "perm_id": str(known.permanent),
                "last_price": plain(last),
                "client_id": str(known.client_id),
            },
        )

    def execution(self, fill: Fill, request_id: int = -1) -> Answer:
        """One execution, live or in a list."""
        known = self.by_reference(fill.order_ref)
        contract = self.listing.contract(self.listing.number(fill.contract_id))
        instrument = self.listing.instrument(contract)
        divisor = Decimal(1) if self.pence_executions else instrument.price_magnifier
        price = plain(fill.price / divisor)
        return Answer(
            "execution",
            self.listing.shown(contract)
            | {
                "request_id": str(request_id),
                "order_id": "0" if known is None else str(known.order_id),
                "execution_id": fill.execution_id,
                "time": f"{fill.executed_at:%Y%m%d %H:%M:%S} UTC",
                "account": self.broker.account,
                "venue": instrument.exchange,
                "side": "BOT" if fill.side is Side.BUY else "SLD",
                "shares": plain(fill.quantity),
                "price": price,
                "perm_id": "0" if known is None else str(known.permanent),
                "client_id": "0" if known is None else str(known.client_id),
                "total": plain(self._total(fill)),
                "average_price": price,
                "order_ref": (fill.order_ref or "") if known is None else known.client_reference,
            },
        )

    def commission(self, fill: Fill) -> Answer:
        """What an execution cost."""
        return Answer(
            "commission",
            {"execution_id": fill.execution_id, "commission": plain(fill.commission or ZERO),
             "currency": fill.commission_currency or ""},
        )  # fmt: skip

    def executions(self, request_id: int, wanted: Record) -> list[Answer]:
        """Executions that fit a filter, each with its commission."""
        answers = []
        for fill in self.broker.executions():
            told = self.execution(fill, request_id)
            if _wanted(told.record, fill, wanted):
                answers.append(told)
                if fill.is_charged:
                    answers.append(self.commission(fill))
        return answers

    def status_name(self, order: BrokerOrder) -> str:
        """The wire's word for an order's state: one that waits for an auction is not at the exchange yet."""
        if order.status is ChildStatus.WORKING and order.child.order_type in AUCTIONS:
            return "PreSubmitted"
        return _STATUS[order.status]

    def _average(self, order: BrokerOrder) -> Decimal:
        instrument = self.broker.terms.instrument(order.child.contract_id)
        if not order.filled:
            return ZERO
        price = order.notional / order.filled / instrument.effective_multiplier
        return price.quantize(Decimal("0.00000001"))

    def _total(self, fill: Fill) -> Decimal:
        """Quantity that the order traded of the contract up to an execution."""
        return sum(
            (
                other.quantity
                for key, other in self.broker.state.executions.items()
                if key <= fill.execution_id
                and (other.order_ref, other.contract_id) == (fill.order_ref, fill.contract_id)
            ),
            ZERO,
        )

    def _shown(self, known: KnownOrder, allowed: frozenset[str]) -> dict[str, str | tuple[Record, ...]]:
        child = known.order.child
        if known.placed is not None:
            said = known.placed.record
            kept = {name: value for name, value in said.items() if name in allowed and value not in ("", ())}
        else:
            kept = dict(_of_another_desk(child))
        if text(kept, "security_type") != "BAG":
            contract = self.listing.contract(self.listing.number(child.contract_id))
            kept |= self.listing.shown(contract, text(kept, "exchange"))
        return kept | {
            "account": self.broker.account,
            "perm_id": str(known.permanent),
            "tif": text(kept, "tif") or "DAY",
        }


def _of_another_desk(child: ChildOrder) -> Record:
    return {
        "action": child.side.value,
        "quantity": plain(child.quantity),
        "order_type": _TOLD_TYPES[child.order_type],
        "limit_price": plain(child.limit_price),
        "tif": child.time_in_force,
        "order_ref": child.order_ref,
    }


def _wanted(told: Record, fill: Fill, wanted: Record) -> bool:
    """Whether an execution fits a filter; an empty field fits everything."""
    client, since = text(wanted, "client_id"), text(wanted, "time")
    executed = f"{fill.executed_at:%Y%m%d %H:%M:%S}"
    return (
        client in ("", "0", text(told, "client_id"))
        and (not since or executed >= since.replace("-", " ").replace("  ", " ")[:17])
        and text(wanted, "symbol") in ("", text(told, "symbol"))
        and text(wanted, "security_type") in ("", text(told, "security_type"))
        and text(wanted, "side") in ("", fill.side.value)
    )
