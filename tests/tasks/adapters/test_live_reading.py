"""What a reading makes of history that is refused, empty or not answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest

from engine.carry.calendar import DayFacts
from engine.errors import BrokerRejected, BrokerUnavailable
from engine.model.market import MarketInputs
from engine.model.universe import ContractBook
from tasks.adapters.live_reading import MOST_SILENT, SEARCHED_DAYS, ClosingBar, LiveMarket, LiveReading
from tests.tasks.adapters.gateways import small_world

DAY = date(2026, 11, 19)
NAMES = ("AAPL", "BAS", "CSPX", "IUKD", "MSFT", "NVDA", "V")
"""In the order in which they are asked about."""
REFUSED = BrokerRejected("162 pacing violation")
SILENT = BrokerUnavailable("no answer of the broker in 30 seconds")


@dataclass
class Market:
    """Tells a bar of each line, or raises what stands for it, or tells none."""

    answers: dict[str, Exception | None] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def daily_bars(self, contract_id: str, first: date, last: date) -> tuple[ClosingBar, ...]:
        self.asked[contract_id] += 1
        answer = self.answers.get(contract_id, DAY)
        if isinstance(answer, Exception):
            raise answer
        bar = SimpleNamespace(session_date=last, close=Decimal(50))
        return () if answer is None else (cast("ClosingBar", bar),)


def reading(market: Market) -> LiveReading:
    universe, sessions, _ = small_world()
    return LiveReading(
        market=cast("LiveMarket", market),
        book=lambda: ContractBook(universe=universe, contracts={}),
        sessions=sessions,
        restated=lambda name, price, closed, counted: price,
    )


def marks(market: Market) -> tuple[set[str], dict[str, str], list[str]]:
    past = SimpleNamespace(as_of=datetime(2026, 11, 20, 6, tzinfo=UTC), trade_date=date(2026, 11, 20))
    notes: list[str] = []
    found, untold = reading(market)._marks(NAMES, frozenset(), cast("MarketInputs", past), notes)
    return set(found), untold, notes


def test_line_that_is_refused_or_has_nothing_is_untold_with_its_reason_and_noted() -> None:
    found, untold, notes = marks(Market({"BAS": REFUSED, "MSFT": None}))
    empty = f"expected a session in the last {SEARCHED_DAYS} days, found none"
    assert found == set(NAMES) - {"BAS", "MSFT"}
    assert untold == {"BAS": str(REFUSED), "MSFT": empty}
    assert notes == [f"BAS: no price at the broker: {REFUSED}", f"MSFT: no price at the broker: {empty}"]


def test_history_that_is_not_answered_again_and_again_is_not_asked_for_any_more() -> None:
    market = Market(dict.fromkeys(NAMES, SILENT))
    found, untold, _ = marks(market)
    assert found == set()
    assert untold.keys() == set(NAMES)
    assert set(market.asked) == set(NAMES[:MOST_SILENT])
    assert untold["NVDA"] == "not asked: 3 questions of history stayed without an answer"


def test_answer_between_two_silences_lets_the_others_be_asked() -> None:
    market = Market(dict.fromkeys(("AAPL", "BAS", "IUKD", "MSFT"), SILENT))
    found, untold, _ = marks(market)
    assert found == {"CSPX", "NVDA", "V"}
    assert untold.keys() == {"AAPL", "BAS", "IUKD", "MSFT"}
    assert set(market.asked) == set(NAMES)


def test_close_that_is_refused_is_missing_in_the_facts_of_its_day_and_silence_is_raised() -> None:
    past = DayFacts(
        day=DAY,
        closes={"AAPL": Decimal(1), "BAS": Decimal(1)},
        last_closes={"AAPL": Decimal(1), "BAS": Decimal(1)},
        dividends=(),
        splits=(),
        borrow_fee_bps={},
    )
    facts = reading(Market({"BAS": REFUSED})).day_facts(past, ("AAPL", "BAS"))
    assert facts.closes == facts.last_closes == {"AAPL": Decimal(50)}
    with pytest.raises(BrokerUnavailable, match="no answer of the broker"):
        reading(Market({"BAS": SILENT})).day_facts(past, ("AAPL", "BAS"))
