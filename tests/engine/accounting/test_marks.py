from __future__ import annotations

from datetime import date

import pytest

from engine.accounting.book import fold
from engine.accounting.marks import MarkVerdict, price_jumps, stale_mark_verdict
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.model.halts import HaltKind
from engine.model.market import Split
from engine.model.portfolio import CashBasis
from tests.engine.accounting.builders import BOOK, DAY, NOW, D, bought, capital, make_marks, make_rates
from tests.engine.accounting.policies import MARKS

CONTEXT = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())


def verdict(quantity: str, age: int) -> MarkVerdict:
    portfolio = fold([capital("1000000"), bought("CSPX", quantity, "100")], NOW)
    valuation = value_portfolio(portfolio, make_marks(age=age, CSPX="100"), make_rates(), BOOK, CONTEXT)
    return stale_mark_verdict(valuation, MARKS)


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


def test_split_explains_a_jump() -> None:
    before = make_marks(session_date=date(2025, 11, 28), AAPL="645.57")
    split = Split(instrument_id="AAPL", ex_date=DAY, new_shares=7, old_shares=1)
    assert price_jumps(make_marks(AAPL="93.70"), before, (split,), BOOK, MARKS) == ()
    assert len(price_jumps(make_marks(AAPL="93.70"), before, (), BOOK, MARKS)) == 1


def test_same_session_is_no_jump() -> None:
    assert price_jumps(make_marks(AAPL="300"), make_marks(AAPL="100"), (), BOOK, MARKS) == ()
