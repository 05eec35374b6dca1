from __future__ import annotations

from datetime import date

import pytest

from engine.errors import InvariantError
from engine.model.instruments import ExpiryRule
from engine.simulation.chains import (
    LISTING_DAYS,
    business_calendar,
    first_notice_date,
    last_trade_date,
    list_futures,
    months_between,
    option_expiries,
)
from tests.engine.simulation import worlds

CALENDAR = business_calendar(worlds.sessions(), "CME")


@pytest.mark.parametrize(
    ("rule", "year", "month", "expected", "reason"),
    [
        (ExpiryRule.THIRD_FRIDAY, 2025, 12, date(2025, 12, 19), "third Friday"),
        (ExpiryRule.THIRD_FRIDAY, 2025, 4, date(2025, 4, 17), "third Friday is Good Friday: Thursday"),
        (ExpiryRule.THIRD_WEDNESDAY_LESS_2, 2025, 12, date(2025, 12, 15), "Wednesday the 17th less two days"),
        (ExpiryRule.VIX_WEDNESDAY, 2025, 12, date(2025, 12, 17), "30 days before Friday 2026-01-16"),
        (ExpiryRule.VIX_WEDNESDAY, 2025, 3, date(2025, 3, 18), "30 days later is Good Friday: Tuesday"),
        (ExpiryRule.EUREX_BOND, 2025, 12, date(2025, 12, 8), "delivery Wednesday the 10th, two days before"),
        (
            ExpiryRule.EUREX_BOND,
            2026,
            10,
            date(2026, 10, 8),
            "the 10th is a Saturday: delivery Monday the 12th",
        ),
        (ExpiryRule.TREASURY_NOTE, 2025, 12, date(2025, 12, 19), "30 29 26 24 23 22 19: Christmas is closed"),
    ],
)
def test_last_trade_date_follows_its_rule(rule, year, month, expected, reason):
    assert last_trade_date(rule, year, month, CALENDAR) == expected, reason


def test_treasury_notice_comes_on_the_last_business_day_before_the_delivery_month():
    assert first_notice_date(ExpiryRule.TREASURY_NOTE, 2025, 12, CALENDAR) == date(2025, 11, 28)
    assert first_notice_date(ExpiryRule.EUREX_BOND, 2025, 12, CALENDAR) is None


def test_a_line_without_expiry_has_no_last_trade_date():
    with pytest.raises(InvariantError, match="none"):
        last_trade_date(ExpiryRule.NONE, 2025, 12, CALENDAR)


def test_quarterly_chain_lists_the_contracts_of_its_cycle_once_each():
    contracts = list_futures(
        worlds.future("M6E"), worlds.sessions(), CALENDAR, date(2025, 12, 1), date(2025, 12, 15)
    )
    assert [c.contract_id for c in contracts] == [
        "M6E_20251215",
        "M6E_20260316",
        "M6E_20260615",
        "M6E_20260914",
    ]


def test_contracts_beyond_the_session_table_are_not_listed():
    short = worlds.session_table(date(2025, 1, 1), date(2026, 4, 1))
    contracts = list_futures(worlds.future("ES"), short, CALENDAR, date(2025, 12, 1), date(2025, 12, 15))
    assert [c.last_trade_date for c in contracts] == [date(2025, 12, 19), date(2026, 3, 20)]
    assert LISTING_DAYS == 280


def test_monthly_option_expiries_lie_in_their_range():
    found = option_expiries(
        ExpiryRule.NONE, worlds.sessions(), CALENDAR, date(2025, 11, 22), date(2026, 2, 20)
    )
    assert found == (date(2025, 12, 19), date(2026, 1, 16), date(2026, 2, 20))


def test_months_between_touches_each_month_over_a_year_end():
    assert list(months_between(date(2025, 11, 30), date(2026, 1, 1))) == [(2025, 11), (2025, 12), (2026, 1)]
