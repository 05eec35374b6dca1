import itertools
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from config.universe import load_venues
from engine.errors import DataError
from engine.sessions import SessionTable
from tasks.adapters.calendars import session_table

BERLIN, LONDON, NEW_YORK, CHICAGO = (
    ZoneInfo(name) for name in ("Europe/Berlin", "Europe/London", "America/New_York", "America/Chicago")
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calendars")


@pytest.fixture(scope="module")
def table(cache: Path) -> SessionTable:
    return session_table(date(2015, 1, 1), date(2029, 12, 31), cache)


def hours(table: SessionTable, venue: str, day: date, zone: ZoneInfo) -> tuple[time, time]:
    """Open and close of a session on the venue's own clock."""
    session = table.session(venue, day)
    assert session is not None
    return session.open.astimezone(zone).time(), session.close.astimezone(zone).time()


@pytest.mark.parametrize(
    ("venue", "zone", "expected"),
    [
        ("XETRA", BERLIN, (time(9), time(17, 30))),
        ("LSE", LONDON, (time(8), time(16, 30))),
        ("EUREX", BERLIN, (time(8), time(22))),
        ("NYSE", NEW_YORK, (time(9, 30), time(16))),
        ("CBOE", NEW_YORK, (time(9, 30), time(16))),
        ("CME", CHICAGO, (time(17), time(17))),
        ("FX", NEW_YORK, (time(17), time(17))),
    ],
)
@pytest.mark.parametrize(
    "day",
    [
        date(2026, 3, 6),  # both on winter time
        date(2026, 3, 12),  # New York on summer time, Europe not yet
        date(2026, 4, 9),  # both on summer time
        date(2026, 10, 29),  # Europe back on winter time, New York not yet
    ],
)
def test_local_hours_hold_through_daylight_saving(
    table: SessionTable, venue: str, zone: ZoneInfo, expected: tuple[time, time], day: date
) -> None:
    assert hours(table, venue, day, zone) == expected


def test_mismatch_weeks_move_new_york_against_europe(table: SessionTable) -> None:
    def gap(day: date) -> float:
        europe, america = table.session("XETRA", day), table.session("NYSE", day)
        assert europe is not None
        assert america is not None
        return (america.open - europe.open).total_seconds() / 3600

    assert (gap(date(2026, 3, 6)), gap(date(2026, 3, 12)), gap(date(2026, 10, 29))) == (6.5, 5.5, 5.5)


@pytest.mark.parametrize(
    ("venue", "day", "close"),
    [
        ("NYSE", date(2026, 12, 24), datetime(2026, 12, 24, 18, 0, tzinfo=UTC)),
        ("CBOE", date(2026, 12, 24), datetime(2026, 12, 24, 18, 0, tzinfo=UTC)),
        ("CFE", date(2026, 11, 27), datetime(2026, 11, 27, 18, 0, tzinfo=UTC)),
        ("CME", date(2026, 12, 24), datetime(2026, 12, 24, 18, 0, tzinfo=UTC)),
        ("LSE", date(2026, 12, 24), datetime(2026, 12, 24, 12, 30, tzinfo=UTC)),
        ("EURONEXT_PARIS", date(2026, 12, 24), datetime(2026, 12, 24, 13, 5, tzinfo=UTC)),
    ],
)
def test_half_day_closes_early(table: SessionTable, venue: str, day: date, close: datetime) -> None:
    session = table.session(venue, day)

    assert session is not None
    assert session.early_close
    assert session.close == close


@pytest.mark.parametrize(
    ("venue", "day"),
    [
        ("XETRA", date(2026, 12, 24)),
        ("BORSA_ITALIANA", date(2026, 12, 24)),
        ("EUREX", date(2026, 12, 24)),
        ("NYSE", date(2026, 4, 3)),
        ("XETRA", date(2026, 4, 3)),
        ("LSE", date(2026, 4, 6)),
        ("CME", date(2026, 4, 3)),
        ("NYSE", date(2026, 7, 3)),
        ("XETRA", date(2026, 5, 1)),
    ],
)
def test_holiday_has_no_session(table: SessionTable, venue: str, day: date) -> None:
    assert not table.is_session(venue, day)


def test_only_currencies_trade_on_good_friday(table: SessionTable) -> None:
    trading = [venue for venue in table.venues if table.is_session(venue, date(2026, 4, 3))]

    assert trading == ["FX"]


@pytest.mark.parametrize(
    "day", [date(2026, 12, 25), date(2026, 1, 1), date(2026, 11, 21), date(2026, 11, 22)]
)
def test_no_venue_trades_on_christmas_new_year_or_weekends(table: SessionTable, day: date) -> None:
    assert not table.any_session(day)


def test_currency_week_begins_on_sunday_evening_in_new_york(table: SessionTable) -> None:
    monday = table.session("FX", date(2026, 11, 16))

    assert monday is not None
    assert monday.open == datetime(2026, 11, 15, 22, 0, tzinfo=UTC)
    assert monday.close == datetime(2026, 11, 16, 22, 0, tzinfo=UTC)
    assert table.in_session("FX", datetime(2026, 11, 20, 21, 59, tzinfo=UTC)) is not None
    assert table.in_session("FX", datetime(2026, 11, 21, 12, 0, tzinfo=UTC)) is None


def test_decision_time_sees_currencies_and_us_futures_trading(table: SessionTable) -> None:
    at = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)

    assert [venue for venue in table.venues if table.in_session(venue, at) is not None] == [
        "CBOT",
        "CME",
        "FX",
    ]


