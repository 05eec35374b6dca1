"""A database that is a day old again: the statement gives back what was lost, and no order takes an old one's name."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.accounting.assignment import unassigned_quantity
from engine.errors import InvariantError, RefusedError
from engine.model.context import ControlState, RunKind, RunStatus
from engine.model.halts import HaltChoice, HaltKind
from engine.model.portfolio import Sleeve
from flows.outcome import Outcome
from state.verification import verify
from tasks.assigning import assign_execution
from tasks.day import wall_clock
from tasks.runtime import World
from tests.factories import (
    DAYS,
    accepted_orders,
    book_at_close,
    executions_at_broker,
    new_world,
    order_store,
    row_counts,
    run,
    run_day,
)
from tests.postgresql import administration, own_database, running_server
from tests.statements import imported, outcomes

LOST_DAY, NEXT_DAY = DAYS[1], DAYS[2]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def restored(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A fund that traded for two days, with the database of the evening of the first."""
    if request.param == "sqlite":
        yield from _restored(tmp_path, lambda: _copy_files(tmp_path))
        return
    with running_server() as server, own_database(server) as url:
        monkeypatch.setenv("FUND_DATABASE_URL", url)
        yield from _restored(tmp_path, lambda: _copy_database(server, url))


def _restored(home: Path, back_up: Callable[[], Callable[[], None]]) -> Iterator[World]:
    world = new_world(home, NEXT_DAY)
    run_day(world, DAYS[0])
    world.close()
    restore = back_up()
    world = new_world(home, NEXT_DAY)
    run_day(world, LOST_DAY)
    world.close()
    restore()
    world = new_world(home, NEXT_DAY)
    yield world
    world.close()


def _copy_files(home: Path) -> Callable[[], None]:
    shelf = home / "backup"
    shelf.mkdir()
    for path in home.glob("fund.sqlite*"):
        shutil.copy(path, shelf)

    def restore() -> None:
        for path in home.glob("fund.sqlite*"):
            path.unlink()
        for path in shelf.iterdir():
            shutil.copy(path, home)

    return restore


def _copy_database(server: str, url: str) -> Callable[[], None]:
    name = url.partition("?")[0].rpartition("/")[2]
    with administration(server) as connection:
        connection.execute(text(f"CREATE DATABASE kept_{name} TEMPLATE {name}"))

    def restore() -> None:
        with administration(server) as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE kept_{name}"))

    return restore


def test_statement_brings_the_book_up_to_the_broker_and_sleeves_get_what_is_theirs(restored: World) -> None:
    executed = len(restored.broker.executions())
    found = outcomes(imported(restored, LOST_DAY))
    assert set(found) == {("lost_order", "BOOKED")}
    assert 0 < found["lost_order", "BOOKED"] <= executed
    books = book_at_close(restored)
    assert books.ours == books.broker

    name, quantity = unassigned_execution(restored)
    before = restored.ledger.portfolio(restored.account, restored.broker.now + timedelta(seconds=1))
    assign_execution(restored, name, {"core_index_rv": None})
    after = restored.ledger.portfolio(restored.account, restored.broker.now + timedelta(seconds=1))
    moved = [
        (
            contract_id,
            held.sleeves.get(Sleeve.CORE, 0) - before.positions[contract_id].sleeves.get(Sleeve.CORE, 0),
        )
        for contract_id, held in after.positions.items()
        if held.sleeves != before.positions[contract_id].sleeves
    ]
    assert [change for _, change in moved] == [quantity]
    with pytest.raises(RefusedError, match="assigned already"):
        assign_execution(restored, name, {"core_index_rv": None})

    allow(restored, run(restored, NEXT_DAY, RunKind.DECISION))
    # The close of the next day halts when its bridge does not explain NAV to the cent, or the books differ.
    assert {found.status for found in run_day(restored, NEXT_DAY).values()} == {RunStatus.COMPLETED}
    assert verify(restored.database) == ()


def allow(world: World, outcome: Outcome) -> None:
    """Somebody has taken the statement in, and says so."""
    assert outcome.halt_id is not None
    halt = world.halts.halt(outcome.halt_id)
    assert halt is not None
    assert halt.kind == HaltKind.RESTORED.value
    world.halts.resolve(halt.halt_id, HaltChoice.RETRY, "the statement is in", "Ann", wall_clock())


