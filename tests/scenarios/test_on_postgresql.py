"""The same days on a real PostgreSQL as on SQLite: the database has no say in any decision."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from engine.model.context import RunKind
from engine.model.encoding import encode
from tasks.runtime import World
from tests.factories import DAYS, accepted_orders, days_run, new_world, row_counts, run_day, step_outputs
from tests.postgresql import own_database, running_server

pytestmark = pytest.mark.postgres
COMPARED = DAYS[:2]


@pytest.fixture(scope="module")
def on_sqlite() -> Iterator[World]:
    """Return the world in which all of the days were run, opened again."""
    world = new_world(days_run().home)
    assert not world.database.is_postgresql  # opened here, while no address is set
    yield world
    world.close()


@pytest.fixture(scope="module")
def on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return a world of its own whose book is on PostgreSQL, after the first two of the days."""
    with running_server() as server, own_database(server) as url:
        world = new_world(tmp_path_factory.mktemp("postgresql"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FUND_DATABASE_URL", url)
            assert world.database.is_postgresql  # opened here, with the address
        for day in COMPARED:
            assert not any(outcome.is_halted for outcome in run_day(world, day).values())
        yield world
        world.close()


def test_book_is_really_on_postgresql(on_sqlite: World, on_postgresql: World) -> None:
    assert (on_sqlite.options.home / "fund.sqlite").exists()
    assert not (on_postgresql.options.home / "fund.sqlite").exists()


@pytest.mark.parametrize("kind", [RunKind.DECISION, RunKind.CLOSE])
@pytest.mark.parametrize("day", COMPARED)
def test_every_step_decides_the_same_bytes(
    on_sqlite: World, on_postgresql: World, day: date, kind: RunKind
) -> None:
    expected = step_outputs(on_sqlite, day, kind)

    assert len(expected) > 0
    assert step_outputs(on_postgresql, day, kind) == expected


def test_orders_at_the_broker_are_the_same(on_sqlite: World, on_postgresql: World) -> None:
    def ordered(home: Path, account: str) -> list[bytes]:
        until = COMPARED[-1].isoformat()
        orders = accepted_orders(home, account)
        return [encode(order) for order in orders if order.good_till.date().isoformat() <= until]

    expected = ordered(on_sqlite.options.home, on_sqlite.account)

    assert len(expected) > 10
    assert ordered(on_postgresql.options.home, on_postgresql.account) == expected


def test_ledger_has_the_same_entries(on_sqlite: World, on_postgresql: World) -> None:
    until = on_postgresql.broker.now
    expected = on_sqlite.ledger.entries(on_sqlite.account, until=until)

    assert len(expected) > 10
    assert on_postgresql.ledger.entries(on_postgresql.account, until=until) == expected


def test_second_run_of_the_days_changes_no_row(on_postgresql: World) -> None:
    before = row_counts(on_postgresql)

    for day in COMPARED:
        run_day(on_postgresql, day)

    assert row_counts(on_postgresql) == before
