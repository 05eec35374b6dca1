from __future__ import annotations

from datetime import date

import numpy as np

from tasks.adapters.store_rolls import ROLL_ROWS, SpreadPrice, fill_from_spreads

NAN = float("nan")
DATES = np.arange("2015-09-07", "2015-09-12", dtype="datetime64[D]")
END = date(2015, 9, 11)


def test_missing_price_of_the_next_contract_is_the_old_price_and_the_last_recorded_spread():
    closes = {9: np.array([100.0, 101, 102, 103, 104]), 12: np.array([NAN, 99.5, NAN, 101.25, NAN])}
    made = fill_from_spreads(DATES, closes, [9, 12], {9: END, 12: None})
    # 102 + (99.5 − 101) on the 9th; 104 + (101.25 − 103) on the 11th; nothing before the first pair
    np.testing.assert_equal(closes[12], [NAN, 99.5, 100.5, 101.25, 102.25])
    assert made == (
        SpreadPrice(old=9, new=12, day=date(2015, 9, 9), recorded=date(2015, 9, 8)),
        SpreadPrice(old=9, new=12, day=date(2015, 9, 11), recorded=date(2015, 9, 10)),
    )


def test_without_any_recorded_spread_there_is_no_price():
    closes = {9: np.arange(5.0), 12: np.full(5, NAN)}
    assert fill_from_spreads(DATES, closes, [9, 12], {9: END, 12: None}) == ()
    assert np.isnan(closes[12]).all()


def test_a_made_price_is_no_pair_for_a_later_one():
    closes = {9: np.array([100.0, 101, 102, 103, 104]), 12: np.array([98.0, NAN, NAN, NAN, NAN])}
    made = fill_from_spreads(DATES, closes, [9, 12], {9: END, 12: None})
    assert {item.recorded for item in made} == {date(2015, 9, 7)}
    np.testing.assert_equal(closes[12], [98, 99, 100, 101, 102])


def test_only_the_last_rows_of_the_old_contract_are_filled():
    dates = np.arange("2015-01-01", "2015-01-31", dtype="datetime64[D]")
    closes = {9: np.ones(30), 12: np.full(30, NAN)}
    closes[12][0] = 2.0
    made = fill_from_spreads(dates, closes, [9, 12], {9: date(2015, 1, 20), 12: None})
    assert [item.day.day for item in made] == list(range(21 - ROLL_ROWS, 21))
