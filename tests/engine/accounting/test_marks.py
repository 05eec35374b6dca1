from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from engine.accounting.book import fold
from engine.accounting.jumps import (
    JumpVerdict,
    jump_verdict,
    paid_prices,
    price_jumps,
    strange_jumps,
    trusted_marks,
)
from engine.accounting.marks import MarkVerdict, stale_mark_verdict
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.accounting.tripwires import UnitMistake
from engine.composition.stages import ValuedFund
from engine.model.halts import HaltKind
from engine.model.instruments import CollarClass
from engine.model.market import Mark, MarketHistory, Split
from engine.model.portfolio import CashBasis
from tasks.doubtful import doubtful_prices
from tests.engine.accounting.builders import BOOK, DAY, NOW, D, bought, capital, make_marks, make_rates
from tests.engine.accounting.policies import MARKS

BEFORE = date(2025, 11, 28)
"""The session before."""
CONTEXT = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())


def verdict(quantity: str, age: int) -> MarkVerdict:
    portfolio = fold([capital("1000000"), bought("CSPX", quantity, "100")], NOW)
    valuation = value_portfolio(portfolio, make_marks(age=age, CSPX="100"), make_rates(), BOOK, CONTEXT)
    return stale_mark_verdict(valuation, make_marks(age=age, CSPX="100"), MARKS)


@pytest.mark.parametrize(
    ("quantity", "age", "frozen", "halt"),
    [
        ("100", 0, (), None),  # fresh
        ("100", 1, ("CSPX",), None),  # flagged
        ("-100", 3, ("CSPX",), None),  # still flagged
        ("500", 3, ("CSPX",), None),  # 50,000 USD are 5 % exactly
        ("501", 1, ("CSPX",), HaltKind.STALE_MARK),  # beyond 5 % of NAV
        ("1", 4, ("CSPX",), HaltKind.STALE_MARK),  # too old, however small
    ],
)
def test_old_mark_freezes_then_halts(
    quantity: str, age: int, frozen: tuple[str, ...], halt: HaltKind | None
) -> None:
    found = verdict(quantity, age)
    assert (found.frozen, found.halt_kind) == (frozen, halt)


def test_jump_beyond_the_limit_is_held_back() -> None:
    before = make_marks(session_date=date(2025, 11, 28), CSPX="100", AAPL="100")
    jumps = price_jumps(make_marks(CSPX="131", AAPL="130"), before, (), BOOK, MARKS)
    assert [(jump.contract_id, jump.move) for jump in jumps] == [("CSPX", D("0.31"))]


def jumped(quantity: str, price: str) -> JumpVerdict:
    """A million of capital, some fund units bought at 100, and their price today."""
    portfolio = fold([capital("1000000"), bought("CSPX", quantity, "100")], NOW)
    valuation = value_portfolio(portfolio, make_marks(CSPX=price), make_rates(), BOOK, CONTEXT)
    before = make_marks(session_date=date(2025, 11, 28), CSPX="100", AAPL="1")
    jumps = price_jumps(make_marks(CSPX=price, AAPL="900"), before, (), BOOK, MARKS)
    return jump_verdict(jumps, (), (), valuation, make_rates(), BOOK, MARKS)


@pytest.mark.parametrize(
    ("quantity", "price", "frozen", "halt", "why"),
    [
        ("500", "130", set(), None, "30 % exactly is no jump"),
        # 40 × −60 = −2,400 of a NAV of 997,600: below a quarter of a percent, 2,494
        ("40", "40", {"CSPX"}, None, "a small line may collapse: frozen, valued at its price"),
        # 45 × −60 = −2,700 of 997,300
        ("45", "40", {"CSPX"}, HaltKind.PRICE_JUMP, "the same on a larger line"),
        ("-45", "160", {"CSPX"}, HaltKind.PRICE_JUMP, "a short loses when its price rises"),
        # a hundredth of the price on 5 % of NAV: no market, and no value of the fund
        ("500", "1", {"CSPX"}, HaltKind.PRICE_UNIT, "pounds for pence"),
        # the unit error of the audit: nine times the price on 5 % of NAV would be 40 % of it
        ("500", "900", {"CSPX"}, HaltKind.PRICE_JUMP, "nine times is nobody's unit"),
    ],
)
def test_jump_freezes_then_halts(
    quantity: str, price: str, frozen: set[str], halt: HaltKind | None, why: str
) -> None:
    found = jumped(quantity, price)
    assert (found.frozen, found.halt_kind) == (frozen, halt), why


def test_price_in_another_unit_stops_a_day_that_was_abandoned_and_a_jump_does_not() -> None:
    def stops(price: str, *, abandoned: bool) -> bool:
        portfolio = fold([capital("1000000"), bought("CSPX", "500", "100")], NOW)
        marks = make_marks(CSPX=price)
        valuation = value_portfolio(portfolio, marks, make_rates(), BOOK, CONTEXT)
        fund = ValuedFund(
            valuation=valuation,
            marks=stale_mark_verdict(valuation, marks, MARKS),
            jumps=jumped("500", price),
            bridge=None,
        )
        return doubtful_prices(fund, MARKS, BOOK, abandoned=abandoned) is not None

    assert stops("40", abandoned=False)
    assert not stops("40", abandoned=True)
    assert stops("1", abandoned=True)


def test_jump_tells_what_it_does_to_nav() -> None:
    found = jumped("500", "900").jumps[0]
    assert (found.jump.previous, found.jump.price, found.jump.move) == (D(100), D(900), D(8))
    assert (found.exposure_usd, found.effect_usd) == (D(450_000), D(400_000))


