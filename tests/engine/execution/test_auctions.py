"""Parents that join an auction: one order before the cut-off, no cancel after it, and what its outcome leads to."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from engine.execution.executor import execute
from engine.execution.outcome import ExecutionReport
from engine.execution.recovery import recover
from engine.execution.ticket import FinishReason
from engine.model.context import ControlState
from engine.model.instruments import VenueGroup
from engine.model.market import Quote
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    ExecutionJob,
    JobStatus,
    OpenOrder,
    OrderIntent,
    OrderType,
    Side,
    TransportEventKind,
)
from engine.model.windows import ExecutionStyle, LiquidityWindow
from tests.engine.execution.market import DAY, intent, utc, world
from tests.fakes import MemoryOrderBook, ScriptedTransport, acknowledge

# New York in summer: 13:30 to 20:00 UTC. Close: sent from 19:25, cut-off 19:45, told by 20:15; MIDDAY until 19:50.
CLOSE = LiquidityWindow(
    venue="NYSE",
    style=ExecutionStyle.CLOSE_AUCTION,
    start=utc(DAY, "19:25"),
    cutoff=utc(DAY, "19:45"),
    end=utc(DAY, "20:15"),
)
OPEN = LiquidityWindow(
    venue="NYSE",
    style=ExecutionStyle.OPEN_AUCTION,
    start=utc(DAY, "13:00"),
    cutoff=utc(DAY, "13:27"),
    end=utc(DAY, "13:40"),
)
MIDDAY = LiquidityWindow(
    venue="NYSE", style=ExecutionStyle.MIDDAY, start=utc(DAY, "13:45"), end=utc(DAY, "19:50")
)
AUCTION_AT = utc(DAY, "20:00")
BUY = intent(100, Side.BUY, "MSFT")
# MSFT is quoted 399.99 to 400.01; its collar is 12 bps of 400.00, 0.48 on either side.


def job(
    window: LiquidityWindow = CLOSE, fallback: LiquidityWindow | None = MIDDAY, parent: OrderIntent = BUY
) -> ExecutionJob:
    return ExecutionJob(
        job_id="job-1",
        trade_date=DAY,
        venue="NYSE",
        venue_group=VenueGroup.US,
        style=window.style,
        window=window,
        group="strategy/single:MSFT",
        after=(),
        intents=(parent,),
        content_digest="d",
        fallback=fallback,
    )


def lived(
    work: ExecutionJob, start: datetime, prepare: object = None
) -> tuple[ExecutionReport, ScriptedTransport, MemoryOrderBook]:
    made, broker, book = world(*work.intents, start=start)
    if callable(prepare):
        prepare(broker, book)
    return execute([work], made), broker, book


def at_the_auction(kind: TransportEventKind, filled: int = 0, late: timedelta = timedelta(0)) -> object:
    """Let auction orders rest until the auction, then fill and end them; everything else fills at once."""

    def on_send(broker: ScriptedTransport, child: ChildOrder) -> None:
        acknowledge(broker, child)
        if child.order_type is OrderType.LIMIT:
            broker.execute(child, child.quantity)
            return
        anchor = AUCTION_AT if child.order_type is OrderType.LIMIT_ON_CLOSE else utc(DAY, "13:30")
        wait = (anchor + late - broker.clock).total_seconds()
        if filled:
            broker.execute(child, D(filled), after=wait)
        if filled < child.quantity:
            broker.report(kind, child.order_ref, after=wait + 1, filled=D(filled))

    return lambda broker, book: setattr(broker, "on_send", on_send)


FILLED = at_the_auction(TransportEventKind.EXPIRED, filled=100)
EXPIRED = at_the_auction(TransportEventKind.EXPIRED)


def test_one_order_goes_to_the_close_at_the_edge_of_the_collar_and_is_left_alone() -> None:
    report, broker, book = lived(job(), utc(DAY, "19:00"), FILLED)
    (child,) = broker.sent
    assert (child.order_type, child.limit_price) == (OrderType.LIMIT_ON_CLOSE, D("400.48"))
    assert (child.arrival_mid, child.good_till) == (D("400.00"), CLOSE.end)
    assert broker.cancelled == []
    assert [parent.unfilled for parent in report.parents] == [0]
    assert [result.status for result in report.jobs] == [JobStatus.DONE]
    assert book.records[child.order_ref].sent_at == CLOSE.start


def test_sell_stands_at_the_lower_edge() -> None:
    sell = intent(100, Side.SELL, "MSFT")
    _, broker, _ = lived(job(parent=sell), utc(DAY, "19:00"), FILLED)
    assert [child.limit_price for child in broker.sent] == [D("399.52")]


def test_order_for_the_open_needs_no_market_and_stands_around_the_price_of_the_decision() -> None:
    def closed(broker: ScriptedTransport, book: MemoryOrderBook) -> None:
        FILLED(broker, book)  # type: ignore[operator]
        quoted = broker.quote_at
        broker.quote_at = lambda name, at: None if at < utc(DAY, "13:30") else quoted(name, at)

    report, broker, _ = lived(job(OPEN), utc(DAY, "06:30"), closed)
    (child,) = broker.sent
    assert (child.order_type, child.limit_price) == (OrderType.LIMIT_ON_OPEN, D("400.48"))
    assert [parent.unfilled for parent in report.parents] == [0]


def test_auction_that_is_moved_by_five_minutes_is_waited_for_and_nothing_is_sent_twice() -> None:
    moved = at_the_auction(TransportEventKind.EXPIRED, filled=100, late=timedelta(minutes=5))
    report, broker, _ = lived(job(), utc(DAY, "19:00"), moved)
    assert len(broker.sent) == 1
    assert [parent.unfilled for parent in report.parents] == [0]
    assert report.alarms == ()


def test_what_the_close_leaves_waits_for_the_next_day() -> None:
    partly = at_the_auction(TransportEventKind.EXPIRED, filled=30)
    report, broker, _ = lived(job(), utc(DAY, "19:00"), partly)
    assert len(broker.sent) == 1
    (parent,) = report.parents
    assert (parent.filled, parent.unfilled, parent.reason) == (30, 70, FinishReason.WINDOW_CLOSED)
    assert [result.status for result in report.jobs] == [JobStatus.DONE]


def test_what_the_open_leaves_is_worked_midday_inside_the_same_collar() -> None:
    partly = at_the_auction(TransportEventKind.EXPIRED, filled=30)
    report, broker, book = lived(job(OPEN), utc(DAY, "13:00"), partly)
    first, second = broker.sent
    assert (second.order_type, second.quantity, second.arrival_mid) == (OrderType.LIMIT, 70, D("400.00"))
    assert book.records[second.order_ref].sent_at == MIDDAY.start
    assert second.good_till == MIDDAY.end
    assert first.order_ref != second.order_ref
    assert [parent.unfilled for parent in report.parents] == [0]


@pytest.mark.parametrize(
    ("window", "start", "types", "status", "why"),
    [
        (CLOSE, "19:44", [OrderType.LIMIT_ON_CLOSE], JobStatus.DONE, "late, before the cut-off"),
        (CLOSE, "19:45", [OrderType.LIMIT], JobStatus.DONE, "past the cut-off, MIDDAY is open until 19:50"),
        (CLOSE, "19:50", [], JobStatus.EXPIRED, "neither is open"),
        (OPEN, "13:27", [OrderType.LIMIT], JobStatus.DONE, "past the cut-off, MIDDAY begins at 13:45"),
        (MIDDAY, "19:49", [OrderType.LIMIT], JobStatus.DONE, "the last minute"),
        (MIDDAY, "19:50", [], JobStatus.SKIPPED, "over"),
    ],
)
def test_late_start_follows_the_rule_of_its_style(
    window: LiquidityWindow, start: str, types: list[OrderType], status: JobStatus, why: str
) -> None:
    fallback = None if window is MIDDAY else MIDDAY
    report, broker, _ = lived(job(window, fallback), utc(DAY, start), FILLED)
    assert [child.order_type for child in broker.sent] == types, why
    assert [result.status for result in report.jobs] == [status]
    assert bool(report.alarms) is (status is not JobStatus.DONE)


@pytest.mark.parametrize(
    ("fallback", "types", "why"),
    [
        (None, [], "nothing is left to trade in"),
        (MIDDAY, [OrderType.LIMIT], "MIDDAY is open for five minutes more"),
    ],
)
def test_quote_that_is_told_after_the_cutoff_makes_no_auction_order(
    fallback: LiquidityWindow | None, types: list[OrderType], why: str
) -> None:
    def slow(broker: ScriptedTransport, book: MemoryOrderBook) -> None:
        FILLED(broker, book)  # type: ignore[operator]
        quoted = broker.quote_at

        def two_seconds_later(name: str, at: datetime) -> Quote | None:
            broker.clock = at + timedelta(seconds=2)
            return quoted(name, broker.clock)

        broker.quote_at = two_seconds_later

    start = utc(DAY, "19:45") - timedelta(seconds=1)  # asked at 19:44:59, told at 19:45:01
    report, broker, _ = lived(job(CLOSE, fallback), start, slow)
    assert [child.order_type for child in broker.sent] == types, why
    assert [result.status for result in report.jobs] == [JobStatus.DONE]


def test_europe_s_close_has_no_window_to_fall_back_to() -> None:
    report, broker, _ = lived(job(CLOSE, None), utc(DAY, "19:46"), FILLED)
    assert broker.sent == []
    assert [result.status for result in report.jobs] == [JobStatus.EXPIRED]
    assert "expired: its window ended at 2026-06-15 19:45Z" in report.alarms[0]


def test_auction_order_that_the_venue_rejects_is_worked_midday() -> None:
    def rejects(broker: ScriptedTransport, child: ChildOrder) -> None:
        if child.order_type is OrderType.LIMIT:
            acknowledge(broker, child)
            broker.execute(child, child.quantity)
        else:
            broker.report(TransportEventKind.REJECTED, child.order_ref, text="no such order type")

    report, broker, _ = lived(
        job(), utc(DAY, "19:00"), lambda broker, book: setattr(broker, "on_send", rejects)
    )
    assert [child.order_type for child in broker.sent] == [OrderType.LIMIT_ON_CLOSE, OrderType.LIMIT]
    assert [parent.unfilled for parent in report.parents] == [0]
    assert any("was rejected" in alarm for alarm in report.alarms)


def test_silent_end_leaves_the_order_unknown_until_the_broker_s_list_says_what_became_of_it() -> None:
    report, broker, book = lived(job(), utc(DAY, "19:00"))
    (child,) = broker.sent
    assert [result.status for result in report.jobs] == [JobStatus.UNKNOWN]
    assert book.records[child.order_ref].status is ChildStatus.UNKNOWN
    assert book.committed(BUY.intent_id) == 100, "all of it stays reserved"
    assert "nothing was told after the auction" in report.alarms[0]

    broker.open[child.order_ref] = listed(child, ChildStatus.EXPIRED)
    recover(book, broker)

    assert book.records[child.order_ref].status is ChildStatus.EXPIRED
    assert book.committed(BUY.intent_id) == 0
    assert len(broker.sent) == 1


def listed(child: ChildOrder, status: ChildStatus) -> OpenOrder:
    return OpenOrder(
        order_ref=child.order_ref,
        broker_order_id="1",
        contract_id=child.contract_id,
        side=child.side,
        quantity=child.quantity,
        filled=D(0),
        limit_price=child.limit_price,
        status=status,
    )


@pytest.mark.parametrize(
    ("clock", "cancels", "why"),
    [("19:30", 1, "before the cut-off"), ("19:46", 0, "after it a cancel would only be refused")],
)
def test_halt_cancels_an_auction_order_only_before_its_cutoff(clock: str, cancels: int, why: str) -> None:
    def halted(broker: ScriptedTransport, book: MemoryOrderBook) -> None:
        FILLED(broker, book)  # type: ignore[operator]
        broker.at_times.append((utc(DAY, clock), lambda: setattr(book, "control", ControlState.HALTED)))
        told = broker.on_cancel

        def cancelled(broker: ScriptedTransport, ref: str) -> None:
            broker.queue.clear()
            broker.done.clear()
            told(broker, ref)

        broker.on_cancel = cancelled

    report, broker, _ = lived(job(), utc(DAY, "19:00"), halted)
    assert len(broker.cancelled) == cancels, why
    assert [parent.filled for parent in report.parents] == [0 if cancels else 100]
    assert len(broker.sent) == 1


@pytest.mark.parametrize("clock", ["19:30", "19:46", "20:01"])
def test_restart_waits_for_the_order_that_is_out_and_sends_no_second(clock: str) -> None:
    _, first, book = lived(job(), utc(DAY, "19:00"))
    (child,) = first.sent
    book.records[child.order_ref] = replace(book.records[child.order_ref], status=ChildStatus.WORKING)

    made, broker, _ = world(BUY, start=utc(DAY, clock))
    wait = (utc(DAY, "20:02") - broker.clock).total_seconds()
    broker.execute(child, child.quantity, after=wait)
    report = execute([job()], replace(made, book=book))

    assert (broker.sent, broker.cancelled) == ([], [])
    assert [parent.unfilled for parent in report.parents] == [0]


def test_restart_in_the_fallback_goes_on_with_it() -> None:
    _, first, book = lived(job(OPEN), utc(DAY, "13:30"))
    child = first.sent[-1]
    assert child.order_type is OrderType.LIMIT
    ended = {ref: replace(row, status=ChildStatus.CANCELLED) for ref, row in book.records.items()}
    book.records.update(ended)

    made, broker, _ = world(BUY, start=utc(DAY, "15:00"))
    broker.on_send = first_fill
    report = execute([job(OPEN)], replace(made, book=book))

    assert [sent.order_type for sent in broker.sent] == [OrderType.LIMIT]
    assert [parent.unfilled for parent in report.parents] == [0]


def first_fill(broker: ScriptedTransport, child: ChildOrder) -> None:
    acknowledge(broker, child)
    broker.execute(child, child.quantity)


def test_start_delayed_by_up_to_a_day_sends_once_or_never_and_always_says_so() -> None:
    """Every quarter of an hour from 06:00 to 06:00: at most the parent's quantity, and an alarm where nothing left."""
    for window, fallback in ((CLOSE, MIDDAY), (OPEN, MIDDAY), (MIDDAY, None), (CLOSE, None)):
        for late in range(0, 24 * 60, 15):
            start = utc(DAY, "06:00") + timedelta(minutes=late)
            work = job(window, fallback)
            report, broker, book = lived(work, start, FILLED)
            done = [parent.filled for parent in report.parents]
            assert done == ([100] if start < work.last_send else []), (window.style, start)
            assert len(broker.sent) == len(done)
            assert bool(report.alarms) is (not done)
            for record in book.records.values():
                assert record.sent_at is not None
                taken = [w for w in work.windows if w.start <= record.sent_at < w.last_send]
                assert taken, (window.style, record.sent_at)
