from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.restated import Action, in_order, restated_close
from engine.errors import DataError
from engine.model.market import Dividend, Split
from tests.engine.accounting.builders import BOOK, D

FRIDAY, MONDAY, TUESDAY = date(2025, 12, 5), date(2025, 12, 8), date(2025, 12, 9)


def dividend(name: str, amount: str, ex_date: date = MONDAY) -> Dividend:
    return Dividend(instrument_id=name, ex_date=ex_date, pay_date=date(2025, 12, 20), amount=D(amount))


def split(new: int, old: int, ex_date: date = MONDAY) -> Split:
    return Split(instrument_id="AAPL", ex_date=ex_date, new_shares=new, old_shares=old)


def restated(name: str, price: str, counted: date, *actions: Action) -> Decimal:
    return restated_close(D(price), BOOK.instrument(name), FRIDAY, counted, in_order(actions))


@pytest.mark.parametrize(
    ("name", "price", "action", "worth"),
    [
        ("AAPL", "200", dividend("AAPL", "0.25"), "199.75"),
        ("IUKD", "900", dividend("IUKD", "0.05"), "895"),  # 5 pence of a line quoted in pence
        ("AAPL", "645.57", split(7, 1), "92.22428571"),
        ("AAPL", "1.13", split(1, 20), "22.6"),
    ],
)
def test_close_of_before_an_action_counts_per_share_of_after_it(
    name: str, price: str, action: Action, worth: str
) -> None:
    assert restated(name, price, MONDAY, action) == D(worth)


def test_dividend_of_the_day_of_a_split_is_paid_on_old_shares() -> None:
    # (200 − 2) / 2, and not 200 / 2 − 2
    assert restated("AAPL", "200", MONDAY, split(2, 1), dividend("AAPL", "2")) == D(99)


def test_actions_of_later_days_follow_each_other() -> None:
    # 200 / 2 = 100 on Monday; 100 − 1 on Tuesday
    actions = (dividend("AAPL", "1", TUESDAY), split(2, 1))
    assert restated("AAPL", "200", MONDAY, *actions) == D(100)
    assert restated("AAPL", "200", TUESDAY, *actions) == D(99)


def test_close_of_the_ex_date_itself_is_left_alone() -> None:
    actions = (dividend("AAPL", "1", FRIDAY), split(2, 1, FRIDAY))
    assert restated("AAPL", "100", MONDAY, *actions) == D(100)


def test_dividend_as_large_as_the_price_is_refused() -> None:
    with pytest.raises(DataError, match=r"AAPL .* 2025-12-08"):
        restated("AAPL", "8.42", MONDAY, dividend("AAPL", "8.42"))
