from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from engine.errors import InvariantError
from engine.model.encoding import decode, encode
from engine.risk.decision import (
    RiskDecision,
    RiskInputs,
    RiskMemory,
    RiskState,
    decide_risk,
    final_scale,
    risk_state,
)
from engine.risk.expectation import ScaleBinding
from engine.risk.regime import RiskRegime
from tests.engine.fund_factory import history, instrument, risk_policy, trading_dates, universe

POLICY = risk_policy()
WORLD = universe(instrument("A"), instrument("B"))
RNG = np.random.default_rng(5)
PAST = history({"A": RNG.normal(0, 0.01, 300), "B": RNG.normal(0, 0.01, 300)})


def inputs(day: date, price: str = "100", vix: float | None = 15.0, **changes: object) -> RiskInputs:
    base = RiskInputs(
        trade_date=day,
        unit_price=Decimal(price),
        vix=vix,
        weights={"A": 0.5, "B": -0.5},
        history=PAST,
        universe=WORLD,
        currency_hedge_ratio=1.0,
        core_long=("A",),
        core_short=("B",),
    )
    return replace(base, **changes)


def run(
    prices: list[str], vix: list[float | None] | None = None, **changes: object
) -> tuple[list[RiskDecision], RiskMemory]:
    memory, decisions = RiskMemory(), []
    for row, day in enumerate(trading_dates(len(prices))):
        level = 15.0 if vix is None else vix[row]
        decision, memory = decide_risk(inputs(day, prices[row], level, **changes), POLICY, memory)
        decisions.append(decision)
    return decisions, memory


class TestRiskStateMachine:
    @pytest.mark.parametrize(
        ("scale", "regime", "expected"),
        [
            (0.8, RiskRegime.ELEVATED, 0.7),
            (0.5, RiskRegime.CRISIS, 0.3),
            (1.5, RiskRegime.ELEVATED, 0.7),
            (1.5, RiskRegime.NORMAL, 1.5),
        ],
    )
    def test_normal_elevated_crisis_mapping(self, scale: float, regime: RiskRegime, expected: float) -> None:
        assert final_scale(scale, regime, POLICY) == expected

    def test_drawdown_overrides_regime(self) -> None:
        decisions, _ = run(["100", "95.5", "89.9"])
        assert [d.regime for d in decisions] == [RiskRegime.NORMAL, RiskRegime.NORMAL, RiskRegime.CRISIS]
        assert (decisions[-1].scaling_factor, decisions[-1].emergency_derisk) == (0.3, True)

    def test_no_multiplicative_scaling(self) -> None:
        assert final_scale(0.2, RiskRegime.CRISIS, POLICY) == 0.2
        assert final_scale(0.65, RiskRegime.ELEVATED, POLICY) == 0.65

    def test_recovery_maps_to_normal(self) -> None:
        assert risk_state(RiskRegime.RECOVERY) is RiskState.NORMAL
        assert final_scale(1.5, RiskRegime.RECOVERY, POLICY) == 1.0


def test_first_day_uses_ex_ante_volatility_and_no_leverage() -> None:
    decision = run(["100"])[0][0]
    assert decision.scaling_factor <= 1.0
    assert decision.volatility.ex_ante is not None
    assert not decision.volatility.is_valid


def test_no_volatility_at_all_leaves_an_empty_fund_empty() -> None:
    decision = run(["100"], weights=None)[0][0]
    assert (decision.scaling_factor, decision.binding) == (0.0, ScaleBinding.UNKNOWN)


def test_scale_may_rise_above_one_with_enough_calm_returns() -> None:
    decisions, _ = run([str(100 + (row % 2) * Decimal("0.1")) for row in range(25)])
    assert all(d.scaling_factor <= 1.0 for d in decisions[:20])
    assert decisions[-1].scaling_factor > 1.0


def test_same_date_again_counts_once_and_gives_the_same_bytes() -> None:
    day = trading_dates(1)[0]
    first, memory = decide_risk(inputs(day, vix=26.0), POLICY, RiskMemory())
    for _ in range(3):
        again, memory_again = decide_risk(inputs(day, vix=26.0), POLICY, memory)
        assert (encode(again), encode(memory_again)) == (encode(first), encode(memory))
        memory = memory_again
    assert memory.closing.regime.pending_days == 1


