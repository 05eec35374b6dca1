from decimal import Decimal as D

import numpy as np
import pytest

from engine.errors import ConfigurationError
from engine.execution.gating import (
    GateCandidate,
    GateInputs,
    GateReason,
    GateResult,
    GatingOverrides,
    benefit_usd,
    gate_trades,
)
from engine.model.orders import Reason
from engine.model.policy import GatePolicy
from tests.engine.execution.market import gate_policy, trade

NAV = D(10_000_000)


def returns(first: float, second: float, correlation: float) -> np.ndarray:
    """Four days whose population covariance is exactly that of two annual volatilities and a correlation."""
    one, two = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    mixed = correlation * one + (1 - correlation**2) ** 0.5 * two
    return np.column_stack([first * one, second * mixed]) / 252**0.5


def inputs(
    weights: tuple[float, float] = (0.2, -0.2),
    market: np.ndarray | None = None,
    regime: str = "NORMAL",
    carry: dict[str, float] | None = None,
    unfinished: frozenset[str] = frozenset(),
) -> GateInputs:
    return GateInputs(
        nav=NAV,
        instrument_ids=("CS51", "CSPX"),
        weights=np.array(weights),
        returns=returns(0.18, 0.16, 0.8) if market is None else market,
        shrinkage=0.0,
        carry_annual=carry or {},
        regime=regime,
        unfinished=unfinished,
    )


def candidate(
    contract_id: str,
    weight: float,
    cost: float,
    *,
    group: str | None = None,
    reason: Reason = Reason.REBALANCE,
) -> GateCandidate:
    """A trade of a weight change; its quantity only carries the sign."""
    return GateCandidate(
        trade=trade(contract_id, 1 if weight > 0 else -1, group=group, reason=reason),
        notional_usd=D(str(weight)) * NAV,
        cost_usd=D(str(cost)),
    )


def verdict(*candidates: GateCandidate, policy: GatePolicy | None = None, **changes: object) -> GateResult:
    return gate_trades(candidates, inputs(**changes), policy or gate_policy())  # type: ignore[arg-type]


class TestGoldVectors:
    """λ = 0.5 / 0.12, H = 252 days, NAV 10 million."""

    def test_single_drift_of_one_percent(self) -> None:
        # ½ · 4.16667 · (0.01² · 0.16²) · 10⁷ = 53.33
        drift = np.array([0.0, 0.01])
        assert benefit_usd(drift, drift * 0, inputs(), gate_policy()) == pytest.approx(53.333, abs=0.001)

    def test_one_leg_of_a_hedged_pair_loses(self) -> None:
        # Variance of +1 %/−1 %: 10⁻⁴ · (0.16² + 0.18² − 2·0.8·0.16·0.18) = 1.192·10⁻⁶; of −1 % alone: 3.24·10⁻⁶.
        # ½ · 4.16667 · (1.192 − 3.24)·10⁻⁶ · 10⁷ = −42.67
        pair, rest = np.array([-0.01, 0.01]), np.array([-0.01, 0.0])
        assert benefit_usd(pair, rest, inputs(), gate_policy()) == pytest.approx(-42.667, abs=0.001)

    def test_both_legs_gain(self) -> None:
        pair = np.array([-0.01, 0.01])
        assert benefit_usd(pair, pair * 0, inputs(), gate_policy()) == pytest.approx(24.833, abs=0.001)


def test_trade_gating_skips_small_drift_trades() -> None:
    result = verdict(candidate("CSPX", -0.0019, 0.0))
    assert result.trades == ()
    assert result.decisions[0].reason is GateReason.SMALL_DRIFT


def test_rest_of_a_small_line_is_bought_although_the_drift_is_small() -> None:
    # 0.19 % of NAV is below the least drift of 0.2 %, and 42 % of a line of 0.45 %.
    decision = verdict(candidate("CSPX", 0.0019, 1e6), weights=(0.0, 0.0026)).decisions[0]
    assert (decision.should_trade, decision.override) == (True, GatingOverrides.LARGE_CHANGE)


@pytest.mark.parametrize(
    ("weight", "unfinished", "expected", "why"),
    [
        (
            0.030,
            {"CSPX"},
            GatingOverrides.UNFINISHED,
            "15 % short of a target of 20 % that the caps spread over days",
        ),
        (0.030, set(), None, "the same drift of a line that was complete"),
        (0.011, {"CSPX"}, GatingOverrides.UNFINISHED, "6 % short"),
        (0.008, {"CSPX"}, None, "4.5 % short: it is built"),
        (0.030, {"CS51"}, None, "another line is being built"),
    ],
)
def test_rest_of_what_is_being_built_needs_no_benefit(
    weight: float, unfinished: set[str], expected: GatingOverrides | None, why: str
) -> None:
    decision = verdict(
        candidate("CSPX", weight, 1e6), weights=(0.0, 0.17), unfinished=frozenset(unfinished)
    ).decisions[0]
    assert (decision.override, decision.should_trade) == (expected, expected is not None), why


def test_leg_that_is_being_built_takes_its_group_with_it() -> None:
    pair = (candidate("CSPX", 0.02, 1e6, group="core"), candidate("CS51", -0.02, 1e6, group="core"))
    result = verdict(*pair, weights=(-0.18, 0.18), unfinished=frozenset({"CS51"}))
    assert {d.override for d in result.decisions} == {GatingOverrides.UNFINISHED}


