"""A run that works keeps its lease; one that ended, or was taken over, is left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from engine.model.context import RunKind, RunStatus
from state.database import Database
from state.lease import keeping_lease
from state.processes import ProcessToken
from state.runs import LEASE_SECONDS, ClaimOutcome, RunStore
from state.tables import run_attempts
from tests.state.builders import make_key

PATIENCE = 20.0
OFTEN = 0.01
ELSEWHERE = ProcessToken(host="another", process=1, started="1")
KEY = make_key(RunKind.EXECUTION)


def lease(database: Database, attempt: int = 1) -> datetime:
    wanted = select(run_attempts.c.lease_until).where(run_attempts.c.attempt == attempt)
    with database.read() as connection:
        until: datetime = connection.execute(wanted).scalar_one()
    return until


def soon(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(OFTEN)
    return True


def keepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lease of")]


def test_run_that_works_longer_than_its_lease_is_still_held(database: Database) -> None:
    """Claimed 59 of 60 seconds ago by a process elsewhere: a second later another could have taken it."""
    runs = RunStore(database, ELSEWHERE)
    begun = datetime.now(UTC) - timedelta(seconds=LEASE_SECONDS - 1)
    claimed = runs.claim(KEY, begun, "code", "config")
    with keeping_lease(runs, claimed.run_id, claimed.attempt, OFTEN):
        assert soon(lambda: lease(database) > datetime.now(UTC) + timedelta(seconds=LEASE_SECONDS / 2))
    later = datetime.now(UTC) + timedelta(seconds=LEASE_SECONDS / 2)
    assert runs.outlook(KEY, later) is ClaimOutcome.HELD
    assert keepers() == []


def test_lease_of_a_run_that_is_taken_over_is_left_to_its_new_holder(database: Database) -> None:
    old, new = RunStore(database, ELSEWHERE), RunStore(database)
    begun = datetime.now(UTC) - timedelta(seconds=LEASE_SECONDS)
    claimed = old.claim(KEY, begun, "code", "config")
    taken = new.claim(KEY, datetime.now(UTC), "code", "config")
    assert taken.outcome is ClaimOutcome.TAKEN_OVER
    held = lease(database, 2)
    with keeping_lease(old, claimed.run_id, claimed.attempt, OFTEN):
        assert soon(lambda: keepers() == [])
    assert (lease(database, 1), lease(database, 2)) == (begun + timedelta(seconds=LEASE_SECONDS), held)


def test_run_that_ended_is_not_prolonged(database: Database) -> None:
    runs = RunStore(database)
    claimed = runs.claim(KEY, datetime.now(UTC), "code", "config")
    before = lease(database)
    with keeping_lease(runs, claimed.run_id, claimed.attempt, OFTEN):
        runs.finish(claimed.run_id, RunStatus.COMPLETED, datetime.now(UTC), b"", claimed.attempt)
        assert soon(lambda: keepers() == [])
    assert lease(database) <= before + timedelta(seconds=PATIENCE)


def test_database_that_does_not_answer_is_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, asked = RunStore(database), []
    claimed = runs.claim(KEY, datetime.now(UTC), "code", "config")

    def silent(*_: object, **__: object) -> None:
        asked.append(1)
        raise OperationalError("SELECT", None, Exception("the server is away"))

    monkeypatch.setattr(RunStore, "heartbeat", silent)
    with keeping_lease(runs, claimed.run_id, claimed.attempt, OFTEN):
        assert soon(lambda: len(asked) >= 3)
