"""Which arrows the state machine of a run has (REL-5.3), as data; anything not listed is illegal.

A later attempt of a key is RECOVERING until its first step: a crashed attempt is taken over, a halted or failed one
is begun again. Nothing leaves while a halt is open, so an attempt of a halted run may value and compare before a
person has answered; it then ends in the same halt (architecture, section 7).
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.model.context import RunStatus
from engine.model.transitions import move

_S = RunStatus
# A window that had nothing to journal ends from where it began, so both beginnings have the ends of RUNNING.
_ENDS = frozenset({_S.COMPLETED, _S.HALTED, _S.EMERGENCY, _S.FAILED})

RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = {
    _S.NEW: frozenset({_S.CLAIMED}),
    # RECOVERING from here: the attempt crashed before its first step.
    _S.CLAIMED: _ENDS | {_S.RUNNING, _S.RECOVERING},
    _S.RUNNING: _ENDS | {_S.RECOVERING},
    # RECOVERING from itself: the attempt that took over crashed as well.
    _S.RECOVERING: _ENDS | {_S.RUNNING, _S.RECOVERING},
    _S.HALTED: frozenset({_S.RECOVERING, _S.ABANDONED}),
    _S.EMERGENCY: frozenset({_S.RECOVERING, _S.ABANDONED}),
    # A failure is nobody's decision: the day may be tried again.
    _S.FAILED: frozenset({_S.RECOVERING, _S.ABANDONED}),
    _S.COMPLETED: frozenset(),
    _S.ABANDONED: frozenset(),
}


def run_transition(current: RunStatus, wanted: RunStatus, subject: str) -> RunStatus:
    """The wanted state of a run; raises `IllegalTransition` when the table has no such arrow."""
    return move(RUN_TRANSITIONS, current, wanted, subject)
