"""Parents being worked, the events that wait for them, and the steps of one moment.

All events that are there take their steps before anything is done about them, so that what they change is journaled
at once. A parent that asked for a quote or for the send gate's answer takes no other step before it has it.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import NamedTuple

from engine.errors import FundError
from engine.execution import ticket as t
from engine.execution.lifecycle import step
from engine.model.orders import ChildOrder, TransportEvent
from engine.model.policy import ExecutionPolicy
from engine.model.spreads import NearLeg

_ASKING = (t.RequestQuote, t.ClaimAndSend)
"""Commands whose answer a parent waits for."""


class Moment(NamedTuple):
    """What the steps of one moment change and command, in order; ``error`` is what the last of them raised."""

    changes: tuple[t.RecordStatus, ...]
    commands: tuple[tuple[str, t.Outward], ...]
    error: FundError | None


class Inbox:
    """Tickets by the ids of their parents, whose order is whose, and what the parents have not been told yet."""

    def __init__(self) -> None:
        self.tickets: dict[str, t.OrderTicket] = {}
        self._events: deque[tuple[str, t.Event]] = deque()
        self._held: dict[str, list[tuple[str, t.Event]]] = {}
        self._at_work: set[str] = set()
        self._in_doubt: set[str] = set()
        self._routes: dict[str, str] = {}
        self._near: dict[str, NearLeg] = {}
        self._early: dict[str, list[TransportEvent]] = {}

    @property
    def has_events(self) -> bool:
        """Whether a step is due."""
        return bool(self._events)

    @property
    def has_orders(self) -> bool:
        """Whether any parent has a child alive."""
        return bool(self._at_work)

    @property
    def in_doubt(self) -> bool:
        """Whether any parent waits for the executions of an end, or has a child whose outcome is not known."""
        return bool(self._in_doubt)

    @property
    def misses_executions(self) -> bool:
        """Whether any child's end told more than its executions sum to."""
        return any(self.tickets[name].state.misses_executions for name in self._in_doubt)

    @property
    def cancelling(self) -> tuple[str, ...]:
        """Parents whose cancel is not confirmed yet."""
        return tuple(
            name for name in sorted(self._at_work) if self.tickets[name].state.phase is t.Phase.CANCELLING
        )

    def route(self, child: ChildOrder) -> None:
        """Remember whose child an order is, and whose the near leg of a spread."""
        self._routes[child.order_ref] = child.intent_id
        if child.near is not None:
            self._near[child.order_ref] = child.near

    def expect(self, child: ChildOrder) -> None:
        """Keep what is told of an order whose parent begins later; its executions are in the book by then."""
        self._early.setdefault(child.order_ref, [])

    def tell_early(self, child: ChildOrder) -> None:
        """Let a parent that has begun know what its order was told before."""
        for message in self._early.pop(child.order_ref, ()):
            self.put_message(message)

    def parent_of(self, order_ref: str | None) -> t.OrderTicket | None:
        """Who works an order, ``None`` when nobody here does."""
        intent_id = self._routes.get(order_ref or "")
        return None if intent_id is None else self.tickets[intent_id]

    def put_message(self, message: TransportEvent) -> bool:
        """Let the parents of a message's order know; ``False`` when nobody here works it."""
        intent_id, near = self._routes.get(message.order_ref or ""), self._near.get(message.order_ref or "")
        if intent_id is None:
            early = self._early.get(message.order_ref or "")
            if early is not None and message.fill is None:
                early.append(message)
            return early is not None
        if near is not None and message.fill is not None and message.fill.contract_id == near.contract_id:
            self.put(near.intent_id, t.Broker(message))
        self.put(intent_id, t.Broker(message))
        return True

    def put(self, intent_id: str, event: t.Event) -> None:
        """Let a parent know of something."""
        self._events.append((intent_id, event))

    def answer(self, intent_id: str, *events: t.Event) -> None:
        """Give a parent what it asked for, before all that came meanwhile."""
        self._events.extend((intent_id, event) for event in events)
        self._events.extend(self._held.pop(intent_id, ()))

    def take_steps(self, now: datetime, policy: ExecutionPolicy) -> Moment:
        """Step every event that waits; a step that is not allowed ends the moment, what came before it stands."""
        changes: list[t.RecordStatus] = []
        commands: list[tuple[str, t.Outward]] = []
        while self._events:
            intent_id, event = self._events.popleft()
            if (held := self._held.get(intent_id)) is not None:
                held.append((intent_id, event))
                continue
            try:
                before = self.tickets[intent_id]
                ticket, answer = step(before, event, now, policy)
            except FundError as error:
                return Moment(tuple(changes), tuple(commands), error)
            if ticket is not before:
                self._keep(intent_id, ticket)
            for command in answer:
                if isinstance(command, t.RecordStatus):
                    changes.append(command)
                    continue
                if isinstance(command, _ASKING):
                    self._held[intent_id] = []
                commands.append((intent_id, command))
        return Moment(tuple(changes), tuple(commands), None)

    def _keep(self, intent_id: str, ticket: t.OrderTicket) -> None:
        self.tickets[intent_id] = ticket
        if ticket.state.child is None:
            self._at_work.discard(intent_id)
        else:
            self._at_work.add(intent_id)
        if ticket.state.unknown or ticket.state.ending is not None:
            self._in_doubt.add(intent_id)
        else:
            self._in_doubt.discard(intent_id)
