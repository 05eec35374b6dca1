"""Orders whose life a benchmark of the order loop plays: one fund, one market, one policy."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from engine.execution.inbox import Inbox
from engine.model.market import Quote
from engine.model.orders import ChildOrder, Fill, OrderIntent
from tests.engine.execution.market import INSTRUMENTS, execution_policy, intent, quote

POLICY = execution_policy()
INSTRUMENT = next(one for one in INSTRUMENTS if one.instrument_id == "CSPX")


def parents_of(number: int) -> list[OrderIntent]:
    """As many parent orders, alike but for their names."""
    return [intent(name=f"parent-{place}") for place in range(number)]


def wide_market(at: datetime) -> Quote:
    """A market so wide that the first price stands at the collar, where every later one stands too."""
    return quote(bid="730.0", ask="738.0", at=at)


def child_of(inbox: Inbox, intent_id: str) -> ChildOrder:
    """The order that a parent works now."""
    child = inbox.tickets[intent_id].state.child
    if child is None:
        raise RuntimeError(f"expected {intent_id} to work an order, found none")
    return child


def whole_fill(child: ChildOrder, at: datetime) -> Fill:
    """Its execution, all of it at its limit."""
    return Fill(
        execution_id=f"E{child.order_ref}.01",
        order_ref=child.order_ref,
        contract_id=child.contract_id,
        side=child.side,
        quantity=child.quantity,
        price=child.limit_price,
        executed_at=at,
        commission=Decimal(1),
        commission_currency="USD",
    )
