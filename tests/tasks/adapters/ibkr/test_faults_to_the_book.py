"""Faults of the wire through to the book: the executor on a real order store, the real client over TCP.

After every fault the book is what the broker's account is, no reference was taken twice, and doubts were told. Each
window buys 100 CSPX and 60 AAPL; the first order is that of CSPX.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.model.orders import ChildStatus, Reason, Side
from tests.simulation.order_days.drawing import ProcessDeath
from tests.tasks.adapters.ibkr.booked import BookedWindow, Mishap, Moment, booked_window, intent

SENT, ACKNOWLEDGED, FILLED, CANCEL_SENT = ("send", 1), ("acknowledged", 1), ("fill", 1), ("cancel", 1)
Status = ChildStatus
BOTH = {"CSPX": Decimal(100), "AAPL": Decimal(60)}
IN_SEVENS = ["7"] * 300
"""Sizes that both sides of the market show: a buy of 100 takes several orders then."""


Open = Callable[..., AbstractContextManager[BookedWindow]]


@pytest.fixture
def a_window(tmp_path: Path) -> Open:
    """Opens a window with one mishap at a moment."""

    def opened(
        mishap: Mishap | None = None, at: Moment = ACKNOWLEDGED
    ) -> AbstractContextManager[BookedWindow]:
        mishaps = {} if mishap is None else {at: mishap}
        return booked_window(tmp_path, intent("CSPX", 100), intent("AAPL", 60), mishaps=mishaps)

    return opened


def traded(window: BookedWindow) -> dict[str, Decimal]:
    """What the broker's account says was bought."""
    found: dict[str, Decimal] = {}
    for fill in window.executions():
        found[fill.contract_id] = found.get(fill.contract_id, Decimal(0)) + fill.signed_quantity
    return found


def all_is_booked(window: BookedWindow) -> None:
    """The window ends with everything bought once."""
    window.run().assert_book_is_the_brokers()
    assert traded(window) == BOTH


def doubts(window: BookedWindow) -> list[str]:
    return [text for text in window.alarms if "outcome not known" in text]


def die(window: BookedWindow) -> None:
    raise ProcessDeath


def test_calm_window_is_booked_as_the_broker_has_it(a_window: Open) -> None:
    with a_window() as window:
        all_is_booked(window)
        assert set(window.statuses()) == {Status.FILLED}
        assert (window.attempts, window.alarms) == (1, [])


# ---------------------------------------------------------------- the five behaviours of the client library


def test_line_that_comes_back_without_positions_is_none_and_the_book_stays_right(a_window: Open) -> None:
    def come_back_empty(window: BookedWindow) -> None:
        window.ask("unanswered", request="positions")
        window.cut()

    with a_window(come_back_empty) as window:
        window.request_timeout = 1.0
        all_is_booked(window)
        assert any("found positions was not answered in 1 seconds" in text for text in window.alarms)


@pytest.mark.parametrize("code", [103, 104, 105, 110, 161, 201, 202, 321, 404, 10147, 10148, 10197, 10349])
def test_code_that_the_library_takes_for_a_cancel_ends_no_order_in_the_book(
    a_window: Open, code: int
) -> None:
    with a_window(lambda window: window.say_error(code)) as window:
        all_is_booked(window)
        assert (
            window.counted["send"] == 2
        )  # nothing took the place of the order that was said to be cancelled
        assert set(window.statuses()) == {Status.FILLED}


def test_numbers_that_are_given_again_attribute_no_execution_to_the_lost_order(a_window: Open) -> None:
    def give_numbers_again(window: BookedWindow) -> None:
        window.ask("roll_back", times=3)
        window.cut()

    with a_window(give_numbers_again, at=SENT) as window:
        window.ask("lose_orders", times=1)
        all_is_booked(window)
        rows = window.ask("orders")["orders"]
        assert isinstance(rows, list)
        assert len({row["order_id"] for row in rows}) == len(rows) == 2
        # CSPX was lost with its number, AAPL was not written without a line; both are proved absent, then bought.
        assert sorted(status.value for status in window.statuses()) == [
            "ABSENT",
            "ABSENT",
            "FILLED",
            "FILLED",
        ]


def test_executions_of_a_time_without_a_line_are_booked_once_it_is_back(a_window: Open) -> None:
    with a_window(lambda window: window.cut(seconds=5)) as window:
        all_is_booked(window)
        assert len(doubts(window)) == 2
        assert window.counted["send"] == 2


@pytest.mark.parametrize(("quantity", "held"), [("40", 40), ("0", 0)], ids=["corrected", "taken back"])
def test_corrected_execution_is_replaced_in_the_book_and_told(
    a_window: Open, quantity: str, held: int
) -> None:
    def correct(window: BookedWindow) -> None:
        [fill] = [fill for fill in window.executions() if fill.contract_id == "CSPX"]
        window.ask("correct_execution", execution=fill.execution_id, quantity=quantity, price=str(fill.price))

    with a_window(correct, at=FILLED) as window:
        window.run().assert_book_is_the_brokers()
        assert traded(window) == {**BOTH, "CSPX": Decimal(held)}  # 100 was corrected; it is not added to them
        assert any("late fill SIM.00000001.02" in text for text in window.alarms)


