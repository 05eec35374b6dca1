"""A HALT on Prefect's pages: a real server, a real worker, the deployments of prefect.yaml."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest

from engine.simulation.faults import inject
from flows.interface import free_port, running_interface
from state.halts import HaltRecord, HaltStatus
from state.verification import count_rows
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.flows.prefect_client import PrefectClient

DAY = date(2026, 11, 18)
PARAMETERS = {"trade_date": DAY.isoformat(), "profile": "fund"}

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
    return tmp_path / "home"


@pytest.fixture
def client(home: Path) -> Iterator[PrefectClient]:
    with running_interface(free_port(), lambda text: None) as interface:
        yield PrefectClient(interface.api)


def world_at(home: Path) -> World:
    return World(WorldOptions(profile="fund", first=DAY, last=DAY, home=home))


def strike(home: Path, fault: str) -> None:
    """Put a fault into the broker's file at the time at which the day is decided."""
    world = world_at(home)
    world.broker.advance(world.decision_time(DAY))
    assert inject(world.broker, fault)
    world.close()


def halts(home: Path) -> tuple[HaltRecord, ...]:
    world = world_at(home)
    try:
        return world.halts.halts(world.account)
    finally:
        world.close()


def contents(home: Path) -> Mapping[str, object]:
    """How many rows the book holds, and every byte of the broker's file that is not bookkeeping of SQLite."""
    world = world_at(home)
    try:
        return {
            "rows": count_rows(world.database),
            "entries": world.ledger.entries(world.account),
            "steps": [s for run in world.runs.runs() for s in world.runs.steps(run.run_id)],
            "attempts": [(run.run_id, run.attempt, run.status) for run in world.runs.runs()],
            "broker": world.broker.state.head,
        }
    finally:
        world.close()


def test_halt_is_resolved_by_the_form_and_the_run_retried(home: Path, client: PrefectClient) -> None:
    strike(home, "cash-break")

    decision = client.start("daily-decision", PARAMETERS)
    first = client.await_end(decision)
    assert (first.type, first.name) == ("FAILED", "HALTED")
    assert "Cash break: expected" in first.message
    assert "resolve-halt" in client.artifacts(decision)["halt"]
    (halt,) = halts(home)

    client.retry(decision)
    again = client.await_end(decision, after_attempts=1)
    assert (again.type, again.name) == ("FAILED", "HALTED")
    (found_again,) = halts(home)
    assert (found_again.halt_id, found_again.status) == (halt.halt_id, HaltStatus.OPEN)

    answer = {"halt_id": halt.halt_id, "choice": "adopt-broker", "reason": "wire of the custodian"}
    untouched = contents(home)
    refused = client.start("resolve-halt", answer)
    client.await_pause(refused)
    client.resume(refused, {"confirmed": False})
    assert client.await_end(refused).name == "Unconfirmed"
    assert (halts(home), contents(home)) == ((found_again,), untouched)

    form = client.start("resolve-halt", answer)
    assert client.await_pause(form).type == "PAUSED"
    assert "-30,000.00" in client.artifacts(form)["halt-resolution"]
    assert halts(home)[0].status is HaltStatus.OPEN

    client.resume(form, {"confirmed": True})
    assert client.await_end(form).type == "COMPLETED"
    assert halts(home)[0].status is HaltStatus.RESOLVED

    client.retry(decision)
    completed = client.await_end(decision, after_attempts=2)
    assert (completed.type, completed.name) == ("COMPLETED", "Completed")
    assert halts(home)[0].status is HaltStatus.CONSUMED
    before = contents(home)

    client.retry(decision)
    repeated = client.await_end(decision, after_attempts=3)
    assert repeated.type == "COMPLETED"
    assert "nothing changed" in repeated.message
    assert contents(home) == before
