"""Recorded splits and dividends, held and shorted through the ledger, against the factors of the source."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.accounting.corporate_actions import DIVIDEND_ACCOUNT
from engine.accounting.ledger import EntryKind
from tests.real_data import readers
from tests.real_data.held_shares import HeldDay, ShareRecord, hold, share_record

pytestmark = pytest.mark.shared

SYMBOLS = ("AAPL", "AIG", "BAC", "IWM", "SPY")
MANY = Decimal(100_001)
"""So many that a fraction of a share is nothing against the rest."""
FEW = Decimal(1_001)
LONG_AND_SHORT = pytest.mark.parametrize("quantity", [MANY, -MANY], ids=["held", "shorted"])
TOLERANCE = 5e-4


@cache
def recorded(folder: Path, symbol: str) -> ShareRecord:
    return share_record(folder, symbol)


@cache
def evenings(folder: Path, symbol: str, quantity: Decimal) -> list[HeldDay]:
    return hold(recorded(folder, symbol), quantity)


@pytest.fixture
def folder(shared: Path) -> Path:
    return shared / "market_data"


def dividend(day: HeldDay) -> Decimal:
    """Money that a day's ex-date brought or cost."""
    lines = [line for entry in day.entries if entry.entry_id.startswith("dividend:") for line in entry.lines]
    return sum((line.amount for line in lines if line.account == DIVIDEND_ACCOUNT), Decimal(0))


def total_returns(days: list[HeldDay]) -> np.ndarray:
    """Daily returns of the line with its dividends put back before the open, as the source's factors do."""
    return np.array(
        [
            float((today.net - before.net) / (before.value - dividend(today)))
            for before, today in pairwise(days)
        ]
    )


def source_returns(record: ShareRecord) -> np.ndarray:
    index = np.array([float(close) for close in record.closes]) * record.factors
    return np.asarray(index[1:] / index[:-1] - 1)


def unlike_reference_closes(folder: Path, symbol: str) -> list[date]:
    """Days of a factor whose reference close is not the close of the price file."""
    factors = pd.read_csv(folder / readers.ACTIONS, parse_dates=["date"])
    factors = factors[(factors["symbol"] == symbol) & factors["implied_cash_dividend_next_day"].notna()]
    closes = dict(zip(recorded(folder, symbol).days, recorded(folder, symbol).closes, strict=True))
    rows = zip(factors["date"].dt.date, factors["reference_close"], strict=True)
    return [day for day, known in rows if day in closes and abs(known / float(closes[day]) - 1) > 1e-3]


@LONG_AND_SHORT
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_total_return_is_that_of_price_and_factors_over_the_whole_record(
    folder: Path, symbol: str, quantity: Decimal
) -> None:
    mine, source = total_returns(evenings(folder, symbol, quantity)), source_returns(recorded(folder, symbol))
    first = 0
    if symbol == "BAC":  # three factors of 1998 were made from prices that the file does not have
        assert unlike_reference_closes(folder, symbol) == [
            date(1998, 3, 3),
            date(1998, 6, 2),
            date(1998, 9, 1),
        ]
        first = recorded(folder, symbol).days.index(date(1998, 9, 2))
    assert np.abs(mine[first:] - source[first:]).max() < TOLERANCE
    grown = np.cumprod(1 + mine[first:]) / np.cumprod(1 + source[first:])
    assert np.abs(grown - 1).max() < TOLERANCE


@LONG_AND_SHORT
@pytest.mark.parametrize(
    ("symbol", "splits"),
    [
        ("AAPL", [(date(2000, 6, 21), 2, 1), (date(2005, 2, 28), 2, 1), (date(2014, 6, 9), 7, 1)]),
        (
            "AIG",
            [
                (date(1998, 8, 3), 3, 2),
                (date(1999, 8, 2), 5, 4),
                (date(2000, 7, 31), 3, 2),
                (date(2009, 7, 1), 1, 20),
            ],
        ),
    ],
)
def test_net_value_moves_by_the_price_alone_on_the_day_of_a_split(
    folder: Path, symbol: str, splits: list[tuple[date, int, int]], quantity: Decimal
) -> None:
    record, days = recorded(folder, symbol), evenings(folder, symbol, quantity)
    assert [(row.ex_date, row.new_shares, row.old_shares) for row in record.splits.values()] == splits
    for ex_date, new, old in splits:
        row = record.days.index(ex_date)
        before, after = days[row - 1], days[row]
        restated = record.closes[row - 1] * old / new
        # The whole shares move from the restated close to the new one; a fraction was paid at the former.
        assert abs(after.net - before.net - after.quantity * (record.closes[row] - restated)) < Decimal(
            "0.01"
        )
        assert after.quantity == int(before.quantity * new / old)
        paid = before.quantity * new / old - after.quantity
        assert abs(
            sum((entry.quantity or Decimal(0) for entry in after.in_lieu), Decimal(0)) + paid
        ) < Decimal("0.000001")


@pytest.mark.parametrize(("quantity", "sign"), [(FEW, 1), (-FEW, -1)], ids=["held", "shorted"])
def test_fractions_of_aig_are_paid_in_cash(folder: Path, quantity: Decimal, sign: int) -> None:
    # 1,001 × 3/2 = 1,501.5; 1,501 × 5/4 = 1,876.25; 1,876 × 3/2 = 2,814; 2,814 / 20 = 140.7
    paid = [
        (day.day, -(entry.quantity or 0) * sign, entry.price)
        for day in evenings(folder, "AIG", quantity)
        for entry in day.in_lieu
    ]
    assert paid == [
        (date(1998, 8, 3), Decimal("0.5"), Decimal("100.46")),  # 150.69 × 2 / 3
        (date(1999, 8, 2), Decimal("0.25"), Decimal("93.104")),  # 116.38 × 4 / 5
        (date(2009, 7, 1), Decimal("0.7"), Decimal("22.6")),  # 1.13 × 20
    ]
    assert evenings(folder, "AIG", quantity)[-1].quantity == 140 * sign


@pytest.mark.parametrize("symbol", ["SPY", "BAC", "IWM"])
def test_holder_earns_and_short_owes_every_dividend(folder: Path, symbol: str) -> None:
    record = recorded(folder, symbol)
    for sign in (1, -1):
        days = {day.day: day for day in evenings(folder, symbol, MANY * sign)}
        assert len(record.dividends) > 80
        for ex_date, paid in record.dividends.items():
            assert dividend(days[ex_date]) == days[ex_date].quantity * paid.amount
        kinds = {entry.kind for day in days.values() for entry in day.entries}
        assert kinds <= {EntryKind.DIVIDEND, EntryKind.SPLIT}
