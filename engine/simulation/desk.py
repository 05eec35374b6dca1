"""The life of an order at the simulated broker: taken or refused, matched, cancelled, expired, and what is reported.

Every report reaches the customer some milliseconds after its cause. The delays follow from the account's seed and the
order's number alone, and the reports of one order never overtake one another.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from engine.model.instruments import Instrument
from engine.model.money import ZERO
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    Fill,
    OrderType,
    Side,
    TransportEvent,
    TransportEventKind,
)
from engine.model.spreads import NearLeg
from engine.simulation.account import AccountState, BrokerOrder, DepthTaken, FaultKind
from engine.simulation.bookkeeping import book_trade, charge_tax, commission, sequence_key
from engine.simulation.matching import (
    REFRESH,
    Match,
    Rejection,
    continuous_match,
    crosses,
    gives_back,
    latency,
    refresh_interval,
    refusal,
    schedule,
    spread_match,
)
from engine.simulation.terms import BrokerTerms

_WIRE_MS = (5, 40)
_REPORT_MS = (10, 120)
_CANCEL_MS = (15, 90)


def execution_id(number: int, correction: int = 1) -> str:
    """``SIM.<number>.<correction>``: a higher correction replaces the lower ones."""
    return f"SIM.{number:08d}.{correction:02d}"


def accept(state: AccountState, terms: BrokerTerms, child: ChildOrder) -> None:
    """Take an order or refuse it; a reference that was seen before is simply a second order."""
    now = state.head.virtual_time
    number = state.head.orders + 1
    state.head = replace(state.head, orders=number)
    refused = refusal(child, state, terms)
    arrival = now + latency(state.head.seed, f"wire|{number}", *_WIRE_MS)
    planned = refused or schedule(child, terms.instrument(child.contract_id), terms, arrival)
    taken = None if isinstance(planned, Rejection) else planned
    order = BrokerOrder(
        broker_order_id=sequence_key(number),
        child=child,
        status=ChildStatus.WORKING,
        accepted_at=now,
        next_match=None if taken is None else taken.first_match,
        expires_at=None if taken is None else taken.expires_at,
        auction_date=None if taken is None else taken.auction_date,
        cancel_at=None,
        last_event_at=now,
        completed_at=None,
    )
    if isinstance(planned, Rejection):
        _complete(state, order, ChildStatus.REJECTED, TransportEventKind.REJECTED, planned.text)
    else:
        _report(state, order, TransportEventKind.ACKNOWLEDGED, None, "")


def request_cancel(state: AccountState, terms: BrokerTerms, order_ref: str) -> None:
    """Ask for a cancel of every open order of a reference; it takes effect after its way to the exchange."""
    now = state.head.virtual_time
    known = [order for _, order in state.orders.items() if order.child.order_ref == order_ref]
    kept = ""
    for order in known:
        if not order.is_open or order.cancel_at is not None:
            continue
        if not gives_back(order, terms.instrument(order.child.contract_id), terms, now):
            kept = "the auction's cut-off has passed"
            continue
        delay = latency(state.head.seed, f"cancel|{order.broker_order_id}", *_CANCEL_MS)
        state.put_order(replace(order, status=ChildStatus.CANCEL_PENDING, cancel_at=now + delay))
    if not any(order.is_open for order in known):
        kept = f"the order is {known[-1].status.value if known else 'not known'}"
    if kept:
        enqueue(
            state,
            TransportEvent(
                kind=TransportEventKind.NOTICE,
                at=now + latency(state.head.seed, f"notice|{order_ref}", *_REPORT_MS),
                order_ref=order_ref,
                text=f"cancel refused: {kept}",
            ),
        )


def work(state: AccountState, terms: BrokerTerms, order: BrokerOrder) -> None:
    """Let happen what is due to an order now: its cancel, a match, the end of its life; in this order."""
    now = state.head.virtual_time
    if order.cancel_at is not None and order.cancel_at <= now:
        _complete(state, order, ChildStatus.CANCELLED, TransportEventKind.CANCELLED, "cancelled on request")
        return
    if order.next_match is not None and order.next_match <= now:
        order = _try_match(state, terms, order, now)
    if order.is_open and order.expires_at is not None and order.expires_at <= now:
        _complete(state, order, ChildStatus.EXPIRED, TransportEventKind.EXPIRED, "end of its life")


def cancel_for_split(state: AccountState, instrument_ids: list[str]) -> None:
    """Cancel open orders in shares that were split: their price and quantity mean something else now."""
    for order in state.open_orders():
        if order.child.contract_id in instrument_ids:
            _complete(
                state,
                order,
                ChildStatus.CANCELLED,
                TransportEventKind.CANCELLED,
                "cancelled by a corporate action",
            )


def enqueue(state: AccountState, event: TransportEvent) -> None:
    """Put a report into the customer's inbox; reports are read by time, then by their number."""
    state.head = replace(state.head, events=state.head.events + 1)
    state.inbox.put(f"{event.at:%Y%m%d%H%M%S.%f}|{sequence_key(state.head.events)}", event)


