"""The order loop beside the classic design, which asks again and again: processor time, and how late each hears.

A polling loop asks at every interval, of every order that works, how it stands (an object of the broker's) and what
its market is (a quote), looks at its clocks, and acts on what changed. It decides by the same pure step, with every
transition checked, so that only the way in which news is found differs. Its broker answers at once: with objects of
its memory, or off the line, where both loops read every message of the protocol that they are told or asked for.
The way there and back, which a real broker adds to every question, is counted and costs nothing here.

The orders begin at phases spread over five seconds, are acknowledged a tenth of a second later, are looked at every
15 s, and are filled whole between 20 and 110 s later: 1 + 2 * looks + 1 events each.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.order_loop.lives import INSTRUMENT, POLICY, child_of, parents_of, whole_fill, wide_market
from benchmarks.order_loop.wire import Line, fill_frames, quote_frames, status_frames
from engine.execution import ticket as t
from engine.execution.inbox import Inbox
from engine.model.market import Quote
from engine.model.money import ZERO
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    Fill,
    OpenOrder,
    OrderIntent,
    TransportEvent,
    TransportEventKind,
)
from engine.ports import GateOutcome
from tests.engine.execution.market import NOON

ACKNOWLEDGED_SECONDS, PHASES_SECONDS = 0.1, 5.0
FIRST_FILL_SECONDS, LAST_FILL_SECONDS = 20.0, 110.0
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly: every order has its own phase and its own life."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Of one loop: events taken, their processor time, questions to the broker, and mean seconds to hear of news."""

    events: int
    seconds: float
    questions: int
    mean_delay_seconds: float
    fills: frozenset[Fill]

    @property
    def rate(self) -> float:
        """Events a processor second."""
        return self.events / self.seconds


class _Venue:
    """What becomes of every order, and when. ``off_the_line``: whoever is told reads the messages that say it."""

    def __init__(
        self, children: Sequence[ChildOrder], begins: Sequence[datetime], *, off_the_line: bool
    ) -> None:
        self.begins = {child.intent_id: begin for child, begin in zip(children, begins, strict=True)}
        self._line = Line() if off_the_line else None
        self._states: dict[tuple[str, ChildStatus], tuple[bytes, ...]] = {}
        self._executions: dict[str, tuple[bytes, ...]] = {}
        self._quote_frames = quote_frames(wide_market(NOON))
        self._market = wide_market(NOON)
        self._acknowledged: dict[str, datetime] = {}
        self._fills: dict[str, Fill] = {}
        self._children = {child.order_ref: child for child in children}
        self.questions = 0
        for place, (child, begin) in enumerate(zip(children, begins, strict=True)):
            life = FIRST_FILL_SECONDS + (LAST_FILL_SECONDS - FIRST_FILL_SECONDS) * (place * GOLDEN**2 % 1)
            self._acknowledged[child.order_ref] = begin + timedelta(seconds=ACKNOWLEDGED_SECONDS)
            self._fills[child.order_ref] = whole_fill(child, begin + timedelta(seconds=life))
            self._write_frames(place + 1, child)

    def _write_frames(self, number: int, child: ChildOrder) -> None:
        if self._line is None:
            return
        ref, whole = child.order_ref, f"{child.quantity}"
        for status, name, filled in (
            (ChildStatus.SENDING, "PreSubmitted", "0"),
            (ChildStatus.WORKING, "Submitted", "0"),
            (ChildStatus.FILLED, "Filled", whole),
        ):
            self._states[ref, status] = status_frames(number, child, name, filled)
        self._executions[ref] = fill_frames(number, self._fills[ref])

    def read(self, event: t.Broker) -> None:
        """Take off the line what the broker tells unasked: that it took an order, or an execution with its end."""
        if self._line is None or (ref := event.event.order_ref) is None:
            return
        if event.event.fill is None:
            self._line.hear(self._states[ref, ChildStatus.WORKING])
        else:
            self._line.hear(self._executions[ref])
            self._line.hear(self._states[ref, ChildStatus.FILLED])

    def messages(self) -> list[tuple[datetime, str, t.Event]]:
        """Everything that the broker tells, with its time and its parent."""
        kind = TransportEventKind.ACKNOWLEDGED
        told = [
            (at, self._children[ref].intent_id, t.Broker(TransportEvent(kind=kind, at=at, order_ref=ref)))
            for ref, at in self._acknowledged.items()
        ]
        filled = [
            (fill.executed_at, self._children[ref].intent_id, filled_event(fill))
            for ref, fill in self._fills.items()
        ]
        return [*told, *filled]

    def status(self, ref: str, now: datetime) -> OpenOrder:
        """How an order stands."""
        self.questions += 1
        child, fill = self._children[ref], self._fills[ref]
        status, filled = ChildStatus.SENDING, ZERO
        if now >= fill.executed_at:
            status, filled = ChildStatus.FILLED, fill.quantity
        elif now >= self._acknowledged[ref]:
            status = ChildStatus.WORKING
        if self._line is not None:
            self._line.hear(self._states[ref, status])
        return OpenOrder(
            order_ref=ref,
            broker_order_id=ref,
            contract_id=child.contract_id,
            side=child.side,
            quantity=child.quantity,
            filled=filled,
            limit_price=child.limit_price,
            status=status,
        )

    def execution(self, ref: str) -> Fill:
        """The execution of an order that was filled."""
        self.questions += 1
        if self._line is not None:
            self._line.hear(self._executions[ref])
        return self._fills[ref]

    def acknowledged_at(self, ref: str) -> datetime:
        """When the broker took an order."""
        return self._acknowledged[ref]

    def quote(self, now: datetime) -> Quote:
        """The market, which stands still."""
        self.questions += 1
        if self._line is not None:
            self._line.hear(self._quote_frames)
        market = self._market
        return Quote(
            contract_id=market.contract_id,
            observed_at=now,
            bid=market.bid,
            ask=market.ask,
            bid_size=market.bid_size,
            ask_size=market.ask_size,
            last=market.last,
            close=market.close,
            source=market.source,
        )


