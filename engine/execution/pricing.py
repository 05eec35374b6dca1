"""At which price a parent order may trade: a marketable limit inside a collar that never moves.

The collar is anchored at the mid on arrival of the parent (R-39); repricing follows the market inside it. The
adverse side is hard: a buy's limit never exceeds the ceiling, a sell's never falls below the floor, also after
rounding to ticks. On the favourable side the limit follows the market, so nothing is overpaid. How wide the collar
is depends on the order's urgency too: see `engine.execution.pace`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from engine.execution.pace import Pace, pace_of, widest_collar
from engine.model.instruments import CollarClass, Instrument
from engine.model.market import Quote, Source
from engine.model.orders import OrderIntent, OrderPlan, OrderType, Side, Urgency
from engine.model.policy import ExecutionPolicy

_BPS = Decimal(10_000)


class RefusalCode(Enum):
    """Why an order has no plan or no price at this time."""

    NO_QUOTES = "no_quotes"
    STALE_QUOTE = "stale_quote"
    MARKET_ORDERS_DISABLED = "market_orders_disabled"
    TOO_LARGE = "too_large_for_volume"
    NOT_BELIEVED = "price_far_from_reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRefusal:
    """An order that can not be priced now; the code decides whether to ask again."""

    code: RefusalCode
    text: str

    @property
    def is_transient(self) -> bool:
        """Whether a later quote may lift the refusal."""
        return self.code in (RefusalCode.NO_QUOTES, RefusalCode.STALE_QUOTE, RefusalCode.NOT_BELIEVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What is known of a parent beside its quote.

    ``mid`` is the arrival mid of an earlier start of the same parent: the collar stays there. ``model_bps`` is
    the slippage model's offset. ``largest_quantity`` is what the day's volume allows.
    """

    mid: Decimal | None = None
    model_bps: Decimal | None = None
    largest_quantity: Decimal | None = None
    order_type: OrderType = OrderType.LIMIT


FRESH = Arrival()


class Step(NamedTuple):
    """Which price of which round is wanted, both counted from 0."""

    step: int = 0
    rounds: int = 0


PlanOutcome = OrderPlan | PlanRefusal


def create_plan(
    intent: OrderIntent,
    quote: Quote | None,
    policy: ExecutionPolicy,
    instrument: Instrument,
    now: datetime,
    arrival: Arrival = FRESH,
) -> PlanOutcome:
    """Plan a parent order, or say why it can not be planned now."""
    if arrival.order_type is OrderType.MARKET and not policy.allow_market_orders:
        return PlanRefusal(
            code=RefusalCode.MARKET_ORDERS_DISABLED, text="market orders are not enabled; use a limit"
        )
    usable = usable_quote(quote, now, policy.quote_age_plan_seconds)
    if isinstance(usable, PlanRefusal):
        return usable
    if arrival.largest_quantity is not None and intent.quantity > arrival.largest_quantity:
        return too_large(intent.quantity, arrival.largest_quantity)
    mid = usable.mid if arrival.mid is None else arrival.mid
    return planned(intent, usable, policy, instrument, replace(arrival, mid=mid), mid)


def too_large(quantity: Decimal, largest: Decimal) -> PlanRefusal:
    """Refusal of an order for more than the day's volume allows."""
    return PlanRefusal(
        code=RefusalCode.TOO_LARGE,
        text=f"quantity {quantity} exceeds {largest}, the share of the day's volume",
    )


def planned(
    intent: OrderIntent,
    usable: Quote,
    policy: ExecutionPolicy,
    instrument: Instrument,
    arrival: Arrival,
    collared: Decimal,
) -> OrderPlan:
    """Plan at a usable quote; the collar stands around the arrival mid, as wide as that of the price ``collared``."""
    mid = usable.mid if arrival.mid is None else arrival.mid
    floor, ceiling = collar(mid, instrument, policy, intent.urgency, collared)
    pace = pace_of(intent.urgency, 0, policy)
    plan = OrderPlan(
        intent_id=intent.intent_id,
        contract_id=intent.contract_id,
        side=intent.side,
        quantity=intent.quantity,
        order_type=arrival.order_type,
        limit_price=mid,
        arrival_mid=mid,
        price_floor=floor,
        price_ceiling=ceiling,
        ttl_seconds=pace.ttl_seconds,
        replace_interval_seconds=pace.replace_interval_seconds,
        max_replaces=pace.max_replaces,
        urgency=intent.urgency,
    )
    return replace(plan, limit_price=limit_price(plan, usable, Step(), policy, instrument, arrival.model_bps))


