from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import IllegalTransition, InvariantError
from engine.execution.analytics import ExecutionAnalytics, SlippageTracker
from engine.execution.children import transition_path
from engine.execution.liquidity import LiquidityEstimator, OrderSize
from engine.execution.slippage import (
    CollarEnforcer,
    SlippageModel,
    TradeSize,
    commission,
    compute_slippage_bps,
    expected_cost,
    impact_bps,
)
from engine.model.instruments import CollarClass, InstrumentType
from engine.model.order_states import CHILD_TRANSITIONS
from engine.model.orders import ChildStatus, Fill, Side
from engine.model.policy import TransactionTax
from tests.engine.execution.market import COSTS, FX, NOON, UNIVERSE, intent


class TestSlippageCalculation:
    def test_buy_slippage_positive_when_paid_more(self) -> None:
        assert compute_slippage_bps(Side.BUY, D("100.10"), D(100)) == 10

    def test_buy_slippage_negative_when_paid_less(self) -> None:
        assert compute_slippage_bps(Side.BUY, D("99.95"), D(100)) == -5

    def test_sell_slippage_positive_when_received_less(self) -> None:
        assert compute_slippage_bps(Side.SELL, D("99.90"), D(100)) == 10

    @pytest.mark.parametrize(
        ("side", "price", "allowed", "enforced"),
        [
            (Side.BUY, "100.2", False, "100.1"),
            (Side.BUY, "99.0", True, "99.0"),
            (Side.SELL, "99.8", False, "99.9"),
            (Side.SELL, "101", True, "101"),
        ],
    )
    def test_collar_enforcement(self, side: Side, price: str, allowed: bool, enforced: str) -> None:
        collar = CollarEnforcer(floor=D("99.9"), ceiling=D("100.1"))
        assert collar.allows(side, D(price)) is allowed
        assert collar.enforce(side, D(price)) == D(enforced)


def test_slippage_without_reference_is_refused() -> None:
    with pytest.raises(InvariantError, match="reference"):
        compute_slippage_bps(Side.BUY, D(1), D(0))


@pytest.mark.parametrize(
    ("quantity", "volume", "volatility", "expected"),
    [
        # half spread 10/2 apart: 10 · √(10,000/1,000,000) · 0.20/0.20 = 1.0 bps
        ("10000", "1000000", 0.20, "1"),
        ("10000", "1000000", 0.40, "2"),
        ("10000", "0", 0.20, "100"),
        ("10000", None, 0.20, "100"),
        ("1000000", "1", 0.20, "100"),
    ],
)
def test_impact(quantity: str, volume: str | None, volatility: float, expected: str) -> None:
    size = TradeSize(
        quantity=D(quantity),
        price=D(100),
        volatility_annual=volatility,
        average_daily_volume=None if volume is None else D(volume),
    )
    assert impact_bps(size, D(10)) == D(expected)


def test_expected_cost_adds_spread_impact_and_commission_in_dollars() -> None:
    # 10,000 × 50 EUR = 500,000 EUR: 2 bps = 100, 1 bp = 50, commission 10,000 × 0.01 = 100 EUR; × 1.10
    size = TradeSize(
        quantity=D(-10_000), price=D(50), volatility_annual=0.20, average_daily_volume=D(1_000_000)
    )
    cost = expected_cost(size, UNIVERSE["CS51"], COSTS, FX)
    assert (cost.half_spread_usd, cost.impact_usd, cost.commission_usd) == (D(110), D(55), D(110))
    assert cost.total_usd == 275
    # A live half spread of 0.02 EUR replaces the default: 10,000 × 0.02 × 1.10
    live = replace(size, half_spread=D("0.02"))
    assert expected_cost(live, UNIVERSE["CS51"], COSTS, FX).half_spread_usd == 220


def test_expected_cost_of_a_taxed_purchase_names_the_tax() -> None:
    share = replace(UNIVERSE["CS51"], kind=InstrumentType.STK)
    tax = TransactionTax(
        venue=share.venue, side=Side.BUY, rate=D("0.004"), first=date(2025, 4, 1), last=None, source="test"
    )
    costs = replace(COSTS, transaction_taxes=(tax,))
    size = TradeSize(
        quantity=D(10_000), price=D(50), volatility_annual=0.20, average_daily_volume=D(1_000_000)
    )
    # 500,000 EUR x 0.4 % = 2,000 EUR x 1.10; a sale and a fund pay none.
    bought, sold = (
        expected_cost(each, share, costs, FX) for each in (size, replace(size, quantity=-size.quantity))
    )
    assert (bought.tax_usd, bought.total_usd - sold.total_usd) == (D(2200), D(2200))
    assert expected_cost(size, UNIVERSE["CS51"], costs, FX).tax_usd == 0


def test_commission_has_a_minimum() -> None:
    assert commission(D(5), D(500), CollarClass.ETF, COSTS) == 1
    assert commission(D(0), D(0), CollarClass.ETF, COSTS) == 0


def test_slippage_model_prefers_the_instrument() -> None:
    model = SlippageModel(instrument_bps={"CSPX": D(4)}, class_bps={CollarClass.ETF: D(6)})
    assert model.offset_bps(UNIVERSE["CSPX"]) == 4
    assert model.offset_bps(UNIVERSE["CS51"]) == 6
    assert model.offset_bps(UNIVERSE["ES"]) is None


