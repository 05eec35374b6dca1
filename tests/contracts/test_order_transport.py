"""What `engine.ports.OrderTransport` promises, kept by every line to a broker that there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from engine.errors import BrokerUnavailable, InvariantError, SupersededError
from engine.model.orders import ChildOrder, ChildStatus, OrderType, Side, TransportEvent
from engine.model.spreads import NearLeg
from tests.contracts.conftest import Opened
from tests.contracts.lines import ENDS, Kind, Line
from tests.tasks.adapters.gateways import OPENED, small_world

DEEP, MANY = "EXV1", 100_000
"""A fund of which no other test here takes anything, and more of it than its book shows at once."""


# ---------------------------------------------------------------- an order's life


def test_order_that_meets_the_market_is_acknowledged_then_filled_within_its_limit_and_charged(
    trading: Line,
) -> None:
    child = trading.meeting(quantity=10)
    fill = trading.filled(child)
    assert trading.kinds(child) == [Kind.ACKNOWLEDGED, Kind.FILL]
    assert (fill.order_ref, fill.contract_id, fill.side) == (child.order_ref, child.contract_id, child.side)
    assert 0 < fill.price <= child.limit_price
    assert fill.is_charged
    listed = trading.listed(child)
    assert (listed.status, listed.quantity, listed.filled) == (ChildStatus.FILLED, Decimal(10), Decimal(10))


def test_order_away_from_the_market_is_listed_with_its_terms_while_it_works(line: Line) -> None:
    child = line.acknowledged(line.resting())
    listed = line.listed(child)
    assert (listed.contract_id, listed.side, listed.quantity, listed.filled, listed.limit_price) == (
        child.contract_id, child.side, child.quantity, Decimal(0), child.limit_price,
    )  # fmt: skip
    assert listed.status is ChildStatus.WORKING
    assert listed.near_contract_id is None


def test_cancel_ends_an_order_once_and_says_what_it_traded(line: Line) -> None:
    child = line.acknowledged(line.resting())
    line.transport.cancel(child.order_ref)
    line.listen(child, until=ENDS)
    [*_, end] = line.told(child)
    assert (end.kind, end.filled) == (Kind.CANCELLED, Decimal(0))
    assert line.listed(child).status is ChildStatus.CANCELLED


def test_second_cancel_ends_nothing_a_second_time(line: Line) -> None:
    child = line.acknowledged(line.resting())
    line.transport.cancel(child.order_ref)
    line.transport.cancel(child.order_ref)
    line.listen(child, until=ENDS)
    line.listen()
    assert line.kinds(child) == [Kind.ACKNOWLEDGED, Kind.CANCELLED]


def test_order_larger_than_the_book_fills_in_parts_and_its_end_says_their_sum(trading: Line) -> None:
    child = trading.meeting(quantity=MANY, contract_id=DEEP)
    trading.listen(child, until=frozenset({Kind.FILL}))
    trading.transport.cancel(child.order_ref)
    trading.listen(child, until=ENDS)
    *_, end = trading.told(child)
    done = sum(fill.quantity for fill in trading.fills(child))
    assert 0 < done < MANY
    assert (end.kind, end.filled) == (Kind.CANCELLED, done)
    assert trading.listed(child).filled == done


def test_cancel_of_a_filled_order_is_a_remark_and_the_order_stays_filled(trading: Line) -> None:
    child = trading.meeting()
    trading.filled(child)
    heard = len(trading.heard)
    trading.transport.cancel(child.order_ref)
    trading.listen(child, until=frozenset({Kind.NOTICE}))
    trading.listen()
    assert {event.kind for event in trading.heard[heard:] if event.order_ref == child.order_ref} == {
        Kind.NOTICE
    }
    assert trading.listed(child).status is ChildStatus.FILLED


def test_cancel_of_an_order_that_nobody_knows_is_a_remark_and_reaches_no_other(line: Line) -> None:
    child = line.acknowledged(line.resting())
    heard = len(line.heard)
    line.transport.cancel("AF1.NOBODY.1")
    line.listen()
    assert [(event.kind, event.order_ref) for event in line.heard[heard:]] == [(Kind.NOTICE, "AF1.NOBODY.1")]
    assert line.listed(child).status is ChildStatus.WORKING


def test_order_that_the_broker_refuses_ends_once_with_a_reason(trading: Line) -> None:
    child = trading.meeting(quantity=10_000_000)
    trading.listen(child, until=ENDS)
    [end] = trading.told(child)
    assert (end.kind, end.filled or Decimal(0)) == (Kind.REJECTED, Decimal(0))
    assert "margin" in end.text
    assert trading.listed(child).status is ChildStatus.REJECTED


def test_order_at_the_market_never_trades(trading: Line) -> None:
    child = trading.order(Decimal("0.01"), order_type=OrderType.MARKET)
    try:
        trading.send(child)
    except InvariantError:
        assert child.order_ref not in {row.order_ref for row in trading.transport.orders()}
        return
    trading.listen(child, until=ENDS)
    assert trading.kinds(child) == [Kind.REJECTED]


def test_each_send_that_returned_is_one_order_at_the_broker(line: Line) -> None:
    child = line.acknowledged(line.resting())
    written = 1
    try:
        line.transport.send(child)
        written += 1
    except InvariantError:
        pass
    line.listen()
    assert [row.order_ref for row in line.transport.orders()].count(child.order_ref) == written


def test_order_dies_at_its_written_end_without_a_cancel(trading: Line) -> None:
    ends = trading.transport.now() + timedelta(seconds=3)
    child = trading.acknowledged(trading.resting(good_till=ends))
    trading.listen(child, until=ENDS)
    *_, end = trading.told(child)
    assert end.kind in (Kind.CANCELLED, Kind.EXPIRED)
    assert end.at >= ends - timedelta(seconds=1)  # the wire tells ends in whole seconds
    assert trading.listed(child).status in (ChildStatus.CANCELLED, ChildStatus.EXPIRED)


# ---------------------------------------------------------------- kinds of orders


def test_calendar_spread_is_one_order_whose_legs_trade_together(trading: Line) -> None:
    near, far = _expiries(trading, "ES")
    bid, ask = trading.quote(near).bid, trading.quote(far).ask
    assert bid is not None
    assert ask is not None
    leg = NearLeg(intent_id="near", contract_id=near, arrival_mid=trading.quote(near).mid)
    child = trading.send(trading.at_limit(ask - bid + 1, contract_id=far, near=leg))
    for _ in range(2):
        trading.listen(child, until=frozenset({Kind.FILL}))
    assert {(fill.contract_id, fill.side, fill.quantity) for fill in trading.fills(child)} == {
        (far, Side.BUY, Decimal(1)), (near, Side.SELL, Decimal(1)),
    }  # fmt: skip
    listed = trading.listed(child)
    assert (listed.contract_id, listed.near_contract_id, listed.status) == (far, near, ChildStatus.FILLED)


@pytest.mark.parametrize(
    ("kind", "at", "auction"),
    [
        (
            OrderType.LIMIT_ON_CLOSE,
            datetime(2026, 11, 20, 20, 40, tzinfo=UTC),
            datetime(2026, 11, 20, 21, 0, tzinfo=UTC),
        ),
        (
            OrderType.LIMIT_ON_OPEN,
            datetime(2026, 11, 20, 14, 20, tzinfo=UTC),
            datetime(2026, 11, 20, 14, 30, tzinfo=UTC),
        ),
    ],
    ids=lambda value: value.value if isinstance(value, OrderType) else "",
)
def test_order_for_an_auction_waits_for_it_and_trades_there(
    opened: Opened, kind: OrderType, at: datetime, auction: datetime
) -> None:
    line = opened(at)
    child = line.acknowledged(_for_auction(line, kind, auction))
    before = line.transport.next_event(auction - timedelta(seconds=1))
    assert before is None
    event = line.transport.next_event(auction + timedelta(minutes=1))
    assert event is not None
    assert event.fill is not None
    assert (event.fill.order_ref, event.fill.quantity) == (child.order_ref, child.quantity)
    assert event.fill.executed_at >= auction
    assert line.listed(child).status is ChildStatus.FILLED


# ---------------------------------------------------------------- time and order of news


def test_news_come_in_their_order_and_never_ahead_of_the_clock(trading: Line) -> None:
    children = [trading.meeting(), trading.resting(), trading.meeting(side=Side.SELL)]
    heard: list[tuple[TransportEvent, datetime]] = []
    end = trading.transport.now() + timedelta(seconds=trading.patience)
    while len(heard) < 5 and trading.transport.now() < end:  # three acknowledgements and two fills
        event = trading.transport.next_event(end)
        if event is not None:
            heard.append((event, trading.transport.now()))
    trading.heard += [event for event, _ in heard]
    assert {event.order_ref for event, _ in heard} >= {child.order_ref for child in children}
    times = [event.at for event, _ in heard]
    assert times == sorted(times)
    assert all(event.at <= told for event, told in heard)
    for child in children:
        assert trading.kinds(child)[0] is Kind.ACKNOWLEDGED


def test_question_for_news_until_now_does_not_wait(line: Line) -> None:
    line.listen()
    before = line.transport.now()
    assert line.transport.next_event(before) is None
    assert line.transport.now() - before < timedelta(seconds=2)  # on the clock that runs by itself


def test_question_for_news_until_now_moves_no_clock_of_the_venue(opened: Opened) -> None:
    line = opened(OPENED)
    child = line.resting()
    before = line.transport.now()
    assert line.transport.next_event(before) is None
    assert line.transport.now() == before
    assert line.listed(child).status is ChildStatus.WORKING


def test_clock_goes_to_the_time_that_was_waited_for_when_nothing_happens(opened: Opened) -> None:
    line = opened(OPENED)
    until = line.transport.now() + timedelta(seconds=30)
    assert line.transport.next_event(until) is None
    assert line.transport.now() == until


# ---------------------------------------------------------------- lists


def test_list_of_orders_shows_each_with_its_end(trading: Line) -> None:
    working, filled, cancelled = trading.resting(), trading.meeting(), trading.resting()
    trading.filled(filled)
    trading.transport.cancel(cancelled.order_ref)
    trading.listen(cancelled, until=ENDS)
    status = {row.order_ref: row.status for row in trading.transport.orders()}
    assert [status[child.order_ref] for child in (working, filled, cancelled)] == [
        ChildStatus.WORKING, ChildStatus.FILLED, ChildStatus.CANCELLED,
    ]  # fmt: skip


def test_list_of_executions_has_each_once_as_it_was_told_with_its_commission(trading: Line) -> None:
    child = trading.meeting(quantity=3)
    told = trading.filled(child)
    listed = trading.transport.executions()
    assert len({fill.root for fill in listed}) == len(listed)
    assert [fill for fill in listed if fill.order_ref == child.order_ref] == [told]
    assert told.is_charged


def test_highest_version_of_an_execution_that_was_corrected_is_the_one_that_counts(opened: Opened) -> None:
    line = opened(OPENED)
    assert line.correct is not None
    fill = line.filled(line.meeting(quantity=10))
    line.correct(fill.execution_id, Decimal(8), fill.price)
    line.listen()
    listed = line.transport.executions()
    assert {row.root for row in listed} == {fill.root}
    latest = max(listed, key=lambda row: row.version)  # a list may show what was corrected as well
    assert (latest.version, latest.quantity) == (fill.version + 1, Decimal(8))
    assert line.transport.look().positions[line.contract_id] == 8


def test_look_has_orders_executions_and_positions_of_one_moment(line: Line) -> None:
    child = line.acknowledged(line.resting())
    before, look = line.transport.now(), line.transport.look()
    assert before <= look.at <= line.transport.now()
    assert look.orders == line.transport.orders()
    assert look.executions == line.transport.executions()
    assert child.order_ref in {row.order_ref for row in look.orders}


def test_look_shows_what_a_fill_changed(trading: Line) -> None:
    held = trading.transport.look().positions.get(trading.contract_id, Decimal(0))
    child = trading.meeting(quantity=4)
    trading.filled(child)
    assert trading.transport.look().positions[trading.contract_id] == held + 4


# ---------------------------------------------------------------- quotes


def test_live_quote_has_two_sides_and_is_of_now(line: Line) -> None:
    quote = line.quote()
    assert quote.is_two_sided
    assert quote.contract_id == line.contract_id
    assert quote.observed_at <= line.transport.now()


def test_there_is_no_quote_while_the_venue_is_closed(opened: Opened) -> None:
    saturday = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert opened(saturday).transport.quote("CSPX") is None


# ---------------------------------------------------------------- the line itself


def test_link_says_who_we_are_and_since_when(line: Line) -> None:
    link = line.transport.link()
    assert link.connected_at <= link.healthy_since <= line.transport.now()
    line.lose()
    again = line.transport.link()
    assert again.client_id == link.client_id
    assert link.healthy_since < again.healthy_since <= line.transport.now()


def test_nothing_leaves_over_a_line_that_another_one_took_the_place_of(line: Line) -> None:
    old, child = line.transport, line.order(-line.distance)
    line.lose()
    if line.transport is old:
        return  # this one is made anew by itself, and is the only one
    with pytest.raises((BrokerUnavailable, SupersededError)):
        old.send(child)
    assert child.order_ref not in {row.order_ref for row in line.transport.orders()}


def test_order_that_works_outlives_the_line_and_is_cancelled_over_the_next_one(line: Line) -> None:
    child = line.acknowledged(line.resting())
    line.lose()
    assert line.listed(child).status is ChildStatus.WORKING
    line.transport.cancel(child.order_ref)
    line.listen(child, until=ENDS)
    assert line.kinds(child)[-1] is Kind.CANCELLED
    assert line.listed(child).status is ChildStatus.CANCELLED


def test_fill_of_a_time_without_a_line_is_found_in_the_lists(trading: Line) -> None:
    child = trading.meeting(quantity=2)
    trading.lose()
    [fill] = [fill for fill in trading.transport.executions() if fill.order_ref == child.order_ref]
    assert (fill.quantity, fill.contract_id) == (Decimal(2), child.contract_id)
    assert trading.listed(child).status is ChildStatus.FILLED
    assert len({told.execution_id for told in trading.fills(child)}) == len(trading.fills(child))


def test_no_order_of_the_whole_session_was_acknowledged_ended_or_executed_twice(line: Line) -> None:
    """The last of the module: all that the tests above sent over one line."""
    line.listen()
    assert line.heard
    for heard in line.by_connection():
        executions = [event.fill.execution_id for event in heard if event.fill and not event.text]
        assert len(executions) == len(set(executions))
        for child in line.sent:
            kinds = [event.kind for event in heard if event.order_ref == child.order_ref]
            ends = [kind for kind in kinds if kind in ENDS]
            assert len(ends) <= 1
            assert not set(kinds[kinds.index(ends[0]) :] if ends else ()) & {Kind.ACKNOWLEDGED, Kind.FILL}


def _expiries(line: Line, instrument_id: str) -> tuple[str, str]:
    """The two expiries of a future that trade next."""
    alive = sorted(
        (row.last_trade_date, name)
        for name, row in line.book.contracts.items()
        if row.instrument_id == instrument_id
        and row.last_trade_date is not None
        and row.last_trade_date > line.transport.now().date()
    )
    return alive[0][1], alive[1][1]


def _for_auction(line: Line, kind: OrderType, auction: datetime) -> ChildOrder:
    """A buy of AAPL that its auction takes: the limit lies a tenth above the last close."""
    close = small_world()[2].official_close("AAPL", auction.date() - timedelta(days=1))
    assert close is not None
    limit = line.book.instrument("AAPL").floor_to_tick(close * Decimal("1.1"))
    return line.send(
        line.at_limit(limit, contract_id="AAPL", order_type=kind, good_till=auction + timedelta(hours=1))
    )
