"""The exchange's rules: which orders it takes, when it looks at them, and what they trade against a quote.

A continuous order must arrive while its venue trades; it is matched on arrival and every five seconds while it
rests, at the touch, up to the size shown there and never beyond its limit. What we took of a side is gone until the
next refresh. Auction orders (LOC, LOO) wait for their session and trade in full at the auction's price.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.errors import UnknownContract
from engine.model.instruments import Instrument, InstrumentType, VenueGroup
from engine.model.market import Quote
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, OrderType, Side
from engine.sessions import Session
from engine.simulation.account import AccountState, BrokerOrder, FaultKind
from engine.simulation.margin import excess_at_closes, margin_requirement
from engine.simulation.terms import BrokerTerms

REFRESH = timedelta(seconds=5)
AUCTIONS = frozenset({OrderType.LIMIT_ON_CLOSE, OrderType.LIMIT_ON_OPEN})
_CUTOFFS: Mapping[tuple[VenueGroup, OrderType], timedelta] = {
    # New York's own: 15:50 for the close, 9:28 for the open. Elsewhere orders go in until the auction.
    (VenueGroup.US, OrderType.LIMIT_ON_CLOSE): timedelta(minutes=10),
    (VenueGroup.US, OrderType.LIMIT_ON_OPEN): timedelta(minutes=2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What an order trades now."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When the exchange first looks at an accepted order and when the order ends."""

    first_match: datetime
    expires_at: datetime
    auction_date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why an order was not taken."""

    text: str


def latency(seed: int, key: str, fastest_ms: int, slowest_ms: int) -> timedelta:
    """Delay of one message: a function of seed and key alone, in whole milliseconds."""
    drawn = hashlib.blake2b(f"{seed}|{key}".encode(), digest_size=8).digest()
    return timedelta(milliseconds=fastest_ms + int.from_bytes(drawn, "big") % (slowest_ms - fastest_ms + 1))


def refresh_interval(at: datetime) -> int:
    """Number of the five-second interval of a time: shown depth is renewed with each."""
    return int(at.timestamp() // REFRESH.total_seconds())


def crosses(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Whether a price is as good as the limit or better."""
    return price <= limit if side is Side.BUY else price >= limit