def filled_event(fill: Fill) -> t.Broker:
    """What the broker tells of an execution."""
    kind = TransportEventKind.FILL
    return t.Broker(TransportEvent(kind=kind, at=fill.executed_at, order_ref=fill.order_ref, fill=fill))


# ---------------------------------------------------------------- both begin alike


def _begun(
    parents: Sequence[OrderIntent], *, off_the_line: bool
) -> tuple[Inbox, _Venue, list[tuple[datetime, str, t.Event]]]:
    """Every parent with an order that was sent at its own phase, and the clocks that it set."""
    inbox, clocks, begins = Inbox(), list[tuple[datetime, str, t.Event]](), list[datetime]()
    for place, one in enumerate(parents):
        at = NOON + timedelta(seconds=PHASES_SECONDS * (place * GOLDEN % 1))
        core = t.OrderCore(
            intent=one, instrument=INSTRUMENT, window_end=NOON + timedelta(hours=1), quantity=one.quantity
        )
        inbox.tickets[one.intent_id] = t.new_ticket(core)
        inbox.put(one.intent_id, t.Start())
        found = inbox.take_steps(at, POLICY)
        clocks += _clocks(found.commands)
        for event in (t.QuoteArrived(wide_market(at)), t.ClaimResult(GateOutcome.CLAIMED)):
            inbox.answer(one.intent_id, event)
            clocks += _clocks(inbox.take_steps(at, POLICY).commands)
        begins.append(at)
    children = [child_of(inbox, name) for name in inbox.tickets]
    return inbox, _Venue(children, begins, off_the_line=off_the_line), clocks


def _clocks(commands: Sequence[tuple[str, t.Outward]]) -> list[tuple[datetime, str, t.Event]]:
    return [
        (command.at, name, t.Deadline(command.kind, command.at))
        for name, command in commands
        if isinstance(command, t.SetDeadline)
    ]


def _fills(inbox: Inbox) -> frozenset[Fill]:
    left = [name for name, ticket in inbox.tickets.items() if not ticket.is_done]
    if left:
        raise RuntimeError(f"expected every order to be filled, found {len(left)} open")
    return frozenset(fill for ticket in inbox.tickets.values() for fill in ticket.state.fills.values())


# ---------------------------------------------------------------- told of everything


