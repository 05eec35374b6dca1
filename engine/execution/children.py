"""Which states have to be written when the broker reports a later one than expected.

The table of arrows is `engine.model.order_states`; nothing in it leads back to PLANNED, because a child that may
have been sent is never sent again.
"""

from __future__ import annotations

from functools import cache

from engine.errors import IllegalTransition
from engine.model.order_states import CHILD_TRANSITIONS
from engine.model.orders import ChildStatus

_INTERMEDIATE = (ChildStatus.WORKING, ChildStatus.CANCEL_PENDING)


def transition_path(
    current: ChildStatus, target: ChildStatus, subject: str = "a child order"
) -> tuple[ChildStatus, ...]:
    """States to write, one after another, until a child is in ``target``; empty when it is there already.

    A broker may skip messages (a cancel without an acknowledgement): the skipped working states are written.
    Raises `IllegalTransition` when no such path exists.
    """
    path = _path(current, target)
    if path is None:
        raise IllegalTransition(
            f"{subject} cannot go from {current.value} to {target.value}",
            subject=subject,
            before=current.value,
            after=target.value,
        )
    return path


@cache
def _path(current: ChildStatus, target: ChildStatus) -> tuple[ChildStatus, ...] | None:
    if current is target and target not in CHILD_TRANSITIONS[current]:
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
    return None
