from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import DataError, MissingFxRate
from engine.model.instruments import floor_lots
from engine.sleeves.sizing import quantity_for
from tests.engine.fund_factory import instrument, rates

FX = rates(EURUSD="1.17", GBPUSD="1.30")


def usd(amount: int | str) -> Decimal:
    return Decimal(amount)


class TestCurrencyCorrectSizing:
    def test_eur_position_uses_eur_notional(self) -> None:
        # 1,750,000 / 1.17 = 1,495,726.50 EUR; / 50 = 29,914.53
        assert quantity_for(usd(1_750_000), instrument("CS51", "EUR"), Decimal(50), FX) == 29_915

    def test_gbp_position_uses_gbp_notional(self) -> None:
        # 100,000 / 1.30 = 76,923.08 GBP; 895 pence = 8.95 GBP; 8,594.76 shares
        pence = instrument("IUKD", "GBP", price_magnifier=Decimal(100), price_unit="GBX")
        assert quantity_for(usd(100_000), pence, Decimal(895), FX) == 8_595


@pytest.mark.parametrize(
    ("notional", "multiplier", "price", "contracts", "reason"),
    [
        ("100000", 50, "6800", 0, "0.29 of an ES contract"),
        ("100000", 5, "6800", 3, "2.94 micro contracts"),
        ("-170000", 50, "6800", -1, "half a contract rounds away from zero"),
        ("170000", 50, "6800", 1, "half a contract rounds away from zero"),
    ],
)
def test_futures_are_sized_by_full_notional(
    notional: str, multiplier: int, price: str, contracts: int, reason: str
) -> None:
    future = instrument("ES", "USD", "FUT", multiplier=Decimal(multiplier))
    assert quantity_for(usd(notional), future, Decimal(price), FX) == contracts, reason


def test_missing_rate_and_impossible_price_are_refused() -> None:
    with pytest.raises(MissingFxRate):
        quantity_for(usd(1000), instrument("X", "SEK"), Decimal(10), FX)
    with pytest.raises(DataError):
        quantity_for(usd(1000), instrument("X"), Decimal(0), FX)


@given(st.decimals(-(10**9), 10**9, places=2), st.integers(1, 100))
def test_size_is_whole_lots_within_half_a_lot_of_the_wish(notional: Decimal, lot: int) -> None:
    share = instrument("A", lot=Decimal(lot))
    quantity = quantity_for(notional, share, Decimal(7), FX)
    assert quantity % lot == 0
    assert abs(quantity * 7 - notional) <= Decimal(7 * lot) / 2


@given(st.decimals(-(10**6), 10**6, places=3))
def test_floor_never_grows_a_quantity(quantity: Decimal) -> None:
    floored = floor_lots(quantity, Decimal(1))
    assert abs(floored) <= abs(quantity)
    assert floored * quantity >= 0
