from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D

import pytest

from engine.execution.safety import (
    SafetyFacts,
    SafetyVerdict,
    TradeFacts,
    check_execution_safety,
    is_near_open,
)
from engine.model.orders import Reason
from tests.engine.execution.market import DAY, NOON, safety_policy, session, trade

FACTS = SafetyFacts(
    now=NOON,
    trade_date=DAY,
    nav=D(10_000_000),
    trading_enabled=True,
    reconciled=True,
    fx_valid=True,
    volatility_annual=0.12,
    unresolved_orders=(),
    excess_liquidity=D(5_000_000),
)
ONE = TradeFacts(
    trade=trade("CSPX", 100),
    notional_usd=D(73_400),
    held=D(0),
    tradeable=True,
    roll_deadline=None,
    average_daily_volume=D(10_000),
)


def check(*trades: TradeFacts, **changes: object) -> SafetyVerdict:
    return check_execution_safety(replace(FACTS, **changes), trades or (ONE,), safety_policy())  # type: ignore[arg-type]


class TestExecutionSafety:
    def test_blocks_on_failed_recon(self) -> None:
        assert check(reconciled=False).reasons == ("the book is not reconciled with the broker",)

    def test_blocks_on_stale_fx(self) -> None:
        assert check(fx_valid=False).reasons == ("exchange rates are not valid",)

    @pytest.mark.parametrize("volatility", [None, float("nan"), float("inf"), 0.0])
    def test_blocks_on_invalid_vol(self, volatility: float | None) -> None:
        assert check(volatility_annual=volatility).reasons == ("the volatility estimate is not valid",)


def test_sound_day_passes() -> None:
    verdict = check()
    assert verdict.passed
    assert verdict.turnover_usd == 73_400


def test_all_failures_are_listed() -> None:
    verdict = check(reconciled=False, fx_valid=False, trading_enabled=False, unresolved_orders=("AF1.X.1",))
    assert len(verdict.reasons) == 4
    assert "AF1.X.1" in verdict.reasons[-1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"notional_usd": D(1_000_000)}, "not below 10"),
        ({"tradeable": False}, "may be traded"),
        ({"roll_deadline": DAY}, "may only be closed"),
        ({"average_daily_volume": D(999)}, "daily volume"),
        ({"trade": trade("CSPX", -100), "borrowable": D(99)}, "borrowed"),
        ({"trade": trade("CSPX", -100, reduce_only=True), "held": D(99)}, "reduce-only"),
    ],
)
def test_one_bad_trade_blocks_the_day(changes: dict[str, object], text: str) -> None:
    verdict = check(ONE, replace(ONE, **changes))  # type: ignore[arg-type]
    assert not verdict.passed
    assert len(verdict.reasons) == 1
    assert text in verdict.reasons[0]


def test_order_just_below_the_guard_passes() -> None:
    assert check(replace(ONE, notional_usd=D("999999.99"))).passed


def test_fx_hedge_has_its_own_cap() -> None:
    hedge = replace(ONE, trade=trade("CSPX", 1, reason=Reason.HEDGE_FX), notional_usd=D(2_000_000))
    assert check(hedge).passed
    assert not check(replace(hedge, notional_usd=D(2_500_000))).passed


def test_reduction_is_exempt_from_size_and_turnover() -> None:
    cut = replace(
        ONE,
        trade=trade("CSPX", -100, reduce_only=True),
        held=D(100),
        notional_usd=D(-9_000_000),
    )
    assert check(cut).passed


def test_turnover_of_half_the_nav_blocks() -> None:
    part = replace(ONE, notional_usd=D(999_000))
    assert check(*[part] * 5).passed
    assert "turnover" in check(*[part] * 5, replace(part, notional_usd=D(5_000))).reasons[0]


def test_too_little_excess_liquidity_blocks() -> None:
    assert check(excess_liquidity=D(2_499_999)).reasons[0].startswith("excess liquidity")


def test_too_many_orders_block() -> None:
    small = replace(ONE, notional_usd=D(1))
    assert "exceed the day's limit" in check(*[small] * 201).reasons[0]


def test_contract_at_its_deadline_may_be_closed() -> None:
    closing = replace(
        ONE, trade=trade("CSPX", -100, reduce_only=True), held=D(100), roll_deadline=date(2026, 6, 1)
    )
    assert check(closing).passed


@pytest.mark.parametrize(("minutes", "near"), [(0, True), (14, True), (15, False), (16, False)])
def test_near_open_defers(minutes: int, near: bool) -> None:
    frankfurt = session("XETRA", DAY, "07:00", "15:30")
    at = frankfurt.open + timedelta(minutes=minutes)
    assert is_near_open(frankfurt, at, 15) is near
    verdict = check(now=at, sessions={"XETRA": frankfurt})
    assert verdict.passed
    assert bool(verdict.warnings) is near


CUT = replace(ONE, trade=trade("MSFT", -2, reduce_only=True), held=D(5), notional_usd=D(-900_000))


@pytest.mark.parametrize(
    "changes",
    [{"excess_liquidity": D(1)}, {"volatility_annual": None}],
)
def test_guard_that_fires_lets_reductions_through(changes: dict[str, object]) -> None:
    verdict = check(ONE, CUT, **changes)
    assert not verdict.passed
    assert verdict.permitted == ("MSFT",)


@pytest.mark.parametrize(
    "changes",
    [
        {"reconciled": False},
        {"fx_valid": False},
        {"trading_enabled": False},
        {"nav": D("NaN")},
        {"unresolved_orders": ("AF1.X.1",)},
    ],
)
def test_fund_that_does_not_know_itself_sends_nothing_at_all(changes: dict[str, object]) -> None:
    assert check(ONE, CUT, **changes).permitted == ()


def test_day_without_a_failure_permits_everything() -> None:
    assert check(ONE, CUT).permitted == ("CSPX", "MSFT")


def test_reduction_with_a_failure_of_its_own_stays() -> None:
    turning = replace(CUT, held=D(1))  # −2 on +1 would turn the position
    assert check(ONE, turning).permitted == ()


def test_half_of_a_group_is_not_reduced_without_the_other() -> None:
    long = replace(CUT, trade=trade("MSFT", -2, reduce_only=True, group="pair"))
    short = replace(ONE, trade=trade("CSPX", -100, group="pair"))
    assert check(long, short, excess_liquidity=D(1)).permitted == ()
    both = replace(short, trade=trade("CSPX", 100, reduce_only=True, group="pair"), held=D(-500))
    assert check(long, both, excess_liquidity=D(1)).permitted == ("MSFT", "CSPX")


def test_reductions_do_not_count_as_orders() -> None:
    small = replace(CUT, notional_usd=D(-1))
    assert check(*[small] * 201).passed
