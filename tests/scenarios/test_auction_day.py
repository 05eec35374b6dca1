"""A whole day on which New York's shares go to the closing auction: decided, worked, closed, and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from engine.model.context import RunKind
from engine.model.orders import ChildStatus, JobStatus, OrderType
from engine.model.windows import ExecutionStyle
from engine.simulation.matching import crosses
from flows.replaying import replay_recorded
from state.jobs import JobRecord, JobStore
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.factories import run_day, run_id_of

DAY = date(2026, 3, 25)
CUTOFF, CLOSE = datetime(2026, 3, 25, 19, 45, tzinfo=UTC), datetime(2026, 3, 25, 20, tzinfo=UTC)
TO_THE_CLOSE = "{style: CLOSE_AUCTION, venues: [NYSE, NASDAQ], asset_classes: [STK], reasons: [rebalance]}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    options = WorldOptions(
        profile="fund",
        first=DAY,
        last=DAY,
        home=tmp_path_factory.mktemp("auction"),
        overrides=(f"execution.styles=[{TO_THE_CLOSE}]",),
    )
    made = World(options)
    outcomes = run_day(made, DAY)
    assert not any(outcome.is_halted for outcome in outcomes.values())
    yield made
    made.close()


def jobs(world: World, style: ExecutionStyle) -> list[JobRecord]:
    store = JobStore(world.database, world.account, run_id_of(world, DAY, RunKind.EXECUTION))
    return [record for record in store.jobs(trade_date=DAY) if record.job.style is style]


def test_shares_of_new_york_go_to_the_close_once_and_trade_where_it_is_inside_their_collar(
    world: World,
) -> None:
    found = jobs(world, ExecutionStyle.CLOSE_AUCTION)
    assert {record.job.venue for record in found} == {"NYSE", "NASDAQ"}
    assert {record.status for record in found} == {JobStatus.DONE}
    names = {intent.contract_id for record in found for intent in record.job.intents}
    orders = [order for _, order in world.broker.state.orders.items() if order.child.contract_id in names]
    assert {order.child.order_type for order in orders} == {OrderType.LIMIT_ON_CLOSE}
    assert len(orders) == len({order.child.contract_id for order in orders}) > 5
    assert all(order.accepted_at < CUTOFF for order in orders)
    for order in orders:
        close = world.facts.official_close(order.child.contract_id, DAY)
        assert close is not None
        inside = crosses(order.child.side, order.child.limit_price, close)
        assert order.status is (ChildStatus.FILLED if inside else ChildStatus.EXPIRED)
        told = [fill for fill in world.broker.executions() if fill.order_ref == order.child.order_ref]
        assert [(fill.price, fill.executed_at) for fill in told] == ([(close, CLOSE)] if inside else [])
    assert {order.status for order in orders} == {ChildStatus.FILLED, ChildStatus.EXPIRED}


def test_everything_else_is_worked_midday(world: World) -> None:
    found = jobs(world, ExecutionStyle.MIDDAY)
    assert {"LSE", "XETRA"} <= {record.job.venue for record in found}
    assert not {"NYSE", "NASDAQ"} & {record.job.venue for record in found}


def test_decision_with_styles_is_replayed_to_the_byte(world: World) -> None:
    assert replay_recorded(world.runs, run_id_of(world, DAY, RunKind.DECISION)).is_identical
