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
from engine.execution.windows import WindowRules, liquidity_window, should_avoid_trading, slot_of
from engine.model.instruments import Instrument
from engine.model.venues import guarded_start
from engine.model.windows import ExecutionStyle, LiquidityWindow
from engine.sessions import Session, SessionPhase
from tasks.adapters.calendars import session_table
from tests.engine.execution.market import instrument

FIRST, LAST = date(2015, 1, 1), date(2030, 12, 31)
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
VENUES = load_venues().venues
AUCTIONS = (ExecutionStyle.OPEN_AUCTION, ExecutionStyle.CLOSE_AUCTION)
EACH_VENUE = pytest.mark.parametrize("venue", VENUES, ids=[venue.venue_id for venue in VENUES])


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> WindowRules:
    table = session_table(FIRST, LAST, tmp_path_factory.mktemp("calendars"))
    policies = {venue.venue_id: venue.window for venue in VENUES}
    resets = load_venues().maintenance
    return WindowRules(sessions=table, policies=policies, new_york="NYSE", resets=resets)


def line(venue: Venue, exposure: str, auctions: tuple[str, ...] = ("LOC", "LOO")) -> Instrument:
    return instrument(
        "LINE",
        venue=venue.venue_id,
        group=venue.group,
        currency="EUR",
        exposure=exposure,
        auctions=auctions,
    )


_FOUND: dict[tuple[str, str, ExecutionStyle], Mapping[date, LiquidityWindow]] = {}
"""Each venue's table, made once: the rules are the same for all tests."""


def windows(
    venue: Venue,
    rules: WindowRules,
    exposure: str = "EUR",
    style: ExecutionStyle = ExecutionStyle.MIDDAY,
) -> Mapping[date, LiquidityWindow]:
    key = (venue.venue_id, exposure, style)
    if key not in _FOUND:
        one = line(venue, exposure)
        found = {day: liquidity_window(one, day, style, rules) for day in DAYS}
        _FOUND[key] = {day: window for day, window in found.items() if window is not None}
    return _FOUND[key]


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


@pytest.mark.parametrize("style", AUCTIONS)
@EACH_VENUE
def test_auction_has_one_window_on_every_session_that_is_long_enough_and_sends_only_before_its_cutoff(
    venue: Venue, style: ExecutionStyle, rules: WindowRules
) -> None:
    found = windows(venue, rules, style=style)
    terms = venue.window.auction(style)
    if terms is None:
        assert not found
        return
    assert found.keys() == {session.session_date for session in rules.sessions.venues[venue.venue_id]}
    for day, window in found.items():
        session = session_of(rules, venue, day)
        anchor = session.close if style is ExecutionStyle.CLOSE_AUCTION else session.open
        # A half-day closes earlier, and with it the cut-off: 12:45 in New York instead of 15:45.
        assert window.cutoff == anchor + timedelta(minutes=terms.cutoff_minutes), day
        assert window.start < window.cutoff < anchor < window.end, day
        assert style is ExecutionStyle.OPEN_AUCTION or session.open <= window.start, day


@pytest.mark.parametrize("style", AUCTIONS)
@EACH_VENUE
def test_auction_of_one_venue_ends_before_its_next_window_begins(
    venue: Venue, style: ExecutionStyle, rules: WindowRules
) -> None:
    ordered = sorted(windows(venue, rules, style=style).values(), key=lambda window: window.start)
    assert all(before.end <= after.start for before, after in itertools.pairwise(ordered))


@EACH_VENUE
def test_line_that_lists_no_auction_order_is_worked_midday(venue: Venue, rules: WindowRules) -> None:
    one = line(venue, "EUR", ())
    for style in AUCTIONS:
        slots = {day: slot_of(one, style, day, rules) for day in DAYS[:800]}
        terms = venue.window.auction(style)
        wanted = style if terms is not None and not terms.listed_only else ExecutionStyle.MIDDAY
        assert {slot.window.style for slot in slots.values() if slot is not None} == {wanted}


@EACH_VENUE
def test_no_window_begins_or_ends_near_an_open_or_a_close(venue: Venue, rules: WindowRules) -> None:
    one = line(venue, "EUR")
    for window in windows(venue, rules).values():
        for at in (window.start, window.end - timedelta(seconds=1)):
            assert not should_avoid_trading(one, at, rules, after_open=15, before_close=10), at


