"""Interest in tiers around a benchmark, with the worked examples that the broker publishes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from config.policies import fund_policy
from config.settings import load_settings
from engine.carry.financing import FinancingService
from engine.errors import ConfigurationError
from engine.model.carry import FinancingConfig
from tests.engine.accounting.policies import CARRY

D = Decimal
CONFIGURED = fund_policy(load_settings("fund"), date(2026, 11, 20)).carry.financing


def at_benchmark(**rates: str) -> FinancingConfig:
    """Return the fund's own tiers around other benchmarks."""
    known = {currency: D(rate) for currency, rate in rates.items()}
    return replace(CONFIGURED, benchmark_annual={**CONFIGURED.benchmark_annual, **known})


def test_debt_in_dollars_costs_what_the_brokers_example_says() -> None:
    # 100,000 × (5.32 % + 1.5 %) / 360 = 18.94 and 500,000 × (5.32 % + 1 %) / 360 = 87.78
    found = FinancingService(config=at_benchmark(USD="0.0532")).daily_interest("USD", D(-600_000))
    assert round(found, 2) == D("-106.72") == -(D("18.94") + D("87.78"))


def test_debt_in_pounds_costs_what_the_brokers_example_says() -> None:
    # 80,000 × (4.91 % + 1.5 %) / 365 = 14.05 and 80,000 × (4.91 % + 1 %) / 365 = 12.95
    found = FinancingService(config=at_benchmark(GBP="0.0491")).daily_interest("GBP", D(-160_000))
    assert round(found, 2) == D("-27.00") == -(D("14.05") + D("12.95"))


def test_short_proceeds_earn_what_the_brokers_example_says() -> None:
    # nothing on 100,000; 900,000 at 1 % − 1.25 %, which counts as 0; 500,000 × (1 % − 0.5 %) / 360 = 6.94
    found = FinancingService(config=at_benchmark(USD="0.01")).daily_short_proceeds("USD", D(1_500_000))
    assert round(found, 2) == D("6.94")


@pytest.mark.parametrize(
    ("currency", "balance", "interest"),
    [
        ("USD", "10000", "0"),  # the first 10,000 bear nothing
        ("USD", "10010000", "1111.111111"),  # 10,000,000 × (4.5 % − 0.5 %) / 360
        ("GBP", "373000", "40"),  # 365,000 above 8,000 × (4.5 % − 0.5 %) / 365
        ("CHF", "1000000", "0"),  # 0.5 % − 0.5 %
    ],
)
def test_credit_balance_earns_the_benchmark_less_the_spread_above_its_threshold(
    currency: str, balance: str, interest: str
) -> None:
    assert FinancingService(config=CONFIGURED).daily_interest(currency, D(balance)) == D(interest)


def test_benchmark_below_zero_charges_no_credit_and_debt_pays_the_spread_alone() -> None:
    service = FinancingService(config=at_benchmark(EUR="-0.005"))
    # 3,600 × 1.5 % / 360 = 0.15
    assert (service.daily_interest("EUR", D(1_000_000)), service.daily_interest("EUR", D(-3_600))) == (
        0,
        D("-0.15"),
    )


def test_next_unit_bears_the_rate_of_the_tier_that_the_balance_has_reached() -> None:
    service = FinancingService(config=CONFIGURED)
    rates = {
        balance: service.rate_annual("USD", D(balance))[0] for balance in (0, 9_999, 10_000, -1, -100_000)
    }
    assert rates == {0: 0, 9_999: 0, 10_000: D("0.040"), -1: D("0.060"), -100_000: D("0.055")}


@pytest.mark.parametrize("table", ["credit_tiers", "debit_tiers", "short_proceeds_tiers", "day_count"])
def test_currency_that_one_table_lacks_is_refused(table: str) -> None:
    known = {name: row for name, row in getattr(CARRY.financing, table).items() if name != "GBP"}
    service = FinancingService(config=replace(CARRY.financing, **{table: known}))
    ask = service.daily_short_proceeds if table == "short_proceeds_tiers" else service.daily_interest
    with pytest.raises(ConfigurationError, match="GBP"):
        ask("GBP", D(-5 if table == "debit_tiers" else 5))
