"""Virtual time after a restart is the time of the simulated broker's own file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from engine.model.context import RunKind
from tasks.opening import begin
from tests.factories import DAYS, new_world, run


def test_run_after_a_restart_goes_on_at_the_time_of_the_brokers_file(tmp_path: Path) -> None:
    day = DAYS[0]
    first = new_world(tmp_path)
    run(first, day, RunKind.DECISION)
    reached = first.decision_time(day) + timedelta(hours=2, minutes=7)
    first.broker.advance(reached)
    first.close()  # the process that lived until then is gone; nothing but its files remains

    second = new_world(tmp_path)
    try:
        assert second.broker.now == reached
        assert begin(second, day, RunKind.EXECUTION).context.as_of == reached
    finally:
        second.close()