def usable_quote(quote: Quote | None, now: datetime, max_age_seconds: float) -> Quote | PlanRefusal:
    """The quote if it is two-sided, positive, live and young enough; no price is made from half a market."""
    if quote is None or not quote.is_two_sided or not quote.bid:
        return PlanRefusal(
            code=RefusalCode.NO_QUOTES, text="expected a two-sided quote that is not crossed, found none"
        )
    if quote.source is Source.DELAYED:
        return PlanRefusal(code=RefusalCode.STALE_QUOTE, text="expected a live quote, found a delayed one")
    age = quote.age_seconds(now)
    if age > max_age_seconds:
        return PlanRefusal(
            code=RefusalCode.STALE_QUOTE,
            text=f"expected a quote of at most {max_age_seconds:g} s, found one of {age:g} s",
        )
    if age < -max_age_seconds:  # while its clock is ahead it would look young, however long it stands
        return PlanRefusal(
            code=RefusalCode.STALE_QUOTE, text=f"expected a quote of now, found one of {-age:g} s ahead"
        )
    return quote


def collar(
    mid: Decimal,
    instrument: Instrument,
    policy: ExecutionPolicy,
    urgency: Urgency,
    collared: Decimal | None = None,
) -> tuple[Decimal, Decimal]:
    """Lowest and highest price that a parent may ever reach around its arrival mid, on the tick grid.

    ``collared`` is the price that the width follows from where it is not the mid itself: a spread's is that of a leg.
    """
    multiple, ticks = widest_collar(urgency, policy)
    width = collar_width(mid if collared is None else collared, instrument, policy, multiple, ticks)
    return instrument.ceil_to_tick(mid - width), instrument.floor_to_tick(mid + width)


def collar_width(
    mid: Decimal, instrument: Instrument, policy: ExecutionPolicy, multiple: Decimal, minimum_ticks: int
) -> Decimal:
    """Distance from the arrival mid to ``multiple`` times the collar, in quote units (R-39, R-40, R-61).

    Options: the smaller of a fraction of the premium and a number of ticks, but never less than a tick, for a
    narrower one may hold no price of the grid at all. Everything else: basis points of the
    mid, but never less than a few ticks, where one tick is already wider than the basis points. ``minimum_ticks``
    bounds the whole width of a future from below.
    """
    tick = instrument.tick_at(mid)
    if instrument.collar_class is CollarClass.OPT:
        width = multiple * min(mid * policy.option_collar_fraction, tick * policy.option_collar_ticks)
        return max(width, tick)
    bps = policy.collar_bps[instrument.collar_class]
    width = multiple * max(abs(mid) * bps / _BPS, tick * policy.minimum_collar_ticks)
    return max(width, tick * minimum_ticks) if instrument.is_future else width


def is_marketable(side: Side, price: Decimal, quote: Quote) -> bool:
    """Whether a limit meets the other side of the market now."""
    if quote.bid is None or quote.ask is None:
        return False
    return price >= quote.ask if side is Side.BUY else price <= quote.bid


def limit_price(
    plan: OrderPlan,
    quote: Quote,
    at: Step,
    policy: ExecutionPolicy,
    instrument: Instrument,
    model_bps: Decimal | None = None,
) -> Decimal:
    """Limit of a child: ``mid ± (half spread + buffer × (1 + step))``, inside the collar.

    ``model_bps`` narrows the offset to ``model × (1 + step)``. In an emergency the offset is at least the whole
    collar of the rung; a passive order stays at its own side of the market. Rounded to the tick on the side away
    from the collar, so rounding never breaches it.
    """
    pace = pace_of(plan.urgency, at.rounds, policy)
    if pace.is_passive:
        return _passive_price(plan, quote, instrument)
    mid, spread = quote.mid, quote.spread
    offset = spread / 2 + spread * policy.buffer_spread_fraction * (1 + at.step)
    if model_bps is not None and not pace.climbs:
        offset = min(offset, mid * model_bps * (1 + at.step) / _BPS)
    floor, ceiling = plan.price_floor, plan.price_ceiling
    if pace.climbs:
        width = _rung_width(plan, instrument, pace, at.step, policy)
        offset = max(offset, width)
        floor, ceiling = max(floor, plan.arrival_mid - width), min(ceiling, plan.arrival_mid + width)
    if plan.side is Side.BUY:
        return instrument.floor_to_tick(min(mid + offset, ceiling))
    return instrument.ceil_to_tick(max(mid - offset, floor))


def _rung_width(
    plan: OrderPlan, instrument: Instrument, pace: Pace, step: int, policy: ExecutionPolicy
) -> Decimal:
    multiple = pace.collar_multiple(step)
    return collar_width(plan.arrival_mid, instrument, policy, multiple, pace.minimum_ticks)


def _passive_price(plan: OrderPlan, quote: Quote, instrument: Instrument) -> Decimal:
    """Own side of the market, never meeting the other one, also where both stand at one price."""
    half = quote.spread / 2
    tick = instrument.tick_at(quote.mid)
    if plan.side is Side.BUY:
        own = min(quote.mid - half, quote.mid + half - tick)
        return instrument.floor_to_tick(min(own, plan.price_ceiling))
    own = max(quote.mid + half, quote.mid - half + tick)
    return instrument.ceil_to_tick(max(own, plan.price_floor))
