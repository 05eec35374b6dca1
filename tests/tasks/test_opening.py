"""A run that fails gives its key back, whichever attempt it was."""

from pathlib import Path

import pytest

from engine.model.context import RunKind, RunStatus
from state.runs import ClaimOutcome
from tasks.opening import begin, ending
from tests.factories import DAYS, new_world


def test_later_attempt_that_fails_before_its_first_step_keeps_nobody_waiting(tmp_path: Path) -> None:
    world = new_world(tmp_path)
    for attempt in (1, 2):
        day = begin(world, DAYS[0], RunKind.DECISION)
        assert day.claim.attempt == attempt
        with pytest.raises(RuntimeError, match="the broker's list is unreadable"), ending(day):
            raise RuntimeError("the broker's list is unreadable")
        run = world.runs.run(day.run_id)
        assert run is not None
        assert run.status is RunStatus.FAILED
    assert begin(world, DAYS[0], RunKind.DECISION).claim.outcome is ClaimOutcome.RESUMED
    world.close()
