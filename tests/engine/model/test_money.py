from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvariantError, NonFiniteValue
from engine.model.money import (
    MICRO_LIMIT,
    Money,
    decimal_from_float,
    from_micros,
    round_lots,
    round_money,
    to_micros,
)

D = Decimal
MICROS = st.integers(-MICRO_LIMIT, MICRO_LIMIT)
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**11), max_value=10**11)


@given(micros=MICROS)
def test_micro_units_survive_the_way_there_and_back(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros


@given(
    amount=st.decimals(places=6, allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12)
)
def test_amounts_of_six_decimals_survive_the_way_there_and_back(amount: Decimal) -> None:
    assert from_micros(to_micros(amount)) == amount


@given(amount=AMOUNTS)
def test_rounding_is_idempotent_and_at_most_half_a_micro_unit_away(amount: Decimal) -> None:
    rounded = round_money(amount)
    assert round_money(rounded) == rounded
    assert abs(rounded - amount) <= D("0.0000005")
    assert to_micros(rounded) == int(amount.scaleb(6).to_integral_value(rounding=ROUND_HALF_EVEN))


@given(amount=AMOUNTS)
def test_rounding_of_the_opposite_is_the_opposite(amount: Decimal) -> None:
    assert round_money(-amount) == -round_money(amount)


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [("0.0000005", "0"), ("0.0000015", "0.000002"), ("0.0000025", "0.000002"), ("-0.0000015", "-0.000002")],
)
def test_halves_go_to_the_even_micro_unit(amount: str, rounded: str) -> None:
    assert round_money(D(amount)) == D(rounded)


@pytest.mark.parametrize("amount", ["1.0000001", "1.0000000000000000000000000001", f"1.{'0' * 60}1"])
def test_seventh_decimal_is_refused_however_small(amount: str) -> None:
    with pytest.raises(InvariantError, match="six decimals"):
        to_micros(D(amount))


def test_amount_without_bounds_is_refused() -> None:
    with pytest.raises(InvariantError, match="9e12"):
        to_micros(D("1e999999"))


@pytest.mark.parametrize("sign", [1, -1])
def test_amount_beyond_nine_trillion_is_refused(sign: int) -> None:
    assert to_micros(sign * D(9 * 10**12)) == sign * MICRO_LIMIT
    with pytest.raises(InvariantError, match="9e12"):
        to_micros(sign * (D(9 * 10**12) + D("0.000001")))
    with pytest.raises(InvariantError, match="9e18"):
        from_micros(sign * (MICRO_LIMIT + 1))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_no_number_is_no_money(text: str) -> None:
    for convert in (to_micros, round_money):
        with pytest.raises(NonFiniteValue):
            convert(D(text))
    with pytest.raises(NonFiniteValue):
        decimal_from_float(float(text))
    with pytest.raises(NonFiniteValue):
        Money(amount=D(text), currency="USD")


@pytest.mark.parametrize(
    ("quantity", "lot", "rounded"),
    [("2.5", "1", "3"), ("-2.5", "1", "-3"), ("2.49", "1", "2"), ("149", "100", "100"), ("0.4", "1", "0")],
)
def test_lots_round_halves_away_from_zero(quantity: str, lot: str, rounded: str) -> None:
    assert round_lots(D(quantity), D(lot)) == D(rounded)


def test_money_adds_in_its_own_currency_only() -> None:
    ten = Money(amount=D(10), currency="EUR")
    assert (ten + -ten).amount == 0
    assert ten.micros == 10_000_000
    with pytest.raises(InvariantError, match="convert first"):
        ten + Money(amount=D(1), currency="USD")


@given(value=st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_float_becomes_its_twelve_significant_digits(value: float) -> None:
    assert float(decimal_from_float(value)) == float(f"{value:.12g}")
