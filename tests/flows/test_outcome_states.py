"""The state that Prefect shows of a run's end."""

from __future__ import annotations

import pytest

import flows.outcome as module
from engine.model.context import RunStatus
from flows.outcome import Outcome, as_state


@pytest.mark.parametrize(
    ("status", "held", "name", "type_"),
    [
        (RunStatus.RUNNING, True, "Skipped", "COMPLETED"),
        (RunStatus.HALTED, False, "HALTED", "FAILED"),
        (RunStatus.EMERGENCY, False, "HALTED", "FAILED"),
        (RunStatus.COMPLETED, False, "Completed", "COMPLETED"),
    ],
)
def test_end_of_a_run_has_the_state_that_says_the_same(
    status: RunStatus, held: bool, name: str, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Outcome(run_id="run", status=status, text="told", held=held)
    assert as_state(outcome) is outcome  # outside of a flow run

    monkeypatch.setattr(module, "in_flow_run", lambda: True)
    state = as_state(outcome)

    assert not isinstance(state, Outcome)
    assert (state.name, state.type.value, state.message) == (name, type_, "told")
    assert state.result(raise_on_failure=False) is outcome