# ---------------------------------------------------------------- the process and the line


@pytest.mark.parametrize("at", [SENT, ACKNOWLEDGED, FILLED], ids=["sent", "acknowledged", "filled"])
def test_process_that_dies_after_a_write_finds_its_order_and_writes_no_other(
    a_window: Open, at: Moment
) -> None:
    with a_window(die, at=at) as window:
        all_is_booked(window)
        assert window.attempts == 2
        assert window.counted["send"] == 2


def test_order_lost_on_the_way_stays_in_doubt_until_it_is_proved_absent(a_window: Open) -> None:
    with a_window() as window:
        window.ask("lose_orders", times=1)
        all_is_booked(window)
        [first, second] = [text for text in window.alarms if "AF1." in text]
        assert "its quantity stays reserved" in first
        assert "it is proved absent" in second
        assert sorted(status.value for status in window.statuses()) == ["ABSENT", "FILLED", "FILLED"]


@pytest.mark.parametrize("back", [1101, 1102])
def test_executions_that_were_never_pushed_around_a_lost_link_are_read(a_window: Open, back: int) -> None:
    def lose_the_link(window: BookedWindow) -> None:
        window.ask("system", code=1100)
        window.pass_by(5)
        window.ask("system", code=back)

    with a_window(lose_the_link) as window:
        all_is_booked(window)
        assert any("the link is degraded, nothing is sent: 1100" in text for text in window.alarms)


def test_reprices_are_new_orders_and_no_order_is_ever_changed_in_place(a_window: Open) -> None:
    with a_window(lambda window: window.cut(), at=CANCEL_SENT) as window:
        window.ask("script", contract="CSPX", sizes=IN_SEVENS)
        all_is_booked(window)
        rows = window.ask("orders")["orders"]
        assert isinstance(rows, list)
        # Every write made an order of its own, under a number and a reference of its own.
        assert window.counted["send"] == len(rows) > 2
        assert len({row["order_id"] for row in rows}) == len({row["reference"] for row in rows}) == len(rows)


def test_order_that_fills_in_parts_while_its_cancel_is_lost_is_within_its_parent(a_window: Open) -> None:
    with a_window() as window:
        window.ask("script", contract="CSPX", sizes=IN_SEVENS)
        window.ask("lose_cancels", times=1)
        all_is_booked(window)
        # 100 in sevens: fourteen of 7 and one of 2, all of one order, which worked on.
        assert [f.quantity for f in window.executions() if f.contract_id == "CSPX"] == [7] * 14 + [2]


def test_line_lost_after_a_partial_fill_counts_what_traded_before_and_meanwhile(a_window: Open) -> None:
    with a_window(lambda window: window.cut(), at=FILLED) as window:
        window.ask("script", contract="CSPX", sizes=["30"] * 300)
        all_is_booked(window)
        assert len(doubts(window)) == 2


def test_order_without_acknowledgement_is_found_after_the_line_was_lost(a_window: Open) -> None:
    with a_window(lambda window: window.cut(seconds=0), at=SENT) as window:
        window.ask("silence_orders", times=1)
        all_is_booked(window)
        assert max(window.references().values()) == 1


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("silence_orders", {"times": 1}), ("hide_statuses", {"times": 2}), ("hide_executions", {"times": 1}),
        ("commission_first", {"on": True}), ("delay", {"milliseconds": 15}),
    ],
)  # fmt: skip
def test_messages_that_are_missing_late_or_in_another_order_make_the_same_book(
    a_window: Open, command: str, fields: dict[str, object]
) -> None:
    with a_window() as window:
        window.ask(command, **fields)
        all_is_booked(window)
        assert window.counted["send"] == 2


def test_execution_told_again_is_booked_once(a_window: Open) -> None:
    def tell_again(window: BookedWindow) -> None:
        for fill in window.executions():
            window.ask("repeat_execution", execution=fill.execution_id)

    with a_window(tell_again, at=FILLED) as window:
        all_is_booked(window)
        assert len(window.booked()) == 2


@pytest.mark.parametrize("code", [110, 201, 203])
def test_refused_order_leaves_the_other_alone_and_is_not_written_again(a_window: Open, code: int) -> None:
    with a_window() as window:
        window.ask("refuse_orders", code=code, text="No")
        window.run().assert_book_is_the_brokers()
        assert traded(window) == {"AAPL": Decimal(60)}
        assert any(f"was rejected: {code} No" in text for text in window.alarms)
        assert sorted(status.value for status in window.statuses()) == ["FILLED", "REJECTED"]


@pytest.mark.parametrize("refused", [1, 3])
def test_refused_leg_of_a_roll_is_told_and_the_other_leg_booked_as_it_traded(
    tmp_path: Path, refused: int
) -> None:
    roll = {"reason": Reason.ROLL, "group": "roll ES"}
    near, far = intent("ES_20261218", 2, Side.SELL), intent("ES_20270319", 2)
    with booked_window(tmp_path, replace(near, **roll), replace(far, **roll)) as window:  # type: ignore[arg-type]
        window.ask("refuse_orders", code=201, text="No margin", times=refused)
        window.run().assert_book_is_the_brokers()
        assert any("was rejected: 201 No margin" in text for text in window.alarms)
