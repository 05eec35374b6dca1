from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.book import apply, fold
from engine.accounting.investors import redemption, subscription
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.errors import InvariantError, MissingFxRate
from engine.model.money import Money
from engine.model.portfolio import CashBasis, Portfolio, Valuation
from tests.engine.accounting.builders import BOOK, DAY, NOW, D, at, bought, capital, make_marks, make_rates


def value(portfolio: Portfolio, price: str = "150") -> Valuation:
    context = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())
    return value_portfolio(portfolio, make_marks(AAPL=price), make_rates(), BOOK, context)


# 10,000,000 USD and 100,000 units; 10,000 AAPL bought at 100 and worth 150: NAV 10,500,000, 105 a unit.
OPEN = fold((capital(), bought("AAPL", "10000", "100")), NOW)


def test_units_are_issued_at_the_nav_per_unit() -> None:
    # 1,050,000 / 105 = 10,000 units.
    entry = subscription(Money(amount=D(1_050_000), currency="USD"), value(OPEN), make_rates(), NOW, "S-1")
    after = value(apply(OPEN, entry))
    assert (after.nav, after.units, after.unit_price) == (D(11_550_000), D(110_000), D(105))
    assert (entry.price, entry.quantity) == (D(105), D(10_000))


def test_subscription_in_another_currency_counts_at_its_rate() -> None:
    # 100,000 EUR x 1.17 = 117,000 USD; / 105 = 1,114.285714 units (1,114.2857142857...).
    entry = subscription(Money(amount=D(100_000), currency="EUR"), value(OPEN), make_rates(), NOW, "S-2")
    after = apply(OPEN, entry)
    assert after.cash["EUR"] == D(100_000)
    assert after.units == D("101114.285714")


def test_units_are_cancelled_and_paid_at_the_nav_per_unit() -> None:
    # 20,000 units x 105 = 2,100,000 USD.
    after = value(apply(OPEN, redemption(D(20_000), value(OPEN), NOW, "R-1")))
    assert (after.nav, after.units, after.unit_price) == (D(8_400_000), D(80_000), D(105))


def test_flow_is_no_return_and_the_gain_after_it_is_shared() -> None:
    # 1,050,000 come in at 105; then AAPL rises from 150 to 161: 10,000 x 11 = 110,000 on 110,000 units: 1 USD each.
    entry = subscription(Money(amount=D(1_050_000), currency="USD"), value(OPEN), make_rates(), NOW, "S-1")
    before, after = value(OPEN).unit_price, value(apply(OPEN, entry), "161").unit_price
    assert after / before - 1 == D(106) / D(105) - 1


@given(amount=st.decimals("0.01", 50_000_000, places=2), units=st.decimals("0.000001", 100_000, places=6))
def test_flows_never_move_the_unit_price_by_a_cent(amount: Decimal, units: Decimal) -> None:
    price = value(OPEN).unit_price
    issued = subscription(Money(amount=amount, currency="USD"), value(OPEN), make_rates(), NOW, "S")
    assert abs(value(apply(OPEN, issued)).unit_price - price) < D("0.000001")
    left = apply(OPEN, redemption(units, value(OPEN), NOW, "R"))
    if left.units > 1:  # what rounding leaves of a millionth of a dollar falls on the last unit
        assert abs(value(left).unit_price - price) < D("0.000001")


def test_impossible_flows_are_refused() -> None:
    money = Money(amount=D(-1), currency="USD")
    with pytest.raises(InvariantError, match="positive subscription"):
        subscription(money, value(OPEN), make_rates(), NOW, "S")
    with pytest.raises(InvariantError, match="at most 100000"):
        redemption(D("100000.000001"), value(OPEN), NOW, "R")
    with pytest.raises(MissingFxRate):
        subscription(Money(amount=D(1), currency="JPY"), value(OPEN), make_rates(), NOW, "S")
    with pytest.raises(InvariantError, match="fund with units"):
        subscription(Money(amount=D(1), currency="USD"), value(fold((), at(1))), make_rates(), NOW, "S")