def test_class_limit_replaces_the_general_one() -> None:
    # An equity-index future may not double in a day, a volatility future did: + 113 % on 2018-02-05
    assert MARKS.jump_fraction(CollarClass.FUT) == D("0.30")
    assert MARKS.jump_fraction(CollarClass.VOL_FUT) == D("1.50")


def test_split_explains_a_jump() -> None:
    before = make_marks(session_date=date(2025, 11, 28), AAPL="645.57")
    split = Split(instrument_id="AAPL", ex_date=DAY, new_shares=7, old_shares=1)
    assert price_jumps(make_marks(AAPL="93.70"), before, (split,), BOOK, MARKS) == ()
    assert len(price_jumps(make_marks(AAPL="93.70"), before, (), BOOK, MARKS)) == 1


def test_close_that_was_changed_afterwards_has_jumped_and_an_older_one_has_not() -> None:
    (jump,) = price_jumps(make_marks(AAPL="300"), make_marks(AAPL="100"), (), BOOK, MARKS)
    assert (jump.previous, jump.price) == (D(100), D(300))
    older = make_marks(session_date=date(2025, 11, 28), AAPL="300")
    assert price_jumps(older, make_marks(AAPL="100"), (), BOOK, MARKS) == ()


def test_old_mark_says_whose_price_it_is() -> None:
    portfolio = fold([capital("1000000"), bought("CSPX", "10", "100")], NOW)
    marks = make_marks(session_date=date(2025, 11, 26), age=2, CSPX="101")
    valuation = value_portfolio(portfolio, marks, make_rates(), BOOK, CONTEXT)
    (stale,) = stale_mark_verdict(valuation, marks, MARKS).stale
    assert (stale.price, stale.session_date, stale.exposure_usd) == (D(101), date(2025, 11, 26), D(1_010))


def wrong_unit(price: str) -> tuple[dict[str, Mark], JumpVerdict]:
    marks = make_marks(CSPX=price)
    return marks, jumped("500", price)


def test_price_of_another_unit_is_no_measure_for_the_next_day() -> None:
    """A hundred times its price of 100: found again on the second day, for the line keeps 100 as its former price."""
    marks, found = wrong_unit("10000")
    assert found.jumps[0].jump.unit is UnitMistake.HUNDREDFOLD
    kept = trusted_marks(marks, found, confirmed=())
    assert kept["CSPX"].price == 100
    (again,) = price_jumps(make_marks(session_date=date(2025, 12, 2), CSPX="10050"), kept, (), BOOK, MARKS)
    assert (again.previous, again.move, again.unit) == (D(100), D("99.5"), UnitMistake.HUNDREDFOLD)
    assert price_jumps(make_marks(session_date=date(2025, 12, 2), CSPX="101"), kept, (), BOOK, MARKS) == ()


def test_price_that_a_person_confirmed_or_a_market_made_is_the_next_days_measure() -> None:
    marks, found = wrong_unit("10000")
    assert trusted_marks(marks, found, confirmed=("CSPX",))["CSPX"].price == 10_000
    marks, found = wrong_unit("40")  # minus 60 %: a collapse, no unit
    assert found.jumps[0].jump.unit is None
    assert trusted_marks(marks, found, confirmed=())["CSPX"].price == 40


def one_day(**returns: float) -> MarketHistory:
    names = tuple(sorted(returns))
    return MarketHistory(
        dates=(DAY,),
        instrument_ids=names,
        currencies=("USD",),
        returns=np.array([[returns[name] for name in names]]),
        fx_returns=np.zeros((1, 1)),
        vix=np.array([20.0]),
        v2x=np.array([20.0]),
    )


def test_line_that_jumped_is_not_opened_before_another_session_showed_its_price() -> None:
    marks = make_marks(AAPL="45", CSPX="100", CS51="100", IUKD="100")
    history = one_day(AAPL=-0.55, CSPX=0.31, CS51=0.30, IUKD=float("nan"))
    watched = strange_jumps(marks, history, {"CSPX": "CSPX"}, BOOK, MARKS)
    # CSPX is held and judged by its own marks; 30 % exactly is no jump; no return is no jump
    assert [(row.contract_id, row.previous, row.move) for row in watched] == [("AAPL", D(100), D("-0.55"))]
    valuation = value_portfolio(fold([capital("1000000")], NOW), marks, make_rates(), BOOK, CONTEXT)
    found = jump_verdict((), (), watched, valuation, make_rates(), BOOK, MARKS)
    assert found.frozen == {"AAPL"}
    assert (found.effect_usd, found.halt_kind) == (D(0), None)


def test_line_without_a_former_mark_is_compared_with_what_was_paid() -> None:
    paid = paid_prices([bought("AAPL", "10", "100", "e1.01"), bought("AAPL", "5", "101", "e2.01")])
    (jump,) = price_jumps(make_marks(AAPL="909"), {}, (), BOOK, MARKS, paid)
    assert (jump.contract_id, jump.previous, jump.move) == ("AAPL", D(101), D(8))
    before = make_marks(session_date=date(2025, 11, 28), AAPL="900")
    assert price_jumps(make_marks(AAPL="909"), before, (), BOOK, MARKS, paid) == ()


def test_split_on_the_day_of_the_purchase_is_in_its_price() -> None:
    paid = paid_prices([bought("AAPL", "10", "93.70")])
    split = Split(instrument_id="AAPL", ex_date=DAY, new_shares=7, old_shares=1)
    assert price_jumps(make_marks(AAPL="94"), {}, (split,), BOOK, MARKS, paid) == ()
