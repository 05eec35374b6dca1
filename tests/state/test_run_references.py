"""What a row refers to exists, however the database is told to ask: row by row or once a statement."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from state.database import REVISIONS, Database, migrate
from state.record_tables import positions
from state.runs import RunStore
from state.tables import fills
from state.upsert import ARRAYS_FROM_ROWS, Row, insert_or_replace
from state.verification import verify
from tests.state.builders import NOW, make_child, make_fill, make_intent, make_key, open_orders, plan

D = Decimal
MANY = 2 * ARRAYS_FROM_ROWS


def held(run_id: str, number: int = 0) -> Row:
    return {
        "run_id": run_id,
        "at": NOW,
        "contract_id": f"S{number}",
        "sleeve": "core_index_rv",
        "account": "A",
        "instrument_id": f"S{number}",
        "quantity": D(number),
        "position_cost": D(1),
        "mark": None,
        "position_value_usd": None,
        "position_exposure_usd": None,
    }


@pytest.fixture
def run_id(database: Database) -> str:
    return RunStore(database).claim(make_key(), NOW, "code", "config").run_id


@pytest.mark.parametrize("count", [1, MANY])
def test_positions_of_an_unknown_run_are_refused(database: Database, run_id: str, count: int) -> None:
    rows = [held(run_id, number) for number in range(count)]
    with pytest.raises(IntegrityError), database.transaction() as connection:
        insert_or_replace(connection, positions, [*rows, held("nobody")])
    with database.read() as connection:
        assert connection.execute(select(positions)).all() == []


def test_positions_can_not_be_given_to_an_unknown_run(database: Database, run_id: str) -> None:
    with database.transaction() as connection:
        insert_or_replace(connection, positions, [held(run_id)])
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(update(positions).values(run_id="nobody"))


@pytest.mark.parametrize("act", ["DELETE FROM runs", "UPDATE runs SET run_id = 'other'"])
def test_run_that_wrote_positions_stays(database: Database, run_id: str, act: str) -> None:
    with database.transaction() as connection:
        insert_or_replace(connection, positions, [held(run_id)])
        connection.execute(text("DELETE FROM run_attempts"))
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(text(act))


def booked(database: Database) -> None:
    orders = open_orders(database)
    orders.save_intents(make_key().trade_date, [make_intent("one"), make_intent("two")])
    child = make_child(make_intent("one"))
    plan(orders, child)
    orders.record_fill(make_fill(child, "40"))


@pytest.mark.parametrize("column", ["account", "intent_id", "order_ref"])
def test_execution_of_another_parent_or_account_than_its_order_is_refused(
    database: Database, column: str
) -> None:
    booked(database)
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(text(f"UPDATE fills SET {column} = 'two'"))


def test_executions_survive_an_older_schema_and_back(database: Database) -> None:
    booked(database)
    with database.transaction() as connection:
        before = connection.execute(select(fills)).all()
        migrate(connection, "0007")
    with database.transaction() as connection:
        migrate(connection, "0008")
        assert connection.execute(select(fills)).all() == before
        migrate(connection, REVISIONS[-1])
    assert [fill.quantity for fill in open_orders(database).fills()] == [D(40)]


@pytest.mark.postgres
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_reference_that_is_no_longer_asked_for_is_found(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("ALTER TABLE positions DISABLE TRIGGER positions_require_runs_insert"))
    assert [finding.detail for finding in verify(database)] == [
        "rows may name runs that do not exist: positions_require_runs_insert is gone"
    ]