def test_benefit_below_the_cost_multiple_is_skipped() -> None:
    # Enlarging a short of 20 % by 1 %: gain 53.33 against 1.5 × 50 = 75
    result = verdict(candidate("CSPX", -0.01, 50), weights=(0.0, -0.2))
    decision = result.decisions[0]
    assert (decision.should_trade, decision.reason) == (False, GateReason.NOT_WORTH_IT)
    assert float(decision.benefit_usd) == pytest.approx(53.333, abs=0.001)
    assert decision.required_usd == 75
    # What the gate left: 1 % of a line with 16 % volatility.
    assert result.tracking_error_annual == pytest.approx(0.0016)


def test_trade_gating_allows_large_drift() -> None:
    # Break-even of R-70 is 1.41 % at 5 bps: at 1.5 % the gain is 120.00 against 1.5 × 75 = 112.50
    result = verdict(candidate("CSPX", -0.015, 75), weights=(0.0, -0.2))
    assert result.decisions[0].reason is GateReason.WORTH_IT
    assert float(result.decisions[0].benefit_usd) == pytest.approx(120.0)


@pytest.mark.parametrize("reason", [r for r in Reason if r is not Reason.REBALANCE])
def test_trade_gating_overrides_on_limit_breach(reason: Reason) -> None:
    result = verdict(candidate("CSPX", -0.001, 1e6, reason=reason), weights=(0.0, -0.2), regime="CRISIS")
    assert result.decisions[0].override is GatingOverrides.REASON
    assert result.decisions[0].should_trade


def test_pair_is_judged_as_one() -> None:
    # Together 24.83 + drift-neutral; cost 10 + 5 = 15, required 22.50.
    pair = (candidate("CSPX", 0.01, 10, group="core"), candidate("CS51", -0.01, 5, group="core"))
    result = verdict(*pair, weights=(-0.2, 0.2))
    assert len(result.trades) == 2
    assert float(result.decisions[0].benefit_usd) == pytest.approx(24.833, abs=0.001)
    expensive = (candidate("CSPX", 0.01, 10, group="core"), candidate("CS51", -0.01, 7, group="core"))
    assert verdict(*expensive, weights=(-0.2, 0.2)).trades == ()


def test_dropping_one_leg_makes_the_other_worthless() -> None:
    # Alone: CS51 67.50, CSPX 53.33. CSPX costs too much and goes; then CS51 would add to the drift only
    # ½ · 4.16667 · (1.192 − 2.56)·10⁻⁶ · 10⁷ = −28.50 and goes as well, although it was worth 67.50 before.
    result = verdict(candidate("CSPX", 0.01, 60), candidate("CS51", -0.01, 40), weights=(-0.2, 0.2))
    assert result.trades == ()
    assert float(result.decisions[1].benefit_usd) == pytest.approx(-28.5)


@pytest.mark.parametrize(
    ("weights", "weight", "expected", "why"),
    [
        ((0.0, 0.0), 0.02, GatingOverrides.ESTABLISHING, "an empty book is built"),
        ((0.0, 0.02), -0.02, GatingOverrides.ESTABLISHING, "a target of nothing is a close"),
        ((0.0, 0.20), -0.01, GatingOverrides.LOWERS_RISK, "less volatility and gross"),
        ((0.0, 0.04), 0.011, GatingOverrides.LARGE_CHANGE, "0.011 is more than a fifth of 0.051"),
        ((0.0, 0.20), 0.01, None, "enlarging by a twentieth has to be worth it"),
    ],
)
def test_exemption(
    weights: tuple[float, float], weight: float, expected: GatingOverrides | None, why: str
) -> None:
    decision = verdict(candidate("CSPX", weight, 1e6), weights=weights, regime="CRISIS").decisions[0]
    assert decision.override is expected, why
    assert decision.should_trade is (expected is not None)


def test_line_without_history_is_not_measured() -> None:
    market = returns(0.18, 0.16, 0.8)
    market[:, 1] = np.nan
    decision = verdict(candidate("CSPX", 0.01, 1e6), weights=(0.0, 0.2), market=market).decisions[0]
    assert decision.override is GatingOverrides.NO_HISTORY


def test_line_outside_the_history_is_not_measured() -> None:
    decision = verdict(candidate("MSFT", 0.01, 1e6)).decisions[0]
    assert (decision.should_trade, decision.override) == (True, GatingOverrides.NO_HISTORY)


def test_carry_adds_to_the_benefit() -> None:
    # 10⁷ · 0.05 · 0.01 · 10/252 = 198.41 on top of 53.33
    result = verdict(candidate("CSPX", 0.01, 100), weights=(0.0, 0.2), carry={"CSPX": 0.05})
    assert float(result.decisions[0].benefit_usd) == pytest.approx(251.746, abs=0.001)


def test_stricter_regime_asks_for_more() -> None:
    # 213.33 passes 1.5 × 90 = 135 in NORMAL, not 2.5 × 135 = 337.50 in CRISIS
    big = candidate("CSPX", 0.02, 90)
    assert len(verdict(big, weights=(0.0, 0.2)).trades) == 1
    assert verdict(big, weights=(0.0, 0.2), regime="CRISIS").trades == ()


def test_unknown_regime_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="CALM"):
        verdict(candidate("CSPX", 0.01, 1), regime="CALM")


def test_disabled_gate_passes_everything() -> None:
    result = verdict(candidate("CSPX", 0.001, 1e9), policy=gate_policy(enabled=False))
    assert len(result.trades) == 1


def test_no_trades_give_no_decisions() -> None:
    assert verdict() == GateResult(trades=(), decisions=(), tracking_error_annual=0.0)
