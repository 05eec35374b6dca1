"""A book that takes no more writes: the run ends by name, no order leaves without its claim, a restart converges."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from engine.model.context import RunKind, RunStatus
from engine.model.orders import ChildStatus
from flows.commands.errors import EXIT_UNEXPECTED, report_failure
from state.database import Database
from state.order_reading import account_orders
from state.processes import this_process
from state.runs import RunStore
from tasks.opening import begin, ending
from tasks.runtime import World
from tests.factories import BODIES, DAYS, accepted_orders, new_world, run
from tests.scenarios.kill_judge import look_at_end, violations

DAY = DAYS[0]
FULL = "PRAGMA max_page_count = 1"  # SQLite takes it as: no page more than there are
READ_ONLY = "PRAGMA query_only = ON"


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fund that has decided its first day: 48 orders wait for their windows."""
    home = tmp_path_factory.mktemp("decided")
    world = new_world(home)
    run(world, DAY, RunKind.DECISION)
    world.close()
    return home


class Disk:
    """Lets so many transactions through; from then on every connection is under a pragma."""

    def __init__(self, database: Database, transactions: int, pragma: str) -> None:
        self._left, self._pragma = transactions, pragma
        event.listen(database.engine, "begin", self._begin)

    def _begin(self, connection: Connection) -> None:
        self._left -= 1
        if self._left == 0:
            connection.exec_driver_sql(self._pragma)


def worked(world: World) -> RunStatus:
    """The execution, as the command line does it."""
    day = begin(world, DAY, RunKind.EXECUTION)
    with ending(day):
        return BODIES[RunKind.EXECUTION](day).status


@pytest.mark.parametrize(("pragma", "told"), [(FULL, "full"), (READ_ONLY, "readonly")])
@pytest.mark.parametrize("transactions", [12, 90, 200])
def test_disk_that_is_full_ends_the_run_and_a_restart_converges(
    decided: Path,
    tmp_path: Path,
    transactions: int,
    pragma: str,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = Path(shutil.copytree(decided, tmp_path / "home"))
    world = new_world(home)
    # A process that is gone when the run is started again: it could not even write that it failed.
    world.__dict__["runs"] = RunStore(world.database, replace(this_process(), started="1"))
    Disk(world.database, transactions, pragma)

    with pytest.raises(OperationalError) as ended:
        worked(world)
    # The person hears the cause, also where it took the savepoint away that would have been gone back to.
    assert report_failure(ended.value, debug=False, as_json=False) == EXIT_UNEXPECTED
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("fund: expected the fund's book to take what is written, found: ")
    assert told in said
    assert "./fund resume" in said

    accepted = {child.order_ref for child in accepted_orders(home, world.account)}
    world.close()
    world = new_world(home)
    states = {
        view.record.child.order_ref: view.record.status
        for view in account_orders(world.database, world.account, DAY)
    }
    # Whatever the broker has was claimed before, durably.
    assert all(states[ref] not in (ChildStatus.PLANNED, ChildStatus.ABANDONED) for ref in accepted)
    statuses = tuple(run(world, DAY, kind).status.value for kind in (RunKind.EXECUTION, RunKind.CLOSE))
    end = look_at_end(world, DAY, statuses)
    world.close()
    assert violations(end) == []
    assert len(end.accepted) > 30
