import os
import threading
from contextlib import ExitStack
from itertools import count

import pytest
from sqlalchemy import Connection, inspect, text

from engine.errors import ConfigurationError, InvariantError, RefusedError
from engine.model.context import ControlState, RunStatus
from engine.model.halts import HaltChoice
from state.control import ControlStore, HaltSeverity, HaltStatus, HaltStore
from state.database import Database
from state.runs import RunStore
from tests.state.builders import ACCOUNT, NOW, later, make_key

CHOICES = (HaltChoice.ADOPT_BROKER, HaltChoice.RETRY)


def run_id(database: Database) -> str:
    return RunStore(database).claim(make_key(), NOW, "code", "config").run_id


def stop(
    database: Database,
    kind: str = "cash-break",
    severity: HaltSeverity = HaltSeverity.HALT,
    seconds: float = 0,
) -> str:
    return HaltStore(database).raise_halt(
        ACCOUNT,
        run_id(database),
        kind,
        severity=severity,
        message="30,000 USD are missing",
        evidence=b'{"difference":"-30000"}',
        choices=CHOICES,
        now=later(seconds),
    )


def test_account_that_never_ran_is_active(database: Database) -> None:
    assert ControlStore(database).state(ACCOUNT) is ControlState.ACTIVE


@pytest.mark.parametrize("state", ControlState)
def test_state_is_what_was_set(database: Database, state: ControlState) -> None:
    store = ControlStore(database)
    changed = store.set_state(ACCOUNT, state, "volatility", "risk", NOW)
    assert (changed.state, store.state(ACCOUNT)) == (state, state)


def test_change_is_effective_at_once_while_nothing_is_on_its_way(database: Database) -> None:
    changed = ControlStore(database).set_state(ACCOUNT, ControlState.HALTED, "stop", "me", NOW)
    assert changed.is_effective
    assert changed.effective_at is not None
    assert changed.requested_at == NOW <= changed.effective_at <= later(1)


def test_change_is_only_requested_while_an_order_is_on_its_way_and_effective_when_asked_again(
    database: Database,
) -> None:
    store = ControlStore(database)
    ControlStore(database).set_state(ACCOUNT, ControlState.ACTIVE, "begin", "me", NOW)
    with database.latch(ACCOUNT).shared():
        assert not store.set_state(ACCOUNT, ControlState.HALTED, "stop", "me", later(1)).is_effective
        assert store.state(ACCOUNT) is ControlState.HALTED, "the gate is closed from the request on"
    assert store.confirm_effective(ACCOUNT, later(2))
    effective = store.control(ACCOUNT).effective_at
    assert effective is not None
    assert later(2) <= effective <= later(3)


def test_halt_and_kill_switch_become_effective_like_every_change(database: Database) -> None:
    store = ControlStore(database)
    stop(database)
    assert store.control(ACCOUNT).is_effective
    with database.latch(ACCOUNT).shared():
        assert not store.engage_kill_switch(ACCOUNT, "stop", "me", later(1)).is_effective
    stop(database, seconds=2)  # joins the halt that is open, and asks again
    assert store.control(ACCOUNT).is_effective


def test_stop_on_a_clock_behind_that_of_the_last_change_is_only_requested_while_an_order_is_on_its_way(
    database: Database,
) -> None:
    store = ControlStore(database)
    # Another computer, ten seconds ahead, let trading go on: that became effective at NOW + 10 s.
    store.set_state(ACCOUNT, ControlState.ACTIVE, "begin", "me", later(10))
    with database.latch(ACCOUNT).shared():
        assert not store.engage_kill_switch(ACCOUNT, "stop", "me", NOW).is_effective
        stop(database)
        assert not store.control(ACCOUNT).is_effective
    assert store.confirm_effective(ACCOUNT, NOW)
    assert store.control(ACCOUNT).is_effective


def test_change_made_while_an_earlier_one_is_confirmed_is_not_confirmed_with_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, held = ControlStore(database), ExitStack()

    class Hurried:
        def was_free(self) -> bool:
            """Once it was found free: an order is claimed, and a stop comes before this is written down."""
            monkeypatch.undo()
            held.enter_context(database.latch(ACCOUNT).shared())
            store.engage_kill_switch(ACCOUNT, "stop", "me", later(1))
            return True

    monkeypatch.setattr(Database, "latch", lambda self, account: Hurried())
    with held:
        # The stop waits a second in vain for the order, so this is written down after NOW + 1 s.
        store.set_state(ACCOUNT, ControlState.ACTIVE, "begin", "me", NOW)
        assert not store.control(ACCOUNT).is_effective
    assert store.confirm_effective(ACCOUNT, later(6))
    assert store.control(ACCOUNT).is_effective