def driven(number: int, *, off_the_line: bool = False) -> Measured:
    """The loop that is told: messages and deadlines wait in one heap, and nothing is asked but what a step wants."""
    inbox, venue, clocks = _begun(parents_of(number), off_the_line=off_the_line)
    pending = [
        (at, place, name, event) for place, (at, name, event) in enumerate([*venue.messages(), *clocks])
    ]
    heapq.heapify(pending)
    events, pushed, open_ = 0, len(pending), len(inbox.tickets)
    began = time.process_time()
    while open_:
        at, _, name, event = heapq.heappop(pending)
        if isinstance(event, t.Broker):
            venue.read(event)
        inbox.put(name, event)
        events += 1
        while inbox.has_events:
            for asker, command in inbox.take_steps(at, POLICY).commands:
                if isinstance(command, t.SetDeadline):
                    pushed += 1
                    later = t.Deadline(command.kind, command.at)
                    heapq.heappush(pending, (command.at, pushed, asker, later))
                elif isinstance(command, t.RequestQuote):
                    inbox.answer(asker, t.QuoteArrived(venue.quote(at)))
                    events += 1
                elif isinstance(command, t.Finish):
                    open_ -= 1
    spent = time.process_time() - began
    return Measured(
        events=events, seconds=spent, questions=venue.questions, mean_delay_seconds=0.0, fills=_fills(inbox)
    )


# ---------------------------------------------------------------- asking for everything


class _Poller:
    """The loop that asks. ``always_quotes`` says that it asks for the market at each look, not only to price."""

    def __init__(self, inbox: Inbox, venue: _Venue, *, always_quotes: bool) -> None:
        self._inbox, self._venue, self._always_quotes = inbox, venue, always_quotes
        self.events, self.late, self.told = 0, 0.0, 0

    def look(self, name: str, now: datetime) -> bool:
        """One look at one order; whether it still works."""
        state = self._inbox.tickets[name].state
        child = state.child
        if child is None:
            return False
        update = self._venue.status(child.order_ref, now)
        quote = self._venue.quote(now) if self._always_quotes else None
        if state.status is ChildStatus.SENDING and update.status is not ChildStatus.SENDING:
            self._acknowledge(name, child.order_ref, now)
        if update.filled > state.child_filled:
            fill = self._venue.execution(child.order_ref)
            self._news(fill.executed_at, now)
            self._take(name, filled_event(fill), now)
            return False
        for kind, at in (
            (t.DeadlineKind.REPRICE, state.reprice_at),
            (t.DeadlineKind.TIME_TO_LIVE, state.expires_at),
        ):
            if at is not None and at <= now:
                self._clock(name, t.Deadline(kind, at), quote, now)
        return True

    def _acknowledge(self, name: str, ref: str, now: datetime) -> None:
        at, kind = self._venue.acknowledged_at(ref), TransportEventKind.ACKNOWLEDGED
        self._news(at, now)
        self._take(name, t.Broker(TransportEvent(kind=kind, at=at, order_ref=ref)), now)

    def _clock(self, name: str, event: t.Deadline, quote: Quote | None, now: datetime) -> None:
        for _, command in self._take(name, event, now):
            if isinstance(command, t.RequestQuote):
                self._inbox.answer(name, t.QuoteArrived(quote or self._venue.quote(now)))
                self._inbox.take_steps(now, POLICY)
                self.events += 1

    def _take(self, name: str, event: t.Event, now: datetime) -> Sequence[tuple[str, t.Outward]]:
        self._inbox.put(name, event)
        self.events += 1
        return self._inbox.take_steps(now, POLICY).commands

    def _news(self, happened: datetime, now: datetime) -> None:
        self.late += (now - happened).total_seconds()
        self.told += 1


def polled(
    number: int, interval_seconds: float, *, always_quotes: bool = True, off_the_line: bool = False
) -> Measured:
    """The loop that asks every order at every interval, until all are filled."""
    inbox, venue, _ = _begun(parents_of(number), off_the_line=off_the_line)
    poller = _Poller(inbox, venue, always_quotes=always_quotes)
    to_come = sorted(((begin, name) for name, begin in venue.begins.items()), reverse=True)
    working, now, interval = list[str](), NOON, timedelta(seconds=interval_seconds)
    began = time.process_time()
    while working or to_come:
        while to_come and to_come[-1][0] <= now:
            working.append(to_come.pop()[1])
        working = [name for name in working if poller.look(name, now)]
        now += interval
    spent = time.process_time() - began
    return Measured(
        events=poller.events,
        seconds=spent,
        questions=venue.questions,
        mean_delay_seconds=poller.late / poller.told,
        fills=_fills(inbox),
    )