def test_windows_of_futures_fall_into_the_stock_markets_hours(table: SessionTable) -> None:
    book = load_venues()
    for venue, zone, start, end in (
        ("CME", CHICAGO, time(8, 45), time(14, 50)),
        ("EUREX", BERLIN, time(9, 15), time(17, 20)),
    ):
        window = book.venue(venue).window
        for day in (date(2026, 3, 12), date(2026, 7, 15), date(2026, 11, 20)):
            session = table.session(venue, day)
            assert session is not None
            opened = session.open.timestamp() + 60 * window.open_offset_minutes
            closed = session.close.timestamp() - 60 * window.close_offset_minutes
            assert datetime.fromtimestamp(opened, zone).time() == start
            assert datetime.fromtimestamp(closed, zone).time() == end


def test_every_session_of_fifteen_years_is_in_order(table: SessionTable) -> None:
    assert set(table.venues) == {venue.venue_id for venue in load_venues().venues}
    for venue, sessions in table.venues.items():
        days = [session.session_date for session in sessions]
        assert days == sorted(set(days)), venue
        assert len(days) > 15 * 245, venue
        assert all(before.close <= after.open for before, after in itertools.pairwise(sessions)), venue
        assert all(session.session_date.weekday() < 5 for session in sessions), venue


def test_sessions_reach_back_to_1990(cache: Path) -> None:
    early = session_table(date(1990, 1, 1), date(1990, 1, 31), cache)

    assert early.is_session("NYSE", date(1990, 1, 2))
    assert len(early.venues["FX"]) == 22
    with pytest.raises(DataError, match="1990-01-01"):
        session_table(date(1989, 12, 31), date(1990, 1, 31), cache)
    with pytest.raises(DataError, match="found 2020-01-02 to 2020-01-01"):
        session_table(date(2020, 1, 2), date(2020, 1, 1), cache)


@pytest.fixture
def stored(cache: Path) -> Iterator[Path]:
    session_table(date(2020, 1, 1), date(2020, 1, 31), cache)
    path = next(cache.glob("sessions-*-2025-*.npy"))
    whole = path.read_bytes()
    yield path
    path.write_bytes(whole)


def test_stored_calendars_equal_the_librarys(stored: Path) -> None:
    first, last = date(2020, 1, 1), date(2020, 12, 31)

    assert session_table(first, last, stored.parent) == session_table(first, last, None)


def test_damaged_file_is_asked_for_again(stored: Path) -> None:
    whole = stored.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], b"not numpy" * 100):
        stored.write_bytes(damage)

        assert session_table(date(2020, 1, 1), date(2020, 1, 31), stored.parent).is_session(
            "LSE", date(2020, 1, 2)
        )
        assert stored.read_bytes() == whole


def test_file_of_other_calendars_is_not_believed(stored: Path) -> None:
    whole = stored.read_bytes()
    np.save(stored, np.zeros((5, 3), dtype=np.int64))

    session_table(date(2020, 1, 1), date(2020, 1, 31), stored.parent)

    assert stored.read_bytes() == whole


def test_stored_calendars_need_no_library(stored: Path) -> None:
    code = (
        "import sys; from datetime import date; from pathlib import Path;"
        "from tasks.adapters.calendars import session_table;"
        f"session_table(date(2020, 1, 1), date(2020, 6, 30), Path({str(stored.parent)!r}));"
        "sys.exit('exchange_calendars' in sys.modules)"
    )

    assert (
        subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode
        == 0
    )
