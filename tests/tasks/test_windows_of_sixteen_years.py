"""Every venue's window on every date from 2015 to 2030: daylight saving, half-days, leap days, year ends, resets."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from config.universe import Venue, load_venues
from engine.execution.jobs import WindowRules, liquidity_window
from engine.model.instruments import Instrument
from engine.model.orders import ExecutionStyle, LiquidityWindow
from engine.sessions import Session
from tasks.adapters.calendars import session_table
from tests.engine.execution.market import instrument

FIRST, LAST = date(2015, 1, 1), date(2030, 12, 31)
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
VENUES = load_venues().venues
EACH_VENUE = pytest.mark.parametrize("venue", VENUES, ids=[venue.venue_id for venue in VENUES])


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> WindowRules:
    table = session_table(FIRST, LAST, tmp_path_factory.mktemp("calendars"))
    policies = {venue.venue_id: venue.window for venue in VENUES}
    return WindowRules(sessions=table, policies=policies, new_york="NYSE")


def line(venue: Venue, exposure: str) -> Instrument:
    return instrument("LINE", venue=venue.venue_id, group=venue.group, currency="EUR", exposure=exposure)


def windows(venue: Venue, rules: WindowRules, exposure: str = "EUR") -> Mapping[date, LiquidityWindow]:
    one = line(venue, exposure)
    found = {day: liquidity_window(one, day, ExecutionStyle.MIDDAY, rules) for day in DAYS}
    return {day: window for day, window in found.items() if window is not None}


def session_of(rules: WindowRules, venue: Venue, day: date) -> Session:
    session = rules.sessions.session(venue.venue_id, day)
    assert session is not None
    return session


@EACH_VENUE
def test_window_opens_once_on_every_session_and_on_no_other_day(venue: Venue, rules: WindowRules) -> None:
    found = windows(venue, rules)
    sessions = {session.session_date for session in rules.sessions.venues[venue.venue_id]}
    assert found.keys() <= sessions
    # A half-day may be shorter than what is cut off at its ends; every other session has its window.
    closed = sorted(sessions - found.keys())
    assert all(session_of(rules, venue, day).early_close for day in closed), closed
    assert len(closed) <= 16 * 4


@EACH_VENUE
def test_window_lies_inside_its_session(venue: Venue, rules: WindowRules) -> None:
    for day, window in windows(venue, rules).items():
        session = session_of(rules, venue, day)
        assert session.open <= window.start < window.end <= session.close, day


@EACH_VENUE
def test_window_keeps_its_local_hours_through_daylight_saving(venue: Venue, rules: WindowRules) -> None:
    """Full days have one start on the venue's own clock, on 23- and 25-hour days too; the clock's window keeps UTC."""
    zone: ZoneInfo | type[UTC] = ZoneInfo(venue.timezone) if venue.window.start_utc is None else UTC  # type: ignore[valid-type]
    starts: Counter[time] = Counter()
    ends: Counter[time] = Counter()
    for day, window in windows(venue, rules).items():
        if not session_of(rules, venue, day).early_close:
            starts[window.start.astimezone(zone).time()] += 1  # type: ignore[arg-type]
            ends[window.end.astimezone(zone).time()] += 1  # type: ignore[arg-type]
    for seen in (starts, ends):
        usual, count = seen.most_common(1)[0]
        assert sum(seen.values()) - count <= 16, (usual, seen)


@EACH_VENUE
def test_windows_of_one_venue_never_overlap(venue: Venue, rules: WindowRules) -> None:
    ordered = sorted(windows(venue, rules).values(), key=lambda window: window.start)
    assert all(before.end <= after.start for before, after in itertools.pairwise(ordered))


@EACH_VENUE
def test_no_window_meets_a_reset_of_the_broker(venue: Venue, rules: WindowRules) -> None:
    resets = load_venues().maintenance

    @cache
    def meets(weekday: int, start: time, end: time, offsets: tuple[timedelta | None, ...], day: date) -> str:
        at, last = datetime.combine(day, start, UTC), datetime.combine(day, end, UTC)
        while at < last:
            if hit := [reset.name for reset in resets if reset.contains(at)]:
                return f"{hit} at {at}"
            at += timedelta(minutes=5)
        return ""

    seen: dict[tuple[int, time, time, tuple[timedelta | None, ...]], date] = {}
    for day, window in windows(venue, rules).items():
        assert window.start.date() == window.end.date() == day
        offsets = tuple(window.start.astimezone(ZoneInfo(reset.timezone)).utcoffset() for reset in resets)
        key = (day.weekday(), window.start.time(), window.end.time(), offsets)
        assert meets(*key, seen.setdefault(key, day)) == "", day


@pytest.mark.parametrize("venue_id", ["XETRA", "LSE", "EURONEXT_PARIS", "BORSA_ITALIANA", "BME"])
def test_lines_with_a_us_underlying_wait_for_new_york_in_every_week_of_the_mismatch(
    venue_id: str, rules: WindowRules
) -> None:
    venue = load_venues().venue(venue_id)
    plain, waiting = windows(venue, rules), windows(venue, rules, exposure="USD")
    assert waiting.keys() == plain.keys()
    for day, window in waiting.items():
        new_york = rules.sessions.session("NYSE", day)
        wanted = None if new_york is None else new_york.open + timedelta(minutes=15)
        if wanted is None or wanted >= plain[day].end:
            assert window == plain[day], day
        else:
            assert window.start == max(plain[day].start, wanted), day
    # 9:45 in New York is 14:45 in London, and 13:45 in the weeks in which only New York is on summer time
    london = Counter(w.start.astimezone(ZoneInfo("Europe/London")).time() for w in waiting.values())
    assert {time(14, 45), time(13, 45)} <= london.keys()


@pytest.mark.parametrize("style", [ExecutionStyle.OPEN_AUCTION, ExecutionStyle.CLOSE_AUCTION])
@EACH_VENUE
def test_auction_window_ends_with_its_auction(
    venue: Venue, style: ExecutionStyle, rules: WindowRules
) -> None:
    one = line(venue, "EUR")
    for day in DAYS:
        window = liquidity_window(one, day, style, rules)
        session = rules.sessions.session(venue.venue_id, day)
        assert session is not None or window is None, day
        if window is not None and session is not None:
            anchor = session.close if style is ExecutionStyle.CLOSE_AUCTION else session.open
            assert abs(window.end - anchor) <= timedelta(minutes=20), day


def test_leap_days_and_the_last_days_of_years_are_in_the_table(rules: WindowRules) -> None:
    assert rules.sessions.is_session("NYSE", date(2024, 2, 29))
    assert rules.sessions.is_session("XETRA", date(2028, 2, 29))
    assert not rules.sessions.is_session("XETRA", date(2030, 12, 31))
    assert rules.sessions.is_session("NYSE", date(2030, 12, 31))