def test_process_that_may_still_send_is_named(database: Database) -> None:
    run = run_id(database)
    (holder,) = ControlStore(database).may_be_sending(ACCOUNT)
    assert f"process {os.getpid()} on " in holder
    assert f"{run} attempt 1" in holder


def test_process_of_a_later_attempt_that_may_still_send_is_named_too(database: Database) -> None:
    run = run_id(database)
    RunStore(database).claim(make_key(), later(61), "code", "config")
    assert f"{run} attempt 2" in ControlStore(database).may_be_sending(ACCOUNT)[0]


def test_kill_switch_halts_and_its_release_gives_the_set_state_back(database: Database) -> None:
    store = ControlStore(database)
    store.set_state(ACCOUNT, ControlState.REDUCING, "margin", "risk", NOW)
    assert store.engage_kill_switch(ACCOUNT, "stop", "me", NOW).state is ControlState.HALTED
    with pytest.raises(ConfigurationError, match="operator"):
        store.release_kill_switch(ACCOUNT, "go on", " ", NOW)
    assert store.release_kill_switch(ACCOUNT, "go on", "me", NOW).state is ControlState.REDUCING


def test_halt_stops_the_account_until_it_is_resolved(database: Database) -> None:
    store, control = HaltStore(database), ControlStore(database)
    halt_id = stop(database)
    assert control.state(ACCOUNT) is ControlState.HALTED
    (found,) = store.open_halts(ACCOUNT)
    assert (found.halt_id, found.evidence, found.choices) == (halt_id, b'{"difference":"-30000"}', CHOICES)
    resolved = store.resolve(halt_id, HaltChoice.RETRY, "the feed is back", "", later(60))
    assert (resolved.status, resolved.choice, resolved.resolved_at) == (
        HaltStatus.RESOLVED,
        HaltChoice.RETRY,
        later(60),
    )
    assert control.state(ACCOUNT) is ControlState.ACTIVE
    assert store.open_halts(ACCOUNT) == ()


def test_two_open_halts_need_two_resolutions(database: Database) -> None:
    store = HaltStore(database)
    first, second = stop(database), stop(database, "stale-fx", seconds=1)
    assert [halt.halt_id for halt in store.open_halts(ACCOUNT)] == [first, second]
    store.resolve(first, HaltChoice.RETRY, "seen", "", NOW)
    assert ControlStore(database).state(ACCOUNT) is ControlState.HALTED


def test_open_halt_is_joined_with_its_first_evidence_and_the_worse_severity(database: Database) -> None:
    first = stop(database)
    assert stop(database, severity=HaltSeverity.EMERGENCY, seconds=5) == first
    found = HaltStore(database).halt(first)
    assert (found.severity, found.raised_at) == (HaltSeverity.EMERGENCY, NOW)
    assert stop(database) == first
    assert HaltStore(database).halt(first).severity is HaltSeverity.EMERGENCY


def test_halt_id_follows_from_key_and_kind_and_counts_occurrences(database: Database) -> None:
    store = HaltStore(database)
    first = stop(database)
    store.resolve(first, HaltChoice.RETRY, "seen", "", NOW)
    assert stop(database) == f"{first}-2"
    assert stop(database, "stale-fx") not in (first, f"{first}-2")


def test_halt_of_an_unknown_run_is_refused(database: Database) -> None:
    with pytest.raises(InvariantError, match="none called nothing"):
        HaltStore(database).raise_halt(
            ACCOUNT, "nothing", "x", severity=HaltSeverity.HALT, message="", evidence=b"", choices=(), now=NOW
        )


@pytest.mark.parametrize(
    ("severity", "choice", "reason", "operator", "expected"),
    [
        (HaltSeverity.HALT, HaltChoice.FLATTEN, "why not", "me", "offers adopt-broker, retry; found flatten"),
        (HaltSeverity.HALT, HaltChoice.RETRY, "  ", "me", "reason"),
        (HaltSeverity.EMERGENCY, HaltChoice.RETRY, "looked", "", "operator"),
    ],
)
def test_incomplete_resolution_changes_nothing(
    database: Database, severity: HaltSeverity, choice: HaltChoice, reason: str, operator: str, expected: str
) -> None:
    halt_id = stop(database, severity=severity)
    with pytest.raises(ConfigurationError, match=expected):
        HaltStore(database).resolve(halt_id, choice, reason, operator, NOW)
    assert HaltStore(database).halt(halt_id).status is HaltStatus.OPEN


