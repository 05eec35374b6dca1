from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.instruments import CollarClass
from engine.simulation.books import depth, price_two_sided, widening
from engine.simulation.paths import DayShape, draw, intraday_path, root_noise, session_noise
from tests.engine.simulation import worlds

moves = st.floats(-0.05, 0.05)


@given(
    close=moves,
    above=st.floats(0, 0.03),
    below=st.floats(0, 0.03),
    turn=st.floats(0, 0.999),
    seed=st.integers(0, 99),
)
def test_path_passes_through_what_was_recorded(close, above, below, turn, seed):
    start, end = 100.0, 100.0 * (1 + close)
    high, low = max(start, end) * (1 + above), min(start, end) * (1 - below)
    noise, _ = root_noise(seed, "ROOT", date(2026, 11, 4))
    path = intraday_path(DayShape(start=start, high=high, low=low, close=end, spread=1.0), noise[:391], turn)
    assert (path[0], path[-1]) == (start, end)
    assert (path.max(), path.min()) == (high, low)


def test_path_without_a_range_ends_at_the_close_and_moves_between():
    noise, turn = root_noise(7, "ROOT", date(2026, 11, 4))
    path = intraday_path(DayShape(start=50.0, high=None, low=None, close=51.0, spread=0.5), noise[:511], turn)
    assert (path[0], path[-1]) == (50.0, 51.0)
    assert np.std(np.diff(path)) > 0


def test_venues_with_other_hours_share_the_minutes_of_their_root():
    day = date(2026, 11, 4)
    hours = [
        (datetime(2026, 11, 4, h, tzinfo=UTC), datetime(2026, 11, 4, h + 5, tzinfo=UTC)) for h in (8, 10)
    ]
    (early, _), (late, _) = (session_noise(7, "SPX", day, *pair) for pair in hours)
    np.testing.assert_array_equal(early[120:], late[: len(early) - 120])


def test_draws_lie_in_the_unit_interval_and_differ_by_minute():
    drawn = [draw(12345, minute) for minute in range(1000)]
    assert 0 <= min(drawn) < max(drawn) < 1
    assert len(set(drawn)) == 1000
    assert 0.45 < sum(drawn) / 1000 < 0.55


@pytest.mark.parametrize(
    ("minute", "hour", "vix", "expected", "reason"),
    [
        (100, 12, 15.0, 1.0, "a calm noon"),
        (3, 12, 15.0, 2.0, "just after the open"),
        (385, 12, 15.0, 2.0, "just before the close of 390 minutes"),
        (100, 3, 15.0, 1.5, "at night"),
        (100, 12, 40.0, 2.0, "volatility twice the calm one"),
        (100, 12, float("nan"), 1.0, "volatility unknown"),
    ],
)
def test_books_widen_when_trading_is_hard(minute, hour, vix, expected, reason):
    assert widening(minute, 390, hour, vix) == expected, reason


def test_spread_is_never_less_than_a_tick():
    # 0.3 bp of 6,800 is 0.204, less than the tick of 0.25
    assert price_two_sided(worlds.future("ES"), 6800.1, 1.0) == (Decimal("6800.00"), Decimal("6800.25"))


def test_depth_of_a_fund_is_its_notional_in_whole_shares():
    # 400,000 USD at 700 with a draw of one half: 0.4 + 1.2/2 = 1.0 → 571.4 shares
    assert depth(worlds.instrument("CSPX"), 700.0, 1.0, 0.5) == 571
    assert depth(worlds.instrument("CSPX"), 700.0, 2.0, 0.5) == 285
    assert worlds.future("ES").collar_class is CollarClass.FUT
    assert depth(worlds.future("ES"), 6800.0, 1.0, 0.5) == 40