def _try_match(state: AccountState, terms: BrokerTerms, order: BrokerOrder, now: datetime) -> BrokerOrder:
    instrument = terms.instrument(order.child.contract_id)
    if order.child.near is not None:
        return _try_spread(state, terms, replace(order, next_match=now + REFRESH), order.child.near, now)
    if order.auction_date is not None:
        found = _auction_match(terms, instrument, order)
        upcoming = None
    else:
        found = _touch_match(state, terms, instrument, order, now)
        upcoming = now + REFRESH
    order = replace(order, next_match=upcoming)
    if found is None:
        state.put_order(order)
        return order
    return _execute(state, terms, order, found)


def _try_spread(
    state: AccountState, terms: BrokerTerms, order: BrokerOrder, near: NearLeg, now: datetime
) -> BrokerOrder:
    """Trade both legs or neither, in one commit; each leg is told as an execution of its own."""
    child = order.child
    ended = order.expires_at is not None and order.expires_at <= now
    legs = ((child.contract_id, child.side), (near.contract_id, child.side.opposite))
    found = None
    if not ended and not state.has_fault(FaultKind.UNMATCHED_SPREADS):
        found = spread_match(
            child,
            order.remaining,
            (terms.facts.quote(legs[0][0], now), terms.facts.quote(legs[1][0], now)),
            (_taken(state, *legs[0], now), _taken(state, *legs[1], now)),
            terms.instrument(child.contract_id).lot,
        )
    if found is None:
        state.put_order(order)
        return order
    for (contract_id, side), match in zip(legs, found, strict=True):
        _take(state, contract_id, side, now, match.quantity)
    return _execute(state, terms, order, *found)


def _taken(state: AccountState, contract_id: str, side: Side, now: datetime) -> Decimal:
    seen = state.depth.get(f"{contract_id}|{side.value}")
    return seen.quantity if seen is not None and seen.interval == refresh_interval(now) else ZERO


def _take(state: AccountState, contract_id: str, side: Side, now: datetime, quantity: Decimal) -> None:
    """What we took of a side is gone until the next refresh."""
    taken = _taken(state, contract_id, side, now) + quantity
    state.depth.put(f"{contract_id}|{side.value}", DepthTaken(interval=refresh_interval(now), quantity=taken))


def _touch_match(
    state: AccountState, terms: BrokerTerms, instrument: Instrument, order: BrokerOrder, now: datetime
) -> Match | None:
    if order.expires_at is not None and order.expires_at <= now:
        return None
    child = order.child
    taken = _taken(state, child.contract_id, child.side, now)
    quote = terms.facts.quote(child.contract_id, now)
    found = continuous_match(child, order.remaining, quote, taken, instrument.lot)
    if found is not None:
        _take(state, child.contract_id, child.side, now, found.quantity)
    return found


