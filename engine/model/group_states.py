"""State machines of orders that belong together (REL-5.3): overlays, and groups that fill whole or not at all.

An overlay is a temporary hedge for a leg that waits for its partner. Tables, their checked arrows and the one clock
that both machines obey: a book that stays unhedged too long raises an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum

from engine.errors import InvariantError
from engine.model.transitions import move


class OverlayStatus(Enum):
    """Life of a temporary hedge."""

    PLANNED = "PLANNED"
    """A leg is unhedged and a hedge was decided; nothing was sent."""
    OPENING = "OPENING"
    """The hedge's order is at the broker."""
    OPEN = "OPEN"
    """The hedge is filled and stands for the missing leg."""
    UNWINDING = "UNWINDING"
    """The missing leg filled: the hedge is being closed."""
    CLOSED = "CLOSED"
    """Nothing of the hedge is left; final."""
    ALARM = "ALARM"
    """It took too long: a person watches until it is closed."""


class GroupStatus(Enum):
    """Life of a group of orders that is filled whole or taken back."""

    OPENING = "OPENING"
    """The legs are being worked."""
    ALL_FILLED = "ALL_FILLED"
    """Every leg filled; final."""
    ROLLING_BACK = "ROLLING_BACK"
    """A leg can not fill: what filled is closed again, inside its collars."""
    FLAT = "FLAT"
    """Everything that filled was taken back; final."""
    ALARM = "ALARM"
    """It could not be taken back: final here, a person decides."""


_O = OverlayStatus
OVERLAY_TRANSITIONS: Mapping[OverlayStatus, frozenset[OverlayStatus]] = {
    _O.PLANNED: frozenset({_O.OPENING, _O.ALARM}),
    _O.OPENING: frozenset({_O.OPEN, _O.ALARM}),
    _O.OPEN: frozenset({_O.UNWINDING, _O.ALARM}),
    _O.UNWINDING: frozenset({_O.CLOSED, _O.ALARM}),
    _O.ALARM: frozenset({_O.CLOSED}),
    _O.CLOSED: frozenset(),
}

_G = GroupStatus
GROUP_TRANSITIONS: Mapping[GroupStatus, frozenset[GroupStatus]] = {
    _G.OPENING: frozenset({_G.ALL_FILLED, _G.ROLLING_BACK}),
    _G.ROLLING_BACK: frozenset({_G.FLAT, _G.ALARM}),
    _G.ALL_FILLED: frozenset(),
    _G.FLAT: frozenset(),
    _G.ALARM: frozenset(),
}


def overlay_transition(current: OverlayStatus, wanted: OverlayStatus, subject: str) -> OverlayStatus:
    """The wanted state of an overlay; raises `IllegalTransition` when the table has no such arrow."""
    return move(OVERLAY_TRANSITIONS, current, wanted, subject)


def group_transition(current: GroupStatus, wanted: GroupStatus, subject: str) -> GroupStatus:
    """The wanted state of a group; raises `IllegalTransition` when the table has no such arrow."""
    return move(GROUP_TRANSITIONS, current, wanted, subject)


def overlay_due(
    current: OverlayStatus,
    unhedged_since: datetime,
    now: datetime,
    max_unhedged_seconds: float,
    subject: str,
) -> OverlayStatus:
    """State of an overlay at a time: ALARM once it has lived longer than allowed and is not closed.

    ``unhedged_since`` is when the first leg was left alone; the limit itself is still allowed. Raises
    `InvariantError` for a time before it, or a limit that is not positive.
    """
    if max_unhedged_seconds <= 0 or now < unhedged_since:
        raise InvariantError(
            f"{subject}: expected a positive limit and a time from {unhedged_since} on, "
            f"found {max_unhedged_seconds} seconds at {now}"
        )
    if current in (OverlayStatus.ALARM, OverlayStatus.CLOSED):
        return current
    if now - unhedged_since <= timedelta(seconds=max_unhedged_seconds):
        return current
    return overlay_transition(current, OverlayStatus.ALARM, subject)
