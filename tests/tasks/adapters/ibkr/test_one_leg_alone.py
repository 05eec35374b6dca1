"""One leg of a roll that stands alone, over TCP: the other one is refused when so much of it is done, or only waits.

A roll sells 8 of the future that ends and buys 8 of the next one. The second leg has no market that can be believed
until the first is done as far as a test wants it; so its first order is the one that the gateway refuses.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import pytest

from engine.model.market import Quote
from engine.model.orders import ChildStatus, OrderIntent, Reason, Side, Urgency
from tests.tasks.adapters.gateways import OPENED, small_world
from tests.tasks.adapters.ibkr.booked import BookedWindow, Mishap, Moment, booked_window, intent

ENDING, NEXT = "ES_20261218", "ES_20270319"
WHOLE = 8
PATIENCE = timedelta(seconds=60)
A_MESSAGE = timedelta(seconds=0.5)
"""More than an execution takes from the exchange to the fund."""
NO_MARGIN = "was rejected: 201 No margin"
AT_ONCE, AFTER_A_FILL = ("acknowledged", 1), ("fill", 1)


@lru_cache(maxsize=2)
def quoted(contract_id: str) -> Quote:
    """What the market shows first."""
    found = small_world()[2].quote(contract_id, OPENED)
    assert found is not None
    return found


def leg(contract_id: str, side: Side) -> OrderIntent:
    """A leg that gives the exchange time, and reprices every fifteen seconds."""
    plain = intent(contract_id, WHOLE, side)
    return replace(plain, reason=Reason.ROLL, group="roll ES", urgency=Urgency.NORMAL)


ROLL = leg(ENDING, Side.SELL), leg(NEXT, Side.BUY)


def show(window: BookedWindow, contract_id: str, size: int) -> None:
    """Let both sides of a market show a size, again and again."""
    window.ask("script", contract=contract_id, sizes=[str(size)] * 300)


def take_the_market_away(window: BookedWindow, contract_id: str) -> None:
    """Let nothing trade from now on: both sides are out of every collar's reach."""
    quote = quoted(contract_id)
    assert quote.bid is not None
    assert quote.ask is not None
    low, high = quote.bid * Decimal("0.9") // 1, quote.ask * Decimal("1.1") // 1
    window.ask("script", contract=contract_id, sizes=["1"], bid=str(low), ask=str(high))


def cross(window: BookedWindow, contract_id: str) -> None:
    """Show a market that nobody believes: its bid is above its ask."""
    quote = quoted(contract_id)
    window.ask("script", contract=contract_id, sizes=["1"], bid=str(quote.ask), ask=str(quote.bid))


def refuse_the(second: str, first: str | None = None) -> Mishap:
    """Let the second leg have its market and its order be refused; what is done of the ``first`` stays all of it."""

    def strike(window: BookedWindow) -> None:
        window.ask("refuse_orders", code=201, text="No margin")
        window.ask("end_script", contract=second)
        if first is not None:
            take_the_market_away(window, first)

    return strike


def legging(window: BookedWindow) -> list[str]:
    """What was told of a leg that stands alone, in order."""
    return [text for text in window.alarms if "on one leg" in text]


def worked(tmp_path: Path, first: str, done: int, mishaps: dict[Moment, Mishap]) -> BookedWindow:
    """A window in which ``done`` of the first leg trade at once, judged by the gateway's own ledger."""
    second = NEXT if first == ENDING else ENDING
    with booked_window(tmp_path, *ROLL, mishaps=mishaps) as window:
        cross(window, second)
        if done:
            show(window, first, done)
        else:
            take_the_market_away(window, first)
        window.run().assert_book_is_the_brokers()
        assert max(window.references().values()) == 1
        return window


def alone_usd(contract_id: str, quantity: int) -> Decimal:
    """Value of a number of contracts of 50 USD a point, at the price of the decision."""
    [price] = [one.decision_price for one in ROLL if one.contract_id == contract_id]
    return quantity * 50 * price


