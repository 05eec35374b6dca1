import pytest

from engine.risk.expectation import drawdown_probability


@pytest.mark.parametrize(("volatility", "depth", "measured"), [(0.12, 0.05, 0.98), (0.12, 0.10, 0.55)])
def test_drawdown_odds_match_the_simulated_ones(volatility: float, depth: float, measured: float) -> None:
    assert drawdown_probability(volatility, 0.5, depth, 252, 252) == pytest.approx(measured, abs=0.03)


def test_drawdown_odds_fall_with_volatility() -> None:
    calm, usual = (drawdown_probability(v, 0.5, 0.10, 252, 252) for v in (0.08, 0.12))
    assert calm < usual
    assert drawdown_probability(0.0, 0.5, 0.10, 252, 252) == 0.0
