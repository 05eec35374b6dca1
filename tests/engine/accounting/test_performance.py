from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.performance import (
    UnitPrice,
    daily_returns,
    drawdown,
    period_return,
    unit_price,
    units_for_flow,
)
from engine.errors import InvariantError
from engine.model.portfolio import CashBasis, Valuation
from tests.engine.accounting.builders import DAY, NOW, D


def prices(*values: str | Decimal) -> list[UnitPrice]:
    return [UnitPrice(day=DAY + timedelta(days=row), price=D(value)) for row, value in enumerate(values)]


def valuation(nav: str, units: str) -> Valuation:
    return Valuation(
        as_of=NOW,
        trade_date=DAY,
        basis=CashBasis.SETTLED,
        nav=D(nav),
        cash_usd=D(nav),
        accruals_usd=D(0),
        lines=(),
        currency_values={"USD": D(nav)},
        fx={"USD": D(1)},
        long_exposure=D(0),
        short_exposure=D(0),
        fx_hedge_gross=D(0),
        flagged_gross=D(0),
        units=D(units),
    )


def test_result_of_the_recorded_day_is_36_basis_points() -> None:
    # 45,230.12 on 12,587,099.48 − 45,230.12
    before, after = valuation("12541869.36", "100000"), valuation("12587099.48", "100000")
    assert round(period_return(unit_price(before), unit_price(after)), 6) == D("0.003606")


def test_subscription_is_no_return() -> None:
    price = unit_price(valuation("10000000", "100000"))
    units = units_for_flow(D(2_500_000), price)
    assert units == D(25_000)
    assert period_return(price, unit_price(valuation("12500000", "125000"))) == 0


def test_drawdown_is_measured_from_the_peak() -> None:
    found = drawdown(prices("10", "10.5", "9.2"))
    # 9.2 / 10.5 − 1
    assert round(found.current, 4) == D("-0.1238")
    assert (found.maximum, found.peak, found.peak_day) == (found.current, D("10.5"), date(2025, 12, 2))


def test_recovered_drawdown_stays_the_maximum() -> None:
    found = drawdown(prices("10", "8", "12"))
    assert (found.current, found.maximum) == (D(0), D("-0.2"))


def test_no_price_has_no_drawdown() -> None:
    with pytest.raises(InvariantError, match="at least one"):
        drawdown([])


def test_unit_price_of_zero_is_refused() -> None:
    with pytest.raises(InvariantError, match="positive unit price"):
        prices("0")


@given(values=st.lists(st.decimals("0.01", "1000", places=4), min_size=2, max_size=30))
def test_daily_returns_compound_to_the_whole(values: list[Decimal]) -> None:
    rows = prices(*values)
    growth = D(1)
    for step in daily_returns(rows):
        growth *= 1 + step
    assert abs(growth - values[-1] / values[0]) < D("1e-15") * max(values) / min(values)


@given(values=st.lists(st.decimals("0.01", "1000", places=4), min_size=1, max_size=30))
def test_drawdown_never_exceeds_its_maximum(values: list[Decimal]) -> None:
    found = drawdown(prices(*values))
    assert -1 < found.maximum <= found.current <= 0
