"""What urgency changes: prices, collars and clocks of a parent order."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from engine.execution.executor import execute
from engine.execution.outcome import ExecutionReport
from engine.execution.pace import pace_of
from engine.execution.pricing import Step, create_plan, is_marketable, limit_price
from engine.model.market import Quote
from engine.model.orders import ChildOrder, OrderPlan, OrderType, Side, Urgency
from tests import fakes
from tests.engine.execution.market import (
    ES_JUN,
    NOON,
    UNIVERSE,
    VX_JUL,
    execution_policy,
    intent,
    job,
    quote,
    world,
)
from tests.fakes import ScriptedTransport

POLICY = execution_policy()


def plan_of(
    urgency: Urgency, side: Side = Side.BUY, contract_id: str = "CSPX", at: Quote | None = None
) -> OrderPlan:
    name = contract_id.split("_", maxsplit=1)[0]
    plan = create_plan(
        intent(side=side, contract_id=contract_id, urgency=urgency),
        at or quote(),
        POLICY,
        UNIVERSE[name],
        NOON,
    )
    assert isinstance(plan, OrderPlan)
    return plan


def limits(plan: OrderPlan, market: Quote, name: str, rounds: int = 0) -> list[D]:
    return [limit_price(plan, market, Step(step, rounds), POLICY, UNIVERSE[name]) for step in range(4)]


@pytest.mark.parametrize(
    ("urgency", "ceiling", "why"),
    [
        (Urgency.LOW, "734.88", "734.15 × 1.0010 = 734.88415"),
        (Urgency.NORMAL, "734.88", "10 bps"),
        (Urgency.HIGH, "735.25", "734.15 × 1.0015 = 735.251225"),
        (Urgency.EMERGENCY, "737.085", "734.15 × 1.0040 = 737.0866"),
    ],
)
def test_collar_is_as_wide_as_the_urgency_allows(urgency: Urgency, ceiling: str, why: str) -> None:
    assert plan_of(urgency).price_ceiling == D(ceiling), why


def test_emergency_of_a_fund_climbs_10_20_and_40_bps_from_the_arrival() -> None:
    # 734.15 + 0.73415, + 1.4683, + 2.9366, each rounded down to 0.005
    assert limits(plan_of(Urgency.EMERGENCY), quote(), "CSPX") == [
        D("734.88"),
        D("735.615"),
        D("737.085"),
        D("737.085"),
    ]
    # 734.15 − 0.73415 = 733.41585, rounded up
    assert limits(plan_of(Urgency.EMERGENCY, Side.SELL), quote(), "CSPX")[0] == D("733.42")


def test_emergency_of_a_future_climbs_3_6_and_12_bps() -> None:
    market = quote(ES_JUN, "4999.75", "5000.25")
    # 3 bps of 5,000 = 1.5; four ticks of 0.25 are less
    assert limits(plan_of(Urgency.EMERGENCY, contract_id=ES_JUN, at=market), market, "ES")[:3] == [
        D("5001.50"),
        D("5003.00"),
        D("5006.00"),
    ]


def test_emergency_of_a_coarse_future_begins_four_ticks_from_the_arrival() -> None:
    market = quote(VX_JUL, "18.00", "18.05")
    # Collar = two ticks of 0.05. Rungs 0.1 → four ticks 0.2, 0.2, 0.4; 18.025 + 0.2 = 18.225, rounded down
    assert limits(plan_of(Urgency.EMERGENCY, contract_id=VX_JUL, at=market), market, "VX")[:3] == [
        D("18.20"),
        D("18.20"),
        D("18.40"),
    ]


def test_emergency_does_not_pay_the_arrival_price_where_the_market_became_cheaper() -> None:
    cheaper = quote(bid="700.0", ask="700.2")
    # 700.1 + 0.73415: the width of the rung from where the market is now
    assert limits(plan_of(Urgency.EMERGENCY), cheaper, "CSPX")[0] == D("700.83")


def test_later_rounds_of_an_emergency_stand_on_the_last_rung() -> None:
    assert limits(plan_of(Urgency.EMERGENCY), quote(), "CSPX", rounds=1) == [D("737.085")] * 4


@pytest.mark.parametrize(
    ("side", "bid", "ask", "limit"),
    [
        (Side.BUY, "734.0", "734.3", "734.0"),
        (Side.SELL, "734.0", "734.3", "734.3"),
        (Side.BUY, "734.0", "734.0", "733.995"),
        (Side.SELL, "734.0", "734.0", "734.005"),
        (Side.BUY, "740.0", "740.3", "734.88"),
    ],
)
def test_order_that_can_wait_stands_at_its_own_side_and_never_crosses(
    side: Side, bid: str, ask: str, limit: str
) -> None:
    market = quote(bid=bid, ask=ask)
    price = limit_price(plan_of(Urgency.LOW, side), market, Step(), POLICY, UNIVERSE["CSPX"])
    assert price == D(limit)
    assert not is_marketable(side, price, market)


def test_order_that_waited_pays_like_any_other() -> None:
    low, normal = (limits(plan_of(u), quote(), "CSPX", rounds=1) for u in (Urgency.LOW, Urgency.NORMAL))
    assert low == normal


def test_ladder_of_the_policy_is_climbed_rung_by_rung() -> None:
    pace = pace_of(Urgency.EMERGENCY, 0, POLICY)
    assert [pace.collar_multiple(step) for step in range(4)] == [1, 2, 4, 4]
    assert (pace.max_replaces, pace.replace_interval_seconds) == (2, 10.0)


# ---------------------------------------------------------------- in a window


def worked(
    urgency: Urgency, minutes: float, quotes: list[tuple[float, str, str]] | None = None
) -> tuple[list[tuple[float, D]], ExecutionReport, list[ChildOrder]]:
    """Seconds and limits of every child of one parent whose orders never fill."""
    made, broker, _ = world(intent(urgency=urgency))
    sent: list[tuple[float, D]] = []

    def look(_: str, at: datetime) -> Quote:
        passed = (at - NOON).total_seconds()
        known = [(bid, ask) for since, bid, ask in quotes or [] if since <= passed]
        bid, ask = known[-1] if known else ("734.0", "734.3")
        return quote(bid=bid, ask=ask, at=at)

    def note(b: ScriptedTransport, child: ChildOrder) -> None:
        sent.append(((b.clock - NOON).total_seconds(), child.limit_price))
        fakes.acknowledge(b, child)

    broker.quote_at = look
    broker.on_send = note
    report = execute([job(intent(urgency=urgency), minutes=minutes)], made)
    return sent, report, broker.sent


def test_emergency_climbs_each_ten_seconds_and_calls_a_person() -> None:
    sent, report, orders = worked(Urgency.EMERGENCY, minutes=1.5)
    # 0.1 s for every confirmation of a cancel
    assert sent == [
        (pytest.approx(0.0), D("734.88")),
        (pytest.approx(10.1), D("735.615")),
        (pytest.approx(20.2), D("737.085")),
    ]
    assert report.alarms == ("CSPX: 100 unfilled on the last rung of the emergency",)
    assert {order.order_type for order in orders} == {OrderType.LIMIT}


def test_high_urgency_reprices_each_five_seconds_inside_its_wider_collar() -> None:
    sent, report, _ = worked(Urgency.HIGH, minutes=1.5, quotes=[(1, "736.0", "736.3")])
    # The market left at once: the second price is the collar of 15 bps, and the same price keeps its place.
    assert sent == [(pytest.approx(0.0), D("734.375")), (pytest.approx(5.1), D("735.25"))]
    assert report.alarms == ()


def test_low_urgency_waits_five_minutes_and_then_pays_the_spread_at_once() -> None:
    sent, _, _ = worked(Urgency.LOW, minutes=5.2, quotes=[(20, "733.9", "734.2")])
    # It follows its side of the market at the look of 30 s; at 300 s comes the ask 734.2 + 0.25 × 0.3 = 734.275.
    assert sent == [
        (pytest.approx(0.0), D("734.0")),
        (pytest.approx(30.1), D("733.9")),
        (pytest.approx(300.1), D("734.275")),
    ]


def test_emergency_that_waits_for_the_market_tries_again_on_its_last_rung() -> None:
    away = [(1, "760.0", "760.3"), (700, "736.0", "736.3")]
    sent, _, _ = worked(Urgency.EMERGENCY, minutes=13, quotes=away)
    # Back within 40 bps of the arrival: 736.15 + 2.9366 is bounded by 737.085.
    assert [price for _, price in sent] == [D("734.88"), D("735.615"), D("737.085"), D("737.085")]
    assert sent[-1][0] > 700


def test_restart_in_an_emergency_keeps_the_arrival() -> None:
    parent = intent(urgency=Urgency.EMERGENCY)
    made, broker, book = world(parent)
    execute([job(parent, minutes=0.1)], made)
    arrivals = {child.arrival_mid for child in broker.sent}
    again = ScriptedTransport(
        NOON + timedelta(minutes=1), lambda _, at: quote(bid="736.0", ask="736.2", at=at)
    )
    execute([job(parent, minutes=2)], replace(made, transport=again))
    assert {child.arrival_mid for child in again.sent} == arrivals == {D("734.15")}
    # The first rung ends at 734.88, below the market of now.
    assert again.sent[0].limit_price == D("734.88")
    assert len(book.records) == len(broker.sent) + len(again.sent)
