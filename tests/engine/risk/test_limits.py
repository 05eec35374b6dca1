import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import NonFiniteValue
from engine.risk.limits import limit_weights
from tests.engine.fund_factory import risk_policy

POLICY = risk_policy()
lines = st.lists(st.tuples(st.floats(-3, 3), st.booleans()), max_size=20)


@given(lines)
def test_any_targets_end_inside_gross_and_net(targets: list[tuple[float, bool]]) -> None:
    weights = np.array([weight for weight, _ in targets], dtype=np.float64)
    fixed = np.array([kept for _, kept in targets], dtype=bool)
    limited = limit_weights(weights, fixed, POLICY)
    assert np.abs(limited).sum() <= 2.0 + 1e-9
    assert abs(limited.sum()) <= 1.0 + 1e-9
    assert np.all(np.abs(limited) <= np.abs(weights) + 1e-12)
    assert np.all(limited * weights >= 0)


def test_gross_shrinks_pro_rata_then_the_dominant_side() -> None:
    limited = limit_weights(np.array([3.0, -1.0]), np.array([False, False]), POLICY)
    assert limited == pytest.approx([1.5, -0.5])
    assert limit_weights(np.array([1.8, -0.2]), np.array([False, False]), POLICY) == pytest.approx(
        [1.2, -0.2]
    )


def test_protection_keeps_its_size() -> None:
    limited = limit_weights(np.array([2.0, -1.0, -0.5]), np.array([False, False, True]), POLICY)
    assert limited == pytest.approx([1.0, -0.5, -0.5])


def test_weights_inside_the_limits_are_untouched() -> None:
    weights = np.array([0.9, -0.4])
    assert np.array_equal(limit_weights(weights, np.array([False, False]), POLICY), weights)


def test_a_weight_that_is_no_number_is_refused() -> None:
    with pytest.raises(NonFiniteValue):
        limit_weights(np.array([np.nan]), np.array([False]), POLICY)
