"""Doubtful prices as rows and sentences: what is wrong, what hangs on it, and what follows."""

from __future__ import annotations

from engine.accounting.book import fold
from engine.accounting.jumps import jump_verdict, price_jumps, strange_jumps
from engine.accounting.marks import stale_mark_verdict
from engine.accounting.nav import value_portfolio
from engine.accounting.tripwires import price_gaps
from engine.composition.stages import ValuedFund
from engine.report import FlaggedPrice, PriceFlag
from tasks.reporting_prices import flagged_prices, price_notes
from tests.engine.accounting.builders import BOOK, NOW, D, bought, capital, make_marks, make_rates
from tests.engine.accounting.policies import MARKS
from tests.engine.accounting.test_marks import BEFORE, CONTEXT, one_day
from tests.engine.accounting.test_tripwires import at_broker


def told() -> dict[str, FlaggedPrice]:
    """CSPX a hundred times its price, AAPL far from the broker's, IUKD two sessions old, CS51 jumped and not held."""
    entries = [
        capital("1000000"),
        bought("CSPX", "1", "100"),
        bought("AAPL", "1", "100"),
        bought("IUKD", "1", "900"),
    ]
    fresh = make_marks(CSPX="10000", AAPL="100", CS51="150")
    marks = {**fresh, **make_marks(session_date=BEFORE, age=2, IUKD="900")}
    valuation = value_portfolio(fold(entries, NOW), marks, make_rates(), BOOK, CONTEXT)
    former = make_marks(session_date=BEFORE, CSPX="100", AAPL="100", IUKD="900")
    held = {line.contract_id: line.instrument_id for line in valuation.lines}
    fund = ValuedFund(
        valuation=valuation,
        marks=stale_mark_verdict(valuation, marks, MARKS),
        jumps=jump_verdict(
            price_jumps(marks, former, (), BOOK, MARKS),
            price_gaps(marks, at_broker("AAPL", "1", "60"), BOOK, MARKS),
            strange_jumps(marks, one_day(CS51=0.5), held, BOOK, MARKS),
            valuation,
            make_rates(),
            BOOK,
            MARKS,
        ),
        bridge=None,
    )
    return {row.contract_id: row for row in flagged_prices(fund, BOOK)}


def test_every_doubt_is_a_row_with_its_evidence() -> None:
    rows = told()
    assert {name: row.flag for name, row in rows.items()} == {
        "CSPX": PriceFlag.JUMPED,
        "AAPL": PriceFlag.FAR_FROM_BROKER,
        "IUKD": PriceFlag.OLD,
        "CS51": PriceFlag.JUMPED,
    }
    assert (rows["CSPX"].reference, rows["CSPX"].effect_usd) == (D(100), D(9_900))  # 1 x (10,000 - 100)
    assert (rows["AAPL"].reference, rows["AAPL"].effect_usd) == (D(60), D(-40))
    assert (rows["IUKD"].session_date, rows["IUKD"].age_sessions) == (BEFORE, 2)
    assert (rows["CS51"].reference, rows["CS51"].exposure_usd) == (D(100), D(0))


def test_sentences_name_the_unit_and_what_follows() -> None:
    rows = told()
    notes = price_notes(tuple(rows.values()))
    assert notes == (rows["CSPX"].told, rows["AAPL"].told, rows["CS51"].told)
    assert "a hundredfold of one another, as pence and pounds are; it may only be reduced" in notes[0]
    assert "the broker's price of 60 is -40% from ours of 100, which would change NAV by -40 USD" in notes[1]
    assert notes[2].endswith("it is not held, and nothing is opened on it today")
    assert rows["IUKD"].told.endswith(f"is that of {BEFORE}, 2 sessions old; it may only be reduced")