def _auction_match(terms: BrokerTerms, instrument: Instrument, order: BrokerOrder) -> Match | None:
    child = order.child
    if order.auction_date is None or order.next_match is None:
        return None
    if child.order_type is OrderType.LIMIT_ON_CLOSE:
        price = terms.facts.official_close(child.contract_id, order.auction_date)
    else:
        price = _opening_price(terms, instrument, child.contract_id, order.next_match)
    if price is None or not crosses(child.side, child.limit_price, price):
        return None
    return Match(price=price, quantity=order.remaining)


def _opening_price(
    terms: BrokerTerms, instrument: Instrument, contract_id: str, opening: datetime
) -> Decimal | None:
    """The first quote's mid on the tick grid: where a crossed opening book clears."""
    quote = terms.facts.quote(contract_id, opening)
    return None if quote is None or not quote.is_two_sided else instrument.floor_to_tick(quote.mid)


def _execute(
    state: AccountState, terms: BrokerTerms, order: BrokerOrder, found: Match, near: Match | None = None
) -> BrokerOrder:
    """Book what was matched: one execution, of a spread one for each leg at the leg's own price."""
    instrument, child = terms.instrument(order.child.contract_id), order.child
    filled = order.filled + found.quantity
    notional = order.notional + abs(instrument.notional(found.quantity, found.price))
    # The minimum is due once per order, so each execution pays what the whole order costs more by now.
    total = commission(terms.costs, instrument, filled, notional)
    fill = _booked(state, terms, child, (child.contract_id, child.side), found, total - order.charged)
    done = filled == child.quantity
    changed = replace(
        order,
        filled=filled,
        notional=notional,
        charged=total,
        status=ChildStatus.FILLED if done else order.status,
        completed_at=state.head.virtual_time if done else None,
    )
    if near is None or child.near is None:
        return _report(state, changed, TransportEventKind.FILL, fill, "")
    near_notional = order.near_notional + abs(instrument.notional(near.quantity, near.price))
    near_total = commission(terms.costs, instrument, filled, near_notional)
    leg = (child.near.contract_id, child.side.opposite)
    other = _booked(state, terms, child, leg, near, near_total - order.near_charged)
    changed = replace(changed, near_notional=near_notional, near_charged=near_total)
    changed = _report(state, changed, TransportEventKind.FILL, fill, "")
    return _report(state, changed, TransportEventKind.FILL, other, "")


def _booked(
    state: AccountState,
    terms: BrokerTerms,
    child: ChildOrder,
    leg: tuple[str, Side],
    found: Match,
    charge: Decimal,
) -> Fill:
    """An execution of one contract, in the account's books."""
    number = state.head.executions + 1
    state.head = replace(state.head, executions=number)
    instrument = terms.instrument(leg[0])
    fill = Fill(
        execution_id=execution_id(number),
        order_ref=child.order_ref,
        contract_id=leg[0],
        side=leg[1],
        quantity=found.quantity,
        price=found.price,
        executed_at=state.head.virtual_time,
        commission=charge,
        commission_currency=instrument.currency,
    )
    state.executions.put(fill.execution_id, fill)
    book_trade(state, instrument, fill)
    charge_tax(state, terms.costs, instrument, fill)
    return fill


def _complete(
    state: AccountState, order: BrokerOrder, status: ChildStatus, kind: TransportEventKind, text: str
) -> None:
    ended = replace(order, status=status, completed_at=state.head.virtual_time)
    _report(state, ended, kind, None, text)


def _report(
    state: AccountState, order: BrokerOrder, kind: TransportEventKind, fill: Fill | None, text: str
) -> BrokerOrder:
    cause = f"{kind.value}|{order.broker_order_id}|{order.filled}"
    sent = state.head.virtual_time + latency(state.head.seed, cause, *_REPORT_MS)
    at = max(sent, order.last_event_at + timedelta(milliseconds=1))
    order = replace(order, last_event_at=at)
    state.put_order(order)
    filled = None if order.is_open else order.filled
    ref = order.child.order_ref
    enqueue(state, TransportEvent(kind=kind, at=at, order_ref=ref, fill=fill, text=text, filled=filled))
    return order
