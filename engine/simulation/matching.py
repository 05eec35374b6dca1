"""The exchange's rules: which orders it takes, when it looks at them, and what they trade against a quote.

A continuous order must arrive while its venue trades; it is matched on arrival and every five seconds while it
rests, at the touch, up to the size shown there and never beyond its limit. What we took of a side is gone until the
next refresh. Auction orders (LOC, LOO) wait for their session and trade in full at the auction's price.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.errors import UnknownContract
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import Quote
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, OrderType, Side
from engine.sessions import Session
from engine.simulation.account import AccountState
from engine.simulation.margin import closing_marks, margin_requirement, margin_total, net_liquidation
from engine.simulation.terms import BrokerTerms

REFRESH = timedelta(seconds=5)
AUCTIONS = frozenset({OrderType.LIMIT_ON_CLOSE, OrderType.LIMIT_ON_OPEN})


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
    if quote is None or not quote.is_two_sided:
        return None
    price, size = (quote.ask, quote.ask_size) if child.side is Side.BUY else (quote.bid, quote.bid_size)
    if price is None or not crosses(child.side, child.limit_price, price):
        return None
    quantity = min(remaining, (max(ZERO, size - taken) // lot) * lot)
    return Match(price=price, quantity=quantity) if quantity > 0 else None


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
    return Schedule(first_match=auction, expires_at=auction, auction_date=session.session_date)


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
    return _malformed(child, instrument) or _unaffordable(child, instrument, state, terms)


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
    contract, held = terms.facts.contract(child.contract_id), state.quantity(child.contract_id)
    marks, fx = closing_marks(state, terms), terms.facts.fx(state.head.virtual_time)
    excess = net_liquidation(state, terms, marks, fx) - margin_total(state, terms, marks, fx)
    after = held + child.quantity * child.side.sign
    added = margin_requirement(instrument, contract, after, child.limit_price)
    if held != 0:
        added -= margin_requirement(instrument, contract, held, marks[child.contract_id])
    needed = fx.to_base(added, instrument.currency)
    if needed <= excess:
        return None
    return Rejection(text=f"insufficient margin: {needed:.2f} USD needed, {excess:.2f} USD available")
