"""Whatever a quote says: the broker's own ledger holds no order, or one inside the collar of a market to believe."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.executor import execute
from engine.execution.liquidity import LiquidityEstimator
from engine.execution.netting import PriceBook
from engine.execution.outcome import ExecutionWorld
from engine.execution.pace import widest_collar
from engine.execution.pricing import PlanRefusal, collar_width, usable_quote
from engine.model.instruments import VenueGroup
from engine.model.market import Quote, Source
from engine.model.orders import (
    ChildOrder,
    ExecutionJob,
    ExecutionStyle,
    LiquidityWindow,
    OrderIntent,
    Reason,
    Side,
    Urgency,
)
from engine.model.universe import ContractBook
from engine.simulation.account import BrokerOrder
from engine.simulation.exchange import SimulatedTransport
from tests.engine.execution.market import execution_policy, safety_policy
from tests.engine.simulation.exchange_world import (
    CONTRACTS,
    FUTURE,
    MONDAY,
    NEXT,
    UNIVERSE,
    World,
    new_broker,
    utc,
)
from tests.fakes import MemoryOrderBook

OPEN = utc(MONDAY, 15)
POLICY = execution_policy()
BOOK = ContractBook(universe=UNIVERSE, contracts=CONTRACTS)
NUMBERS = [
    D("NaN"),
    D("sNaN"),
    D("Infinity"),
    D("-Infinity"),
    D(0),
    D(-1),
    D("-0.01"),
    D("1E-30"),
    D("1E+30"),
]


@dataclass
class BadQuotes:
    """The exchange's line with its quotes spoilt in turn, and what it served of each contract."""

    line: SimulatedTransport
    spoils: list[tuple[str, D, bool]]
    served: list[tuple[datetime, Quote]] = field(default_factory=list)
    _turn: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.line, name)

    def quote(self, contract_id: str) -> Quote | None:
        true = self.line.quote(contract_id)
        kind, number, is_ask = self.spoils[self._turn % len(self.spoils)]
        self._turn += 1
        if true is None or true.bid is None or true.ask is None:
            return true
        found = spoilt(true, kind, number, is_ask=is_ask)
        if found is not None:
            self.served.append((self.line.now(), found))
        return found


def spoilt(true: Quote, kind: str, number: D, *, is_ask: bool) -> Quote | None:
    assert true.bid is not None
    assert true.ask is not None
    side = "ask" if is_ask else "bid"
    match kind:
        case "true":
            return true
        case "none":
            return None
        case "number":
            return replace(true, **{side: number})
        case "both":
            return replace(true, bid=number, ask=number)
        case "one-sided":
            return replace(true, **{side: None})
        case "crossed":
            return replace(true, bid=true.ask, ask=true.bid)
        case "stale":
            return replace(true, observed_at=true.observed_at - timedelta(seconds=31 if is_ask else 6))
        case "delayed":
            return replace(true, source=Source.DELAYED)
        case _:  # a hundredth or a hundredfold: another unit
            factor = D("0.01") if is_ask else D(100)
            return replace(true, bid=true.bid * factor, ask=true.ask * factor)


def parents(side: Side, urgency: Urgency, *, rolls: bool) -> tuple[OrderIntent, ...]:
    def order(name: str, quantity: int, own: Side, reason: Reason, near: str | None = None) -> OrderIntent:
        return OrderIntent(
            intent_id=f"{reason.value}-{name}",
            contract_id=name,
            instrument_id=CONTRACTS[name].instrument_id,
            side=own,
            quantity=D(quantity),
            reason=reason,
            urgency=urgency,
            group=None,
            reduce_only=False,
            sleeves={"core_index_rv": D(quantity * own.sign)},
            decision_price=World().closes[name],
            near_intent_id=near,
        )

    singles = (order("PEN", 50, side, Reason.REBALANCE), order("AAA", 10, Side.BUY, Reason.REBALANCE))
    if not rolls:
        return singles
    near = order(FUTURE, 2, Side.SELL, Reason.ROLL)
    return (*singles, near, order(NEXT, 2, Side.BUY, Reason.ROLL, near.intent_id))


