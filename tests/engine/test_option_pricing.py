from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvariantError
from engine.model.instruments import OptionRight
from engine.option_pricing import (
    Skew,
    black_76_delta,
    black_76_price,
    black_scholes_delta,
    black_scholes_price,
    forward_price,
    implied_volatility,
    skewed_volatility,
)

CALL, PUT = OptionRight.CALL, OptionRight.PUT

prices = st.floats(10.0, 1000.0)
moneyness = st.floats(0.7, 1.4)
years = st.floats(0.05, 2.0)
volatilities = st.floats(0.08, 1.2)
rates = st.floats(-0.01, 0.08)


def test_black_scholes_matches_the_textbook_call_and_put():
    # d1 = (ln 1 + (0.05 + 0.02)·1) / 0.2 = 0.35, d2 = 0.15; N(0.35) = 0.63683, N(0.15) = 0.55962
    # call = 100·0.63683 − 100·e^−0.05·0.55962 = 63.683 − 53.233 = 10.4506; put = call − 100 + 95.1229
    assert black_scholes_price(100, 100, 1, 0.2, 0.05, CALL) == pytest.approx(10.4506, abs=5e-5)
    assert black_scholes_price(100, 100, 1, 0.2, 0.05, PUT) == pytest.approx(5.5735, abs=5e-5)
    assert black_scholes_delta(100, 100, 1, 0.2, 0.05, CALL) == pytest.approx(0.6368, abs=5e-5)
    assert black_scholes_delta(100, 100, 1, 0.2, 0.05, PUT) == pytest.approx(0.6368 - 1, abs=5e-5)


def test_black_76_at_the_money_is_the_closed_form():
    # F = K: price = e^−rT·F·(2·N(σ√T/2) − 1); σ√T/2 = 0.05 → 2·0.519939 − 1 = 0.0398776; ·100·e^−0.01
    expected = 100 * math.exp(-0.04 * 0.25) * math.erf(0.05 / math.sqrt(2))
    assert expected == pytest.approx(3.9481, abs=5e-5)
    assert black_76_price(100, 100, 0.25, 0.2, 0.04, CALL) == pytest.approx(expected, rel=1e-12)


@given(forward=prices, ratio=moneyness, time=years, volatility=volatilities, rate=rates)
def test_call_less_put_is_the_discounted_forward_less_strike(forward, ratio, time, volatility, rate):
    strike = forward * ratio
    call = black_76_price(forward, strike, time, volatility, rate, CALL)
    put = black_76_price(forward, strike, time, volatility, rate, PUT)
    assert call - put == pytest.approx(math.exp(-rate * time) * (forward - strike), abs=1e-9 * forward)


@given(forward=prices, ratio=st.floats(0.85, 1.15), time=years, volatility=volatilities, rate=rates)
def test_implied_volatility_gives_back_what_the_premium_was_made_with(forward, ratio, time, volatility, rate):
    right = CALL if ratio >= 1 else PUT
    premium = black_76_price(forward, forward * ratio, time, volatility, rate, right)
    if premium > 1e-6 * forward:
        found = implied_volatility(premium, forward, forward * ratio, time, rate, right)
        assert found == pytest.approx(volatility, abs=1e-6)


@given(spot=prices, ratio=moneyness, time=years, volatility=volatilities, rate=rates)
def test_delta_is_the_slope_of_the_price(spot, ratio, time, volatility, rate):
    bump = spot * 1e-4
    up, down = (
        black_scholes_price(spot + step, spot * ratio, time, volatility, rate, PUT, 0.02)
        for step in (bump, -bump)
    )
    slope = (up - down) / (2 * bump)
    assert black_scholes_delta(spot, spot * ratio, time, volatility, rate, PUT, 0.02) == pytest.approx(
        float(slope), abs=1e-4
    )


def test_option_at_expiry_is_worth_its_intrinsic_value():
    strikes = np.array([90.0, 100.0, 110.0])
    assert black_76_price(100, strikes, 0.0, 0.2, 0.05, CALL).tolist() == [10.0, 0.0, 0.0]
    assert black_76_price(100, strikes, 0.0, 0.2, 0.05, PUT).tolist() == [0.0, 0.0, 10.0]
    assert black_76_delta(100, strikes, 0.0, 0.2, 0.05, CALL).tolist() == [1.0, 0.5, 0.0]


def test_an_array_of_signs_prices_calls_and_puts_together():
    both = black_76_price(100, np.array([105.0, 95.0]), 0.5, 0.3, 0.02, np.array([1.0, -1.0]))
    assert both[0] == black_76_price(100, 105, 0.5, 0.3, 0.02, CALL)
    assert both[1] == black_76_price(100, 95, 0.5, 0.3, 0.02, PUT)


@pytest.mark.parametrize(
    ("premium", "time", "reason"),
    [
        (4.0, 1.0, "below the intrinsic value of 10"),
        (120.0, 1.0, "above the forward itself"),
        (11.0, 0.0, "no time is left"),
    ],
)
def test_premium_that_no_volatility_explains_has_none(premium, time, reason):
    assert math.isnan(implied_volatility(premium, 110, 100, time, 0.0, CALL)), reason


def test_forward_grows_by_rate_less_dividends():
    assert forward_price(100, 2.0, 0.05, 0.02) == pytest.approx(100 * math.exp(0.06))


def test_equity_skew_makes_low_strikes_dearer_and_leaves_the_forward_alone():
    skew = Skew(slope=-0.16, curvature=0.02)
    # K one deviation below: m = ln(e^−0.1)/0.1 = −1 → σ·(1 + 0.16 + 0.02) = 0.2·1.18
    found = skewed_volatility(0.2, 100.0, np.array([100 * math.exp(-0.1), 100.0]), 0.25, skew)
    assert found == pytest.approx([0.236, 0.2])


def test_skew_stays_within_floor_and_cap():
    skew = Skew(slope=-0.5, curvature=0.0, floor=0.7, cap=1.5)
    assert skewed_volatility(0.2, 100.0, np.array([20.0, 500.0]), 0.25, skew) == pytest.approx([0.3, 0.14])


def test_pricing_refuses_a_strike_that_is_not_positive():
    with pytest.raises(InvariantError, match="positive"):
        black_76_price(100, 0.0, 1.0, 0.2, 0.0, CALL)
