"""The one place where orders leave: through the send gate, exactly once; and where they are taken back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from engine.errors import BrokerUnavailable
from engine.execution import ticket as t
from engine.execution.children import AT_THE_BROKER
from engine.execution.inbox import Inbox
from engine.execution.messenger import Messenger
from engine.execution.outcome import ExecutionWorld, ProgressKind
from engine.execution.spreads import traded_prices
from engine.model.money import ZERO, round_money
from engine.model.orders import ChildOrder, ChildStatus
from engine.ports import GateOutcome, Holding


class OrderLine:
    """Sends and cancels of one run, and which orders it wrote."""

    def __init__(
        self, world: ExecutionWorld, inbox: Inbox, messenger: Messenger, now: Callable[[], datetime]
    ) -> None:
        self._world, self._inbox, self._messenger, self._now = world, inbox, messenger, now
        self._written: set[str] = set()

    def send(self, intent_id: str, child: ChildOrder) -> None:
        """Claim, and write once what was claimed; a broken write leaves the outcome open, never a second try."""
        instrument = self._inbox.tickets[intent_id].core.instrument
        notional = sum(
            (abs(instrument.notional(child.quantity, price)) for price in traded_prices(child)), ZERO
        )
        usd = round_money(self._world.prices.fx.to_base(notional, instrument.currency))
        self._inbox.route(child)
        lost: tuple[t.Event, ...] = ()
        with self._world.book.passage() as is_held:
            outcome = self._world.book.claim(child, usd, self._now())
            if outcome is GateOutcome.CLAIMED:
                lost = self._write(child, is_held)
        if outcome is GateOutcome.CLAIMED:
            self._messenger.tell(ProgressKind.ORDER_SENT, child.order_ref, child.contract_id)
        self._inbox.answer(intent_id, t.ClaimResult(outcome), *lost)

    def _write(self, child: ChildOrder, is_held: Holding) -> tuple[t.Event, ...]:
        """Write a claimed order while nobody can have declared a halt effective; answers why its outcome is open."""
        if not is_held():
            return (t.VisibilityLost("the latch was lost between gate and line, so nothing was written"),)
        self._written.add(child.order_ref)
        try:
            self._world.transport.send(child)
        except BrokerUnavailable as error:
            return (t.VisibilityLost(str(error)),)
        return ()

    def cancel(self, order_ref: str) -> None:
        """Ask for a cancel; one that may not have left is told, and its order's clocks go on."""
        try:
            self._world.transport.cancel(order_ref)
        except BrokerUnavailable as error:
            self._messenger.alarm(order_ref, f"cancel of {order_ref} may not have left: {error}")

    def cancel_all(self) -> None:
        """Take back what may work, as far as that is possible: no failure keeps another order from being cancelled.

        Also what an earlier attempt left at the broker, whose parents have not begun.
        """
        refs: list[str] = []
        for ticket in self._inbox.tickets.values():
            child, is_planned = ticket.state.child, ticket.state.status is ChildStatus.PLANNED
            if child is not None and (not is_planned or child.order_ref in self._written):
                refs.append(child.order_ref)
        with suppress(Exception):
            found = [row.child for row in self._world.book.unresolved() if row.status in AT_THE_BROKER]
            refs += [child.order_ref for child in found if child.intent_id not in self._inbox.tickets]
        for ref in refs:
            with suppress(Exception):
                self.cancel(ref)