def worked(
    spoils: list[tuple[str, D, bool]], intents: tuple[OrderIntent, ...]
) -> tuple[tuple[BrokerOrder, ...], BadQuotes]:
    """The broker's own record of what it took, and what the executor had been shown."""
    facts = World(depth=D(30), drift=1)
    broker = new_broker(facts)
    line = BadQuotes(SimulatedTransport(broker), spoils)
    window = LiquidityWindow(
        venue="US", style=ExecutionStyle.MIDDAY, start=OPEN, end=OPEN + timedelta(minutes=6)
    )
    job = ExecutionJob(
        job_id="job",
        trade_date=MONDAY,
        venue="US",
        venue_group=VenueGroup.US,
        style=ExecutionStyle.MIDDAY,
        window=window,
        group="strategy/core",
        after=(),
        intents=intents,
        content_digest="d",
    )
    execute(
        [job],
        ExecutionWorld(
            transport=line,  # type: ignore[arg-type]  # the rest of the port is the line's own
            book=MemoryOrderBook({i.intent_id: (i.quantity, i.reduce_only) for i in intents}),
            prices=PriceBook(contracts=BOOK, prices=facts.closes, fx=facts.fx(OPEN)),
            execution=POLICY,
            safety=safety_policy(),
            liquidity=LiquidityEstimator(average_daily_volume={}),
        ),
    )
    return tuple(order for _, order in broker.state.orders.items()), line


def leg_mids(order: ChildOrder) -> D:
    assert order.arrival_mid is not None
    return order.arrival_mid - (order.near.arrival_mid if order.near is not None else 0)


def is_inside(order: ChildOrder, urgency: Urgency) -> bool:
    """Whether the limit stays within the widest collar around the arrival on the side that costs."""
    assert order.arrival_mid is not None
    multiple, ticks = widest_collar(urgency, POLICY)
    width = collar_width(order.arrival_mid, BOOK.instrument(order.contract_id), POLICY, multiple, ticks)
    return (order.limit_price - leg_mids(order)) * order.side.sign <= width


SPOILS = st.lists(
    st.tuples(
        st.sampled_from(
            ["true", "none", "number", "both", "one-sided", "crossed", "stale", "delayed", "unit"]
        ),
        st.sampled_from(NUMBERS),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(SPOILS, st.sampled_from(Side), st.sampled_from(Urgency), st.booleans())
def test_no_quote_brings_an_order_outside_the_collar_of_a_true_market(
    spoils: list[tuple[str, D, bool]], side: Side, urgency: Urgency, rolls: bool
) -> None:
    orders, line = worked(spoils, parents(side, urgency, rolls=rolls))
    closes = World().closes
    for order in orders:
        child = order.child
        assert is_inside(child, urgency)
        assert child.arrival_mid is not None
        assert abs(child.arrival_mid / closes[child.contract_id] - 1) <= D("0.05")
        shown = [
            quote
            for at, quote in line.served
            if quote.contract_id == child.contract_id and at <= order.accepted_at
        ]
        assert any(not isinstance(usable_quote(q, q.observed_at, 30.0), PlanRefusal) for q in shown)


@pytest.mark.parametrize("kind", ["none", "number", "both", "one-sided", "crossed", "delayed", "unit"])
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("is_ask", [False, True])
def test_quote_that_is_always_bad_brings_no_order(kind: str, number: D, is_ask: bool) -> None:
    orders, _ = worked([(kind, number, is_ask)], parents(Side.BUY, Urgency.NORMAL, rolls=True))
    assert orders == ()


def test_true_quotes_bring_orders() -> None:
    orders, _ = worked([("true", D(0), False)], parents(Side.BUY, Urgency.NORMAL, rolls=True))
    assert {order.child.contract_id for order in orders} >= {"PEN", "AAA", NEXT}
