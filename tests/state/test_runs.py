import os
import subprocess
import sys
import threading
from datetime import date, timedelta
from itertools import product

import pytest
from sqlalchemy import select, update

from engine.errors import IllegalTransition, InvariantError, RefusedError
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import digest_bytes
from engine.model.run_states import RUN_TRANSITIONS
from state.database import Database
from state.processes import ProcessToken, is_dead, this_process
from state.runs import ClaimOutcome, RunClaim, RunStore
from state.tables import run_attempts, run_inputs
from tests.state.builders import ACCOUNT, DAY, NOW, later, make_key

OTHER_HOST = ProcessToken(host="another", process=1, started="1")


def claim(store: RunStore, kind: RunKind = RunKind.DECISION, seconds: float = 0) -> RunClaim:
    return store.claim(make_key(kind), later(seconds), "code", "config")


def facts(claimed: RunClaim) -> tuple[ClaimOutcome, int]:
    return claimed.outcome, claimed.attempt


def test_first_claim_is_new_and_named_by_its_key(database: Database) -> None:
    claimed = claim(RunStore(database))
    assert facts(claimed) == (ClaimOutcome.NEW, 1)
    assert claimed.run_id.startswith("2025-12-01-decision-")
    assert claimed.run_id == claim(RunStore(database)).run_id


def test_claim_of_a_running_key_is_held_and_changes_nothing(database: Database) -> None:
    first = claim(RunStore(database))
    second = claim(RunStore(database), seconds=59)
    assert facts(second) == (ClaimOutcome.HELD, 1)
    assert RunStore(database).run(first.run_id).attempt == 1


def test_completed_key_stays_completed(database: Database) -> None:
    store = RunStore(database)
    run_id = claim(store).run_id
    store.finish(run_id, RunStatus.COMPLETED, later(5), b"{}")
    before = store.run(run_id)
    assert facts(claim(store, seconds=100)) == (ClaimOutcome.COMPLETED, 1)
    assert store.run(run_id) == before


@pytest.mark.parametrize("status", [RunStatus.HALTED, RunStatus.EMERGENCY, RunStatus.FAILED])
def test_ended_attempt_is_resumed_at_once(database: Database, status: RunStatus) -> None:
    store = RunStore(database)
    store.finish(claim(store).run_id, status, later(1), b"{}")
    assert facts(claim(store, seconds=2)) == (ClaimOutcome.RESUMED, 2)


def test_stale_lease_is_taken_over_with_a_bumped_epoch(database: Database) -> None:
    first = claim(RunStore(database, OTHER_HOST))
    second = claim(RunStore(database), seconds=60)
    assert facts(second) == (ClaimOutcome.TAKEN_OVER, 2)
    assert second.epoch == first.epoch + 1


def test_heartbeat_keeps_the_lease(database: Database) -> None:
    store = RunStore(database, OTHER_HOST)
    first = claim(store)
    store.heartbeat(first.run_id, first.attempt, later(50))
    assert claim(RunStore(database), seconds=100).outcome is ClaimOutcome.HELD
    assert claim(RunStore(database), seconds=110).outcome is ClaimOutcome.TAKEN_OVER


def test_killed_local_process_is_taken_over_without_waiting(database: Database) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        token = ProcessToken(host=this_process().host, process=child.pid, started="")
        claim(RunStore(database, token))
        assert claim(RunStore(database), seconds=1).outcome is ClaimOutcome.HELD
    finally:
        child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet collected
    assert claim(RunStore(database), seconds=2).outcome is ClaimOutcome.TAKEN_OVER
    child.wait()
    assert is_dead(token)


def test_reused_process_number_is_seen_by_its_start() -> None:
    mine = this_process()
    assert not is_dead(mine)
    if not mine.started:
        pytest.skip("this system tells no start times")
    assert is_dead(ProcessToken(host=mine.host, process=mine.process, started="1"))


def test_overtaken_attempt_is_refused_everywhere(database: Database) -> None:
    old = RunStore(database, OTHER_HOST)
    first = claim(old)
    claim(RunStore(database), seconds=61)
    with pytest.raises(RefusedError, match="taken over by attempt 2"):
        old.heartbeat(first.run_id, 1, later(62))
    with pytest.raises(RefusedError, match="taken over by attempt 2"):
        old.record_step(first.run_id, "nav", 1, "d", b"x")
    with pytest.raises(RefusedError, match="taken over by attempt 2"):
        old.finish(first.run_id, RunStatus.COMPLETED, later(62), b"", attempt=1)


