from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.composition.day import STEP_TYPES, decide_day, decide_steps, next_memory
from engine.composition.replay import LONGEST_TEXT, NOTHING, first_difference, replay_steps, unreadable
from engine.composition.stages import DayInputs, DaySetup
from engine.errors import DataError
from engine.model.context import RunKind
from engine.model.encoding import Json, canonical, encode
from tests import factories as fund

DAY = fund.DAYS[2]


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[DaySetup, DayInputs, dict[str, bytes]]]:
    """A day that the whole fund lived through."""
    world = fund.new_world(fund.days_run().home)
    yield world.setup(DAY), fund.recorded_inputs(world, DAY), fund.step_outputs(world, DAY, RunKind.DECISION)
    world.close()


Recorded = tuple[DaySetup, DayInputs, dict[str, bytes]]


@pytest.mark.parametrize(
    ("recorded", "recomputed", "expected", "why"),
    [
        ({"a": 1}, {"a": 1}, None, "equal"),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ("a.b[1]", "2", "3"), "the path leads to the value"),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, ("a", "1", "2"), "keys in their order"),
        ({"a": 1}, {}, ("a", "1", NOTHING), "a field is gone"),
        ({}, {"a": None}, ("a", NOTHING, "null"), "a field is new, even without a value"),
        ([1], [1, "x"], ("[1]", NOTHING, '"x"'), "one row more"),
        ([1, 2], [1], ("[1]", "2", NOTHING), "one row less"),
        ({"a": "1"}, {"a": 1}, ("a", '"1"', "1"), "text is no number"),
        ({"a": True}, {"a": 1}, ("a", "true", "1"), "a truth is no number"),
        ({"a": 1.0}, {"a": 1}, ("a", "1.0", "1"), "a statistic is no count"),
        ({"a": []}, {"a": {}}, ("a", "[]", "{}"), "rows are no fields"),
    ],
)
def test_first_difference(
    recorded: Json, recomputed: Json, expected: tuple[str, str, str] | None, why: str
) -> None:
    assert first_difference(recorded, recomputed) == expected, why


def test_recorded_day_comes_out_to_the_byte(recorded: Recorded) -> None:
    replay = replay_steps(*recorded)
    assert (replay.identical, replay.difference) == (tuple(STEP_TYPES), None)


def test_halted_day_is_compared_as_far_as_it_came(recorded: Recorded) -> None:
    setup, inputs, steps = recorded
    replay = replay_steps(setup, inputs, {name: steps[name] for name in ("reconcile", "nav")})
    assert (replay.identical, replay.difference) == (("nav", "reconcile"), None)


def test_replay_ends_at_the_step_that_differs(recorded: Recorded) -> None:
    setup, inputs, steps = recorded
    replay = replay_steps(setup, inputs, {**steps, "roll": b"{}", "jobs": b"{}"})
    assert replay.identical == ("fx", "nav", "reconcile")
    assert replay.difference is not None
    assert (replay.difference.step, replay.difference.recorded) == ("roll", NOTHING)


def test_stage_that_fails_on_its_inputs_is_the_step_that_differs(recorded: Recorded) -> None:
    setup, inputs, steps = recorded
    marks = {
        name: mark for name, mark in inputs.market.marks.items() if name not in inputs.portfolio.positions
    }
    replay = replay_steps(setup, replace(inputs, market=replace(inputs.market, marks=marks)), steps)
    assert replay.identical == ("fx",)
    assert replay.difference is not None
    assert replay.difference.step == "nav"
    assert replay.difference.recomputed.startswith("MissingMark: ")
    assert len(replay.difference.recorded) == LONGEST_TEXT


def test_record_out_of_canonical_form_differs(recorded: Recorded) -> None:
    setup, inputs, steps = recorded
    spaced = steps["roll"].replace(b":", b": ")
    difference = replay_steps(setup, inputs, {"roll": spaced}).difference
    assert difference is not None
    assert (difference.field, difference.recorded) == ("", spaced.decode())


def test_unreadable_inputs_end_at_the_first_recorded_step() -> None:
    difference = unreadable({"reconcile": b"{}", "nav": b"{}"}, DataError("cut off")).difference
    assert difference is not None
    assert (difference.step, difference.recorded, difference.recomputed) == (
        "nav",
        "{}",
        "DataError: cut off",
    )


def test_every_stage_follows_on_what_the_record_gives_back(recorded: Recorded) -> None:
    setup, inputs, _ = recorded
    for name, value in decide_steps(setup, inputs):
        assert isinstance(value, STEP_TYPES[name])
        assert repr(canonical(value)) == repr(value), name


def test_stages_run_only_as_far_as_they_are_asked_for(recorded: Recorded) -> None:
    setup, inputs, _ = recorded
    broken = replace(inputs, market=replace(inputs.market, average_daily_volume=None))  # type: ignore[arg-type]
    stages = decide_steps(setup, broken)
    assert [next(stages)[0] for _ in range(3)] == ["fx", "nav", "reconcile"]


def test_next_day_remembers_the_weights_and_every_stage_s_memory(recorded: Recorded) -> None:
    setup, inputs, steps = recorded
    decisions = decide_day(setup, inputs)
    memory = next_memory(inputs, decisions)
    assert memory.weights == decisions.targets.weights
    assert encode(memory.risk) == encode(decisions.risk.memory)
    assert {name: encode(getattr(decisions, name)) for name in STEP_TYPES} == steps
    empty = replace(decisions, targets=replace(decisions.targets, weights={}))
    assert next_memory(inputs, empty).weights == inputs.memory.weights
