"""News of the broker: the messages of a moment, and executions that no message told.

A message may be lost while the line is down, and its order's end may come without it. The list is therefore read on
a timer while orders work or their outcome is in doubt, and sooner where an end told more than its executions sum to.
Reading is free of effects: it may be asked as often as one likes, and an answer that does not come is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from engine.errors import BrokerUnavailable
from engine.execution.outcome import ExecutionWorld
from engine.execution.strangers import is_own
from engine.model.orders import Fill, TransportEvent, TransportEventKind
from engine.ports import OrderBook

MOST_AT_ONCE = 500
"""Messages that are taken, and journaled, together at most."""


def unheard(listed: Sequence[Fill], book: OrderBook) -> list[Fill]:
    """Of listed executions those of ours that are not booked, and all of somebody else's, in the order of their times."""
    own, others = list[Fill](), list[Fill]()
    for fill in listed:
        (own if is_own(fill) else others).append(fill)
    found = [*(book.unbooked(own) if own else ()), *others]
    return sorted(found, key=lambda fill: (fill.executed_at, fill.execution_id))


class News:
    """The line's messages, the timer of the list, and which of its executions were seen before.

    ``look_at`` is when the list is read next, ``None`` while nothing works.
    """

    def __init__(self, world: ExecutionWorld, alarm: Callable[[str, str], None]) -> None:
        self._transport, self._book, self._alarm = world.transport, world.book, alarm
        self._seconds = timedelta(seconds=world.reread_seconds)
        self._patience = timedelta(seconds=world.message_patience_seconds)
        self._seen: set[str] = set()
        self.look_at: datetime | None = None
        self._is_missing = False

    def take(self, until: datetime) -> tuple[list[TransportEvent], BrokerUnavailable | None]:
        """Messages up to a time, and what broke the line after them: they are booked first, and nothing leaves then."""
        transport, messages = self._transport, list[TransportEvent]()
        message = transport.next_event(until)
        while message is not None:
            messages.append(message)
            if len(messages) == MOST_AT_ONCE:
                break
            try:
                message = transport.next_event(transport.now())
            except BrokerUnavailable as error:
                return messages, error
        return messages, None

    def missed(self, now: datetime, *, working: bool, missing: bool) -> list[TransportEvent]:
        """Messages that should have come, in the order of their executions; nearly always none.

        ``working`` says that orders work or are in doubt, ``missing`` that an end waits for its executions.
        """
        if not self._is_due(now, working=working, missing=missing):
            return []
        try:
            listed = self._transport.executions()
        except BrokerUnavailable as error:
            self._alarm("", f"the broker's executions could not be read: {error}")
            return []
        new = [fill for fill in listed if fill.execution_id not in self._seen]
        self._seen.update(fill.execution_id for fill in new)
        return [
            TransportEvent(
                kind=TransportEventKind.FILL, at=now, order_ref=fill.order_ref, fill=fill, text="read"
            )
            for fill in unheard(new, self._book)
        ]

    def _is_due(self, now: datetime, *, working: bool, missing: bool) -> bool:
        """Whether to look now; the first look comes an interval after the first order."""
        if not working and not missing:
            self.look_at, self._is_missing = None, False
            return False
        if self.look_at is None:
            self.look_at = now + self._seconds
        if missing and not self._is_missing:
            self.look_at = min(self.look_at, now + self._patience)
        self._is_missing = missing
        if now < self.look_at:
            return False
        self.look_at = now + (self._patience if missing else self._seconds)
        return True