@pytest.mark.parametrize(
    ("venue_id", "day", "cutoff"),
    [
        ("NYSE", date(2025, 11, 28), "12:45"),  # the day after Thanksgiving closes at 13:00
        ("NASDAQ", date(2024, 7, 3), "12:45"),
        ("NYSE", date(2025, 11, 26), "15:45"),
        ("LSE", date(2024, 12, 24), "12:29"),
        ("EURONEXT_PARIS", date(2024, 12, 24), "14:04"),
        ("XETRA", date(2024, 12, 23), "17:29"),
    ],
)
def test_cutoff_of_the_closing_auction_moves_with_a_half_day(
    venue_id: str, day: date, cutoff: str, rules: WindowRules
) -> None:
    venue = load_venues().venue(venue_id)
    window = liquidity_window(line(venue, "EUR"), day, ExecutionStyle.CLOSE_AUCTION, rules)
    assert window is not None
    assert window.cutoff is not None
    assert f"{window.cutoff.astimezone(ZoneInfo(venue.timezone)):%H:%M}" == cutoff


@pytest.mark.parametrize(
    ("venue_id", "day", "why"),
    [
        ("NYSE", date(2018, 12, 5), "state funeral"),
        ("NASDAQ", date(2025, 1, 9), "state funeral"),
        ("LSE", date(2022, 9, 19), "state funeral"),
        ("XETRA", date(2025, 4, 18), "Good Friday"),
        ("NYSE", date(2025, 7, 4), "Independence Day"),
    ],
)
def test_venue_that_is_closed_for_once_has_no_window_of_any_style(
    venue_id: str, day: date, why: str, rules: WindowRules
) -> None:
    one = line(load_venues().venue(venue_id), "EUR")
    assert all(liquidity_window(one, day, style, rules) is None for style in ExecutionStyle), why


@pytest.mark.parametrize(
    ("clock", "phase"),
    [
        ("08:49", SessionPhase.PRE),
        ("08:50", SessionPhase.OPEN_AUCTION),
        ("09:00", SessionPhase.CONTINUOUS),
        ("17:29", SessionPhase.CONTINUOUS),
        ("17:30", SessionPhase.CLOSE_AUCTION),
        ("17:35", SessionPhase.POST),
        ("20:25", SessionPhase.CLOSED),
        ("03:00", SessionPhase.CLOSED),
    ],
)
# the last Monday of winter and the first of summer: the same phases by the venue's own clock
@pytest.mark.parametrize("day", [date(2025, 3, 24), date(2025, 3, 31), date(2025, 10, 27)])
def test_phases_of_frankfurt_follow_its_own_clock(
    day: date, clock: str, phase: SessionPhase, rules: WindowRules
) -> None:
    venue = load_venues().venue("XETRA")
    local = datetime.combine(day, time.fromisoformat(clock), ZoneInfo(venue.timezone))
    assert rules.sessions.phase("XETRA", local.astimezone(UTC), venue.phases) is phase


@EACH_VENUE
def test_weekend_has_no_phase_but_closed(venue: Venue, rules: WindowRules) -> None:
    for day in (date(2025, 3, 29), date(2025, 11, 1)):  # Saturdays of the weekends on which the clocks change
        at = datetime.combine(day, time(12), UTC)
        assert rules.sessions.phase(venue.venue_id, at, venue.phases) is SessionPhase.CLOSED


@pytest.mark.parametrize("clock", [time(6), time(6, 55), time(22, 30)])
def test_no_run_starts_inside_a_reset_of_the_broker(clock: time) -> None:
    """Decision, execution and close of every day: what would begin in a reset waits, at most until 06:50 UTC (R-41)."""
    resets = load_venues().maintenance
    for day in DAYS:
        planned = datetime.combine(day, clock, UTC)
        at = guarded_start(planned, resets)
        assert not any(reset.contains(at) for reset in resets), day
        if day.weekday() < 5:
            assert at == planned or (clock == time(6) and at.time() <= time(6, 50)), day


def test_leap_days_and_the_last_days_of_years_are_in_the_table(rules: WindowRules) -> None:
    assert rules.sessions.is_session("NYSE", date(2024, 2, 29))
    assert rules.sessions.is_session("XETRA", date(2028, 2, 29))
    assert not rules.sessions.is_session("XETRA", date(2030, 12, 31))
    assert rules.sessions.is_session("NYSE", date(2030, 12, 31))
