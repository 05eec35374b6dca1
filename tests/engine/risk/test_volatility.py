import math

import numpy as np
import pytest

from engine.errors import NonFiniteValue
from engine.risk.volatility import (
    Estimator,
    estimate_volatility,
    ewma_volatility,
    exante_volatility,
    realised_volatility,
    usd_returns,
    volatility_scale,
)
from tests.engine.fund_factory import history, instrument, risk_policy, universe

POLICY = risk_policy()
VOL = POLICY.volatility


def noise(days: int, annual: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, annual / math.sqrt(252), days)


class TestVolatilityTargeting:
    def test_ewma_blend(self) -> None:
        returns = noise(120, 0.15)
        variance = returns[0] ** 2
        for value in returns[1:]:
            variance = (1 - 2 / 21) * variance + 2 / 21 * value**2
        expected = 0.7 * math.sqrt(variance * 252) + 0.3 * np.std(returns[-60:], ddof=1) * math.sqrt(252)
        assert realised_volatility(returns, VOL).blended == pytest.approx(expected, abs=1e-12)

    def test_vol_floor(self) -> None:
        estimate = estimate_volatility(np.zeros(120), None, POLICY)
        assert (estimate.measured, estimate.annual) == (0.0, 0.08)

    @pytest.mark.parametrize(("annual", "scale"), [(0.18, 0.6667), (0.142, 0.8451), (0.04, 1.5), (0.05, 1.5)])
    def test_scaling_clip(self, annual: float, scale: float) -> None:
        assert volatility_scale(annual, POLICY) == pytest.approx(scale, abs=5e-5)


@pytest.mark.parametrize("count", [0, 5, 19])
def test_realised_volatility_with_too_few_returns_is_not_valid(count: int) -> None:
    estimate = estimate_volatility(noise(count, 0.1), None, POLICY)
    assert not estimate.is_valid
    assert (estimate.annual, estimate.estimator) == (None, Estimator.NONE)


def test_realised_volatility_of_thirty_returns_is_ewma_alone() -> None:
    returns = noise(30, 0.1)
    result = realised_volatility(returns, VOL)
    assert result.rolling is None
    assert result.blended == pytest.approx(ewma_volatility(returns, 20) * math.sqrt(252), abs=1e-15)


def test_scale_of_unknown_volatility_is_refused_instead_of_levered() -> None:
    with pytest.raises(NonFiniteValue):
        volatility_scale(math.nan, POLICY)
    with pytest.raises(NonFiniteValue):
        realised_volatility(np.array([0.01, np.nan]), VOL)


@pytest.mark.parametrize(
    ("ex_ante", "chosen", "reason"),
    [
        (0.20, Estimator.EX_ANTE, "more than 25 % above realised"),
        (0.11, Estimator.REALISED, "about the same"),
        (0.02, Estimator.REALISED, "realised is the larger"),
    ],
)
def test_larger_estimate_decides_when_they_disagree(ex_ante: float, chosen: Estimator, reason: str) -> None:
    returns = np.tile([0.1, -0.1], 60) / math.sqrt(252)
    assert estimate_volatility(returns, ex_ante, POLICY).estimator is chosen, reason


def test_estimate_from_unscaled_returns_settles_at_the_target_volatility() -> None:
    returns = noise(3000, 0.18, seed=7)
    scales = np.array(
        [
            volatility_scale(
                estimate_volatility(returns[day - 120 : day], None, POLICY).annual or 0.0, POLICY
            )
            for day in range(120, 3000)
        ]
    )
    assert scales.mean() == pytest.approx(0.69, abs=0.02)
    assert np.std(scales * returns[120:]) * math.sqrt(252) == pytest.approx(0.12, abs=0.01)


class TestExAnte:
    world = universe(instrument("A"), instrument("B", "EUR"), instrument("F", "EUR", "FUT"), instrument("Q"))

    def volatility(
        self, weights: dict[str, float], ratio: float = 0.0, **columns: np.ndarray
    ) -> float | None:
        fx = {"EUR": noise(252, 0.08, 3)}
        return exante_volatility(
            weights, history(columns, fx), self.world, hedge_ratio=ratio, annualisation_days=252
        )

    def test_single_line_has_its_own_volatility_times_weight(self) -> None:
        returns = noise(252, 0.2)
        expected = 0.5 * np.std(returns, ddof=1) * math.sqrt(252)
        assert self.volatility({"A": 0.5}, A=returns) == pytest.approx(expected, rel=1e-12)

    def test_perfect_hedge_keeps_only_the_shrunk_diagonal(self) -> None:
        returns = noise(252, 0.2)
        single = np.std(returns, ddof=1) ** 2 * 252
        expected = math.sqrt(2 / 254 * 2 * 0.25 * single)
        assert self.volatility({"A": 0.5, "Q": -0.5}, A=returns, Q=returns) == pytest.approx(
            expected, rel=1e-9
        )

    def test_currency_counts_for_securities_only_and_only_unhedged(self) -> None:
        local, fx = noise(252, 0.2), noise(252, 0.08, 3)
        past = history({"B": local, "F": local}, {"EUR": fx})
        unhedged = usd_returns(past, self.world, ("B", "F"), 0.0)
        assert np.array_equal(unhedged, np.column_stack([local + fx, local]))
        assert np.array_equal(usd_returns(past, self.world, ("B", "F"), 1.0), np.column_stack([local, local]))

    def test_line_listed_late_keeps_its_own_volatility(self) -> None:
        returns = noise(252, 0.2)
        late = np.where(np.arange(252) < 189, np.nan, returns)
        expected = np.std(returns[189:]) * math.sqrt(252)
        assert self.volatility({"A": 1.0}, A=late) == pytest.approx(expected, rel=0.05)

    def test_lines_without_history_widen_the_estimate(self) -> None:
        returns = noise(252, 0.2)
        alone = self.volatility({"A": 0.6}, A=returns)
        assert alone is not None
        assert self.volatility({"A": 0.6, "Q": 0.4}, A=returns) == pytest.approx(alone / 0.6, rel=1e-12)

    def test_book_mostly_without_history_has_no_estimate(self) -> None:
        assert self.volatility({"A": 0.4, "Q": 0.6}, A=noise(252, 0.2)) is None
