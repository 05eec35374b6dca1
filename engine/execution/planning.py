"""What a child may cost: the plan of an outright order, of a calendar spread, of an order for an auction."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from engine.execution.pace import pace_of
from engine.execution.pricing import (
    Arrival,
    PlanRefusal,
    RefusalCode,
    Step,
    collar,
    create_plan,
    limit_price,
    too_large,
    usable_quote,
)
from engine.execution.revalidation import judged
from engine.execution.spreads import SpreadMids, plan_spread, spread_quote
from engine.execution.ticket import Auction, OrderCore, QuoteArrived, TicketState
from engine.model.market import Quote
from engine.model.orders import OrderPlan, Side
from engine.model.policy import ExecutionPolicy
from engine.model.spreads import leg_in


def offered_quote(
    state: TicketState, offered: QuoteArrived, now: datetime, age: float
) -> Quote | PlanRefusal:
    """Quote of what the next child trades, if it is young enough: of the contract, or of the spread of two."""
    if state.is_spread:
        return spread_quote(offered.quote, offered.near, now, age)
    return usable_quote(offered.quote, now, age)


def child_price(
    core: OrderCore, state: TicketState, plan: OrderPlan, quote: Quote, at: Step, policy: ExecutionPolicy
) -> Decimal:
    """Limit of a child at a quote: the first price of a round, or a later and more aggressive one."""
    model_bps = None if state.is_spread else core.model_bps
    return limit_price(plan, quote, at, policy, core.instrument, model_bps)


def arrival_mids(
    core: OrderCore, offered: QuoteArrived, now: datetime, policy: ExecutionPolicy
) -> SpreadMids | None:
    """Where both legs arrived: at their first spread, else now; ``None`` while a leg has no market to believe."""
    for record in core.own_children:
        near, mid = record.child.near, record.child.arrival_mid
        if near is not None and mid is not None:
            return SpreadMids(mid, near.arrival_mid)
    age = policy.quote_age_plan_seconds
    far_quote = judged(offered.quote, offered.reference, now, age)
    near_quote = judged(offered.near, offered.near_reference, now, age)
    if isinstance(far_quote, PlanRefusal) or isinstance(near_quote, PlanRefusal):
        return None
    return SpreadMids(far_quote.mid, near_quote.mid)


def plan_of(
    core: OrderCore, state: TicketState, offered: QuoteArrived, now: datetime, policy: ExecutionPolicy
) -> OrderPlan | PlanRefusal:
    """How a parent may be worked from its arrival on, or why it can not be planned now."""
    if state.is_spread and core.near is not None:
        quote = offered_quote(state, offered, now, policy.quote_age_plan_seconds)
        mids = state.mids
        if mids is None:
            return PlanRefusal(
                code=RefusalCode.NO_QUOTES,
                text="expected two-sided quotes of both legs, near their references",
            )
        return plan_spread(core.intent, core.near, quote, mids, core.instrument, policy)
    first = state.arrival_mid if state.arrival_mid is not None else first_mid(core)
    if state.auction is not None:
        return _auction_plan(core, state.auction, first, offered, now, policy)
    if first is None:
        quote = judged(offered.quote, offered.reference, now, policy.quote_age_plan_seconds)
        if isinstance(quote, PlanRefusal):
            return quote
    arrival = Arrival(
        mid=first,
        model_bps=core.model_bps,
        largest_quantity=core.largest_quantity,
    )
    return create_plan(core.intent, offered.quote, policy, core.instrument, now, arrival)


def _auction_plan(
    core: OrderCore,
    auction: Auction,
    first: Decimal | None,
    offered: QuoteArrived,
    now: datetime,
    policy: ExecutionPolicy,
) -> OrderPlan | PlanRefusal:
    """An auction clears at one price, so its order stands at the edge of the collar: a worse price is all it refuses.

    Before an open there is no market to arrive at: the collar stands around the price of the decision.
    """
    mid = core.intent.decision_price if first is None and auction.is_opening else first
    if mid is None:
        quote = judged(offered.quote, offered.reference, now, policy.quote_age_plan_seconds)
        if isinstance(quote, PlanRefusal):
            return quote
        mid = quote.mid
    intent, pace = core.intent, pace_of(core.intent.urgency, 0, policy)
    if core.largest_quantity is not None and intent.quantity > core.largest_quantity:
        return too_large(intent.quantity, core.largest_quantity)
    floor, ceiling = collar(mid, core.instrument, policy, intent.urgency)
    return OrderPlan(
        intent_id=intent.intent_id,
        contract_id=intent.contract_id,
        side=intent.side,
        quantity=intent.quantity,
        order_type=auction.order_type,
        limit_price=ceiling if intent.side is Side.BUY else floor,
        arrival_mid=mid,
        price_floor=floor,
        price_ceiling=ceiling,
        ttl_seconds=pace.ttl_seconds,
        replace_interval_seconds=pace.replace_interval_seconds,
        max_replaces=0,
        urgency=intent.urgency,
    )


def first_mid(core: OrderCore) -> Decimal | None:
    """Mid at which an earlier start of the parent anchored its collar, alone or in a spread."""
    for record in core.children:
        near = leg_in(record.child.near, core.intent.contract_id)
        mid = record.child.arrival_mid if near is None else near.arrival_mid
        if mid is not None:
            return mid
    return None
