"""Calendar spreads at the simulated broker: both legs or neither, each at its own price, in the account's own books."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest

from engine.model.orders import ChildOrder, ChildStatus, Side, TransportEventKind
from engine.model.spreads import NearLeg
from engine.simulation.broker import SimulatedBroker
from engine.simulation.faults import clear, inject
from engine.simulation.journal import MemoryJournal
from tests.engine.simulation.exchange_world import (
    EURO,
    FUTURE,
    MONDAY,
    NEXT,
    World,
    broker_terms,
    events_until,
    new_broker,
    order,
    utc,
)

OPEN = utc(MONDAY, 15)
LATER = OPEN + timedelta(minutes=5)


def spread(
    limit: str = "40.50",
    quantity: str = "5",
    side: Side = Side.BUY,
    near: str = FUTURE,
    far: str = NEXT,
    ref: str = "AF1.S.1",
) -> ChildOrder:
    """The next contract for the old one: 5039.75/5040.25 less 4999.75/5000.25 are 39.50 bid, 40.50 asked."""
    leg = NearLeg(intent_id="near", contract_id=near, arrival_mid=D(5000))
    return replace(order(far, quantity, limit, side=side, ref=ref), near=leg, arrival_mid=D(5040))


def holding(quantity: str = "5", **changes: object) -> SimulatedBroker:
    """A broker whose account is long the contract that ends."""
    broker = new_broker(**changes)  # type: ignore[arg-type]
    broker.submit(order(FUTURE, quantity, "5001", ref="AF1.A.0"))
    events_until(broker, OPEN + timedelta(minutes=1))
    assert broker.state.quantity(FUTURE) == D(quantity)
    return broker


def quantities(broker: SimulatedBroker) -> tuple[D, D]:
    return broker.state.quantity(FUTURE), broker.state.quantity(NEXT)


def test_bought_spread_trades_each_leg_at_its_own_price_and_commission() -> None:
    broker = holding()
    broker.submit(spread())
    told = events_until(broker, LATER)
    assert [event.kind for event in told] == [
        TransportEventKind.ACKNOWLEDGED,
        TransportEventKind.FILL,
        TransportEventKind.FILL,
    ]
    found = [event.fill for event in told if event.fill is not None]
    assert [(f.contract_id, f.side, f.quantity, f.price, f.commission, f.order_ref) for f in found] == [
        (NEXT, Side.BUY, D(5), D("5040.25"), D("11.25"), "AF1.S.1"),  # 5 × 2.25 USD
        (FUTURE, Side.SELL, D(5), D("4999.75"), D("11.25"), "AF1.S.1"),
    ]
    assert quantities(broker) == (D(0), D(5))
    assert len({f.execution_id for f in found}) == 2
    listed = broker.orders()[-1]
    assert (listed.contract_id, listed.near_contract_id, listed.filled, listed.status) == (
        NEXT,
        FUTURE,
        D(5),
        ChildStatus.FILLED,
    )


def test_sold_spread_is_the_roll_of_a_short() -> None:
    broker = new_broker()
    broker.submit(order(FUTURE, "5", "4999", side=Side.SELL, ref="AF1.A.0"))
    events_until(broker, OPEN + timedelta(minutes=1))
    broker.submit(spread("39.50", side=Side.SELL))
    prices = {e.fill.contract_id: e.fill.price for e in events_until(broker, LATER) if e.fill is not None}
    assert prices == {NEXT: D("5039.75"), FUTURE: D("5000.25")}
    assert quantities(broker) == (D(0), D(-5))


def test_spread_outside_its_limit_trades_neither_leg_until_it_is_cancelled() -> None:
    broker = holding()
    broker.submit(spread("40.25"))  # 40.50 is asked
    events_until(broker, OPEN + timedelta(minutes=2))
    assert quantities(broker) == (D(5), D(0))
    broker.cancel("AF1.S.1")
    assert [event.kind for event in events_until(broker, LATER)] == [TransportEventKind.CANCELLED]
    assert quantities(broker) == (D(5), D(0))


def test_spread_is_as_deep_as_its_thinner_leg_each_refresh() -> None:
    broker = holding(world=World(depth=D(3)))
    broker.submit(spread())
    told = [event.fill for event in events_until(broker, LATER) if event.fill is not None]
    # Three, and two at the next refresh; every report is of both legs.
    assert [(f.contract_id, f.quantity) for f in told] == [
        (NEXT, D(3)),
        (FUTURE, D(3)),
        (NEXT, D(2)),
        (FUTURE, D(2)),
    ]


def test_every_state_of_the_account_s_file_has_both_legs_or_neither() -> None:
    journal = MemoryJournal()
    broker = holding(journal=journal)
    broker.submit(spread())
    broker.advance(LATER)
    loaded = SimulatedBroker.load(broker_terms(), journal)
    assert quantities(loaded) == (D(0), D(5))
    assert loaded.executions() == broker.executions()


@pytest.mark.parametrize(
    ("child", "why"),
    [
        (spread(near=EURO), "no expiries of one instrument"),
        (spread(near="ES_20991218"), "no security definition"),
        (spread(near=FUTURE, far=EURO, limit="0.5"), "no calendar spread of M6E is listed"),
        (spread("40.51"), "does not conform to the tick"),
        (spread(quantity="2.5"), "no positive multiple of the lot"),
    ],
)
def test_impossible_spread_is_refused_with_its_reason(child: ChildOrder, why: str) -> None:
    broker = holding()
    broker.submit(child)
    told = events_until(broker, LATER)
    assert [event.kind for event in told] == [TransportEventKind.REJECTED]
    assert why in told[0].text
    assert quantities(broker) == (D(5), D(0))


def test_spread_of_a_held_contract_needs_no_margin_of_its_own() -> None:
    # 100 contracts at 8 % of 5000 × 50 USD take 2 of 2.2 million; the next contract takes only 16,000 USD more.
    broker = holding("100", deposit="2200000")
    broker.submit(spread(quantity="100"))
    assert [e.kind for e in events_until(broker, LATER)][-1] is TransportEventKind.FILL
    alone = holding("100", deposit="2200000")
    alone.submit(order(NEXT, "100", "5041", ref="AF1.B.0"))
    assert [e.kind for e in events_until(alone, LATER)] == [TransportEventKind.REJECTED]


def test_fault_refuses_spreads_and_nothing_else_until_it_is_cleared() -> None:
    broker = holding()
    assert inject(broker, "spread-rejected")
    broker.submit(spread())
    assert [event.kind for event in events_until(broker, LATER)] == [TransportEventKind.REJECTED]
    broker.submit(order(NEXT, "5", "5041", ref="AF1.B.0"))
    assert [e.kind for e in events_until(broker, LATER + timedelta(minutes=1))][-1] is TransportEventKind.FILL
    assert clear(broker, "spread-rejected")
    broker.submit(spread(ref="AF1.S.2"))
    assert events_until(broker, LATER + timedelta(minutes=2))[-1].kind is TransportEventKind.FILL


def test_fault_keeps_spreads_from_trading() -> None:
    broker = holding()
    assert inject(broker, "spread-unfilled")
    broker.submit(spread())
    assert [event.kind for event in events_until(broker, LATER)] == [TransportEventKind.ACKNOWLEDGED]
    assert quantities(broker) == (D(5), D(0))
