"""What the line says is taken in while orders work, and no message of an order is held back or lost for it."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest

from engine.errors import BrokerUnavailable
from engine.model.orders import TransportEvent, TransportEventKind
from engine.ports import OrderTransport
from tasks.adapters.guarded_transport import PAUSE_SECONDS, HeardTransport

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=5)
LOST, AGAIN = "the line was lost", "the line is back"


def event(name: str) -> TransportEvent:
    return TransportEvent(kind=TransportEventKind.CANCELLED, at=NOON, order_ref=name, text="")


class Rig:
    """A line, a book that may be locked, and everything in the order in which it happened."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.alarms: list[str] = []
        self.messages: deque[TransportEvent | Exception] = deque()
        self.during_wait: list[str] = []
        self.is_locked, self.seconds, self.try_seconds = False, 1000.0, 0.0
        line = Mock(spec=OrderTransport)
        line.now.return_value = NOON
        line.next_event.side_effect = self.next_of_line
        self.heard = HeardTransport(line, self.take_in, seconds=lambda: self.seconds)

    def next_of_line(self, until: datetime) -> TransportEvent | None:
        if not self.messages:
            if until > NOON:
                self.happened.append("waited")
                self.alarms += self.during_wait
                self.during_wait = []
            return None
        message = self.messages.popleft()
        if isinstance(message, Exception):
            raise message
        return message

    def take_in(self) -> bool:
        if self.is_locked and self.alarms:
            self.seconds += self.try_seconds
            self.happened.append("tried")
            return False
        self.happened += self.alarms
        self.alarms.clear()
        return True

    def wait(self) -> str | None:
        found = self.heard.next_event(LATER)
        return self.note(found)

    def drain(self) -> str | None:
        return self.note(self.heard.next_event(NOON))

    def note(self, found: TransportEvent | None) -> str | None:
        if found is None:
            return None
        self.happened.append(f"handed on {found.order_ref}")
        return found.order_ref


def test_what_the_line_says_during_a_wait_is_taken_in_when_it_ends() -> None:
    rig = Rig()
    rig.during_wait = [LOST]
    assert rig.wait() is None
    assert rig.happened == ["waited", LOST]


def test_message_is_handed_on_before_the_book_is_tried() -> None:
    rig = Rig()
    rig.alarms, rig.is_locked = [LOST], True
    rig.messages.append(event("a"))
    assert rig.wait() == "a"
    assert rig.drain() is None
    assert rig.happened == ["handed on a"]
    rig.wait()
    assert rig.happened == ["handed on a", "waited", "tried"]


def test_messages_that_were_taken_together_are_worked_before_the_book_is_tried() -> None:
    """Who takes what is there, until there is no more, has worked none of it yet."""
    rig = Rig()
    rig.alarms, rig.is_locked = [LOST], True
    rig.messages += [event("a"), event("b"), BrokerUnavailable("gone")]
    assert (rig.wait(), rig.drain()) == ("a", "b")
    with pytest.raises(BrokerUnavailable, match="gone"):
        rig.drain()
    assert rig.happened == ["handed on a", "handed on b"]


def test_locked_book_is_tried_again_only_after_the_pause() -> None:
    rig = Rig()
    rig.alarms, rig.is_locked, rig.try_seconds = [LOST], True, 30.0
    for _ in range(3):
        rig.wait()
    assert rig.happened == ["waited", "tried", "waited", "waited"]

    rig.seconds += PAUSE_SECONDS - 0.1  # of the end of the try, which took its own time
    rig.alarms.append(AGAIN)
    rig.wait()
    assert rig.happened.count("tried") == 1
    rig.is_locked = False
    rig.seconds += 0.2
    rig.wait()
    assert rig.happened[-3:] == ["waited", LOST, AGAIN]


def test_pause_holds_also_while_the_line_is_gone() -> None:
    rig = Rig()
    rig.alarms, rig.is_locked = [LOST], True
    rig.messages += [BrokerUnavailable("gone"), BrokerUnavailable("gone")]
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match="gone"):
            rig.wait()
    assert rig.happened == ["tried"]


def test_book_that_answers_is_given_each_alarm_at_once() -> None:
    rig = Rig()
    rig.alarms = [LOST]
    rig.wait()
    rig.alarms = [AGAIN]
    rig.wait()
    assert rig.happened == ["waited", LOST, "waited", AGAIN]


def test_what_the_line_said_before_it_was_gone_is_taken_in_when_the_wait_breaks() -> None:
    rig = Rig()
    rig.alarms = [LOST]
    rig.messages.append(BrokerUnavailable("gone"))
    with pytest.raises(BrokerUnavailable, match="gone"):
        rig.wait()
    assert rig.happened == [LOST]