@pytest.mark.parametrize(
    ("quantity", "size"),
    [(9, OrderSize.SMALL), (99, OrderSize.MEDIUM), (499, OrderSize.LARGE), (500, OrderSize.BLOCK)],
)
def test_order_size_class(quantity: int, size: OrderSize) -> None:
    liquidity = LiquidityEstimator(average_daily_volume={"CSPX": D(10_000)})
    assert liquidity.size_class(D(quantity), "CSPX", "CSPX") is size
    assert liquidity.size_class(D(quantity), "CS51", "CS51") is OrderSize.UNKNOWN


def test_largest_quantity_is_whole_lots_within_the_share() -> None:
    liquidity = LiquidityEstimator(average_daily_volume={"ES": D(57)})
    assert liquidity.largest_quantity("ES_20260918", "ES", D("0.10"), D(1)) == 5
    assert liquidity.largest_quantity("MSFT", "MSFT", D("0.10"), D(1)) is None


def fill(quantity: int, price: str, number: int) -> Fill:
    return Fill(
        execution_id=f"E{number}.01",
        order_ref="AF1.X.1",
        contract_id="CSPX",
        side=Side.BUY,
        quantity=D(quantity),
        price=D(price),
        executed_at=NOON + timedelta(seconds=number),
        commission=D(3),
        commission_currency="USD",
    )


def test_shortfall_parts_sum_to_the_total() -> None:
    # Decided at 734 for 100, arrived at 735, bought 40 at 735.5 and 20 at 736, last price 740.
    record = ExecutionAnalytics(fx=FX, taxes=()).analyse(
        intent(), UNIVERSE["CSPX"], [fill(40, "735.5", 1), fill(20, "736", 2)], D(735), D(740)
    )
    assert record.delay_usd == 60 * 1
    assert record.trading_usd == 40 * D("0.5") + 20 * 1
    assert record.commission_usd == 6
    assert record.opportunity_usd == 40 * 6
    assert record.total_usd == 60 + 40 + 6 + 240
    assert record.average_price == (40 * D("735.5") + 20 * 736) / 60
    tracker = SlippageTracker().record(record).record(record)
    assert tracker.total_usd == 692
    assert tracker.average_slippage_bps == record.slippage_bps


def test_tax_on_a_purchase_is_a_part_of_its_own() -> None:
    # 0.5 % of 40 × 735.5 = 147.10 and of 20 × 736 = 73.60
    share = replace(UNIVERSE["CSPX"], kind=InstrumentType.STK)
    stamp = TransactionTax(
        venue=share.venue, side=Side.BUY, rate=D("0.005"), first=NOON.date(), last=None, source="test"
    )
    fills = [fill(40, "735.5", 1), fill(20, "736", 2)]
    analytics = ExecutionAnalytics(fx=FX, taxes=(stamp,))
    record = analytics.analyse(intent(), share, fills, D(735), D(740))
    assert record.tax_usd == D("147.10") + D("73.60")
    assert record.total_usd == 60 + 40 + 6 + 240 + D("220.70")


def test_unfilled_order_costs_its_opportunity_only() -> None:
    record = ExecutionAnalytics(fx=FX, taxes=()).analyse(intent(), UNIVERSE["CSPX"], [], None, D(735))
    assert (record.total_usd, record.slippage_bps) == (D(100), None)


# ---------------------------------------------------------------- child states


def test_nothing_leads_back_to_planned() -> None:
    assert all(ChildStatus.PLANNED not in targets for targets in CHILD_TRANSITIONS.values())


def test_every_state_is_in_the_table() -> None:
    assert set(CHILD_TRANSITIONS) == set(ChildStatus)


@pytest.mark.parametrize(
    ("current", "target", "path"),
    [
        ("SENDING", "CANCELLED", ["WORKING", "CANCEL_PENDING", "CANCELLED"]),
        ("SENDING", "EXPIRED", ["WORKING", "EXPIRED"]),
        ("WORKING", "FILLED", ["FILLED"]),
        ("UNKNOWN", "EXPIRED", ["WORKING", "EXPIRED"]),
        ("WORKING", "WORKING", []),
        ("CANCELLED", "CANCELLED", ["CANCELLED"]),
    ],
)
def test_skipped_messages_are_written_as_states(current: str, target: str, path: list[str]) -> None:
    found = transition_path(ChildStatus(current), ChildStatus(target))
    assert [status.value for status in found] == path


@given(st.sampled_from(ChildStatus), st.sampled_from(ChildStatus))
def test_path_uses_only_listed_arrows_or_is_illegal(current: ChildStatus, target: ChildStatus) -> None:
    try:
        path = transition_path(current, target)
    except IllegalTransition:
        assert (
            current.is_terminal
            or target in (ChildStatus.PLANNED, ChildStatus.SENDING)
            or (target not in CHILD_TRANSITIONS[current])
        )
        return
    for before, after in zip((current, *path), path, strict=False):
        assert after in CHILD_TRANSITIONS[before]
