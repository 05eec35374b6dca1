"""Which states have to be written when the broker reports a later one than expected, and what an end counts.

The table of arrows is `engine.model.order_states`; nothing in it leads back to PLANNED, because a child that may
have been sent is never sent again.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from functools import cache

from engine.errors import IllegalTransition
from engine.model.money import ZERO
from engine.model.order_states import CHILD_TRANSITIONS
from engine.model.orders import ChildOrder, ChildStatus, Fill

AT_THE_BROKER = (ChildStatus.WORKING, ChildStatus.CANCEL_PENDING)
"""States of a child that the broker was heard to have."""


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


def first_told(child: ChildOrder, fills: Collection[Fill]) -> tuple[Decimal, ...]:
    """What executions of each leg said before corrections made them smaller: an order's end counts them so.

    ``fills`` are all their versions.
    """
    largest: dict[tuple[str, str], Decimal] = {}
    for fill in fills:
        key = (fill.contract_id, fill.root)
        largest[key] = max(fill.quantity, largest.get(key, ZERO))
    return tuple(
        sum((quantity for (contract_id, _), quantity in largest.items() if contract_id == name), ZERO)
        for name in child.contract_ids
    )


@cache
def _path(current: ChildStatus, target: ChildStatus) -> tuple[ChildStatus, ...] | None:
    if current is target and target not in CHILD_TRANSITIONS[current]:
        return ()
    paths: list[tuple[ChildStatus, ...]] = [()]
    for _ in range(len(AT_THE_BROKER) + 1):
        extended = []
        for path in paths:
            last = path[-1] if path else current
            if target in CHILD_TRANSITIONS[last]:
                return (*path, target)
            extended += [
                (*path, via) for via in AT_THE_BROKER if via in CHILD_TRANSITIONS[last] and via not in path
            ]
        paths = extended
    return None
