"""Life of a child order as data: which state may follow which. What the table does not list is illegal.

Nothing leads back to PLANNED: a child that may have been sent is never sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from engine.errors import IllegalTransition
from engine.model.orders import ChildStatus

_S = ChildStatus

CHILD_TRANSITIONS: Mapping[ChildStatus, frozenset[ChildStatus]] = {
    _S.PLANNED: frozenset({_S.SENDING, _S.ABANDONED}),
    _S.SENDING: frozenset({_S.WORKING, _S.FILLED, _S.REJECTED, _S.UNKNOWN}),
    _S.WORKING: frozenset({_S.FILLED, _S.CANCEL_PENDING, _S.REJECTED, _S.EXPIRED, _S.UNKNOWN}),
    # A cancel may lose the race against the last fill or the end of the session.
    _S.CANCEL_PENDING: frozenset({_S.CANCELLED, _S.FILLED, _S.EXPIRED, _S.UNKNOWN}),
    _S.UNKNOWN: frozenset({_S.WORKING, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.ABSENT}),
    # Late fills are booked on a cancelled child; it stays cancelled.
    _S.CANCELLED: frozenset({_S.CANCELLED}),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.ABANDONED: frozenset(),
    _S.ABSENT: frozenset(),
}
"""Arrows of the child's state machine (REL-5.3)."""

_INTERMEDIATE = (_S.WORKING, _S.CANCEL_PENDING)


@cache
def transition_path(current: ChildStatus, target: ChildStatus) -> tuple[ChildStatus, ...]:
    """States to write, one after another, until a child is in ``target``; empty when it is there already.

    A broker may skip messages (a cancel without an acknowledgement): the skipped working states are written.
    Raises `IllegalTransition` when no such path exists.
    """
    if current is target and target is not _S.CANCELLED:
        return ()
    paths: list[tuple[ChildStatus, ...]] = [()]
    for _ in range(len(_INTERMEDIATE) + 1):
        extended = []
        for path in paths:
            last = path[-1] if path else current
            if target in CHILD_TRANSITIONS[last]:
                return (*path, target)
            extended += [
                (*path, via) for via in _INTERMEDIATE if via in CHILD_TRANSITIONS[last] and via not in path
            ]
        paths = extended
    raise IllegalTransition(f"a child order cannot go from {current.value} to {target.value}")
