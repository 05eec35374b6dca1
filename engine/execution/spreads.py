"""A roll as one order: which two trades are exchanged for each other, and what the exchange may cost.

A calendar spread sells the old contract and buys the new one at once, or the other way round; its price is the new
contract's less the old one's, so neither leg can be left alone. It bears the collar of one outright leg, measured from
the difference of the two mids on arrival: half of what two orders of their own may pay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from engine.execution.netting import PriceBook
from engine.execution.pricing import (
    Arrival,
    PlanOutcome,
    PlanRefusal,
    planned,
    usable_quote,
)
from engine.model.instruments import Instrument
from engine.model.market import Quote
from engine.model.orders import ChildOrder, ExecutionJob, OrderIntent, Reason, Trade
from engine.model.policy import ExecutionPolicy
from engine.ports import ChildRecord

ROLL_GROUP = "roll:"
"""How the group of a roll begins; the instrument follows."""


class SpreadPart(NamedTuple):
    """What the parent of the new contract knows of the old one's: its parent, contract and how much goes as spreads."""

    intent_id: str
    contract_id: str
    quantity: Decimal


class SpreadMids(NamedTuple):
    """Mids of both legs at one time, in quote units."""

    far: Decimal
    near: Decimal


def spread_pairs(trades: Sequence[Trade], prices: PriceBook) -> Mapping[str, str]:
    """The old contract that each new one is exchanged for, by the new one.

    Only rolls of instruments whose venue lists the spread, in opposite directions. Where several old contracts end,
    the first to end is the spread's.
    """
    found: dict[str, str] = {}
    rolls: dict[str, list[Trade]] = {}
    for trade in trades:
        if trade.reason is Reason.ROLL and prices.contracts.universe[trade.instrument_id].calendar_spread:
            rolls.setdefault(trade.instrument_id, []).append(trade)
    for legs in rolls.values():
        ordered = sorted(legs, key=lambda leg: (_end(leg, prices), leg.contract_id))
        near, far = ordered[0], ordered[-1]
        if near.quantity * far.quantity < 0 and _end(near, prices) < _end(far, prices):
            found[far.contract_id] = near.contract_id
    return found


def joined(trades: Sequence[Trade], pairs: Mapping[str, str]) -> tuple[Trade, ...]:
    """The trades with both legs of each spread in one group, whatever company their sizes came from."""
    members = {*pairs, *pairs.values()}
    return tuple(
        replace(trade, group=f"{ROLL_GROUP}{trade.instrument_id}") if trade.contract_id in members else trade
        for trade in trades
    )


def _end(trade: Trade, prices: PriceBook) -> date:
    return prices.contracts.contract(trade.contract_id).roll_deadline or date.max


def spread_quote(
    far: Quote | None, near: Quote | None, now: datetime, max_age_seconds: float
) -> Quote | PlanRefusal:
    """Best prices at which both legs trade at once, as deep as the thinner leg; both quotes must be usable."""
    new, old = (usable_quote(leg, now, max_age_seconds) for leg in (far, near))
    if isinstance(new, PlanRefusal):
        return new
    if isinstance(old, PlanRefusal):
        return old
    return Quote(
        contract_id=f"{old.contract_id}>{new.contract_id}",
        observed_at=min(new.observed_at, old.observed_at),
        bid=_less(new.bid, old.ask),
        ask=_less(new.ask, old.bid),
        bid_size=min(new.bid_size, old.ask_size),
        ask_size=min(new.ask_size, old.bid_size),
        last=None,
        close=None,
        source=new.source,
    )


def _less(far: Decimal | None, near: Decimal | None) -> Decimal | None:
    return None if far is None or near is None else far - near


def plan_spread(
    intent: OrderIntent,
    part: SpreadPart,
    quote: Quote | PlanRefusal,
    mids: SpreadMids,
    instrument: Instrument,
    policy: ExecutionPolicy,
) -> PlanOutcome:
    """Plan the spreads of a roll for the parent of the new contract, anchored at the legs' mids on arrival.

    The slippage model has no say here: it speaks of fractions of a price, and a spread's price may be zero.
    """
    if isinstance(quote, PlanRefusal):
        return quote
    arrival = Arrival(mid=mids.far - mids.near)
    return planned(replace(intent, quantity=part.quantity), quote, policy, instrument, arrival, mids.far)


def traded_prices(child: ChildOrder) -> tuple[Decimal, ...]:
    """Prices at which an order counts towards the day's turnover: both legs of a spread, at their mids on arrival."""
    if child.near is None or child.arrival_mid is None:
        return (child.limit_price,)
    return child.arrival_mid, child.near.arrival_mid


def spread_part(intent: OrderIntent, job: ExecutionJob, children: Sequence[ChildRecord]) -> SpreadPart | None:
    """What a parent is worked with as calendar spreads, ``None`` where it goes outright.

    ``children`` are those of both parents so far: once one of them had an order of its own, the spreads were over.
    """
    near = next((other for other in job.intents if other.intent_id == intent.near_intent_id), None)
    if near is None:
        return None
    if any(record.child.near is None for record in children):
        return None
    return SpreadPart(near.intent_id, near.contract_id, min(intent.quantity, near.quantity))
