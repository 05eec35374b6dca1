"""Orders that are large for their market are worked in slices."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.executor import execute
from engine.execution.liquidity import LiquidityEstimator
from engine.execution.outcome import ExecutionReport
from engine.execution.slicing import Slices, plan_slices
from engine.execution.ticket import FinishReason
from engine.model.context import ControlState
from engine.model.orders import ChildOrder, Urgency
from tests import fakes
from tests.engine.execution.market import NOON, execution_policy, intent, job, quote, world
from tests.fakes import MemoryOrderBook, ScriptedTransport

POLICY = execution_policy().slicing
HOUR = 3600.0


def slices(
    quantity: int, volume: str | None, lot: int = 1, urgency: Urgency = Urgency.NORMAL, window: float = HOUR
) -> Slices | None:
    parent = intent(quantity, urgency=urgency)
    return plan_slices(parent, None if volume is None else D(volume), D(lot), window, POLICY)


@pytest.mark.parametrize(
    ("quantity", "volume", "why"),
    [
        (90, "10000", "0.9 % of the volume"),
        (100, "10000", "1 % and not more"),
        (5000, None, "no volume is known"),
        (5000, "0", "the volume says nothing; the largest order is 0"),
    ],
)
def test_order_within_its_share_goes_in_one_piece(quantity: int, volume: str | None, why: str) -> None:
    assert slices(quantity, volume) is None, why


@pytest.mark.parametrize(
    ("quantity", "volume", "lot", "slice_", "seconds", "why"),
    [
        (110, "10000", 1, 55, 198.0, "two of 55: 55 / (10 % of 10,000) of an hour"),
        (250, "10000", 1, 84, 302.4, "100 at most: three of 83.3, rounded up to 84"),
        (1000, "10000", 1, 100, 360.0, "the whole 10 % takes the whole window"),
        (21, "1050", 1, 7, 240.0, "10.5 are 10 lots at most: three of 7"),
        (30, "1000", 10, 10, 360.0, "three lots of ten"),
        (3, "50", 1, 1, 720.0, "half a share a slice is still one share"),
    ],
)
def test_larger_order_is_cut_into_even_slices_of_at_most_the_threshold(
    quantity: int, volume: str, lot: int, slice_: int, seconds: float, why: str
) -> None:
    found = slices(quantity, volume, lot)
    assert found is not None
    assert (found.quantity, found.interval_seconds) == (D(slice_), pytest.approx(seconds)), why


def test_slices_never_follow_faster_than_the_least_interval() -> None:
    # A window of 100 s: 5.5 % of it are 5.5 s
    found = slices(110, "10000", window=100)
    assert found is not None
    assert found.interval_seconds == 20.0


def test_emergency_is_not_sliced() -> None:
    assert slices(110, "10000", urgency=Urgency.EMERGENCY) is None


def test_slices_of_a_cut_do_not_wait_for_the_market_s_volume() -> None:
    assert slices(110, "10000", urgency=Urgency.HIGH) == Slices(quantity=D(55), interval_seconds=20.0)


@given(quantity=st.integers(1, 10_000), volume=st.integers(1, 1_000_000), lot=st.sampled_from([1, 5, 100]))
def test_slices_keep_to_the_share_of_the_volume(quantity: int, volume: int, lot: int) -> None:
    found = slices(quantity * lot, str(volume * lot), lot)
    if found is None:
        assert quantity * 100 <= volume
        return
    assert found.quantity % lot == 0
    assert lot <= found.quantity <= max(lot, volume * lot / 100)
    traded = volume * lot * found.interval_seconds / HOUR
    assert float(found.quantity) <= traded * 0.10 * (1 + 1e-9)


# ---------------------------------------------------------------- in a window


def sliced(
    minutes: float = 60, *, on_send: fakes.OnSend = fakes.fill_all, quantity: int = 250
) -> tuple[list[tuple[float, D]], ExecutionReport, ScriptedTransport, MemoryOrderBook]:
    """Seconds and quantities of the children of a parent in a market that trades 10,000 a day."""
    parent = intent(quantity)
    made, broker, book = world(parent)
    sent: list[tuple[float, D]] = []

    def note(b: ScriptedTransport, child: ChildOrder) -> None:
        sent.append(((b.clock - NOON).total_seconds(), child.quantity))
        on_send(b, child)

    broker.on_send = note
    liquid = replace(made, liquidity=LiquidityEstimator(average_daily_volume={"CSPX": D(10_000)}))
    report = execute([job(parent, minutes=minutes)], liquid)
    return sent, report, broker, book


def test_next_slice_begins_after_its_interval_although_the_last_one_filled_at_once() -> None:
    sent, report, _, _ = sliced()
    # 84 each 84 / 1,000 of an hour = 302.4 s, and what is left
    assert sent == [
        (pytest.approx(0.0), D(84)),
        (pytest.approx(302.4), D(84)),
        (pytest.approx(604.8), D(82)),
    ]
    assert (report.parents[0].filled, report.parents[0].reason) == (D(250), FinishReason.FILLED)


def test_child_of_a_slice_takes_only_what_is_left_of_it() -> None:
    def part(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        b.execute(child, D(30) if child.attempt == 1 else child.quantity)

    sent, report, _, _ = sliced(on_send=part)
    assert [quantity for _, quantity in sent] == [D(84), D(54), D(84), D(82)]
    # The second child is the new price after 15 s and 0.1 s for the cancel; the slices keep their beat.
    assert [at for at, _ in sent] == pytest.approx([0, 15.1, 302.4, 604.8])
    assert report.parents[0].unfilled == 0


def test_slice_that_is_slow_is_followed_at_once_and_not_made_good_for() -> None:
    def late(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        if b.clock >= NOON + timedelta(seconds=700):
            b.execute(child, child.quantity)

    sent, _, _, _ = sliced(on_send=late)
    filled = [(at, quantity) for at, quantity in sent if at >= 700]
    # The first slice fills in the round of 720 s; the second follows at once, the third after the interval.
    assert filled[0][1] == filled[1][1] == 84
    assert filled[1][0] - filled[0][0] < 1
    assert filled[2][0] - filled[1][0] == pytest.approx(302.4)


def test_arrival_of_the_parent_bounds_every_slice() -> None:
    made, broker, _ = world(intent(250))
    broker.on_send = fakes.fill_all
    broker.quote_at = lambda _, at: quote(
        bid="734.0" if at < NOON + timedelta(seconds=60) else "740.0",
        ask="734.3" if at < NOON + timedelta(seconds=60) else "740.3",
        at=at,
    )
    liquid = replace(made, liquidity=LiquidityEstimator(average_daily_volume={"CSPX": D(10_000)}))
    execute([job(intent(250), minutes=10)], liquid)
    assert {child.arrival_mid for child in broker.sent} == {D("734.15")}
    assert max(child.limit_price for child in broker.sent) == D("734.88")


def test_shorter_window_takes_the_same_slices_closer_together() -> None:
    sent, report, broker, _ = sliced(minutes=5)
    # The window is a twelfth of an hour, and so is the interval: 25.2 s
    assert [at for at, _ in sent] == pytest.approx([0, 25.2, 50.4])
    assert [quantity for _, quantity in sent] == [D(84), D(84), D(82)]
    assert broker.clock <= NOON + timedelta(minutes=5)
    assert report.parents[0].reason is FinishReason.FILLED


def test_halt_between_slices_sends_no_further_slice() -> None:
    parent = intent(250)
    made, broker, book = world(parent)
    broker.on_send = fakes.fill_all
    broker.at_times = [(NOON + timedelta(seconds=7), lambda: setattr(book, "control", ControlState.HALTED))]
    liquid = replace(made, liquidity=LiquidityEstimator(average_daily_volume={"CSPX": D(10_000)}))
    report = execute([job(parent)], liquid)
    assert [child.quantity for child in broker.sent] == [D(84)]
    assert (report.parents[0].filled, report.parents[0].reason) == (D(84), FinishReason.WINDOW_CLOSED)
