from decimal import Decimal

import pytest

from engine.errors import DataError
from engine.sleeves.crisis_alpha import (
    affordable_contracts,
    annual_budgets,
    spread_contracts,
    volatility_contracts,
)
from tests.engine.fund_factory import tail_policy

POLICY = tail_policy()


def test_budgets_split_two_and_a_half_percent_of_nav() -> None:
    budgets = annual_budgets(Decimal(10_000_000), POLICY)
    assert budgets["equity_puts"] == 100_000
    assert sum(budgets.values()) == 250_000


def test_spread_is_dv01_neutral_and_loses_its_budget_at_the_stop() -> None:
    # one contract loses 90 · 50 = 4,500 at the stop: 37,500 buys 8; 8 · 90 / 85 = 8.47
    assert spread_contracts(Decimal(37_500), POLICY) == (8, -8)
    assert 8 * 90 * 50 <= 37_500 < 9 * 90 * 50
    assert spread_contracts(Decimal(4_000), POLICY) == (0, 0)


def test_volatility_future_is_sized_by_its_roll_loss() -> None:
    # 20,000 USD a contract loses 10,000 a year
    assert volatility_contracts(Decimal(212_500), Decimal(20_000), POLICY) == 21


def test_protection_that_costs_nothing_is_refused() -> None:
    with pytest.raises(DataError):
        affordable_contracts(Decimal(100), Decimal(0))