def test_unknown_halt_is_named(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="halt-0"):
        HaltStore(database).resolve("halt-0", HaltChoice.RETRY, "why", "me", NOW)
    assert HaltStore(database).halt("halt-0") is None


def test_second_resolution_loses(database: Database) -> None:
    store, halt_id = HaltStore(database), stop(database)
    store.resolve(halt_id, HaltChoice.ADOPT_BROKER, "statement", "ann", NOW)
    with pytest.raises(RefusedError, match="already with adopt-broker by ann"):
        store.resolve(halt_id, HaltChoice.RETRY, "again", "bob", NOW)


def test_racing_resolutions_have_one_winner(database: Database) -> None:
    halt_id, barrier, results = stop(database), threading.Barrier(4), list[str]()
    names = count()

    def race() -> None:
        operator = f"operator {next(names)}"
        barrier.wait()
        try:
            HaltStore(database).resolve(halt_id, HaltChoice.RETRY, "race", operator, NOW)
            results.append(operator)
        except RefusedError:
            results.append("lost")

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [result for result in results if result != "lost"]
    assert len(results) == 4
    assert winners == [HaltStore(database).halt(halt_id).operator]


def test_resolution_is_used_by_one_attempt(database: Database) -> None:
    store, halt_id = HaltStore(database), stop(database)
    run = run_id(database)
    assert not store.consume(halt_id, run, 2, NOW)
    store.resolve(halt_id, HaltChoice.RETRY, "seen", "", NOW)
    assert [halt.halt_id for halt in store.resolved_halts(ACCOUNT)] == [halt_id]
    assert store.consume(halt_id, run, 2, NOW)
    assert store.consume(halt_id, run, 2, NOW)
    assert not store.consume(halt_id, run, 3, NOW)
    assert store.resolved_halts(ACCOUNT) == ()


@pytest.mark.parametrize(
    "damage",
    ["UPDATE halts SET evidence = :bytes", "UPDATE halts SET choices = 'guess', evidence = :bytes"],
)
def test_halt_that_can_not_be_read_still_halts(database: Database, damage: str) -> None:
    halt_id = stop(database)
    with database.transaction() as connection:
        connection.execute(text(damage), {"bytes": b"\x01damaged"})
    (found,) = HaltStore(database).open_halts(ACCOUNT)
    assert (found.halt_id, found.status, found.severity) == (
        halt_id,
        HaltStatus.UNREADABLE,
        HaltSeverity.EMERGENCY,
    )
    assert ControlStore(database).state(ACCOUNT) is ControlState.HALTED
    with pytest.raises(RefusedError, match="can not be read"):
        HaltStore(database).resolve(halt_id, HaltChoice.RETRY, "try", "me", NOW)


@pytest.mark.parametrize(
    ("damage", "stops_everything"),
    [
        ("UPDATE control SET state = 'ACTIV'", False),  # a state that can not be read means HALTED
        ("UPDATE halts SET severity = 'EMERGENCE'", True),  # one of a halt counts as the worse
    ],
)
def test_word_that_can_not_be_read_is_taken_for_the_stricter(
    damage: str, stops_everything: bool, database: Database
) -> None:
    if "halts" in damage:
        stop(database)
    else:
        run_id(database)
    with database.engine.connect() as connection:
        _without_checks(connection)
        connection.execute(text(damage))
        connection.commit()
    found = ControlStore(database).control(ACCOUNT)
    assert (found.state, found.stops_everything) == (ControlState.HALTED, stops_everything)


def _without_checks(connection: Connection) -> None:
    """Let rows be written that only a damaged database holds."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        return
    for check in inspect(connection).get_check_constraints("control"):
        connection.execute(text(f'ALTER TABLE control DROP CONSTRAINT "{check["name"]}"'))
    for check in inspect(connection).get_check_constraints("halts"):
        connection.execute(text(f'ALTER TABLE halts DROP CONSTRAINT "{check["name"]}"'))


def test_halt_survives_the_end_of_its_run(database: Database) -> None:
    halt_id = stop(database)
    RunStore(database).finish(run_id(database), RunStatus.HALTED, NOW, b"")
    assert HaltStore(database).halt(halt_id).status is HaltStatus.OPEN
