"""Does a recorded day decide the same again? Recorded inputs and steps go in, the first difference comes out.

The stages run lazily, so a replay ends at the step that differs: what follows it differs because of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from engine.composition.day import STEP_TYPES, decide_steps
from engine.composition.stages import DayInputs, DaySetup
from engine.errors import FundError
from engine.model.encoding import Json, encode

LONGEST_TEXT = 200
NOTHING = "nothing"
"""What stands for a field or a step that one side does not have."""

_FAILURES = (FundError, ArithmeticError, LookupError, TypeError, ValueError)
"""What a stage may raise on inputs that were altered: the replay names the step instead of ending in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDifference:
    """The first step that came out otherwise, its first differing field (empty: the whole), and both values."""

    step: str
    field: str
    recorded: str
    recomputed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Steps that came out to the same bytes, in order, and the first that did not."""

    identical: tuple[str, ...]
    difference: StepDifference | None


def replay_steps(setup: DaySetup, inputs: DayInputs, recorded: Mapping[str, bytes]) -> Replay:
    """Decide every recorded step again and compare it with its record, byte for byte.

    ``recorded`` holds canonical bytes by step name. A halted run recorded only the first stages, a close only some
    of them: the others are not compared.
    """
    waiting = {name: recorded[name] for name in STEP_TYPES if name in recorded}
    identical: list[str] = []
    stages = decide_steps(setup, inputs)
    for name in STEP_TYPES:
        if not waiting:
            break
        try:
            _, value = next(stages)
            output = encode(value)
        except _FAILURES as error:
            return Replay(identical=tuple(identical), difference=_failure(name, waiting, error))
        if name not in waiting:
            continue
        expected = waiting.pop(name)
        if output != expected:
            return Replay(identical=tuple(identical), difference=_difference(name, expected, output))
        identical.append(name)
    return Replay(identical=tuple(identical), difference=None)


def unreadable(recorded: Mapping[str, bytes], error: Exception) -> Replay:
    """The replay of inputs that can not be read back: it ends at the first recorded step."""
    first = next((name for name in STEP_TYPES if name in recorded), next(iter(STEP_TYPES)))
    return Replay(identical=(), difference=_failure(first, recorded, error))


def first_difference(recorded: Json, recomputed: Json, field: str = "") -> tuple[str, str, str] | None:
    """Path of the first field in which two JSON trees differ, with both values; ``None`` when they are equal.

    Keys are looked at in their order, rows from the first on; a path reads ``lines[3].quantity``.
    """
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        for key in sorted({*recorded, *recomputed}):
            path = f"{field}.{key}" if field else key
            if (key in recorded) != (key in recomputed):
                return path, _side(recorded, key), _side(recomputed, key)
            found = first_difference(recorded[key], recomputed[key], path)
            if found is not None:
                return found
        return None
    if isinstance(recorded, list) and isinstance(recomputed, list):
        for row, (left, right) in enumerate(zip(recorded, recomputed, strict=False)):
            found = first_difference(left, right, f"{field}[{row}]")
            if found is not None:
                return found
        return _length_difference(recorded, recomputed, field)
    if type(recorded) is type(recomputed) and recorded == recomputed:
        return None
    return field, _text(recorded), _text(recomputed)


def _length_difference(
    recorded: list[Json], recomputed: list[Json], field: str
) -> tuple[str, str, str] | None:
    if len(recorded) == len(recomputed):
        return None
    row = min(len(recorded), len(recomputed))
    left = _text(recorded[row]) if row < len(recorded) else NOTHING
    right = _text(recomputed[row]) if row < len(recomputed) else NOTHING
    return f"{field}[{row}]", left, right


def _difference(step: str, recorded: bytes, recomputed: bytes) -> StepDifference:
    try:
        before = json.loads(recorded)
    except ValueError:
        text = _shortened(recorded.decode(errors="replace"))
        return StepDifference(step=step, field="", recorded=text, recomputed=_shortened(recomputed.decode()))
    found = first_difference(before, json.loads(recomputed))
    # Equal trees with unequal bytes: the record is not in canonical form.
    field, left, right = found or ("", recorded.decode(errors="replace"), recomputed.decode())
    return StepDifference(step=step, field=field, recorded=_shortened(left), recomputed=_shortened(right))


def _failure(step: str, waiting: Mapping[str, bytes], error: Exception) -> StepDifference:
    recorded = waiting.get(step)
    return StepDifference(
        step=step,
        field="",
        recorded=NOTHING if recorded is None else _shortened(recorded.decode(errors="replace")),
        recomputed=_shortened(f"{type(error).__name__}: {error}"),
    )


def _side(tree: dict[str, Json], key: str) -> str:
    return _text(tree[key]) if key in tree else NOTHING


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
