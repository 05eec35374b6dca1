"""A run that fails gives its key back, whichever attempt it was."""

from pathlib import Path

import pytest

import flows.day as flow
from engine.errors import RefusedError
from engine.model.context import RunKind, RunStatus
from state.runs import ClaimOutcome
from tasks.opening import begin, ending
from tests.factories import DAYS, new_world, run, run_id_of


def test_later_attempt_that_fails_before_its_first_step_keeps_nobody_waiting(tmp_path: Path) -> None:
    world = new_world(tmp_path)
    for attempt in (1, 2):
        day = begin(world, DAYS[0], RunKind.DECISION)
        assert day.claim.attempt == attempt
        with pytest.raises(RuntimeError, match="the broker's list is unreadable"), ending(day):
            raise RuntimeError("the broker's list is unreadable")
        failed = world.runs.run(day.run_id)
        assert failed is not None
        assert failed.status is RunStatus.FAILED
    assert begin(world, DAYS[0], RunKind.DECISION).claim.outcome is ClaimOutcome.RESUMED
    world.close()


def test_execution_claims_nothing_while_its_decision_is_under_way(tmp_path: Path) -> None:
    world = new_world(tmp_path)
    decision = begin(world, DAYS[0], RunKind.DECISION)
    with pytest.raises(RefusedError, match="to be finished before its execution"):
        begin(world, DAYS[0], RunKind.EXECUTION)
    assert world.runs.run(run_id_of(world, DAYS[0], RunKind.EXECUTION)) is None
    assert flow.decide(decision).status is RunStatus.COMPLETED, "it was not fenced out"
    assert run(world, DAYS[0], RunKind.EXECUTION).status is RunStatus.COMPLETED
    world.close()


def test_execution_of_a_decision_that_failed_is_not_called_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("killed")

    world = new_world(tmp_path)
    monkeypatch.setattr(flow, "precompute", die)
    day = begin(world, DAYS[0], RunKind.DECISION)
    with pytest.raises(RuntimeError, match="killed"), ending(day):
        flow.decide(day)
    monkeypatch.undo()
    execution = begin(world, DAYS[0], RunKind.EXECUTION)
    with pytest.raises(RefusedError, match="found that it is FAILED; run it again first"), ending(execution):
        flow.trade(execution)
    assert run(world, DAYS[0], RunKind.DECISION).status is RunStatus.COMPLETED
    outcome = run(world, DAYS[0], RunKind.EXECUTION)
    assert outcome.status is RunStatus.COMPLETED
    assert not outcome.text.startswith("0 of 0")
    world.close()