def test_claim_for_execution_always_fences_older_senders(database: Database) -> None:
    store = RunStore(database)
    decision = claim(store)
    execution = claim(store, RunKind.EXECUTION)
    assert (decision.epoch, execution.epoch) == (0, 1)


def test_racing_claims_have_one_winner(database: Database) -> None:
    barrier, claims = threading.Barrier(6), list[RunClaim]()

    def race() -> None:
        store = RunStore(database)
        barrier.wait()
        claims.append(claim(store))

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = sorted(claimed.outcome.value for claimed in claims)
    assert outcomes == ["HELD"] * 5 + ["NEW"]


def test_run_ends_only_along_the_arrows_of_the_table(database: Database) -> None:
    store = RunStore(database)
    stored = [status for status in RunStatus if status is not RunStatus.NEW]
    ends = [status for status in RunStatus if not status.is_held]
    for number, (current, wanted) in enumerate(product(stored, ends)):
        run_id = _run_in(store, current, DAY + timedelta(days=number))
        if wanted in RUN_TRANSITIONS[current] or wanted is current:
            store.finish(run_id, wanted, NOW, b"")
            assert store.run(run_id).status is wanted
        else:
            with pytest.raises(IllegalTransition, match=f"from {current.value} to {wanted.value}"):
                store.finish(run_id, wanted, NOW, b"")


def _run_in(store: RunStore, status: RunStatus, trade_date: date) -> str:
    run_id = store.claim(make_key(trade_date=trade_date), NOW, "code", "config").run_id
    if status is RunStatus.RUNNING:
        store.record_step(run_id, "sync", 1, "d", b"x")
    elif status is RunStatus.ABANDONED:
        store.finish(run_id, RunStatus.HALTED, NOW, b"")
    elif status is RunStatus.RECOVERING:
        store.finish(run_id, RunStatus.FAILED, NOW, b"")
        store.claim(make_key(trade_date=trade_date), NOW, "code", "config")
    if not status.is_held:
        store.finish(run_id, status, NOW, b"")
    return run_id


@pytest.mark.parametrize("held", [RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.RECOVERING])
def test_run_can_not_end_in_a_state_that_is_held(database: Database, held: RunStatus) -> None:
    store = RunStore(database)
    with pytest.raises(InvariantError, match="expected the end of an attempt"):
        store.finish(claim(store).run_id, held, NOW, b"")


@pytest.mark.parametrize("ended", [RunStatus.HALTED, RunStatus.EMERGENCY, RunStatus.FAILED])
def test_later_attempt_is_recovering_until_its_first_step(database: Database, ended: RunStatus) -> None:
    store = RunStore(database)
    first = claim(store)
    assert first.status is RunStatus.CLAIMED
    store.finish(first.run_id, ended, NOW, b"")
    assert claim(store).status is RunStatus.RECOVERING
    store.record_step(first.run_id, "sync", 2, "in", b"out")
    assert store.run(first.run_id).status is RunStatus.RUNNING


def test_step_of_an_attempt_that_ended_is_refused(database: Database) -> None:
    store = RunStore(database)
    run_id = claim(store).run_id
    store.finish(run_id, RunStatus.HALTED, NOW, b"")
    with pytest.raises(IllegalTransition, match="from HALTED to RUNNING"):
        store.record_step(run_id, "sync", 1, "in", b"out")


def test_run_of_an_unknown_id_is_refused(database: Database) -> None:
    store = RunStore(database)
    assert store.run("none") is None
    with pytest.raises(InvariantError, match="none"):
        store.finish("none", RunStatus.COMPLETED, NOW, b"")


def test_runs_are_listed_by_date_and_kind(database: Database) -> None:
    store = RunStore(database)
    for day in (1, 0):
        store.claim(make_key(trade_date=DAY + timedelta(days=day)), NOW, "code", "config")
    claim(store, RunKind.CLOSE, seconds=10)
    dates = [run.key.trade_date.day for run in store.runs(ACCOUNT)]
    assert dates == [1, 1, 2]
    assert store.latest_run(ACCOUNT).key.trade_date.day == 2
    assert store.latest_run(ACCOUNT, RunKind.CLOSE).key.trade_date == DAY
    assert store.latest_run("nobody") is None


