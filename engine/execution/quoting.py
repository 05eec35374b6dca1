"""What a parent is told when it asks for a quote: the market, with what judges a first price, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from engine.execution import ticket as t
from engine.execution.control import ControlWatch
from engine.execution.doubts import DoubtWatch
from engine.execution.legging import Tickets, missing_leg
from engine.execution.outcome import ExecutionWorld
from engine.execution.revalidation import MarketView, PriceReference, price_reference
from engine.model.orders import ExecutionJob, OrderIntent
from engine.ports import Permission


class Quoting:
    """Quotes for the parents of one run, as far as the control state and open doubts let them have any."""

    def __init__(
        self,
        world: ExecutionWorld,
        control: ControlWatch,
        doubts: DoubtWatch,
        tickets: Tickets,
        jobs: Sequence[ExecutionJob],
        now: Callable[[], datetime],
    ) -> None:
        self._world, self._control, self._doubts = world, control, doubts
        self._tickets, self._jobs, self._now = tickets, jobs, now

    def answer(self, ticket: t.OrderTicket) -> t.Event:
        """The market of what a parent works, or why it gets none now."""
        intent = ticket.core.intent
        near = ticket.core.near if ticket.state.is_spread else None
        if self._control.permission is Permission.REDUCTIONS and not intent.reduce_only:
            return t.NoQuote("only reductions may leave")
        if self._control.why_held:
            # A new price would cancel the order that works, and the next may not leave.
            return t.NoQuote(self._control.why_held)
        names = (intent.contract_id,) if near is None else (intent.contract_id, near.contract_id)
        for name in names:
            if self._doubts.blocks(name, intent.intent_id):
                return t.NoQuote(f"{name} is blocked by an order whose outcome is not known")
        auction = ticket.state.auction
        if auction is not None and auction.is_opening:
            # There is no market before the open: the decision's price is its arrival.
            return t.QuoteArrived(None)
        quotes = [self._world.transport.quote(name) for name in names]
        if quotes[0] is None:
            return t.NoQuote("no quote")
        if ticket.state.plan is not None:
            # Judged on arrival: later prices stand inside the collar of the first.
            return t.QuoteArrived(quotes[0], None if near is None else quotes[1])
        absent = missing_leg(intent, self._jobs, self._tickets, self._has_market)
        if absent is not None:
            return t.NoQuote(f"not opened without {absent}, which has no market now")
        own = self._reference(intent)
        if near is None:
            return t.QuoteArrived(quotes[0], None, own)
        other = self._reference(self._tickets[near.intent_id].core.intent)
        return t.QuoteArrived(quotes[0], quotes[1], own, other)

    def _has_market(self, contract_id: str) -> bool:
        return self._view().has_market(contract_id)

    def _view(self) -> MarketView:
        world, age_seconds = self._world, self._world.execution.quote_age_plan_seconds
        return MarketView(world.prices, world.futures, world.transport.quote, self._now(), age_seconds)

    def _reference(self, intent: OrderIntent) -> PriceReference | None:
        """What a first price of a parent is judged by."""
        return price_reference(intent, self._view(), self._world.safety)
