"""A real process that gets a real SIGTERM while its orders work, and the one that goes on after it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.utilities.engine import capture_sigterm

from engine.errors import InterruptedRun
from engine.model.context import RunKind, RunStatus
from engine.model.orders import ChildStatus, JobStatus
from flows.commands.__main__ import main
from state.order_reading import account_orders
from tasks.interruption import heeding_signals
from tests.factories import accepted_orders, book_at_close, new_world, order_store, run_id_of
from tests.halted_days import HALTED_DAY, home_after_a_day

ROOT = Path(__file__).resolve().parents[2]
AFTER = 12
DAY = ["run", "--date", HALTED_DAY.isoformat(), "--without-prefect", "--report", "none"]
CHILD = """
import os, signal, sys
from engine.simulation.exchange import SimulatedTransport
from flows.commands.__main__ import main

number, after = int(sys.argv[1]), int(sys.argv[2])
send, sent = SimulatedTransport.send, []

def send_and_ask_to_end(line, child):
    send(line, child)
    sent.append(child)
    if len(sent) == after:
        os.kill(os.getpid(), number)

SimulatedTransport.send = send_and_ask_to_end
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    shutil.copytree(home_after_a_day(), folder)
    monkeypatch.setenv("FUND_HOME", str(folder))
    return folder


def ended_by(number: signal.Signals, after: int) -> subprocess.CompletedProcess[str]:
    """The day in a process that gets a signal as soon as so many orders were written."""
    command = [sys.executable, "-c", CHILD, str(int(number)), str(after), *DAY]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_process_ends_with_nothing_at_the_broker_that_is_not_in_the_book_and_the_next_goes_on(
    home: Path,
) -> None:
    day_before = len(accepted_orders(home, "SIM-fund-1"))
    ended = ended_by(signal.SIGTERM, AFTER)
    assert ended.returncode == 143, ended.stderr
    told = " ".join(ended.stderr.split())
    assert "found SIGTERM: nothing new was sent, what worked was cancelled" in told
    assert "./fund resume goes on from here" in told

    world = new_world(home, HALTED_DAY)
    alive = {order.order_ref for order in world.broker.orders() if order.status.holds_reservation}
    known = {
        view.record.child.order_ref: view.record.status
        for view in account_orders(world.database, world.account, HALTED_DAY)
    }
    # What reduces may stand, as under a HALT, and what a cancel did not reach is in doubt; nothing else is alive.
    assert all(known[ref] in (ChildStatus.WORKING, ChildStatus.UNKNOWN) for ref in alive)
    begun = {record.status for record in order_store(world).jobs(trade_date=HALTED_DAY)}
    assert begun & {JobStatus.RUNNING, JobStatus.PENDING}, "something is left to do"
    run = world.runs.run(run_id_of(world, HALTED_DAY, RunKind.EXECUTION))
    assert run is not None
    assert run.status is RunStatus.FAILED
    world.close()
    before = [child.order_ref for child in accepted_orders(home, "SIM-fund-1")]
    assert len(before) - day_before == AFTER, (
        "not one order is claimed after the signal, not even of its moment"
    )

    assert main(DAY) == 0
    references = [child.order_ref for child in accepted_orders(home, "SIM-fund-1")]
    assert len(references) == len(set(references)) > len(before)
    world = new_world(home, HALTED_DAY)
    books = book_at_close(world)
    assert books.ours == books.broker
    world.close()


def test_cancelled_flow_run_ends_in_good_order_and_prefect_hears_the_next_signal() -> None:
    with pytest.raises(InterruptedRun), capture_sigterm():  # noqa: PT012 (what Prefect wraps around a flow run)
        prefects_own = signal.getsignal(signal.SIGTERM)
        try:
            with heeding_signals() as is_ending:
                signal.raise_signal(signal.SIGTERM)
                assert is_ending()
        finally:
            assert signal.getsignal(signal.SIGTERM) is prefects_own
