"""The latch between gate and wire: several may hold it, who stops trading waits for all of them, also across processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from state.database import Database, open_database
from state.latch import MemoryLatch, latch_of
from tests.latch_holder import holding_process

ACCOUNT, OTHER = "SIM-a", "SIM-b"
SHORT = 0.02


def test_latch_is_free_until_somebody_holds_it_and_after_all_let_go(database: Database) -> None:
    latch = database.latch(ACCOUNT)
    assert latch.was_free(SHORT)
    with latch.shared():
        with latch.shared():
            assert not latch.was_free(SHORT)
        assert not latch.was_free(SHORT)
    assert latch.was_free(SHORT)


def test_latch_of_another_account_stands_in_nobodys_way(database: Database) -> None:
    with database.latch(ACCOUNT).shared():
        assert database.latch(OTHER).was_free(SHORT)


def test_exception_lets_go(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.latch(ACCOUNT).shared():
        _ = 1 / 0
    assert database.latch(ACCOUNT).was_free(SHORT)


def test_stopped_process_keeps_the_latch_and_a_killed_one_does_not(
    database: Database, address: str | None, tmp_path: Path
) -> None:
    with holding_process(tmp_path, address, ACCOUNT) as process:
        process.send_signal(signal.SIGSTOP)
        assert not database.latch(ACCOUNT).was_free(SHORT)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert database.latch(ACCOUNT).was_free()


@pytest.mark.parametrize("backend", [pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_connection_that_the_server_ended_holds_nothing_and_is_replaced(database: Database) -> None:
    latch, end = (
        database.latch(ACCOUNT),
        text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"),
    )
    with latch.shared() as is_held:
        assert is_held()
        with database.engine.connect() as administrator:
            administrator.execute(end)
        assert not is_held()
    assert latch.was_free(SHORT)
    with latch.shared() as is_held:
        assert is_held()
        assert not latch.was_free(SHORT)


def test_database_in_memory_has_a_latch_for_which_nobody_waits() -> None:
    latch = latch_of(create_engine("sqlite://"), ACCOUNT)
    assert isinstance(latch, MemoryLatch)
    with latch.shared():
        assert not latch.was_free()
    assert latch.was_free()


def test_latch_file_stands_beside_the_database_and_is_the_users_alone(tmp_path: Path) -> None:
    database = open_database(None, tmp_path)
    with database.latch(ACCOUNT).shared():
        (file,) = tmp_path.glob("fund.sqlite-latch-*")
        assert file.stat().st_mode & 0o777 == 0o600
    database.close()
    assert os.listdir(tmp_path)
