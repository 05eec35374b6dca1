from datetime import timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.pricing import (
    Arrival,
    PlanRefusal,
    RefusalCode,
    Step,
    collar,
    create_plan,
    limit_price,
)
from engine.model.orders import OrderPlan, OrderType, Side, Urgency
from tests.engine.execution.market import (
    NOON,
    UNIVERSE,
    VX_JUL,
    execution_policy,
    intent,
    quote,
)

POLICY = execution_policy()


def planned(**changes: object) -> OrderPlan:
    plan = create_plan(intent(), quote(), POLICY, UNIVERSE["CSPX"], NOON, Arrival(**changes))
    assert isinstance(plan, OrderPlan)
    return plan


def refused(*arguments: object) -> RefusalCode:
    plan = create_plan(*arguments)  # type: ignore[arg-type]
    assert isinstance(plan, PlanRefusal)
    return plan.code


class TestMarketableLimit:
    def test_buy_with_quotes(self) -> None:
        # ask 734.3 + 0.25 × 0.3 = 734.375, below the collar 734.15 × 1.001 = 734.88415
        assert planned().limit_price == D("734.375")

    def test_sell_with_quotes(self) -> None:
        plan = create_plan(intent(side=Side.SELL), quote(), POLICY, UNIVERSE["CSPX"], NOON)
        # bid 734.0 − 0.25 × 0.3
        assert isinstance(plan, OrderPlan)
        assert plan.limit_price == D("733.925")

    @pytest.mark.parametrize(
        ("bid", "ask"),
        [(None, "734.3"), ("734.0", None), ("-1", "734.3"), ("0", "734.3"), ("734.4", "734.3")],
    )
    def test_no_quotes(self, bid: str | None, ask: str | None) -> None:
        half = quote(bid=bid, ask=ask)
        assert refused(intent(), half, POLICY, UNIVERSE["CSPX"], NOON) is RefusalCode.NO_QUOTES

    def test_collar_bounds_set(self) -> None:
        # 734.15 ± 10 bps = 734.88415 and 733.41585, rounded to 0.005 towards the mid
        assert planned().price_ceiling == D("734.88")
        assert planned().price_floor == D("733.42")

    def test_no_market_orders(self) -> None:
        arrival = Arrival(order_type=OrderType.MARKET)
        code = refused(intent(), quote(), POLICY, UNIVERSE["CSPX"], NOON, arrival)
        assert code is RefusalCode.MARKET_ORDERS_DISABLED

    @pytest.mark.parametrize(("age", "accepted"), [(29, True), (31, False), (-29, True), (-31, False)])
    def test_stale_data_rejected(self, age: int, accepted: bool) -> None:
        old = quote(at=NOON - timedelta(seconds=age))
        plan = create_plan(intent(), old, POLICY, UNIVERSE["CSPX"], NOON)
        assert isinstance(plan, OrderPlan) is accepted


@pytest.mark.parametrize(("model", "limit"), [("4", "734.44"), ("15", "734.88")])
def test_slippage_model_offset_binds_below_the_collar(model: str, limit: str) -> None:
    # A spread of 2.0 makes the plain limit 735.15 + 0.5; 4 bps of 734.15 = 0.29366, 15 bps exceed the collar.
    wide = quote(bid="733.15", ask="735.15")
    plan = create_plan(intent(), wide, POLICY, UNIVERSE["CSPX"], NOON, Arrival(model_bps=D(model)))
    assert isinstance(plan, OrderPlan)
    assert plan.limit_price == D(limit)


def test_volatility_future_collar_is_two_ticks_where_basis_points_are_less() -> None:
    # 3 bps of 18.025 are 0.0054, a tenth of a tick: two ticks of 0.05 reach 18.125, rounded down 18.10
    plan = create_plan(
        intent(contract_id=VX_JUL), quote(VX_JUL, "18.00", "18.05"), POLICY, UNIVERSE["VX"], NOON
    )
    assert isinstance(plan, OrderPlan)
    assert plan.price_ceiling == D("18.10")
    assert plan.limit_price == D("18.05")


@pytest.mark.parametrize("mid", ["0.025", "0.045", "0.10", "0.375"])
def test_option_collar_of_a_small_premium_holds_a_price_of_the_grid(mid: str) -> None:
    # 5 % of a premium of a few ticks is less than a tick: rounded to the grid it would be upside down.
    floor, ceiling = collar(D(mid), UNIVERSE["SPX_OPT"], POLICY, Urgency.NORMAL)
    assert floor <= ceiling
    assert floor <= UNIVERSE["SPX_OPT"].ceil_to_tick(D(mid))
    assert ceiling >= UNIVERSE["SPX_OPT"].floor_to_tick(D(mid))


def test_option_collar_is_the_smaller_of_premium_fraction_and_ticks() -> None:
    # 5 % of 10.00 = 0.50 but three ticks of 0.05 = 0.15
    plan = create_plan(
        intent(contract_id="SPX_OPT"), quote("SPX_OPT", "9.90", "10.10"), POLICY, UNIVERSE["SPX_OPT"], NOON
    )
    assert isinstance(plan, OrderPlan)
    assert plan.price_ceiling == D("10.15")


def test_arrival_mid_of_an_earlier_start_keeps_the_collar() -> None:
    plan = create_plan(
        intent(), quote(bid="740.0", ask="740.2"), POLICY, UNIVERSE["CSPX"], NOON, Arrival(mid=D("734.15"))
    )
    assert isinstance(plan, OrderPlan)
    assert plan.limit_price == plan.price_ceiling == D("734.88")


def test_order_above_its_share_of_volume_is_refused() -> None:
    arrival = Arrival(largest_quantity=D(99))
    assert refused(intent(), quote(), POLICY, UNIVERSE["CSPX"], NOON, arrival) is RefusalCode.TOO_LARGE


@pytest.mark.parametrize(("step", "limit"), [(0, "734.375"), (1, "734.45"), (5, "734.75"), (7, "734.88")])
def test_each_step_pays_one_buffer_more_up_to_the_collar(step: int, limit: str) -> None:
    # 734.15 + 0.15 + 0.075 × (1 + step)
    assert limit_price(planned(), quote(), Step(step), POLICY, UNIVERSE["CSPX"]) == D(limit)


@given(
    side=st.sampled_from(Side),
    arrival=st.decimals("1", "9000", places=3),
    bid=st.decimals("0.5", "9000", places=3),
    spread=st.decimals("0", "50", places=3),
    step=st.integers(0, 6),
    name=st.sampled_from(["CSPX", "CS51", "MSFT", "ES", "VX", "M6E"]),
)
def test_no_limit_breaches_the_collar_of_the_arrival(
    side: Side, arrival: D, bid: D, spread: D, step: int, name: str
) -> None:
    market = quote(bid=str(bid), ask=str(bid + spread))
    plan = create_plan(intent(side=side), market, POLICY, UNIVERSE[name], NOON, Arrival(mid=arrival))
    assert isinstance(plan, OrderPlan)
    line = UNIVERSE[name]
    width = max(arrival * POLICY.collar_bps[line.collar_class] / 10_000, line.tick_at(arrival) * 2)
    price = limit_price(plan, market, Step(step), POLICY, line)
    assert (price - arrival) * side.sign <= width
    assert price % line.tick_at(arrival) == 0
