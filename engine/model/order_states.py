"""Which arrows the state machines of orders and jobs have (REL-5.3), as data; anything not listed is illegal.

Arrows beyond those of the reference say why they are there.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.model.orders import ChildStatus, JobStatus
from engine.model.transitions import move

_C = ChildStatus
CHILD_TRANSITIONS: Mapping[ChildStatus, frozenset[ChildStatus]] = {
    _C.PLANNED: frozenset({_C.SENDING, _C.ABANDONED}),
    _C.SENDING: frozenset({_C.WORKING, _C.FILLED, _C.REJECTED, _C.UNKNOWN}),
    # An exchange may refuse an order that its broker took, and a day order ends with its session by itself.
    _C.WORKING: frozenset({_C.FILLED, _C.CANCEL_PENDING, _C.REJECTED, _C.EXPIRED, _C.UNKNOWN}),
    # A cancel may lose the race against the last fill, a refusal of the exchange or the end of the session.
    _C.CANCEL_PENDING: frozenset({_C.CANCELLED, _C.FILLED, _C.REJECTED, _C.EXPIRED, _C.UNKNOWN}),
    _C.UNKNOWN: frozenset({_C.WORKING, _C.FILLED, _C.CANCELLED, _C.REJECTED, _C.ABSENT}),
    # Late fills are booked on a cancelled child; it stays cancelled.
    _C.CANCELLED: frozenset({_C.CANCELLED}),
    _C.EXPIRED: frozenset(),
    _C.FILLED: frozenset(),
    _C.REJECTED: frozenset(),
    _C.ABANDONED: frozenset(),
    _C.ABSENT: frozenset(),
}

_J = JobStatus
JOB_TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    _J.PENDING: frozenset({_J.CLAIMED, _J.SKIPPED, _J.CANCELED, _J.EXPIRED}),
    _J.CLAIMED: frozenset({_J.RUNNING, _J.RECOVERING}),
    _J.RUNNING: frozenset({_J.DONE, _J.FAILED, _J.CANCELED, _J.RECOVERING}),
    _J.RECOVERING: frozenset({_J.RUNNING, _J.DONE, _J.FAILED, _J.UNKNOWN}),
    # Once its UNKNOWN children are proved or found, the job is recovered again.
    _J.UNKNOWN: frozenset({_J.RECOVERING}),
    _J.DONE: frozenset(),
    _J.FAILED: frozenset(),
    _J.CANCELED: frozenset(),
    _J.SKIPPED: frozenset(),
    _J.EXPIRED: frozenset(),
}


def child_transition(current: ChildStatus, wanted: ChildStatus, subject: str) -> ChildStatus:
    """The wanted state of a child; raises `IllegalTransition` when the table has no such arrow."""
    return move(CHILD_TRANSITIONS, current, wanted, subject)


def job_transition(current: JobStatus, wanted: JobStatus, subject: str) -> JobStatus:
    """The wanted state of a job; raises `IllegalTransition` when the table has no such arrow."""
    return move(JOB_TRANSITIONS, current, wanted, subject)
