"""Bars of the past: asked for in pieces the broker gives, in order, each once, none of a session that is not over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BrokerUnavailable, NonFiniteValue
from tasks.adapters.ibkr.bars import BarPrice, DailyBar, daily_piece, hourly_piece
from tasks.adapters.ibkr.errors import RequestRefused
from tasks.adapters.ibkr.history import HistoryDesk
from tasks.adapters.ibkr.pacing import Asked, HistoryPacing
from tasks.adapters.ibkr.units import WireUnits
from tests.tasks.adapters.gateways import small_world
from tests.tasks.adapters.ibkr.desks import NOON, MarketRig, market_rig
from tests.tasks.adapters.ibkr.market_gateway import fails
from tests.tasks.adapters.ibkr.tiny_gateway import Reply


@pytest.fixture
def one() -> Iterator[MarketRig]:
    with market_rig() as made:
        yield made


def bars(*rows: tuple[object, ...]) -> list[Reply]:
    """Rows of when, open, high, low, close and volume."""
    names = ("date", "open", "high", "low", "close", "volume")
    return [
        (
            "bars",
            {
                "bars": tuple(
                    {name: str(value) for name, value in zip(names, row, strict=False)} for row in rows
                )
            },
        )
    ]


def hour(at: datetime) -> tuple[object, ...]:
    return int(at.timestamp()), 10, 12, 9, 11, 500


def answers(one: MarketRig, *replies: list[Reply]) -> None:
    one.gateway.replies["historical_data"] = list(replies)


def asked(one: MarketRig) -> list[tuple[object, ...]]:
    names = ("end", "duration", "bar_size", "what", "regular_hours", "date_format")
    return [tuple(row.record[name] for name in names) for row in one.gateway.named("historical_data")]


def no_pause(one: MarketRig) -> list[float]:
    """Waits that are asked for, none of them waited."""
    waits: list[float] = []
    history = one.desk._history
    history._pause, history._seconds = waits.append, lambda: 0.0
    return waits


# ------------------------------------------------------------ days


def test_daily_bars_are_in_order_within_their_days_and_exact(one: MarketRig) -> None:
    answers(one, bars(
        ("20261119", "701.1", "703.25", "700.05", "702.3", 1200), ("20261118", 700, 702, 699, "701.15", 1100),
        ("20261113", 690, 691, 689, 690, 900), ("20261118", 700, 702, 699, "701.2", 1150),
    ))  # fmt: skip
    found = one.desk.daily_bars("CSPX", date(2026, 11, 16), date(2026, 11, 19))
    assert [(bar.session_date.day, bar.close, bar.volume) for bar in found] == [
        (18, Decimal("701.2"), 1150),
        (19, Decimal("702.3"), 1200),
    ]
    assert found[1] == DailyBar(
        contract_id="CSPX", session_date=date(2026, 11, 19), open=Decimal("701.1"), high=Decimal("703.25"),
        low=Decimal("700.05"), close=Decimal("702.3"), volume=Decimal(1200),
    )  # fmt: skip
    # From the 16th to the 19th are 4 days; the end is the midnight that ends the last of them, with its zone.
    assert asked(one) == [("20261120 00:00:00 UTC", "4 D", "1 day", "TRADES", "1", "2")]


def test_session_that_is_not_over_has_no_bar(one: MarketRig) -> None:
    answers(one, bars(("20261119", 1, 2, 1, 2, 5), ("20261120", 1, 2, 1, 2, 5)))
    found = one.desk.daily_bars("CSPX", date(2026, 11, 19), date(2026, 11, 30))
    assert [bar.session_date.day for bar in found] == [19], "it is noon of the 20th"
    assert one.desk.daily_bars("CSPX", date(2026, 11, 20), date(2026, 11, 20)) == ()
    assert len(asked(one)) == 1, "nothing is asked about a day that is not over"


def test_currencies_are_asked_for_midpoints_and_futures_around_the_clock(one: MarketRig) -> None:
    answers(one, bars(("20261119", "1.1", "1.12", "1.09", "1.11", -1)), bars())
    [bar] = one.desk.daily_bars("EUR.USD", date(2026, 11, 19), date(2026, 11, 19))
    assert bar.volume is None
    future = small_world()[2].panel.chains["ES"][-1].contract_id
    assert one.desk.daily_bars(future, date(2026, 11, 19), date(2026, 11, 19)) == ()
    assert [row[3:5] for row in asked(one)] == [("MIDPOINT", "0"), ("TRADES", "0")]


def test_adjusted_bars_end_now_and_reach_back_from_today(one: MarketRig) -> None:
    answers(one, bars(("20261119", 1, 2, 1, 2, 5), ("20261117", 1, 2, 1, 2, 5), ("20261116", 1, 2, 1, 2, 5)))
    found = one.desk.daily_bars("CSPX", date(2026, 11, 16), date(2026, 11, 17), BarPrice.ADJUSTED)
    assert [bar.session_date.day for bar in found] == [16, 17]
    assert asked(one)[0][:4] == ("", "5 D", "1 day", "ADJUSTED_LAST")  # the 16th to the 20th


@pytest.mark.parametrize(("first", "duration"), [
    (date(2026, 11, 20), "1 D"), (date(2025, 11, 21), "365 D"), (date(2025, 11, 20), "2 Y"), (date(2016, 11, 24), "10 Y"),
])  # fmt: skip
def test_more_than_a_year_is_asked_for_in_years(first: date, duration: str) -> None:
    # 2025-11-21 to 2026-11-20 are 365 days; 2016-11-24 to 2026-11-20 are 3649, less than ten years of 365.
    assert daily_piece(first, date(2026, 11, 20), NOON, date(2026, 11, 20)).duration == duration


def test_prices_in_pence_stay_in_pence_whichever_unit_bars_have() -> None:
    for units, close in ((WireUnits(), "812.5"), (WireUnits(market_in_quote_units=False), "8.125")):
        with market_rig(units) as one:
            answers(one, bars(("20261119", close, close, close, close, 5)))
            [bar] = one.desk.daily_bars("IUKD", date(2026, 11, 19), date(2026, 11, 19))
            assert (bar.close, bar.high) == (Decimal("812.5"), Decimal("812.5"))


@pytest.mark.parametrize("price", ["nan", "-1", "0", "1.7976931348623157E308"])
def test_bar_without_a_price_is_refused_and_not_left_out(one: MarketRig, price: str) -> None:
    answers(one, bars(("20261119", 1, 2, 1, price, 5)))
    with pytest.raises(NonFiniteValue):
        one.desk.daily_bars("CSPX", date(2026, 11, 19), date(2026, 11, 19))


def test_no_data_is_an_empty_answer_and_every_other_refusal_is_raised(one: MarketRig) -> None:
    no_data = [fails(162, "Historical Market Data Service error message:HMDS query returned no data: CSPX")]
    pacing = [
        fails(162, "Historical Market Data Service error message:Historical data request pacing violation")
    ]
    answers(one, no_data, pacing)
    day = date(2026, 11, 19)
    assert one.desk.daily_bars("CSPX", day, day) == ()
    with pytest.raises(RequestRefused, match="pacing violation"):
        one.desk.daily_bars("CSPX", day, day)


def test_question_without_an_answer_raises_and_is_no_empty_history(one: MarketRig) -> None:
    history = HistoryDesk(one.session, one.contracts, small_world()[1], WireUnits(), answer_seconds=0.1)
    with pytest.raises(BrokerUnavailable, match=r"no answer of the broker in 0\.1 seconds"):
        history.daily_bars("CSPX", date(2026, 11, 19), date(2026, 11, 19))


# ------------------------------------------------------------ hours

END = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_hours_come_in_pieces_without_a_gap_or_a_double_at_the_seams(one: MarketRig) -> None:
    waits = no_pause(one)
    first, seam = END - timedelta(hours=240), END - timedelta(hours=100)
    newest = [hour(seam + timedelta(hours=number)) for number in range(100)]
    # The older piece tells the hour at the seam once more.
    oldest = [hour(first + timedelta(hours=number)) for number in range(141)]
    answers(one, bars(*newest), bars(*oldest))
    found = one.desk.hourly_bars("CSPX", first, END)
    assert [bar.starts_at for bar in found] == [first + timedelta(hours=number) for number in range(240)]
    # 240 hours are 10 days; from the seam the rest is 140 hours, 6 days.
    assert [row[:3] for row in asked(one)] == [
        ("20261120 12:00:00 UTC", "10 D", "1 hour"), ("20261116 08:00:00 UTC", "6 D", "1 hour"),
    ]  # fmt: skip
    assert len(waits) == 2


def test_piece_without_bars_ends_the_search(one: MarketRig) -> None:
    no_pause(one)
    answers(one, bars(hour(END - timedelta(hours=2)), hour(END - timedelta(hours=1))), bars())
    found = one.desk.hourly_bars("CSPX", END - timedelta(days=60), END)
    assert [bar.starts_at.hour for bar in found] == [10, 11]
    assert [row[1] for row in asked(one)] == ["1 M", "1 M"]


def test_weekend_without_a_bar_is_empty_and_raises_nothing(one: MarketRig) -> None:
    no_pause(one)
    answers(one, [fails(162, "HMDS query returned no data")])
    saturday = datetime(2026, 11, 14, 12, tzinfo=UTC)
    assert one.desk.hourly_bars("CSPX", saturday - timedelta(hours=12), saturday) == ()


def test_hour_that_is_not_over_has_no_bar(one: MarketRig) -> None:
    no_pause(one)
    answers(one, bars(hour(NOON - timedelta(hours=1)), hour(NOON - timedelta(minutes=30))))
    found = one.desk.hourly_bars("CSPX", NOON - timedelta(hours=1), NOON + timedelta(hours=5))
    assert [bar.starts_at for bar in found] == [NOON - timedelta(hours=1)]


@given(hours=st.integers(1, 3000))
def test_pieces_reach_back_as_far_as_asked_or_a_month(hours: int) -> None:
    piece = hourly_piece(END - timedelta(hours=hours), END)
    days = 28 if piece.duration == "1 M" else int(piece.duration.split()[0])
    assert days * 24 >= min(hours, 28 * 24)
    assert (piece.duration == "1 M") == (hours > 28 * 24)


# ------------------------------------------------------------ pacing


def test_one_question_is_not_asked_twice_within_fifteen_seconds() -> None:
    pacing = HistoryPacing()
    assert pacing.wait(Asked("CSPX", "a"), 100.0) == 0
    assert pacing.wait(Asked("CSPX", "a"), 104.0) == 11.0  # 100 + 15 − 104
    assert pacing.wait(Asked("CSPX", "b"), 116.0) == 0


def test_a_contract_is_asked_for_five_times_in_two_seconds_at_most() -> None:
    pacing = HistoryPacing()
    assert [pacing.wait(Asked("CSPX", str(number)), 100.0) for number in range(6)] == [0, 0, 0, 0, 0, 2.0]
    assert pacing.wait(Asked("CS51", "x"), 100.0) == 2.0, "who comes later is written later"


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=150))
def test_pacing_keeps_within_every_limit(steps: list[tuple[float, int, int]]) -> None:
    pacing, now, written = HistoryPacing(), 0.0, list[tuple[float, Asked]]()
    for passed, contract, number in steps:
        now += passed
        asked_for = Asked(str(contract), f"{contract} {number}")
        wait = pacing.wait(asked_for, now)
        assert wait >= 0
        now += wait
        written.append((now, asked_for))
    small = 1e-6
    for at, asked_for in written:
        assert sum(at - 600 + small < other <= at for other, _ in written) <= 60
        of_contract = [other for other, row in written if row.contract == asked_for.contract]
        assert sum(at - 2 + small < other <= at for other in of_contract) <= 5
        same = [other for other, row in written if row == asked_for]
        assert sum(at - 15 + small < other <= at for other in same) == 1
