"""Leave for real money that ends while a window is worked, over TCP: nothing leaves, what works is taken back.

The window of twenty minutes buys 100 CSPX, shown in sevens, and 60 AAPL. Its leave is a signed file for an account of
real money; the gateway's paper account stands for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from engine.errors import RefusedError
from engine.model.orders import ChildStatus
from engine.simulation.account import BrokerOrder
from tasks.arming import Wanted, arm, arm_path, require_armed
from tasks.broker_place import BrokerPlace
from tests.tasks.adapters.gateways import OPENED
from tests.tasks.adapters.ibkr.booked import BookedWindow, booked_window, intent
from tests.tasks.adapters.ibkr.test_faults_to_the_book import BOTH, IN_SEVENS, doubts, traded

HELD = timedelta(seconds=4)
"""How long leave holds at first: some sevens have traded, and the order works."""

PLACE = BrokerPlace(account="U7654321", host="127.0.0.1", port=4001, control_port=None)
Status = ChildStatus


@dataclass
class Armed:
    """A window and where its leave lies."""

    window: BookedWindow
    wanted: Wanted

    def arm(self, held: timedelta) -> None:
        now = self.window.gateway.gateway.now
        arm(self.wanted, now + held, now)

    def require(self) -> object:
        return require_armed(self.wanted, self.window.gateway.gateway.now)

    def orders(self) -> list[BrokerOrder]:
        """Every order that the broker ever took."""
        return [order for _, order in self.window.gateway.gateway.broker.state.orders.items()]

    def told_of_leave(self) -> list[str]:
        return [text for text in self.window.alarms if "no order leaves any more" in text]


@pytest.fixture
def armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Armed]:
    """A window under leave that holds for some seconds of it."""
    monkeypatch.setenv("FUND_ARM_KEY", "a secret that nobody guesses")
    with booked_window(tmp_path, intent("CSPX", 100), intent("AAPL", 60), mishaps={}) as window:
        found = Armed(window, Wanted(home=tmp_path, place=PLACE, code_version="0123456789abcdef"))
        found.arm(HELD)
        window.require_leave = found.require
        window.ask("script", contract="CSPX", sizes=IN_SEVENS)
        yield found


def test_leave_that_ends_in_mid_window_takes_back_what_works_and_leaves_no_doubt(armed: Armed) -> None:
    window = armed.window.run()
    window.assert_book_is_the_brokers()
    assert [order for order in armed.orders() if order.is_open] == []
    # AAPL is bought at once, of CSPX some sevens; the rest of it was cancelled, and its next order never claimed.
    assert set(window.statuses()) <= {Status.FILLED, Status.CANCELLED, Status.ABANDONED}
    assert 0 < traded(window)["CSPX"] < BOTH["CSPX"]
    assert window.counted["cancel"] == 1
    assert doubts(window) == []
    [told] = armed.told_of_leave()
    assert "leave in" in told
    assert "fund arm" in told
    assert max(order.accepted_at for order in armed.orders()) < OPENED + HELD


def test_window_goes_on_when_leave_is_given_again(armed: Armed) -> None:
    armed.window.mishaps = {("cancel", 1): lambda _: armed.arm(timedelta(hours=1))}
    window = armed.window.run()
    window.assert_book_is_the_brokers()
    assert traded(window) == BOTH
    assert (doubts(window), len(armed.told_of_leave())) == ([], 1)


def test_leave_that_was_taken_away_before_the_window_lets_nothing_be_claimed(armed: Armed) -> None:
    arm_path(armed.wanted.home, PLACE.account).unlink()
    window = armed.window.run()
    assert window.ask("orders")["orders"] == []
    assert (window.counted["send"], window.counted["cancel"]) == (0, 0)
    assert set(window.statuses()) <= {Status.ABANDONED}
    [told] = armed.told_of_leave()
    assert "found no leave in" in told


def test_leave_that_ends_between_gate_and_line_is_an_order_proved_absent(armed: Armed) -> None:
    """The one moment in which a refused order was claimed: it is looked for like any other, and was never written."""
    armed.arm(timedelta(hours=1))
    asked = 0

    def once() -> None:
        """The gate asks first of all when a window begins, then for the first order; the line asks after it."""
        nonlocal asked
        asked += 1
        if asked == 3:
            raise RefusedError("expected leave, found that it has just ended")

    armed.window.require_leave = once
    window = armed.window.run()
    window.assert_book_is_the_brokers()
    assert traded(window) == BOTH
    assert window.statuses().count(Status.ABSENT) == 1
    assert len(doubts(window)) == 1