def test_earlier_date_is_refused() -> None:
    days = trading_dates(2)
    _, memory = decide_risk(inputs(days[1]), POLICY, RiskMemory())
    with pytest.raises(InvariantError, match="lies before"):
        decide_risk(inputs(days[0]), POLICY, memory)


def test_memory_through_its_bytes_decides_the_same() -> None:
    days = trading_dates(40)
    live, stored = RiskMemory(), RiskMemory()
    for row, day in enumerate(days):
        price = str(100 * (1 + Decimal(row % 7) / 300))
        decision, live = decide_risk(inputs(day, price), POLICY, live)
        again, stored = decide_risk(inputs(day, price), POLICY, decode(RiskMemory, encode(stored)))
        assert encode(decision) == encode(again)
        assert encode(decode(RiskDecision, encode(decision))) == encode(decision)
    assert encode(live) == encode(stored)


def test_returns_are_kept_unscaled() -> None:
    _, memory = run(["100", "101", "102"], vix=[45.0, 45.0, 45.0])
    assert memory.closing.returns == pytest.approx((0.01 / 0.3, (102 / 101 - 1) / 0.3), rel=1e-9)


@pytest.mark.parametrize(
    ("price", "reduce_only", "regime", "kill"),
    [
        ("95.01", False, RiskRegime.NORMAL, False),
        ("95", True, RiskRegime.NORMAL, False),
        ("90", True, RiskRegime.CRISIS, False),
        ("85.01", True, RiskRegime.CRISIS, False),
        ("85", True, RiskRegime.CRISIS, True),
    ],
)
def test_loss_ladder(price: str, reduce_only: bool, regime: RiskRegime, kill: bool) -> None:
    decision = run(["100", price])[0][-1]
    assert (decision.reduce_only, decision.regime, decision.kill) == (reduce_only, regime, kill)


def test_drawdown_is_measured_from_the_persisted_peak() -> None:
    decisions, memory = run(["10.5", "10.2", "9.9", "9.2"])
    assert decisions[-1].drawdown == pytest.approx(-0.1238, abs=5e-5)
    assert memory.closing.peak_unit_price == Decimal("10.5")
    assert decisions[-1].maximum_drawdown == decisions[-1].drawdown


@pytest.mark.parametrize(("vix", "core"), [(15.0, 0.5), (26.0, 0.5), (45.0, 0.3)])
def test_negative_momentum_caps_the_core_scale_without_compounding(vix: float, core: float) -> None:
    falling = history({"A": np.full(300, -0.001), "B": np.full(300, 0.0005)})
    decisions, _ = run(["100"] * 3, vix=[vix] * 3, history=falling)
    assert decisions[-1].momentum == -1.0
    assert decisions[-1].core_scale == pytest.approx(min(core, decisions[-1].scaling_factor))
    assert decisions[-1].reduce_factor == 0.5


def test_missing_vix_warns_and_is_elevated() -> None:
    decision = run(["100"], vix=[None])[0][0]
    assert decision.regime is RiskRegime.ELEVATED
    assert any("VIX is missing" in text for text in decision.warnings)


def test_elevated_asks_for_more_hedges() -> None:
    assert run(["100"] * 3, vix=[26.0] * 3)[0][-1].increase_hedges


def test_explanation_says_why_the_fund_does_not_run_at_its_target() -> None:
    calm = [str(100 + (row % 2) * Decimal("0.1")) for row in range(70)]
    decision = run(calm, weights={"A": 0.1, "B": -0.1})[0][-1]
    assert decision.binding is ScaleBinding.FLOOR
    assert decision.explanation.startswith("the scaled sleeves run at about ")
    assert "not 12 %, because the measured volatility" in decision.explanation
    assert "at the floor" in decision.explanation


def test_unscaled_return_is_that_of_the_scaled_sleeves_alone() -> None:
    """Protection earned 3 % on a day that cost the scaled sleeves 0.6 %: the record counts −0.6 % / scale."""
    first, memory = decide_risk(inputs(date(2026, 1, 5)), POLICY, RiskMemory())
    _, memory = decide_risk(inputs(date(2026, 1, 6), price="102.4", strategy_return=-0.006), POLICY, memory)
    assert memory.closing.returns == (pytest.approx(-0.006 / first.scaling_factor, abs=1e-12),)