def test_step_is_recorded_once_and_repeated_without_effect(database: Database) -> None:
    store = RunStore(database)
    run_id = claim(store).run_id
    assert store.step(run_id, "nav") is None
    for _ in range(2):
        store.record_step(run_id, "nav", 1, "in", b"out")
    found = store.step(run_id, "nav")
    assert (found.attempt, found.input_digest, found.output) == (1, "in", b"out")
    assert store.run(run_id).status is RunStatus.RUNNING
    with pytest.raises(InvariantError, match="differently"):
        store.record_step(run_id, "nav", 1, "in", b"another")


def test_step_that_is_decided_from_other_inputs_takes_the_place_of_the_one_before(database: Database) -> None:
    store = RunStore(database)
    run_id = claim(store).run_id
    for step in ("fx", "nav"):
        store.record_step(run_id, step, 1, "in", b"out")
    store.record_step(run_id, "fx", 1, "read anew", b"another")
    found = store.step(run_id, "fx")
    assert (found.attempt, found.input_digest, found.output) == (1, "read anew", b"another")
    assert found.output_digest == digest_bytes(b"another")
    assert [record.step for record in store.steps(run_id)] == ["fx", "nav"]
    with pytest.raises(InvariantError, match="differently"):
        store.record_step(run_id, "fx", 1, "read anew", b"out")


def test_steps_are_those_of_the_latest_attempt_in_the_order_of_the_day(database: Database) -> None:
    store = RunStore(database)
    run_id = claim(store).run_id
    for step in ("sync", "nav", "risk"):
        store.record_step(run_id, step, 1, "in", step.encode())
    store.finish(run_id, RunStatus.HALTED, NOW, b"")
    claim(store)
    for step in ("nav", "sync"):
        store.record_step(run_id, step, 2, "in", b"again")
    found = [(record.step, record.attempt) for record in store.steps(run_id)]
    assert found == [("sync", 2), ("nav", 2), ("risk", 1)]


def test_inputs_of_the_latest_attempt_win_and_an_altered_one_is_seen(database: Database) -> None:
    store = RunStore(database)
    run_id = claim(store).run_id
    store.record_input(run_id, "market", b"first")
    store.record_input(run_id, "broker", b"account")
    store.record_input(run_id, "market", b"second")
    found = store.inputs(run_id)
    assert {name: record.payload for name, record in found.items()} == {
        "broker": b"account",
        "market": b"second",
    }
    assert all(record.is_intact for record in found.values())
    with database.transaction() as connection:
        connection.execute(update(run_inputs).where(run_inputs.c.name == "market").values(payload=b"altered"))
    assert not store.inputs(run_id)["market"].is_intact


def test_overtaken_attempt_leaves_what_the_run_read_as_it_is(database: Database) -> None:
    old, new = RunStore(database, OTHER_HOST), RunStore(database)
    first, second = claim(old), claim(new, seconds=60)
    new.record_inputs(second.run_id, {"market": b"what was decided on"}, second.attempt)
    with pytest.raises(RefusedError, match="attempt 1 was taken over by attempt 2"):
        old.record_inputs(first.run_id, {"market": b"read late"}, first.attempt)
    assert new.inputs(second.run_id)["market"].payload == b"what was decided on"


def test_memory_of_the_date_itself_is_never_read(database: Database) -> None:
    store = RunStore(database)
    for day, payload in ((0, b"monday"), (1, b"tuesday"), (0, b"monday again")):
        store.record_memory(ACCOUNT, "risk", DAY + timedelta(days=day), payload)
    assert store.memory(ACCOUNT, "risk", DAY) is None
    assert store.memory(ACCOUNT, "risk", DAY + timedelta(days=1)) == b"monday again"
    assert store.memory(ACCOUNT, "risk", DAY + timedelta(days=9)) == b"tuesday"
    assert store.memory(ACCOUNT, "regime", DAY + timedelta(days=9)) is None


def test_attempts_keep_who_ran_and_how_it_ended(database: Database) -> None:
    store = RunStore(database)
    run_id = claim(store).run_id
    store.finish(run_id, RunStatus.HALTED, later(3), b"")
    claim(store, seconds=5)
    with database.read() as connection:
        found = connection.execute(
            select(run_attempts.c.attempt, run_attempts.c.status).order_by(run_attempts.c.attempt)
        ).all()
    assert [tuple(row) for row in found] == [(1, "HALTED"), (2, "RECOVERING")]
