from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.catch_up import why_skipped
from engine.model.context import RunKind

SIX, CATCH_UP = time(6), timedelta(minutes=50)
CLOCKS = {RunKind.DECISION: SIX, RunKind.EXECUTION: time(6, 55), RunKind.CLOSE: time(22, 30)}
FRIDAY = date(2026, 11, 20)


def planned(kind: RunKind, day: date) -> datetime:
    return datetime.combine(day, CLOCKS[kind], UTC)


def why(kind: RunKind, day: date, now: datetime) -> str | None:
    return why_skipped(kind, planned(kind, day), now, SIX, CATCH_UP)


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "now", "begins", "reason"),
    [
        (RunKind.DECISION, at(FRIDAY, 6), True, "on time"),
        (RunKind.DECISION, at(FRIDAY, 6, 50), True, "as late as the broker's reset lasts"),
        (RunKind.DECISION, at(FRIDAY, 6, 51), False, "a late decision is a wrong decision"),
        (RunKind.EXECUTION, at(FRIDAY, 12), True, "it catches up in the windows that are open"),
        (
            RunKind.EXECUTION,
            at(date(2026, 11, 23), 5, 59),
            True,
            "its windows are over, and each job says so",
        ),
        (RunKind.EXECUTION, at(date(2026, 11, 23), 6), False, "Monday's decision is due"),
        (RunKind.CLOSE, at(date(2026, 11, 22), 12), True, "no date came after Friday's"),
        (RunKind.CLOSE, at(date(2026, 11, 23), 6), False, "Monday's decision is due"),
    ],
)
def test_late_run_begins_while_it_makes_sense(
    kind: RunKind, now: datetime, begins: bool, reason: str
) -> None:
    assert (why(kind, FRIDAY, now) is None) is begins, reason


@given(late=st.integers(min_value=0, max_value=24 * 60), kind=st.sampled_from(list(RunKind)))
def test_start_that_is_late_by_up_to_a_day_begins_on_its_own_date_or_never(late: int, kind: RunKind) -> None:
    thursday = date(2026, 11, 19)
    now = planned(kind, thursday) + timedelta(minutes=late)
    begins = why(kind, thursday, now) is None
    latest = now < at(FRIDAY, 6)
    assert begins is (latest and (kind is not RunKind.DECISION or late <= 50))


@given(hour=st.integers(min_value=0, max_value=23), minute=st.integers(min_value=0, max_value=59))
def test_of_five_queued_days_at_most_the_latest_runs(hour: int, minute: int) -> None:
    days = [date(2026, 11, 16) + timedelta(days=n) for n in range(5)]
    now = at(days[-1], hour, minute)
    for kind in RunKind:
        due = [day for day in days if planned(kind, day) <= now]
        begun = [day for day in due if why(kind, day, now) is None]
        assert begun == [day for day in begun if day == due[-1]]
