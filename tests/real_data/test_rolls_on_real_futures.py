"""A constant position of one contract in each of the 68 recorded futures, over their whole history (R-119)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from engine.model.instruments import InstrumentType
from tests.engine.accounting.builders import make_instrument
from tests.real_data.constant_position import ConstantPosition, RollPrices, hold_one_contract, listed

pytestmark = pytest.mark.shared

LIST = Path(__file__).parent / "recorded_rolls.csv"
MILLIONTH = Decimal("0.000001")
HEADER = "instrument,roll_day,old,new,prices,age_rows,difference_points"


@cache
def constant_positions(folder: Path) -> Mapping[str, ConstantPosition]:
    rows = pd.read_parquet(folder / "futures_daily.parquet")
    facts = pd.read_csv(folder / "instruments.csv").set_index("instrument")
    return {
        str(name): hold_one_contract(
            str(name),
            record,
            make_instrument(
                str(name),
                InstrumentType.FUT,
                str(facts.loc[name, "currency"]),
                multiplier=f"{float(facts.loc[name, 'pointsize']):.12g}",
            ),
        )
        for name, record in rows.groupby("instrument")
    }


@pytest.fixture
def positions(shared: Path) -> Mapping[str, ConstantPosition]:
    return constant_positions(shared / "market_data/futures")


def test_every_recorded_future_is_held_over_its_whole_history(
    positions: Mapping[str, ConstantPosition],
) -> None:
    assert len(positions) == 68
    assert sum(held.rows for held in positions.values()) == 314_739
    assert sum(len(held.rolls) for held in positions.values()) == 5138


def test_between_rolls_the_ledger_earns_exactly_the_move_of_the_adjusted_price(
    positions: Mapping[str, ConstantPosition],
) -> None:
    inexact = {name: dict(held.inexact) for name, held in positions.items() if held.inexact}
    # The source rounds the yen's adjusted price to eight decimals, apart from its price; the four cancel out.
    step = Decimal("0.00000001")
    assert inexact == {
        "JPY": {
            date(2014, 2, 19): -step,
            date(2014, 2, 20): step,
            date(2014, 3, 4): -step,
            date(2014, 3, 5): step,
        }
    }


def test_whole_history_differs_by_the_sum_over_the_named_roll_days(
    positions: Mapping[str, ConstantPosition],
) -> None:
    for held in positions.values():
        named = sum((roll.difference for roll in held.discrepancies), Decimal(0))
        assert abs(held.difference_points - named) <= Decimal("0.000000001"), held.name


def test_ruling_s_count_is_of_rolls_that_no_recorded_pair_explains(
    positions: Mapping[str, ConstantPosition],
) -> None:
    """R-119 names 793 rolls: those that differ by more than a millionth whichever recorded pair is taken.

    Ours are traded at the pair that is known when the roll is due, and differ exactly: 817. The others are named here.
    """
    differing = [(name, roll) for name, held in positions.items() for roll in held.discrepancies]
    on_the_edge = [(name, roll.day) for name, roll in differing if abs(roll.nearest) == MILLIONTH]
    explained = [(name, roll) for name, roll in differing if abs(roll.nearest) < MILLIONTH]
    # Of two differences of exactly a millionth, binary floating point puts one on each side: 792 + 1 = 793.
    assert on_the_edge == [("JPY", date(2014, 9, 15)), ("JPY", date(2019, 12, 13))]
    assert len(differing) - len(explained) - len(on_the_edge) == 817 - 23 - 2 == 792
    # The series is rounded where the traded prices are not.
    rounded = [(name, roll.day) for name, roll in explained if abs(roll.difference) < MILLIONTH]
    assert rounded == [
        ("JPY", date(2015, 9, 14)),
        ("JPY", date(2018, 12, 17)),
        ("JPY", date(2019, 6, 13)),
        ("US2", date(2019, 11, 25)),
    ]
    # The series took the pair of the other row; on three rolls of the VIX future the spread of an earlier row.
    others = Counter((name, roll.prices) for name, roll in explained if abs(roll.difference) >= MILLIONTH)
    assert others == {
        ("CRUDE_W_mini", RollPrices.OLD_ROW): 2,
        ("EDOLLAR", RollPrices.OLD_ROW): 1,
        ("EURIBOR", RollPrices.OLD_ROW): 8,
        ("V2X", RollPrices.OLD_ROW): 4,
        ("VIX", RollPrices.OLD_ROW): 1,
        ("VIX", RollPrices.NEW_ROW): 3,
    }


@pytest.mark.parametrize(("name", "limit"), [("SP500", "6"), ("EUR", "0.0075")])
def test_whole_history_of_a_main_future_stays_near_its_adjusted_series(
    positions: Mapping[str, ConstantPosition], name: str, limit: str
) -> None:
    assert abs(positions[name].difference_points) <= Decimal(limit)


def test_list_of_differing_and_refused_rolls_is_the_recorded_one(
    positions: Mapping[str, ConstantPosition],
) -> None:
    found = [HEADER, *(line for _, held in sorted(positions.items()) for line in listed(held))]
    assert found == LIST.read_text(encoding="utf-8").splitlines()


def test_roll_without_any_recorded_pair_is_refused_by_name(positions: Mapping[str, ConstantPosition]) -> None:
    refused = [roll for roll in positions["EUR"].rolls if roll.prices is RollPrices.REFUSED]
    assert [(roll.old, roll.new) for roll in refused] == [(201412, 201503), (201909, 201912)]


def test_last_recorded_spread_prices_a_roll_and_tells_its_age(
    positions: Mapping[str, ConstantPosition],
) -> None:
    aged = [roll for roll in positions["SP500"].rolls if roll.prices is RollPrices.LAST_SPREAD]
    assert [(roll.day, roll.age_rows) for roll in aged] == [(date(2018, 12, 13), 1), (date(2019, 3, 12), 3)]
