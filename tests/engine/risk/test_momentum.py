import numpy as np
import pytest

from engine.risk.momentum import spread_momentum, spread_ratio
from tests.engine.fund_factory import history, instrument, risk_policy, universe

POLICY = risk_policy()


@pytest.mark.parametrize(("rows", "known"), [(149, False), (218, False), (219, True)])
def test_momentum_needs_its_whole_window(rows: int, known: bool) -> None:
    assert (spread_momentum(np.linspace(1, 2, rows), POLICY) is not None) is known


@pytest.mark.parametrize(
    ("ratio", "score", "reason"),
    [
        (np.linspace(1, 2, 260), 1.0, "up-trend"),
        (np.linspace(2, 1, 260), -1.0, "down-trend"),
        (np.r_[np.linspace(1, 2, 230), np.linspace(2, 1.8, 30)], 0.5, "above its long mean, slope down"),
        (np.r_[np.linspace(2, 1, 230), np.linspace(1, 1.2, 30)], -0.5, "below its long mean, slope up"),
    ],
)
def test_momentum_scores(ratio: np.ndarray, score: float, reason: str) -> None:
    assert spread_momentum(ratio, POLICY) == score, reason


def test_ratio_is_in_one_currency() -> None:
    world = universe(instrument("L"), instrument("S", "EUR"))
    past = history({"L": np.full(3, 0.01), "S": np.full(3, 0.0)}, {"EUR": np.full(3, 0.01)})
    assert spread_ratio(past, world, ("L",), ("S",)) == pytest.approx([1.0, 1.0, 1.0])


def test_ratio_begins_when_both_legs_have_a_price_and_skips_legs_without() -> None:
    world = universe(instrument("D"), instrument("L"), instrument("S"))
    nothing = np.full(3, np.nan)
    past = history({"D": nothing, "L": np.array([0.5, 0.1, 0.1]), "S": np.array([np.nan, 0.0, 0.0])})
    assert spread_ratio(past, world, ("D", "L"), ("S",)) == pytest.approx([1.1, 1.21])
    assert len(spread_ratio(past, world, ("D",), ("S",))) == 0
