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

from config.policies import fund_policy
from config.settings import load_settings
from engine.accounting.corporate_actions import DIVIDEND_ACCOUNT
from engine.accounting.ledger import EntryKind
from engine.accounting.restated import STEP
from engine.execution.gating import GateCandidate, GateInputs, GateReason, gate_trades
from engine.model.orders import Reason, Trade
from engine.sleeves.sizing import quantity_for
from tests.engine.accounting.builders import make_instrument, make_rates
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


def days_of_action(folder: Path, symbol: str, quantity: Decimal) -> list[tuple[HeldDay, HeldDay]]:
    """The evening before each split or dividend, and its day."""
    return [pair for pair in pairwise(evenings(folder, symbol, quantity)) if pair[1].entries]


@LONG_AND_SHORT
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_morning_of_an_action_is_worth_the_evening_before(
    folder: Path, symbol: str, quantity: Decimal
) -> None:
    pairs, record = days_of_action(folder, symbol, quantity), recorded(folder, symbol)
    assert {day.day for _, day in pairs} == {*record.splits, *record.dividends}
    # New shares at the restated close, the money owed and the cash for a fraction are the old shares at the old close.
    # A price restated for a split is rounded to 1e-8 a share.
    for before, day in pairs:
        rounded = abs(day.quantity) * STEP / 2 + Decimal("0.00001")
        assert abs(day.morning_net - before.net) <= rounded, day.day


GATE = fund_policy(load_settings("history"), date(2020, 6, 30)).gate
WEIGHT = Decimal("0.05")
"""Share of NAV that the line is held at."""


def sized_again(symbol: str, before: HeldDay, day: HeldDay) -> GateReason | None:
    """What the gate says of a line that was on its target of 5 % the evening before; ``None`` without any order."""
    nav = abs(before.value) / WEIGHT
    wanted = quantity_for(before.value, make_instrument(symbol), day.morning_price, make_rates())
    order = wanted - day.quantity
    if order == 0:
        return None
    trade = Trade(
        contract_id=symbol,
        instrument_id=symbol,
        quantity=order,
        reason=Reason.REBALANCE,
        group=None,
        reduce_only=False,
        sleeves={"single_name": order},
    )
    book = GateInputs(
        nav=nav,
        instrument_ids=(symbol,),
        weights=np.array([float(day.quantity * day.morning_price / nav)]),
        returns=np.array([[0.01], [-0.01]]),
        shrinkage=0.0,
        carry_annual={},
        regime="NORMAL",
    )
    free = GateCandidate(trade=trade, notional_usd=order * day.morning_price, cost_usd=Decimal(0))
    return gate_trades([free], book, GATE).decisions[0].reason


@LONG_AND_SHORT
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_no_order_follows_from_a_split_or_a_dividend(folder: Path, symbol: str, quantity: Decimal) -> None:
    found = {
        day.day: sized_again(symbol, *pair)
        for pair in days_of_action(folder, symbol, quantity)
        for day in pair[1:]
    }
    ordered = [day for day, reason in found.items() if reason not in (None, GateReason.SMALL_DRIFT)]
    # AIG gave warrants worth 8.42 of its 51.20 dollars: a sixth of the line is gone, and 0.8 % of NAV is no small drift.
    assert ordered == ([date(2011, 1, 20)] if symbol == "AIG" else [])
    # A split alone asks for a share at most, where a fraction above a half was paid out.
    for ex_date in recorded(folder, symbol).splits:
        assert found[ex_date] in (None, GateReason.SMALL_DRIFT)
