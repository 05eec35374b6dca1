"""Somebody else in the account: orders and trades by hand, when the fund was shown them, and who settles them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from engine.accounting.ledger import book_execution
from engine.model.orders import ORDER_REFERENCE_PREFIX, Fill, OpenOrder, Side, TransportEvent
from engine.model.orders import TransportEventKind as Kind
from engine.model.portfolio import Sleeve
from engine.model.universe import ContractBook
from engine.simulation.broker import SimulatedBroker
from engine.simulation.interventions import place_order
from state.database import Database
from state.ledger import LedgerStore
from tests.simulation.order_days.drawing import BUYABLE, Dice, Fault

_TO_CANCEL = timedelta(seconds=1)
_AWAY = Decimal("0.9")
"""A resting order of somebody else bids so much of the price."""


def is_ours(order_ref: str | None) -> bool:
    """Whether the fund made an order."""
    return (order_ref or "").startswith(ORDER_REFERENCE_PREFIX)


@dataclass
class Strangers:
    """``unheard`` orders send no message: those of another client. ``settled`` maps execution ids to what a person booked.

    ``shown`` are pairs of the number of orders that the broker had taken when the fund was shown something, and when a
    person had settled it or nothing was left of it, ``None`` until then.
    """

    refs: list[str] = field(default_factory=list)
    unheard: set[str] = field(default_factory=set)
    settled: dict[str, Fill] = field(default_factory=dict)
    shown: list[tuple[int, int | None]] = field(default_factory=list)

    def act(self, broker: SimulatedBroker, dice: Dice, fault: Fault, contracts: ContractBook) -> None:
        """Place an order by hand: one that rests far from the market, or one that trades in it."""
        contract_id = BUYABLE[int(dice.amount(fault, 0, len(BUYABLE)))]
        quantity, is_unheard = round(dice.amount(fault, 1, 9)), dice.amount(fault, 0, 1) < 1 / 2
        quote = broker.terms.facts.quote(contract_id, broker.now)
        if quote is None or quote.ask is None:
            return
        instrument = contracts.instrument(contract_id)
        limit = quote.ask if fault is Fault.FOREIGN_TRADE else instrument.floor_to_tick(_AWAY * quote.mid)
        ref = f"TWS-{len(self.refs) + 1}"
        self.refs.append(ref)
        if is_unheard:
            self.unheard.add(ref)
        place_order(broker, "drawn", contract_id, Decimal(quantity), limit, ref)
        broker.commit()
        dice.note(f"{ref} buys {quantity} {contract_id} at {limit}")

    def show_message(self, message: TransportEvent, accepted: int) -> None:
        """The fund is told a message, after the broker took so many orders."""
        if not is_ours(message.order_ref) and message.kind in (Kind.ACKNOWLEDGED, Kind.FILL):
            self._show(accepted)

    def show_lists(self, orders: Iterable[OpenOrder], executions: Iterable[Fill], accepted: int) -> None:
        """The fund reads what works and what traded."""
        works = any(not is_ours(order.order_ref) and not order.status.is_terminal for order in orders)
        traded = any(
            not is_ours(fill.order_ref) and fill.execution_id not in self.settled for fill in executions
        )
        if works or traded:
            self._show(accepted)

    def _show(self, accepted: int) -> None:
        if not self.shown or self.shown[-1][1] is not None:
            self.shown.append((accepted, None))

    def settle(
        self, broker: SimulatedBroker, database: Database, contracts: ContractBook, alarms: Iterable[str]
    ) -> None:
        """A person who was told of one of them cancels such orders at the broker and books what they traded."""
        said = " ".join(alarms)
        if not any(ref in said for ref in self.unsettled(broker)):
            return
        for order in broker.state.open_orders():
            if not is_ours(order.child.order_ref):
                broker.cancel(order.child.order_ref)
        broker.advance(broker.now + _TO_CANCEL)
        self.unheard.update(self.refs)
        for fill in self.executions(broker):
            if fill.execution_id not in self.settled:
                held = {Sleeve.UNASSIGNED.value: fill.signed_quantity}
                instrument = contracts.instrument(fill.contract_id)
                LedgerStore(database).post(broker.account, book_execution(fill, instrument, held, broker.now))
                self.settled[fill.execution_id] = fill
        self._close(broker)

    def agree(self, broker: SimulatedBroker) -> None:
        """Book and broker agree in a whole comparison: an order that ended by itself and never traded is nobody's matter."""
        if not self.unsettled(broker):
            self._close(broker)

    def _close(self, broker: SimulatedBroker) -> None:
        if self.shown and self.shown[-1][1] is None:
            self.shown[-1] = (self.shown[-1][0], broker.state.head.orders)

    def executions(self, broker: SimulatedBroker) -> list[Fill]:
        """What somebody else traded."""
        return [fill for fill in broker.executions() if not is_ours(fill.order_ref)]

    def unsettled(self, broker: SimulatedBroker) -> dict[str, str]:
        """Contracts of somebody else's orders that work, or traded what nobody booked, by their references."""
        traded = {
            fill.order_ref or "": fill.contract_id
            for fill in self.executions(broker)
            if fill.execution_id not in self.settled
        }
        works = (order.child for order in broker.state.open_orders() if not is_ours(order.child.order_ref))
        return traded | {child.order_ref: child.contract_id for child in works}

    @property
    def held(self) -> Iterable[tuple[str, Decimal, Side]]:
        """Contract, quantity and side of what a person booked."""
        return [(fill.contract_id, fill.quantity, fill.side) for fill in self.settled.values()]
