"""Every pair of states of every machine: in the table and accepted, or refused by the named error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import IllegalTransition, InvariantError
from engine.model.context import RunStatus
from engine.model.group_states import (
    GROUP_TRANSITIONS,
    OVERLAY_TRANSITIONS,
    GroupStatus,
    OverlayStatus,
    group_transition,
    overlay_due,
    overlay_transition,
)
from engine.model.order_states import CHILD_TRANSITIONS, JOB_TRANSITIONS, child_transition, job_transition
from engine.model.orders import ChildStatus, JobStatus
from engine.model.run_states import RUN_TRANSITIONS, run_transition

Table = Mapping[Enum, frozenset[Enum]]
MACHINES: tuple[tuple[Table, Callable[..., Enum]], ...] = (
    (CHILD_TRANSITIONS, child_transition),
    (JOB_TRANSITIONS, job_transition),
    (RUN_TRANSITIONS, run_transition),
    (OVERLAY_TRANSITIONS, overlay_transition),
    (GROUP_TRANSITIONS, group_transition),
)
PAIRS = [
    pytest.param(table, check, before, after, id=f"{type(before).__name__} {before.value}->{after.value}")
    for table, check in MACHINES
    for before, after in product(table, repeat=2)
]

REFERENCE = {
    ChildStatus: """
        PLANNED: SENDING ABANDONED
        SENDING: WORKING FILLED REJECTED UNKNOWN
        WORKING: FILLED CANCEL_PENDING REJECTED EXPIRED UNKNOWN
        CANCEL_PENDING: CANCELLED UNKNOWN
        UNKNOWN: WORKING FILLED CANCELLED REJECTED ABSENT
        CANCELLED: CANCELLED
    """,
    JobStatus: """
        PENDING: CLAIMED SKIPPED CANCELED EXPIRED
        CLAIMED: RUNNING RECOVERING
        RUNNING: DONE FAILED CANCELED RECOVERING
        RECOVERING: RUNNING DONE FAILED UNKNOWN
    """,
    RunStatus: """
        NEW: CLAIMED
        CLAIMED: RUNNING
        RUNNING: COMPLETED HALTED EMERGENCY FAILED RECOVERING
        RECOVERING: RUNNING HALTED
        HALTED: RECOVERING ABANDONED
    """,
    OverlayStatus: """
        PLANNED: OPENING ALARM
        OPENING: OPEN ALARM
        OPEN: UNWINDING ALARM
        UNWINDING: CLOSED ALARM
        ALARM: CLOSED
    """,
    GroupStatus: """
        OPENING: ALL_FILLED ROLLING_BACK
        ROLLING_BACK: FLAT ALARM
    """,
}
"""The arrows of the reference (REL-5.3), written down a second time."""

ADDED = {
    ("CANCEL_PENDING", "FILLED"): "a cancel loses the race against the last fill",
    ("CANCEL_PENDING", "REJECTED"): "a cancel loses the race against a refusal of the exchange",
    ("CANCEL_PENDING", "EXPIRED"): "a cancel loses the race against the end of the session",
    ("UNKNOWN", "RECOVERING"): "a job whose unknown children were proved or found goes on",
    ("CLAIMED", "COMPLETED"): "a window without a journaled step ends where it began",
    ("CLAIMED", "HALTED"): "a halt before the first step",
    ("CLAIMED", "EMERGENCY"): "an emergency before the first step",
    ("CLAIMED", "FAILED"): "an unforeseen error before the first step",
    ("CLAIMED", "RECOVERING"): "a crash before the first step",
    ("RECOVERING", "COMPLETED"): "a window without a journaled step ends where it began",
    ("RECOVERING", "EMERGENCY"): "an emergency is a grave halt",
    ("RECOVERING", "FAILED"): "an unforeseen error of a later attempt",
    ("RECOVERING", "RECOVERING"): "a crash of the attempt that took over",
    ("EMERGENCY", "RECOVERING"): "an emergency is a grave halt",
    ("EMERGENCY", "ABANDONED"): "an emergency is a grave halt",
    ("FAILED", "RECOVERING"): "a failure is nobody's decision: the day is tried again",
    ("FAILED", "ABANDONED"): "a day that failed may be given up",
}
"""Arrows beyond the reference, and why each is needed."""


@pytest.mark.parametrize(("table", "check", "before", "after"), PAIRS)
def test_arrow_of_the_table_is_taken_and_any_other_is_refused_by_name(
    table: Table, check: Callable[..., Enum], before: Enum, after: Enum
) -> None:
    if after in table[before]:
        assert check(before, after, "it") is after
        return
    with pytest.raises(
        IllegalTransition, match=f"it: no arrow leads from {before.value} to {after.value}"
    ) as told:
        check(before, after, "it")
    assert (told.value.subject, told.value.before, told.value.after) == ("it", before.value, after.value)


@pytest.mark.parametrize(
    "table", [table for table, _ in MACHINES], ids=lambda table: type(next(iter(table))).__name__
)
def test_table_has_the_arrows_of_the_reference_and_those_with_a_reason(table: Table) -> None:
    kind = type(next(iter(table)))
    lines = [line.split(":") for line in REFERENCE[kind].strip().splitlines()]
    listed = {(before.strip(), after) for before, targets in lines for after in targets.split()}
    arrows = {(before.value, after.value) for before, targets in table.items() for after in targets}
    assert set(table) == set(kind)  # every state has its row, the final ones an empty one
    assert listed <= arrows
    assert {arrow for arrow in arrows - listed if arrow not in ADDED} == set()


def test_every_added_arrow_is_in_a_table() -> None:
    arrows = {
        (before.value, after.value)
        for table, _ in MACHINES
        for before, targets in table.items()
        for after in targets
    }
    assert set(ADDED) <= arrows


def test_nothing_that_may_have_been_sent_can_be_sent_again() -> None:
    sent = _reachable(CHILD_TRANSITIONS, ChildStatus.SENDING) | _reachable(
        CHILD_TRANSITIONS, ChildStatus.UNKNOWN
    )
    assert ChildStatus.PLANNED not in sent
    assert [before for before in ChildStatus if ChildStatus.SENDING in CHILD_TRANSITIONS[before]] == [
        ChildStatus.PLANNED
    ]


def test_job_that_began_is_never_pending_again() -> None:
    assert [before for before in JobStatus if JobStatus.PENDING in JOB_TRANSITIONS[before]] == []


@pytest.mark.parametrize(
    ("table", "final"),
    [
        (CHILD_TRANSITIONS, {status for status in ChildStatus if status.is_terminal}),
        (
            JOB_TRANSITIONS,
            {JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.SKIPPED, JobStatus.EXPIRED},
        ),
        (RUN_TRANSITIONS, {RunStatus.COMPLETED, RunStatus.ABANDONED}),
        (OVERLAY_TRANSITIONS, {OverlayStatus.CLOSED}),
        (GROUP_TRANSITIONS, {GroupStatus.ALL_FILLED, GroupStatus.FLAT, GroupStatus.ALARM}),
    ],
    ids=["child", "job", "run", "overlay", "group"],
)
def test_final_states_lead_nowhere_and_every_other_reaches_one(table: Table, final: set[Enum]) -> None:
    assert {status for status, targets in table.items() if targets <= {status}} == final
    assert all(_reachable(table, status) & final for status in table if status not in final)


def test_reservation_is_held_exactly_while_the_outcome_is_open() -> None:
    open_states = {
        status for status in ChildStatus if not status.is_terminal and status is not ChildStatus.PLANNED
    }
    assert {status for status in ChildStatus if status.holds_reservation} == open_states


def _reachable(table: Table, start: Enum) -> set[Enum]:
    found: set[Enum] = set()
    waiting = [start]
    while waiting:
        for after in table[waiting.pop()]:
            if after not in found:
                found.add(after)
                waiting.append(after)
    return found


# ---------------------------------------------------------------- the clock of an overlay

LEFT_ALONE = datetime(2025, 3, 4, 15, tzinfo=UTC)
LIMIT_SECONDS = 60.0
UNHEDGED = [OverlayStatus.PLANNED, OverlayStatus.OPENING, OverlayStatus.OPEN, OverlayStatus.UNWINDING]


def at(seconds: float, status: OverlayStatus) -> OverlayStatus:
    now = LEFT_ALONE + timedelta(seconds=seconds)
    return overlay_due(status, LEFT_ALONE, now, LIMIT_SECONDS, "the overlay")


@pytest.mark.parametrize("status", UNHEDGED)
def test_overlay_past_its_limit_raises_the_alarm(status: OverlayStatus) -> None:
    assert at(60, status) is status
    assert at(60.001, status) is OverlayStatus.ALARM


@pytest.mark.parametrize("status", [OverlayStatus.CLOSED, OverlayStatus.ALARM])
def test_overlay_that_is_closed_or_alarmed_stays_so_whatever_the_time(status: OverlayStatus) -> None:
    assert at(1_000_000, status) is status


@given(
    events=st.lists(
        st.tuples(st.floats(min_value=0, max_value=40), st.sampled_from(OverlayStatus)), max_size=12
    )
)
def test_overlay_is_closed_or_alarmed_whenever_its_limit_is_over(
    events: list[tuple[float, OverlayStatus]],
) -> None:
    status, clock = OverlayStatus.PLANNED, 0.0
    for waited, wanted in events:
        clock += waited
        status = at(clock, status)
        if wanted in OVERLAY_TRANSITIONS[status]:
            status = overlay_transition(status, wanted, "the overlay")
        if clock > LIMIT_SECONDS:
            assert status in (OverlayStatus.ALARM, OverlayStatus.CLOSED)


@given(wanted=st.lists(st.sampled_from(GroupStatus), max_size=8))
def test_group_ends_whole_or_flat_or_with_a_person(wanted: list[GroupStatus]) -> None:
    status, was_rolled_back = GroupStatus.OPENING, False
    for following in wanted:
        if following in GROUP_TRANSITIONS[status]:
            status = group_transition(status, following, "the group")
        was_rolled_back = was_rolled_back or status is GroupStatus.ROLLING_BACK
    assert not (was_rolled_back and status is GroupStatus.ALL_FILLED)


@pytest.mark.parametrize(("seconds", "limit"), [(-1.0, 60.0), (1.0, 0.0), (1.0, -60.0)])
def test_overlay_without_a_limit_or_before_its_time_is_refused(seconds: float, limit: float) -> None:
    now = LEFT_ALONE + timedelta(seconds=seconds)
    with pytest.raises(InvariantError, match="expected a positive limit"):
        overlay_due(OverlayStatus.OPEN, LEFT_ALONE, now, limit, "the overlay")
