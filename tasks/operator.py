"""The scripted operator: answers by rule where a person would decide, in runs of many days (R-118).

``resolve_as_evidence``: quantity and cash breaks adopt the broker, old or jumped marks abandon the day, transient faults are
retried; anything else stops the run, and so does every EMERGENCY: that one needs a person. Every act is written
into the halt with the operator ``scripted``.
"""

from __future__ import annotations

from datetime import date

from engine.model.halts import HaltChoice, HaltKind
from state.halts import HaltRecord, HaltSeverity
from tasks.resolution import apply
from tasks.runtime import World

OPERATOR = "scripted"
ANSWERS = {
    HaltKind.MISSED_FILL: HaltChoice.ADOPT_BROKER,
    HaltKind.FOREIGN_POSITION: HaltChoice.ADOPT_BROKER,
    HaltKind.CASH_BREAK: HaltChoice.ADOPT_BROKER,
    HaltKind.STALE_MARK: HaltChoice.ABANDON_DAY,
    HaltKind.PRICE_JUMP: HaltChoice.ABANDON_DAY,
    HaltKind.STALE_FX: HaltChoice.RETRY,
    HaltKind.NAN_PRICE: HaltChoice.RETRY,
    HaltKind.NLV_DRIFT: HaltChoice.RETRY,
}
MOST_ANSWERS = 3
"""A halt that comes back after so many answers of one day is not one that the script understands."""


def scripted_answer(world: World, day: date) -> bool:
    """Answer every open halt by rule; whether the run may be tried again."""
    halts = world.halts.open_halts(world.account)
    answered_before = [
        halt
        for halt in world.halts.halts(world.account)
        if halt.operator == OPERATOR and halt.run_id.startswith(day.isoformat())
    ]
    if not halts or len(answered_before) + len(halts) > MOST_ANSWERS:
        return False
    if any(_answer(halt) is None for halt in halts):
        return False
    for halt in halts:
        choice = _answer(halt)
        if choice is not None:
            apply(world, halt.halt_id, choice, f"scripted operator of {day}", OPERATOR, {})
    return True


def _answer(halt: HaltRecord) -> HaltChoice | None:
    if halt.severity is HaltSeverity.EMERGENCY:
        return None
    known = {kind.value for kind in ANSWERS}
    return ANSWERS[HaltKind(halt.kind)] if halt.kind in known else None
