"""Orders at the simulated broker: from arrival to the last report."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigurationError, NonFiniteValue
from engine.model.orders import ChildOrder, ChildStatus, OrderType, Side, TransportEventKind
from engine.simulation.broker import SimulatedBroker
from engine.simulation.journal import MemoryJournal, RecordKind
from tests.engine.simulation.exchange_world import (
    FUTURE,
    MONDAY,
    OPTION,
    World,
    broker_terms,
    events_until,
    new_broker,
    opening,
    order,
    utc,
)

KIND = TransportEventKind


def _kinds(broker: SimulatedBroker, until: datetime | None = None) -> list[TransportEventKind]:
    return [event.kind for event in events_until(broker, until or utc(MONDAY, 15, 1))]


def test_marketable_order_fills_at_the_touch_and_reports_in_order() -> None:
    broker = new_broker()
    broker.submit(order(quantity="300", limit="100.05"))

    events = events_until(broker, utc(MONDAY, 15, 1))

    assert [event.kind for event in events] == [KIND.ACKNOWLEDGED, KIND.FILL]
    fill = events[1].fill
    assert fill is not None
    assert (fill.quantity, fill.price) == (Decimal(300), Decimal("100.01"))  # ask = 100.00 + one tick
    assert fill.commission == Decimal("1.5")  # 300 × 0.005, above the minimum of 1
    assert broker.state.balance("USD") == Decimal("10000000") - Decimal("30003") - Decimal("1.5")
    assert broker.now == utc(MONDAY, 15, 1)


def test_acknowledgement_waits_some_milliseconds() -> None:
    broker = new_broker()
    broker.submit(order())

    event = broker.next_event(utc(MONDAY, 15, 1))

    assert event is not None
    assert timedelta(milliseconds=10) <= event.at - utc(MONDAY, 15) <= timedelta(milliseconds=120)
    assert broker.now == event.at


def test_large_order_takes_the_depth_and_the_rest_at_each_refresh() -> None:
    broker = new_broker(World(depth=Decimal(40)))
    broker.submit(order(quantity="100"))

    fills = [event.fill for event in events_until(broker, utc(MONDAY, 15, 0, 30)) if event.fill]

    assert [fill.quantity for fill in fills] == [40, 40, 20]
    assert fills[1].executed_at - fills[0].executed_at == timedelta(seconds=5)
    # The minimum commission of 1 is due once: 40, 80 and 100 shares cost less than it.
    assert [fill.commission for fill in fills] == [Decimal(1), Decimal(0), Decimal(0)]


def test_two_orders_share_the_depth_of_one_refresh() -> None:
    broker = new_broker(World(depth=Decimal(50)))
    broker.submit(order(quantity="50", ref="AF1.A.0"))
    broker.submit(order(quantity="50", ref="AF1.B.0"))

    fills = [event.fill for event in events_until(broker, utc(MONDAY, 15, 0, 2)) if event.fill]

    assert [(fill.order_ref, fill.quantity) for fill in fills] == [("AF1.A.0", Decimal(50))]


def test_limit_below_the_ask_rests_until_the_market_comes() -> None:
    broker = new_broker(World(drift=1), at=utc(MONDAY, 15, 0, 20))
    # 15:00:20 is step 10804 = 3 (mod 7): ask 100.04; step 10808 = 0 (mod 7), at 15:00:40, asks 100.01.
    broker.submit(order(limit="100.01"))

    fills = [event.fill for event in events_until(broker, utc(MONDAY, 15, 2)) if event.fill]

    assert [fill.price for fill in fills] == [Decimal("100.01")]
    assert utc(MONDAY, 15, 0, 40) <= fills[0].executed_at < utc(MONDAY, 15, 0, 45)


def test_same_reference_twice_is_accepted_twice() -> None:
    journal = MemoryJournal()
    broker = new_broker(journal=journal)
    broker.submit(order())
    broker.submit(order())

    assert _kinds(broker).count(KIND.FILL) == 2
    assert broker.state.quantity("AAA") == 200
    assert len(journal.history(RecordKind.ORDER)) == 2


@pytest.mark.parametrize(
    ("child", "text"),
    [
        (order("ZZZ"), "no security definition"),
        (order("PEN", limit="250.1"), "closed"),
        (order(limit="100.005"), "tick"),
        (order(quantity="1.5"), "lot"),
        (order(limit="-1"), "positive"),
        (order(OPTION, limit="0"), "positive"),
        (order(order_type=OrderType.MARKET), "market orders"),
        (order(good_till=utc(MONDAY, 14)), "has passed"),
        (order(quantity="2000000"), "margin"),
        (order(OPTION, quantity="20000", limit="12"), "margin"),
        (order(side=Side.SELL, limit="99"), "borrow"),
    ],
)
def test_bad_order_is_rejected_with_its_reason(child: ChildOrder, text: str) -> None:
    broker = new_broker(World(unborrowable=frozenset({"AAA"})), at=utc(MONDAY, 17))

    broker.submit(child)
    events = events_until(broker, utc(MONDAY, 18))

    assert [event.kind for event in events] == [KIND.REJECTED]
    assert text in events[0].text
    assert broker.orders()[0].status is ChildStatus.REJECTED
    assert broker.state.balance("USD") == 10_000_000


def test_sale_of_what_is_held_needs_no_borrow() -> None:
    broker = new_broker(World(unborrowable=frozenset({"AAA"})))
    broker.submit(order())
    broker.advance(utc(MONDAY, 15, 1))
    broker.submit(order(side=Side.SELL, limit="99", ref="AF1.S.0"))

    assert KIND.FILL in _kinds(broker, utc(MONDAY, 15, 2))
    assert broker.is_flat


def test_reduction_is_taken_when_margin_is_gone() -> None:
    world = World()
    broker = new_broker(world, deposit="30000")
    broker.submit(order(FUTURE, quantity="1", limit="5000.25"))  # margin 0.08 × 250,000 = 20,000
    broker.advance(utc(MONDAY, 15, 1))
    world.dated_closes[FUTURE, date(2024, 3, 4)] = Decimal(4500)
    broker.advance(utc(date(2024, 3, 5), 15))

    broker.submit(
        order(FUTURE, quantity="1", limit="5000.25", ref="AF1.B.0", good_till=utc(date(2024, 3, 5), 23))
    )
    broker.submit(
        order(FUTURE, "1", "4999", side=Side.SELL, ref="AF1.C.0", good_till=utc(date(2024, 3, 5), 23))
    )
    broker.advance(utc(date(2024, 3, 5), 15, 1))

    assert [listed.status for listed in broker.orders()] == [
        ChildStatus.FILLED,
        ChildStatus.REJECTED,
        ChildStatus.FILLED,
    ]


def test_cancel_takes_effect_after_its_way_and_stops_the_rest() -> None:
    broker = new_broker(World(depth=Decimal(40)))
    broker.submit(order(quantity="100"))
    broker.advance(utc(MONDAY, 15, 0, 1))

    broker.cancel("AF1.A.0")
    assert broker.orders()[0].status is ChildStatus.CANCEL_PENDING

    assert _kinds(broker)[-1] is KIND.CANCELLED
    assert (broker.orders()[0].status, broker.orders()[0].filled) == (ChildStatus.CANCELLED, Decimal(40))


def test_cancel_that_comes_too_late_is_noticed() -> None:
    broker = new_broker()
    broker.submit(order())
    broker.advance(utc(MONDAY, 15, 0, 1))
    broker.cancel("AF1.A.0")

    events = events_until(broker, utc(MONDAY, 15, 1))

    assert [event.kind for event in events] == [KIND.ACKNOWLEDGED, KIND.FILL, KIND.NOTICE]
    assert "FILLED" in events[-1].text


def test_cancel_may_lose_the_race_against_a_fill() -> None:
    broker = new_broker()
    broker.submit(order())
    broker.cancel("AF1.A.0")  # the order reaches the exchange 5–40 ms after sending, the cancel 15–90 ms

    status = {ChildStatus.FILLED: Decimal(100), ChildStatus.CANCELLED: Decimal(0)}
    broker.advance(utc(MONDAY, 15, 1))
    listed = broker.orders()[0]

    assert listed.filled == status[listed.status]
    assert broker.state.quantity("AAA") == listed.filled


@pytest.mark.parametrize(
    ("good_till", "expected"),
    [(utc(MONDAY, 15, 10), utc(MONDAY, 15, 10)), (utc(MONDAY, 23), utc(MONDAY, 21))],
    ids=["its own limit", "the session's close"],
)
def test_resting_order_expires_at_the_earlier_end(good_till: datetime, expected: datetime) -> None:
    broker = new_broker()
    broker.submit(order(limit="99", good_till=good_till))

    last = events_until(broker, utc(MONDAY, 22))[-1]

    assert last.kind is KIND.EXPIRED
    assert timedelta(0) < last.at - expected <= timedelta(milliseconds=120)


@pytest.mark.parametrize(
    ("child", "at", "price"),
    [
        (order(limit="101", order_type=OrderType.LIMIT_ON_CLOSE), utc(MONDAY, 21), Decimal("100.5")),
        (order("PEN", "100", "251", order_type=OrderType.LIMIT_ON_CLOSE), utc(MONDAY, 16, 30), Decimal(250)),
        (
            order(
                "PEN", "100", "251", order_type=OrderType.LIMIT_ON_OPEN, good_till=utc(date(2024, 3, 5), 20)
            ),
            utc(date(2024, 3, 5), 8),
            Decimal(250),
        ),
    ],
)
def test_auction_order_trades_at_the_auction_price(child: ChildOrder, at: datetime, price: Decimal) -> None:
    world = World(depth=Decimal(1), dated_closes={("AAA", MONDAY): Decimal("100.5")})
    broker = new_broker(world)
    broker.submit(child)

    broker.advance(at + timedelta(seconds=1))

    (fill,) = broker.executions()
    assert (fill.price, fill.quantity, fill.executed_at) == (price, Decimal(100), at)


def test_auction_outside_the_limit_ends_expired() -> None:
    broker = new_broker()
    broker.submit(order(limit="99.5", order_type=OrderType.LIMIT_ON_CLOSE))

    assert _kinds(broker, utc(MONDAY, 22)) == [KIND.ACKNOWLEDGED, KIND.EXPIRED]


@pytest.mark.parametrize(
    ("name", "at", "taken", "why"),
    [
        (
            "AAA",
            utc(MONDAY, 20, 49),
            True,
            "New York takes orders for the close until 15:50 there, 20:50 UTC",
        ),
        ("AAA", utc(MONDAY, 20, 50), False, "the cut-off has come"),
        ("PEN", utc(MONDAY, 16, 29), True, "London takes them until the auction"),
    ],
)
def test_auction_takes_no_order_after_its_cutoff(name: str, at: datetime, taken: bool, why: str) -> None:
    broker = new_broker(at=at)
    broker.submit(order(name, "100", "251", order_type=OrderType.LIMIT_ON_CLOSE))

    assert (KIND.REJECTED not in _kinds(broker, at + timedelta(minutes=1))) is taken, why


@pytest.mark.parametrize(("minute", "status"), [(49, ChildStatus.CANCELLED), (50, ChildStatus.FILLED)])
def test_auction_gives_no_order_back_after_its_cutoff(minute: int, status: ChildStatus) -> None:
    broker = new_broker(at=utc(MONDAY, 20))
    child = order(limit="101", order_type=OrderType.LIMIT_ON_CLOSE)
    broker.submit(child)
    broker.advance(utc(MONDAY, 20, minute))

    broker.cancel(child.order_ref)

    assert (KIND.NOTICE in _kinds(broker, utc(MONDAY, 22))) is (status is ChildStatus.FILLED)
    assert broker.orders()[0].status is status


def test_auction_that_was_moved_trades_later_at_the_same_price() -> None:
    broker = SimulatedBroker.create(
        replace(broker_terms(), auctions_moved=timedelta(minutes=5)), MemoryJournal(), opening()
    )
    broker.submit(order(limit="101", order_type=OrderType.LIMIT_ON_CLOSE))

    broker.advance(utc(MONDAY, 21, 4))
    assert broker.executions() == ()
    broker.advance(utc(MONDAY, 21, 5, 1))

    (fill,) = broker.executions()
    assert (fill.price, fill.executed_at) == (Decimal(100), utc(MONDAY, 21, 5))


def test_order_that_is_no_number_is_refused() -> None:
    broker = new_broker()

    with pytest.raises(NonFiniteValue, match="AF1"):
        broker.submit(order(limit="NaN"))

    assert broker.orders() == ()


def test_time_does_not_go_back() -> None:
    broker = new_broker()

    with pytest.raises(ConfigurationError, match="simulated reset"):
        broker.advance(utc(MONDAY, 14))


def test_completed_orders_are_listed_for_two_days_then_only_in_the_history() -> None:
    journal = MemoryJournal()
    broker = new_broker(journal=journal)
    broker.submit(order())
    broker.advance(utc(date(2024, 3, 5), 12))
    assert (len(broker.orders()), len(broker.executions())) == (1, 1)

    broker.advance(utc(date(2024, 3, 6), 12))

    assert (broker.orders(), broker.executions()) == ((), ())
    assert len(journal.history(RecordKind.EXECUTION)) == 1


_CHILD = st.builds(
    order,
    st.sampled_from(["AAA", FUTURE, "EUR.USD"]),
    st.integers(1, 40).map(str),
    st.just("0"),
    side=st.sampled_from(Side),
    ref=st.integers(0, 5).map(lambda n: f"AF1.{n}.0"),
)
_OFFSETS = st.integers(-3, 6)


def _near_market(child: ChildOrder, offset: int) -> ChildOrder:
    """The child with a limit a few ticks around the market."""
    tick = {"AAA": "0.01", FUTURE: "0.25", "EUR.USD": "0.00005"}[child.contract_id]
    mid = World().closes[child.contract_id]
    limit = mid + Decimal(tick) * offset * child.side.sign
    return order(child.contract_id, str(child.quantity), str(limit), side=child.side, ref=child.order_ref)


_ORDERS = st.lists(st.builds(_near_market, _CHILD, _OFFSETS), min_size=1, max_size=8)


@given(children=_ORDERS, drift=st.integers(-2, 2), depth=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_no_order_trades_outside_its_limit_or_beyond_its_quantity(
    children: list[ChildOrder], drift: int, depth: int
) -> None:
    broker = new_broker(World(drift=drift, depth=Decimal(depth)))
    for number, child in enumerate(children):
        broker.submit(child)
        if number % 3 == 2:
            broker.cancel(child.order_ref)
        broker.advance(broker.now + timedelta(seconds=3))
    broker.advance(utc(MONDAY, 15, 5))

    orders = [held for _, held in broker.state.orders.items()]
    assert len(orders) == len(children)
    assert all(0 <= held.filled <= held.child.quantity for held in orders)
    limits = {(c.order_ref, c.contract_id, c.side): [] for c in children}
    for child in children:
        limits[child.order_ref, child.contract_id, child.side].append(child.limit_price)
    for fill in broker.executions():
        allowed = limits[fill.order_ref or "", fill.contract_id, fill.side]
        worst = max(allowed) if fill.side is Side.BUY else min(allowed)
        assert (worst - fill.price) * fill.side.sign >= 0
    assert sum((held.filled for held in orders), Decimal(0)) == sum(
        (fill.quantity for fill in broker.executions()), Decimal(0)
    )


@given(children=_ORDERS, cuts=st.lists(st.integers(1, 7200), max_size=4))
@settings(max_examples=30, deadline=None)
def test_cutting_time_into_calls_changes_nothing(children: list[ChildOrder], cuts: list[int]) -> None:
    whole, cut = (new_broker(World(drift=1, depth=Decimal(7))) for _ in range(2))
    for child in children:
        whole.submit(child)
        cut.submit(child)

    for seconds in sorted(cuts):
        cut.advance(utc(MONDAY, 15) + timedelta(seconds=seconds))
    wanted = events_until(whole, utc(MONDAY, 23))

    assert events_until(cut, utc(MONDAY, 23)) == wanted
    assert cut.state.balance("USD") == whole.state.balance("USD")


@given(children=_ORDERS)
@settings(max_examples=25, deadline=None)
def test_reload_before_every_step_gives_the_same_events_and_book(children: list[ChildOrder]) -> None:
    world = World(drift=1, depth=Decimal(9))
    terms = broker_terms(world)
    steady, journal = new_broker(world), MemoryJournal()
    fragile = new_broker(world, journal=journal)
    for child in children:
        steady.submit(child)
        fragile = SimulatedBroker.load(terms, journal)
        fragile.submit(child)
    for _ in range(60):
        fragile = SimulatedBroker.load(terms, journal.copy())
        assert fragile.state.pending_records(fragile.state.head) == [
            record for record in journal.load() if record.kind is RecordKind.HEAD
        ]
        fragile = SimulatedBroker.load(terms, journal)
        wanted = steady.next_event(utc(MONDAY, 23))
        assert fragile.next_event(utc(MONDAY, 23)) == wanted
        if wanted is None:
            break

    assert SimulatedBroker.load(terms, journal).snapshot(utc(MONDAY, 23)) == steady.snapshot(utc(MONDAY, 23))
