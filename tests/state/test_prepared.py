"""Statements compiled once: the rows, the types and the errors of ``connection.execute``, on both databases."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Select, bindparam, insert, select
from sqlalchemy.exc import (
    IntegrityError,
    MultipleResultsFound,
    NoResultFound,
    OperationalError,
    StatementError,
)

from state import (
    accounts,
    control_row,
    fills,
    gate,
    jobs,
    ledger,
    order_reading,
    order_writes,
    orders,
    runs,
    spent_references,
    tables,
)
from state.database import Database
from state.prepared import Parameters, Prepared, StoredRow
from tests.state.builders import ACCOUNT, DAY, NOW, make_child, make_fill, make_intent, make_job, open_orders

D = Decimal
MODULES = (
    accounts, control_row, fills, gate, jobs, ledger, order_reading, order_writes, orders, runs, spent_references,
)  # fmt: skip
HOT = {
    f"{module.__name__}.{name}{'.' + '+'.join(key) if key else ''}": one
    for module in MODULES
    for name, value in vars(module).items()
    for key, one in (value.items() if isinstance(value, dict) else [((), value)])
    if isinstance(one, Prepared)
}
QUERIES = {name: one for name, one in HOT.items() if isinstance(one.statement, Select)}


@pytest.fixture
def book(database: Database) -> Database:
    """A book with a job and two children of its parent; the first is executed in two parts."""
    store = open_orders(database)
    intent = make_intent()
    store.save_jobs((make_job("job", intent),))
    for attempt in (1, 2):
        child = make_child(intent, attempt, "40")
        store.claim(child, D("7600.4"), NOW)
        store.record_fill(make_fill(child, "1.5", f"000{attempt}.01"))
    store.record_fill(make_fill(child, "2.25", "0003.01", commission=None))
    return database


def asked(connection: Connection, prepared: Prepared) -> Parameters:
    """What a query of the book may be asked for; lists name three things, of which one is not there."""
    refs = [row.order_ref for row in connection.execute(select(tables.orders.c.order_ref))]
    intent_id = connection.execute(select(tables.intents.c.intent_id)).scalar_one()
    run_id = connection.execute(select(tables.orders.c.run_id).limit(1)).scalar_one()
    known: dict[str, object] = {
        "account": ACCOUNT, "trade_date": DAY, "intent_id": intent_id, "intent_ids": [intent_id, "none"],
        "contract_id": "AAPL", "order_ref": refs[0], "order_refs": [*refs, "none"], "root": "0002",
        "roots": ["0001", "0003", "none"], "entry_ids": ["trade:0001.01", "commission:0001.01", "none"],
        "names": [*refs, "0001", "0002"], "job_id": "job", "run_id": run_id, "attempt": 1, "after": 0,
        "execution_id": "0001.01",
    }  # fmt: skip
    compiled = prepared.statement.compile(dialect=connection.dialect)
    return {name: known[name] for name, value in compiled.params.items() if name in known and value is None}


def as_seen(rows: list[StoredRow]) -> list[dict[str, tuple[type, object]]]:
    return [{name: (type(value), value) for name, value in row._mapping.items()} for row in rows]


def test_every_query_of_the_order_path_is_looked_at() -> None:
    assert len(QUERIES) >= 30
    assert len(HOT) - len(QUERIES) >= 12


def test_query_prepared_gives_the_rows_and_types_of_an_execution(book: Database) -> None:
    with book.transaction() as connection:
        for name, prepared in QUERIES.items():
            wanted = asked(connection, prepared)
            expected = list(connection.execute(prepared.statement, wanted).all())
            assert as_seen(prepared.all(connection, wanted)) == as_seen(expected), name
            assert prepared.all(connection, wanted) == expected, name


def test_queries_of_a_filled_book_find_something(book: Database) -> None:
    with book.read() as connection:
        empty = {name for name, one in QUERIES.items() if not one.all(connection, asked(connection, one))}
    # No spread, no lost reference and no order of unknown outcome is in the book.
    assert empty == {
        "state.fills._GIVEN_BY_SPREADS",
        "state.spent_references._SPENT",
        "state.orders._BLOCKED",
    }


ROWS = Prepared(select(tables.orders).order_by(tables.orders.c.order_ref))
PLAIN_NOTE = insert(tables.order_events)
NOTE = Prepared(PLAIN_NOTE)
SET = Prepared(tables.orders.update().where(tables.orders.c.order_ref == bindparam("this_order")))
micros = st.decimals(min_value=0, max_value=10**9, places=6)
prices = st.decimals(min_value=D("-999999"), max_value=10**15, places=12)
moments = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1),  # noqa: DTZ001 (the zone is drawn)
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)  # fmt: skip
changes = st.fixed_dictionaries(
    {
        "filled": micros,
        "limit_price": prices,
        "notional_usd": st.none() | micros,
        "sent_at": st.none() | moments,
        "payload": st.binary(max_size=6000),
        "trade_date": st.dates(min_value=date(1970, 1, 1)),
        "perm_id": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=changes)
def test_row_written_prepared_is_the_row_that_an_execution_writes(
    book: Database, values: dict[str, object]
) -> None:
    with book.transaction() as connection:
        first, second = (row.order_ref for row in ROWS.all(connection, {}))
        assert SET.run(connection, {**values, "this_order": first}) == 1
        connection.execute(tables.orders.update().where(tables.orders.c.order_ref == second).values(**values))
        written, expected = connection.execute(ROWS.statement).all()
        assert ROWS.all(connection, {}) == [written, expected]
        names = list(values)
    assert [(type(written._mapping[n]), written._mapping[n]) for n in names] == [
        (type(expected._mapping[n]), expected._mapping[n]) for n in names
    ]


def notes(first: int, count: int, order_ref: str) -> list[dict[str, object]]:
    return [
        {"order_ref": order_ref, "sequence": n, "status": "WORKING", "at": NOW, "note": f"note {n}"}
        for n in range(first, first + count)
    ]


def test_rows_of_any_number_are_written_once_each(book: Database) -> None:
    with book.transaction() as connection:
        order_ref = ROWS.all(connection, {})[0].order_ref
        for first, count in ((100, 0), (100, 1), (101, 2), (103, 997)):
            NOTE.run_all(connection, notes(first, count, order_ref))
    with book.read() as connection:
        wanted = select(tables.order_events.c.sequence).where(tables.order_events.c.sequence >= 100)
        found = connection.execute(wanted.order_by(tables.order_events.c.sequence)).scalars().all()
    assert list(found) == list(range(100, 1100))


def test_list_of_any_length_finds_what_it_names(book: Database) -> None:
    listed = Prepared(
        select(tables.orders.c.order_ref)
        .where(tables.orders.c.order_ref.in_(bindparam("names", expanding=True)))
        .order_by(tables.orders.c.order_ref)
    )
    with book.read() as connection:
        refs = [row.order_ref for row in ROWS.all(connection, {})]
        names = [*refs, *(f"none {n}" for n in range(500))]
        for count in (0, 1, 2, 3, 5, 8, 9, 500):
            found = listed.all(connection, {"names": names[:count]})
            assert [row.order_ref for row in found] == refs[:count]


def test_key_that_is_there_already_is_an_integrity_error_and_leaves_the_transaction_usable(
    book: Database,
) -> None:
    with book.transaction() as connection:
        order_ref = ROWS.all(connection, {})[0].order_ref
        (row,) = notes(100, 1, order_ref)
        NOTE.run(connection, row)
        for write in (lambda: NOTE.run(connection, row), lambda: connection.execute(PLAIN_NOTE, row)):
            with pytest.raises(IntegrityError) as told, connection.begin_nested():
                write()
            assert told.value.orig is not None
            assert told.value.statement is not None
        NOTE.run(connection, {**row, "sequence": 101})


def test_value_that_a_column_refuses_is_a_statement_error_and_nothing_is_written(book: Database) -> None:
    with book.transaction() as connection:
        order_ref = ROWS.all(connection, {})[0].order_ref
        with pytest.raises(StatementError, match="six decimals"):
            SET.run(connection, {"filled": D("0.0000001"), "this_order": order_ref})
        assert ROWS.all(connection, {})[0].filled == D("3.75")


def test_one_row_is_asked_for_and_another_number_is_found_raises(book: Database) -> None:
    with book.read() as connection:
        with pytest.raises(MultipleResultsFound):
            ROWS.one_or_none(connection, {})
        with pytest.raises(NoResultFound):
            gate._CHILD.one(connection, {"order_ref": "none"})
        assert gate._CHILD.one_or_none(connection, {"order_ref": "none"}) is None


def test_statement_sees_what_its_transaction_wrote_and_a_rollback_takes_it_back(book: Database) -> None:
    with book.engine.connect() as connection, connection.begin() as transaction:
        order_ref = ROWS.all(connection, {})[0].order_ref
        SET.run(connection, {"perm_id": "7", "this_order": order_ref})
        assert connection.execute(ROWS.statement).first().perm_id == "7"
        transaction.rollback()
    with book.read() as connection:
        assert ROWS.all(connection, {})[0].perm_id is None


def test_statement_goes_through_the_dialect_so_that_a_fault_reaches_it(
    book: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = book.engine.dialect.loaded_dbapi.OperationalError
    seen: list[str] = []

    def fails(cursor: object, statement: str, parameters: object, context: object = None) -> None:
        seen.append(statement)
        raise error("disk I/O error")

    with book.read() as connection:
        ROWS.all(connection, {})
        monkeypatch.setattr(book.engine.dialect, "do_execute", fails)
        with pytest.raises(OperationalError, match="disk I/O error"):
            ROWS.all(connection, {})
    assert len(seen) == 1
    assert seen[0].startswith("SELECT orders.order_ref")


@pytest.mark.parametrize("backend", [pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_connection_that_the_server_ended_is_left_and_the_next_one_is_another(book: Database) -> None:
    with book.engine.connect() as connection:
        ROWS.all(connection, {})
        with book.engine.connect() as other:
            number = connection.connection.dbapi_connection.info.backend_pid
            other.exec_driver_sql(f"SELECT pg_terminate_backend({number})")
        with pytest.raises(OperationalError) as told:
            ROWS.all(connection, {})
    assert told.value.connection_invalidated
    with book.read() as connection:
        assert len(ROWS.all(connection, {})) == 2