def continuous_match(
    child: ChildOrder, remaining: Decimal, quote: Quote | None, taken: Decimal, lot: Decimal
) -> Match | None:
    """Trade against the touch: whole lots up to the size shown less what was taken already."""
    met = touch(child.side, quote)
    if met is None or not crosses(child.side, child.limit_price, met.price):
        return None
    quantity = min(remaining, (max(ZERO, met.quantity - taken) // lot) * lot)
    return replace(met, quantity=quantity) if quantity > 0 else None


def spread_match(
    child: ChildOrder,
    remaining: Decimal,
    quotes: tuple[Quote | None, Quote | None],
    taken: tuple[Decimal, Decimal],
    lot: Decimal,
) -> tuple[Match, Match] | None:
    """Trade both legs of a calendar spread against their touches, or neither; far leg first, then the near one.

    The exchange's own quote of the spread is the legs' combined: the limit bounds the difference of their prices.
    """
    far, near = (
        touch(side, quote) for side, quote in zip((child.side, child.side.opposite), quotes, strict=True)
    )
    if far is None or near is None or not crosses(child.side, child.limit_price, far.price - near.price):
        return None
    shown = min(far.quantity - taken[0], near.quantity - taken[1])
    quantity = min(remaining, (max(ZERO, shown) // lot) * lot)
    if quantity <= 0:
        return None
    return replace(far, quantity=quantity), replace(near, quantity=quantity)


def touch(side: Side, quote: Quote | None) -> Match | None:
    """Price and size that an order of a side meets, ``None`` without a market of two sides."""
    if quote is None or not quote.is_two_sided:
        return None
    price, size = (quote.ask, quote.ask_size) if side is Side.BUY else (quote.bid, quote.bid_size)
    return None if price is None else Match(price=price, quantity=size)


def schedule(
    child: ChildOrder, instrument: Instrument, terms: BrokerTerms, arrival: datetime
) -> Schedule | Rejection:
    """Place an order in its session; an auction order may wait for the next one."""
    sessions, venue = terms.facts.sessions, instrument.venue
    current = sessions.in_session(venue, arrival)
    if child.order_type not in AUCTIONS:
        if current is None:
            return Rejection(text=f"{venue} is closed")
        return Schedule(
            first_match=arrival, expires_at=min(child.good_till, current.close), auction_date=None
        )
    at_close = child.order_type is OrderType.LIMIT_ON_CLOSE
    session = current if at_close and current is not None else _next_open(terms, venue, arrival)
    auction = session.close if at_close else session.open
    if child.good_till < auction:
        return Rejection(text=f"good till {child.good_till:%Y-%m-%d %H:%M:%S}Z ends before the auction")
    if arrival >= auction - _cutoff(child.order_type, instrument):
        return Rejection(text=f"{venue} takes no more orders into its auction at {auction:%H:%M}Z")
    held = auction + terms.auctions_moved
    return Schedule(first_match=held, expires_at=held, auction_date=session.session_date)


def _cutoff(order_type: OrderType, instrument: Instrument) -> timedelta:
    return _CUTOFFS.get((instrument.venue_group, order_type), timedelta(0))


def gives_back(order: BrokerOrder, instrument: Instrument, terms: BrokerTerms, now: datetime) -> bool:
    """Whether the exchange still cancels an order: after its cut-off an auction gives nothing back."""
    if order.auction_date is None or order.expires_at is None:
        return True
    auction = order.expires_at - terms.auctions_moved
    return now < auction - _cutoff(order.child.order_type, instrument)


def _next_open(terms: BrokerTerms, venue: str, at: datetime) -> Session:
    sessions = terms.facts.sessions
    session = sessions.session(venue, at.date()) or sessions.next(venue, at.date())
    while session.open < at:
        session = sessions.next(venue, session.session_date)
    return session


def refusal(child: ChildOrder, state: AccountState, terms: BrokerTerms) -> Rejection | None:
    """First rule that an order breaks when it comes in, ``None`` when it is welcome."""
    try:
        contract = terms.facts.contract(child.contract_id)
        instrument = terms.universe[contract.instrument_id]
    except UnknownContract:
        return Rejection(text=f"no security definition for {child.contract_id}")
    now = state.head.virtual_time
    if child.order_type is OrderType.MARKET:
        return Rejection(text="market orders are not accepted")
    if contract.last_trade_date is not None and contract.last_trade_date < now.date():
        return Rejection(text=f"{child.contract_id} stopped trading on {contract.last_trade_date}")
    if child.good_till <= now:
        return Rejection(text=f"good till {child.good_till:%Y-%m-%d %H:%M:%S}Z has passed")
    if child.near is not None:
        return _refused_spread(child, child.near.contract_id, instrument, state, terms) or _malformed(
            child, instrument
        )
    return _malformed(child, instrument) or _unaffordable(child, instrument, state, terms)


def _refused_spread(
    child: ChildOrder, near_id: str, instrument: Instrument, state: AccountState, terms: BrokerTerms
) -> Rejection | None:
    """A spread is one of a listed instrument, of two of its contracts that still trade, and needs margin like any order.

    The far leg takes margin and the near one gives back that of what it closes.
    """
    if state.has_fault(FaultKind.REFUSED_SPREADS):
        return Rejection(text=f"no calendar spreads of {instrument.instrument_id} are taken today")
    if not instrument.calendar_spread:
        return Rejection(text=f"no calendar spread of {instrument.instrument_id} is listed")
    try:
        near = terms.facts.contract(near_id)
    except UnknownContract:
        return Rejection(text=f"no security definition for {near_id}")
    if near.instrument_id != instrument.instrument_id:
        return Rejection(text=f"{near_id} and {child.contract_id} are no expiries of one instrument")
    if near.last_trade_date is not None and near.last_trade_date < state.head.virtual_time.date():
        return Rejection(text=f"{near_id} stopped trading on {near.last_trade_date}")
    return _short_of_margin(child, instrument, state, terms)


def _malformed(child: ChildOrder, instrument: Instrument) -> Rejection | None:
    if child.quantity <= 0 or child.quantity % instrument.lot != 0:
        return Rejection(
            text=f"quantity {child.quantity} is no positive multiple of the lot {instrument.lot}"
        )
    if child.limit_price <= 0 and not instrument.is_future:
        return Rejection(text=f"limit price {child.limit_price} must be positive")
    tick = instrument.tick_at(child.limit_price)
    if child.limit_price % tick != 0:
        return Rejection(text=f"limit price {child.limit_price} does not conform to the tick {tick}")
    return None


def _unaffordable(
    child: ChildOrder, instrument: Instrument, state: AccountState, terms: BrokerTerms
) -> Rejection | None:
    held = state.quantity(child.contract_id)
    after = held + child.quantity * child.side.sign
    lends_shares = instrument.kind in (InstrumentType.STK, InstrumentType.ETF)
    if child.side is Side.SELL and lends_shares:
        selling = sum(
            (
                order.remaining
                for order in state.open_orders()
                if order.child.contract_id == child.contract_id and order.child.side is Side.SELL
            ),
            ZERO,
        )
        day = state.head.virtual_time.date()
        if after - selling < 0 and not terms.facts.borrow_available(instrument.instrument_id, day):
            return Rejection(text=f"no shares of {instrument.instrument_id} to borrow")
    if abs(after) <= abs(held) and held * after >= 0:
        return None
    return _short_of_margin(child, instrument, state, terms)


def _short_of_margin(
    child: ChildOrder, instrument: Instrument, state: AccountState, terms: BrokerTerms
) -> Rejection | None:
    fx = terms.facts.fx(state.head.virtual_time)
    excess = excess_at_closes(state, terms, fx)
    change = child.quantity * child.side.sign
    if child.near is None or child.arrival_mid is None:
        legs = [(child.contract_id, change, child.limit_price)]
    else:
        near = child.near
        legs = [
            (child.contract_id, change, child.arrival_mid),
            (near.contract_id, -change, near.arrival_mid),
        ]
    added = sum((_added_margin(leg, instrument, state, terms) for leg in legs), ZERO)
    needed = fx.to_base(added, instrument.currency)
    if needed <= excess:
        return None
    return Rejection(text=f"insufficient margin: {needed:.2f} USD needed, {excess:.2f} USD available")


def _added_margin(
    leg: tuple[str, Decimal, Decimal],
    instrument: Instrument,
    state: AccountState,
    terms: BrokerTerms,
) -> Decimal:
    """Margin that a signed change of a contract at a price takes beyond what is held."""
    contract_id, change, price = leg
    contract, held = terms.facts.contract(contract_id), state.quantity(contract_id)
    added = margin_requirement(instrument, contract, held + change, price)
    if held != 0:
        mark = terms.required_closing(contract_id, state.head.virtual_time)
        added -= margin_requirement(instrument, contract, held, mark)
    return added
