"""Prices in a wrong unit: found by their ratio to the price before and to the broker's, whatever the moment."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.book import fold
from engine.accounting.jumps import JumpVerdict, jump_verdict
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.accounting.tripwires import UnitMistake, price_gaps, unit_mistake
from engine.model.halts import HaltKind
from engine.model.portfolio import BrokerPosition, CashBasis
from tests.engine.accounting.builders import (
    BOOK,
    DAY,
    NOW,
    D,
    bought,
    capital,
    make_instrument,
    make_marks,
    make_rates,
)
from tests.engine.accounting.policies import MARKS

CONTEXT = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())
DAYS_MOVE = D("0.30")
SHARE, PENCE = make_instrument("AAPL"), make_instrument("IUKD", currency="GBP", magnifier="100")


@pytest.mark.parametrize(
    ("multiplier", "price", "reference", "expected", "reason"),
    [
        ("1", "10000", "100", UnitMistake.HUNDREDFOLD, "a hundred times as much"),
        ("1", "1", "100", UnitMistake.HUNDREDFOLD, "a hundredth"),
        ("1", "9500", "100", UnitMistake.HUNDREDFOLD, "a hundred times, after a day of minus 5 %"),
        ("1", "6900", "100", None, "69 times is more than 30 % from a hundred: nobody's unit"),
        ("1", "900", "100", None, "nine times: wrong, but no unit"),
        ("1", "200", "100", None, "a share that doubled"),
        ("50", "250000", "5000", UnitMistake.MULTIPLIER, "the notional of a contract taken for its price"),
        ("50", "98", "5000", UnitMistake.MULTIPLIER, "51 times: the multiplier and a move"),
        ("5", "25500", "5000", UnitMistake.MULTIPLIER, "5.1 times, of a micro contract"),
        ("2", "140", "100", None, "nearer to 1 than to a multiplier of 2"),
        ("2", "160", "100", UnitMistake.MULTIPLIER, "nearer to 2, and within 30 % of it"),
        ("1", "0", "100", None, "a price of nothing is not in another unit"),
    ],
)
def test_ratio_of_two_prices_names_the_unit(
    multiplier: str, price: str, reference: str, expected: UnitMistake | None, reason: str
) -> None:
    instrument = make_instrument("X", multiplier=multiplier)
    assert unit_mistake(D(price), D(reference), instrument, DAYS_MOVE) is expected, reason


@given(
    price=st.decimals("0.01", "100000", places=2),
    move=st.decimals("-0.2999", "0.2999", places=4),
    up=st.booleans(),
)
def test_hundredfold_is_seen_through_any_move_of_a_day(price: Decimal, move: Decimal, up: bool) -> None:
    wrong = price * (1 + move) * 100 if up else price / (1 + move) / 100
    assert unit_mistake(wrong, price, SHARE, DAYS_MOVE) is UnitMistake.HUNDREDFOLD


@given(price=st.decimals("0.01", "100000", places=2), move=st.decimals("-0.2999", "0.2999", places=4))
def test_move_of_a_day_is_never_a_unit(price: Decimal, move: Decimal) -> None:
    for instrument in (SHARE, PENCE, make_instrument("F", multiplier="50")):
        assert unit_mistake(price * (1 + move), price, instrument, DAYS_MOVE) is None


def at_broker(contract_id: str, quantity: str, mark: str | None) -> dict[str, BrokerPosition]:
    held = BrokerPosition(
        contract_id=contract_id,
        quantity=D(quantity),
        average_cost=D(1),
        mark=None if mark is None else D(mark),
        in_session=True,
    )
    return {contract_id: held}


def apart(contract_id: str, quantity: str, ours: str, theirs: str) -> JumpVerdict:
    portfolio = fold([capital("1000000"), bought(contract_id, quantity, ours)], NOW)
    marks = make_marks(**{contract_id: ours})
    valuation = value_portfolio(portfolio, marks, make_rates(), BOOK, CONTEXT)
    gaps = price_gaps(marks, at_broker(contract_id, quantity, theirs), BOOK, MARKS)
    return jump_verdict((), gaps, (), valuation, make_rates(), BOOK, MARKS)


def test_market_that_moved_since_our_close_is_no_gap() -> None:
    assert apart("AAPL", "500", "100", "95").gaps == ()
    assert apart("AAPL", "500", "100", "130").gaps == ()


def test_broker_far_from_our_close_freezes_the_line_and_stops_nothing() -> None:
    found = apart("AAPL", "500", "100", "60")
    (row,) = found.gaps
    # 500 x (60 - 100) = -20,000 USD if the broker is right: more than 0.25 % of a million, but a market may do that
    assert (row.gap.gap, row.effect_usd, row.gap.unit) == (D("-0.4"), D(-20_000), None)
    assert (found.frozen, found.halt_kind) == ({"AAPL"}, None)


def test_pence_against_pounds_at_the_broker_stops_the_day() -> None:
    # 500 x (8.95 - 895) / 100 pounds = -4,430.25 GBP at 1.35 = -5,980.84 USD, beyond 0.25 % of about a million
    found = apart("IUKD", "500", "895", "8.95")
    (row,) = found.gaps
    assert (row.gap.unit, found.frozen) == (UnitMistake.HUNDREDFOLD, {"IUKD"})
    assert row.effect_usd == D("-4430.25") * make_rates().get_rate("GBP", "USD")
    assert found.halt_kind is HaltKind.PRICE_UNIT


def test_notional_for_a_price_at_the_broker_stops_the_day() -> None:
    found = apart("ES_20251219", "1", "5000", "250000")
    (row,) = found.gaps
    # 1 x (250,000 - 5,000) x 50 = 12,250,000 USD
    assert (row.gap.unit, row.effect_usd) == (UnitMistake.MULTIPLIER, D(12_250_000))
    assert found.halt_kind is HaltKind.PRICE_UNIT


def test_small_holding_in_a_wrong_unit_is_frozen_and_stops_nothing() -> None:
    # 2 x (1 - 100) = -198 USD of a million
    found = apart("AAPL", "2", "100", "1")
    assert (found.frozen, found.halt_kind) == ({"AAPL"}, None)


@pytest.mark.parametrize(
    ("broker", "reason"),
    [
        ({}, "the broker does not hold it: reconciliation says so"),
        (at_broker("AAPL", "500", None), "the broker gives no price"),
        (at_broker("AAPL", "0", "1"), "nothing is held there"),
        (at_broker("NOBODYS", "5", "1"), "a contract that nobody lists"),
    ],
)
def test_what_can_not_be_compared_is_no_gap(broker: dict[str, BrokerPosition], reason: str) -> None:
    assert price_gaps(make_marks(AAPL="100", NOBODYS="100"), broker, BOOK, MARKS) == (), reason


def test_premium_may_double_but_not_be_a_hundredfold() -> None:
    name = "SPX_20251219_P_4800"
    assert price_gaps(make_marks(**{name: "10"}), at_broker(name, "1", "25"), BOOK, MARKS) == ()
    (gap,) = price_gaps(make_marks(**{name: "10"}), at_broker(name, "1", "1000"), BOOK, MARKS)
    assert gap.unit is UnitMistake.MULTIPLIER
