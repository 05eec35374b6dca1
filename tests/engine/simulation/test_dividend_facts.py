"""What is known of dividends on a morning."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from engine.model.market import Dividend, Split
from engine.simulation.dividend_facts import announced_dividends, dividend_infos
from engine.simulation.panel import MarketPanel
from tests.engine.simulation import worlds

DAY = date(2026, 7, 14)


def panel(*dividends: tuple[int, str], splits: tuple[Split, ...] = (), name: str = "LLY") -> MarketPanel:
    """The small world with dividends of one line: days after `DAY`, amount."""
    rows = [
        Dividend(instrument_id=name, ex_date=DAY + timedelta(days=days), pay_date=DAY, amount=Decimal(amount))
        for days, amount in sorted(dividends)
    ]
    return replace(worlds.world(), dividends=tuple(rows), splits=splits)


def test_year_ends_with_the_date_and_knows_nothing_later() -> None:
    # 365 days ago is outside, 364 days ago and today are inside, tomorrow is only announced.
    market = panel((-365, "8"), (-364, "1"), (-90, "2"), (0, "4"), (1, "16"), (31, "32"))
    info = dividend_infos(market, DAY)["LLY"]
    assert (info.paid_annual, info.payments_annual, info.ex_date) == (7, 3, DAY)
    assert [row.amount for row in announced_dividends(market, DAY)] == [4, 16]


def test_dividend_of_before_a_split_counts_per_new_share() -> None:
    # 3 USD per old share, three new for two old: 2 per new share; a split of tomorrow is not known yet.
    known = Split(instrument_id="LLY", ex_date=DAY - timedelta(days=10), new_shares=3, old_shares=2)
    later = Split(instrument_id="LLY", ex_date=DAY + timedelta(days=1), new_shares=5, old_shares=1)
    assert dividend_infos(panel((-20, "3"), (-5, "1"), splits=(known, later)), DAY)["LLY"].paid_annual == 3


def test_line_without_a_year_of_record_is_absent() -> None:
    market = panel((-20, "3"))
    returns = market.returns["LLY"].copy()
    returns[: market.dates.index(date(2026, 1, 5))] = float("nan")
    assert dividend_infos(replace(market, returns={**market.returns, "LLY": returns}), DAY) == {}
    assert dividend_infos(market, DAY)["LLY"].paid_annual == 3


def test_line_with_its_dividends_in_its_prices_is_absent() -> None:
    market = replace(panel((-20, "3")), total_return=frozenset({"LLY"}))
    assert dividend_infos(market, DAY) == {}