def of(done: int) -> str:
    """Both legs, the second with nothing, and the value of that."""
    return f"{ENDING} {done} of 8, {NEXT} 0 of 8; {alone_usd(ENDING, done):,.0f} USD stand alone"


@pytest.mark.parametrize("done", [0, 2, 4, 6, 8], ids=lambda done: f"{done / WHOLE:.0%}")
def test_second_leg_that_is_refused_at_a_share_of_the_first_is_told_and_never_written_again(
    tmp_path: Path, done: int
) -> None:
    at = AFTER_A_FILL if done else AT_ONCE
    window = worked(tmp_path, ENDING, done, {at: refuse_the(NEXT, ENDING)})
    assert sum(fill.signed_quantity for fill in window.executions()) == -done, "of the ending future alone"
    assert sum(NO_MARGIN in text for text in window.alarms) == 1
    assert window.written(NEXT) == [ChildStatus.REJECTED]
    told = [text.partition(" has stood on one leg for ")[2] for text in legging(window)]
    if done == 0:
        assert told == [], "nothing stands alone"
        return
    assert told[-1].endswith(f"s when the run ended: {of(done)}")
    # Where the first leg is done nothing is left to work: the run is over, and tells, before the minute is.
    assert told[:-1] == ([] if done == WHOLE else [f"60 s: {of(done)}"])


@pytest.mark.parametrize("done", [2, 4, 6], ids=lambda done: f"{done / WHOLE:.0%}")
def test_alarm_comes_a_minute_after_the_execution_that_went_ahead(tmp_path: Path, done: int) -> None:
    window = worked(tmp_path, ENDING, done, {AFTER_A_FILL: refuse_the(NEXT, ENDING)})
    [fill] = window.executions()
    late = window.alarm_times[legging(window)[0]] - fill.executed_at - PATIENCE
    assert timedelta(0) <= late < A_MESSAGE


def test_first_leg_goes_on_when_the_second_is_refused_for_its_future_ends(tmp_path: Path) -> None:
    window = worked(tmp_path, ENDING, 2, {AFTER_A_FILL: refuse_the(NEXT)})
    assert [fill.signed_quantity for fill in window.executions()] == [-2] * 4, "two at each look"
    assert window.written(NEXT) == [ChildStatus.REJECTED]
    assert legging(window)[-1].endswith(f"when the run ended: {of(WHOLE)}")


def test_opened_leg_whose_close_is_refused_is_told_as_well(tmp_path: Path) -> None:
    window = worked(tmp_path, NEXT, 4, {AFTER_A_FILL: refuse_the(ENDING, NEXT)})
    assert window.written(ENDING) == [ChildStatus.REJECTED]
    after_a_minute, _ = legging(window)
    # 8 × 50 × the difference of both prices were planned to stay open, the other way.
    planned = alone_usd(NEXT, 8) - alone_usd(ENDING, 8)
    assert f"{ENDING} 0 of 8, {NEXT} 4 of 8; {alone_usd(NEXT, 4) - planned:,.0f} USD" in after_a_minute


@pytest.mark.parametrize(("looks", "seconds", "is_told"), [(3, 45, False), (5, 75, True)])
def test_leg_that_only_waits_is_told_after_its_minute_and_not_before(
    tmp_path: Path, looks: int, seconds: int, is_told: bool
) -> None:
    # The first leg looks at its market once; the second at once too, and then every fifteen seconds.
    at = ("quote", 1 + 1 + looks)
    window = worked(tmp_path, ENDING, 8, {at: lambda window: window.ask("end_script", contract=NEXT)})
    closed, opened = window.executions()
    assert (opened.executed_at - closed.executed_at).total_seconds() == pytest.approx(seconds, abs=0.1)
    assert window.written(NEXT) == [ChildStatus.FILLED]
    told = [window.alarm_times[text] - closed.executed_at for text in legging(window)]
    assert told == ([pytest.approx(PATIENCE, abs=A_MESSAGE)] if is_told else [])
    assert all(late >= PATIENCE for late in told), "and nothing at the end: both are done"