def test_restored_fund_halts_until_the_statement_is_taken_in(restored: World) -> None:
    home, account = restored.options.home, restored.account
    sent = [child.order_ref for child in accepted_orders(home, account)]
    stopped = [run(restored, NEXT_DAY, RunKind.DECISION) for _ in range(2)]  # running it again is no answer
    assert {found.halt_id for found in stopped} == {stopped[0].halt_id}
    assert all("an older copy" in found.text for found in stopped)
    assert run(restored, NEXT_DAY, RunKind.EXECUTION).is_halted
    assert len(accepted_orders(home, account)) == len(sent)

    # Of Friday and the weekend: the halted run has booked their interest from the old balances.
    assert outcomes(imported(restored, LOST_DAY, NEXT_DAY - timedelta(days=1)))["lost_order", "BOOKED"] > 0
    allow(restored, run(restored, NEXT_DAY, RunKind.DECISION))  # what was asked of a person, a person answers
    assert restored.halts.open_halts(account) == ()
    assert {found.status for found in run_day(restored, NEXT_DAY).values()} == {RunStatus.COMPLETED}
    names = [child.order_ref for child in accepted_orders(home, account)]
    assert len(names) == len(set(names)) > len(sent)
    booked = Counter(
        entry.entry_id.removeprefix("trade:")
        for entry in restored.ledger.entries(account)
        if entry.entry_id.startswith("trade:")
    )
    assert booked == Counter(executions_at_broker(home, account))
    books = book_at_close(restored)
    assert books.ours == books.broker


def unassigned_execution(world: World) -> tuple[str, Decimal]:
    ledger = world.ledger.entries(world.account)
    names = [fill.execution_id for fill in world.broker.executions()]
    return next((name, left) for name in names if (left := unassigned_quantity(name, ledger)) != 0)


def test_lost_day_that_is_run_again_takes_no_name_of_a_lost_order(restored: World) -> None:
    sent = accepted_orders(restored.options.home, restored.account)
    lost = [child for child in sent if child.order_ref not in restored.order_refs()]
    executed = {fill.order_ref for fill in restored.broker.executions()}
    imported(restored, LOST_DAY)
    spent = [child for child in lost if child.order_ref in executed]
    assert row_counts(restored)["spent_references"] == len(spent) > 0
    orders = order_store(restored)
    for child in spent:
        assert orders.spent_attempts(child.intent_id) >= child.attempt
        with pytest.raises(InvariantError, match="that this database has lost"):
            orders.claim(child, Decimal(1), restored.broker.now)
    known = next(child for child in sent if child.order_ref in restored.order_refs())
    assert orders.spent_attempts(known.intent_id) == 0

    allow(restored, run(restored, LOST_DAY, RunKind.DECISION))
    assert {found.status for found in run_day(restored, LOST_DAY).values()} == {RunStatus.COMPLETED}
    names = [child.order_ref for child in accepted_orders(restored.options.home, restored.account)]
    assert len(names) == len(set(names)) >= len(sent)
    books = book_at_close(restored)
    assert books.ours == books.broker


def test_copy_that_lost_a_halt_and_nothing_else_stops_before_it_sends(tmp_path: Path) -> None:
    world = new_world(tmp_path, NEXT_DAY)
    run_day(world, DAYS[0])
    world.close()
    restore = _copy_files(tmp_path)
    world = new_world(tmp_path, NEXT_DAY)
    world.control.engage_kill_switch(world.account, "a rumour", "Ann", wall_clock())
    world.close()
    restore()
    world = new_world(tmp_path, NEXT_DAY)
    before = len(accepted_orders(tmp_path, world.account))
    assert (
        world.control.state(world.account) is ControlState.ACTIVE
    )  # the broker shows nothing of what was lost

    stopped = run(world, LOST_DAY, RunKind.DECISION)
    assert stopped.is_halted
    assert "it lacks 1 claims of runs or changes of control" in stopped.text
    assert run(world, LOST_DAY, RunKind.EXECUTION).is_halted
    assert len(accepted_orders(tmp_path, world.account)) == before

    allow(world, stopped)
    assert {found.status for found in run_day(world, LOST_DAY).values()} == {RunStatus.COMPLETED}
    assert len(accepted_orders(tmp_path, world.account)) > before
    world.close()
