"""Bars over TCP from the simulated gateway: those that its market recorded, in order, without gap or double."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from engine.model.money import decimal_from_float
from tasks.adapters.ibkr.bars import BarPrice
from tasks.adapters.ibkr.errors import RequestRefused
from tasks.adapters.ibkr.history import HistoryDesk
from tasks.adapters.ibkr.units import WireUnits
from tests.tasks.adapters.gateways import OPENED, small_world
from tests.tasks.adapters.ibkr.trading import Desk, trading

FIRST, LAST = date(2026, 9, 7), date(2026, 11, 19)


@pytest.fixture(scope="module")
def line() -> Iterator[Desk]:
    with trading() as made:
        yield made


@pytest.fixture
def history(line: Desk) -> HistoryDesk:
    return HistoryDesk(
        line.session, line.contracts, small_world()[1], WireUnits(), pause=lambda seconds: None
    )


def recorded(name: str, first: date, last: date) -> dict[date, Decimal]:
    """Closes of the panel."""
    panel = small_world()[2].panel
    closes = panel.series[name].close
    return {
        day: decimal_from_float(float(closes[row]))
        for row, day in enumerate(panel.dates)
        if first <= day <= last and np.isfinite(closes[row])
    }


@pytest.mark.parametrize("name", ["CSPX", "IUKD", "CS51", "BT.A"])
def test_daily_closes_are_those_of_the_market_to_the_last_digit(history: HistoryDesk, name: str) -> None:
    bars = history.daily_bars(name, FIRST, LAST)
    assert {bar.session_date: bar.close for bar in bars} == recorded(name, FIRST, LAST)
    assert [bar.session_date for bar in bars] == sorted(bar.session_date for bar in bars)
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)


def test_future_and_pair_of_currencies_have_bars_of_their_own_kind(line: Desk, history: HistoryDesk) -> None:
    chain = small_world()[2].panel.chains["ES"]
    name = next(row.contract_id for row in chain if str(row.last_trade_date) > "2026-11-20")
    bars = history.daily_bars(name, date(2026, 11, 9), LAST)
    assert {bar.session_date: bar.close for bar in bars} == recorded(name, date(2026, 11, 9), LAST)
    assert (
        len(history.daily_bars("EUR.USD", date(2026, 11, 9), LAST)) == 9
    )  # Monday the 9th to Thursday the 19th


def test_today_has_no_bar_while_its_session_runs(line: Desk, history: HistoryDesk) -> None:
    assert line.transport.now().date() == date(2026, 11, 20)
    assert history.daily_bars("CSPX", date(2026, 11, 18), date(2026, 11, 30))[-1].session_date == LAST


def test_hours_over_months_have_no_gap_and_no_double(history: HistoryDesk) -> None:
    first, last = OPENED - timedelta(days=45), OPENED
    bars = history.hourly_bars("CSPX", first, last)
    starts = [bar.starts_at for bar in bars]
    assert starts == sorted(set(starts))
    days = {start.date() for start in starts}
    sessions, venue = small_world()[1], small_world()[0]["CSPX"].venue
    expected = {first.date() + timedelta(days=number) for number in range(46)}
    assert days == {day for day in expected if sessions.is_session(venue, day)}
    assert max(starts) <= last - timedelta(hours=1)
    by_day = {day: sum(start.date() == day for start in starts) for day in days - {first.date(), last.date()}}
    assert len(set(by_day.values())) == 1, by_day


def test_piece_of_hours_is_the_same_as_the_hours_of_the_whole(history: HistoryDesk) -> None:
    first = datetime(2026, 11, 16, tzinfo=OPENED.tzinfo)
    whole = history.hourly_bars("IUKD", first, first + timedelta(days=3))
    piece = history.hourly_bars("IUKD", first + timedelta(days=1), first + timedelta(days=2))
    assert piece == tuple(bar for bar in whole if bar.starts_at.date() == date(2026, 11, 17))
    assert len(piece) > 6


def test_adjusted_bars_are_served_up_to_the_day_that_is_asked(history: HistoryDesk) -> None:
    bars = history.daily_bars("CSPX", date(2026, 11, 2), date(2026, 11, 6), BarPrice.ADJUSTED)
    assert [bar.session_date.day for bar in bars] == [2, 3, 4, 5, 6]


def test_weekend_and_a_time_before_the_market_are_empty(history: HistoryDesk) -> None:
    assert history.daily_bars("CSPX", date(2026, 11, 14), date(2026, 11, 15)) == ()
    saturday = datetime(2026, 11, 14, 6, tzinfo=OPENED.tzinfo)
    assert history.hourly_bars("CSPX", saturday, saturday + timedelta(hours=12)) == ()


def test_pacing_violation_is_raised_and_is_no_empty_history(line: Desk, history: HistoryDesk) -> None:
    line.gateway.control.ask("pace_requests", times=1)
    with pytest.raises(RequestRefused, match="pacing violation"):
        history.daily_bars("CSPX", FIRST, LAST)
    assert history.daily_bars("CSPX", FIRST, LAST)
