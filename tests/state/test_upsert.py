"""Rows written in bulk: the same on both databases, by rows and by arrays, once and twice."""

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Connection, delete, select, text

from engine.errors import InvariantError, NonFiniteValue
from state.accounts import ensure_account
from state.database import Database
from state.record_tables import market_data
from state.tables import intents, runs
from state.upsert import ARRAYS_FROM_ROWS, Row, insert_or_keep, insert_or_replace

D = Decimal
AT = datetime(2026, 5, 4, 6, 0, 0, 123456, tzinfo=UTC)
COUNTS = (1, ARRAYS_FROM_ROWS - 1, ARRAYS_FROM_ROWS, 3 * ARRAYS_FROM_ROWS)


def bar(number: int, close: str = "101.25", volume: str | None = "1000.5") -> Row:
    return {
        "account": "A",
        "at": AT + timedelta(seconds=number),
        "contract_id": f"S{number}",
        "source": "SIMULATED",
        "bar": "day",
        "close": D(close),
        "volume": None if volume is None else D(volume),
    }


def stored(connection: Connection) -> list[Row]:
    found = connection.execute(select(market_data).order_by(market_data.c.at)).all()
    return [{name: row._mapping[name] for name in bar(0)} for row in found]


@pytest.mark.parametrize("count", COUNTS)
def test_rows_come_back_as_they_were(database: Database, count: int) -> None:
    rows = [bar(n, f"{n}.000000000001", None if n % 2 else "0.000001") for n in range(count)]
    with database.transaction() as connection:
        insert_or_replace(connection, market_data, rows)
        assert stored(connection) == rows


@pytest.mark.parametrize("count", COUNTS)
def test_rows_written_twice_are_there_once_with_the_last_values(database: Database, count: int) -> None:
    with database.transaction() as connection:
        insert_or_replace(connection, market_data, [bar(n) for n in range(count)])
        before = connection.execute(select(market_data.c.created_at)).scalars().all()
        changed = [bar(n, "99", None) if n == 0 else bar(n) for n in range(count)]
        insert_or_replace(connection, market_data, changed)
        assert stored(connection) == changed
        assert connection.execute(select(market_data.c.created_at)).scalars().all() == before


@pytest.mark.parametrize("count", COUNTS)
def test_kept_rows_stay_as_they_are(database: Database, count: int) -> None:
    rows = [bar(n) for n in range(count)]
    with database.transaction() as connection:
        insert_or_keep(connection, market_data, rows)
        insert_or_keep(connection, market_data, [bar(n, "7") for n in range(count)])
        assert stored(connection) == rows


@pytest.mark.parametrize("replaces", [True, False])
def test_rows_that_are_partly_there_are_written_whichever_comes_first(
    database: Database, replaces: bool
) -> None:
    known = [bar(n) for n in range(ARRAYS_FROM_ROWS)]
    new = [bar(ARRAYS_FROM_ROWS + n) for n in range(ARRAYS_FROM_ROWS)]
    write = insert_or_replace if replaces else insert_or_keep
    for first, then in ((new, known), (known, new)):
        with database.transaction() as connection:
            connection.execute(delete(market_data))
            write(connection, market_data, known)
            write(connection, market_data, [*first, *({**row, "close": D(7)} for row in then)])
            sevens = {row["contract_id"] for row in stored(connection) if row["close"] == 7}
            total = len(stored(connection))
        # What is known takes the new value only where rows replace; what is new always has its own.
        expected = {row["contract_id"] for row in then if replaces or then is new}
        assert (total, sevens) == (2 * ARRAYS_FROM_ROWS, expected)


def test_last_of_several_rows_with_one_key_counts(database: Database) -> None:
    rows = [bar(n) for n in range(ARRAYS_FROM_ROWS)]
    with database.transaction() as connection:
        insert_or_replace(connection, market_data, [*rows, bar(3, "5"), bar(3, "6")])
        assert stored(connection) == [bar(n, "6") if n == 3 else bar(n) for n in range(ARRAYS_FROM_ROWS)]


AWKWARD = [
    "plain",
    'a "quoted" word',
    "back\\slash",
    "{braces, commas}",
    "NULL",
    "per%cent %s",
    "é €",
    "",
    "\n",
]


def test_text_bytes_and_truth_survive_the_arrays(database: Database) -> None:
    with database.transaction() as connection:
        ensure_account(connection, "A")
        insert_or_keep(connection, runs, [_run()])
        rows = [_intent(n, AWKWARD[n % len(AWKWARD)]) for n in range(2 * ARRAYS_FROM_ROWS)]
        insert_or_replace(connection, intents, rows)
        found = connection.execute(select(intents).order_by(intents.c.intent_id)).all()
        assert [{name: row._mapping[name] for name in rows[0]} for row in found] == rows


def _run() -> Row:
    return {
        "run_id": "r",
        "account": "A",
        "mode": "simulated",
        "trade_date": date(2026, 5, 4),
        "kind": "decision",
        "status": "COMPLETED",
        "attempt": 1,
        "epoch": 1,
        "code_version": "c",
        "config_digest": "d",
        "claimed_at": AT,
    }


def _intent(number: int, words: str) -> Row:
    return {
        "intent_id": f"i{number:03d}",
        "account": "A",
        "run_id": "r",
        "trade_date": date(2026, 5, 4),
        "contract_id": words,
        "side": "BUY",
        "quantity": D(number + 1),
        "reason": words,
        "reduce_only": number % 2 == 0,
        "payload": words.encode() + bytes(range(256)) * (number % 20),
    }


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    ("spoiled", "error"),
    [
        ({"volume": D("NaN")}, NonFiniteValue),
        ({"close": D("Infinity")}, NonFiniteValue),
        ({"volume": D("0.0000001")}, InvariantError),
        ({"close": D("1e16")}, InvariantError),
        ({"at": AT.replace(tzinfo=None)}, InvariantError),
    ],
)
def test_money_that_is_no_money_is_refused(
    database: Database, count: int, spoiled: Row, error: type[Exception]
) -> None:
    rows = [*(bar(n) for n in range(count - 1)), {**bar(count), **spoiled}]
    with pytest.raises(error), database.transaction() as connection:
        insert_or_replace(connection, market_data, rows)
    with database.read() as connection:
        assert stored(connection) == []


def test_rows_written_at_the_same_moment_by_two_are_there_once(database: Database) -> None:
    """The second writer sees no row when it begins, and has to wait for the first one's."""
    rows = [bar(n) for n in range(2 * ARRAYS_FROM_ROWS)]
    begun, failures = threading.Event(), []

    def write_again() -> None:
        try:
            with database.transaction() as connection:
                begun.set()
                insert_or_replace(connection, market_data, [bar(n, "7") for n in range(len(rows))])
        except Exception as error:
            failures.append(error)

    with database.transaction() as connection:
        insert_or_replace(connection, market_data, rows)
        other = threading.Thread(target=write_again)
        other.start()
        if database.is_postgresql:
            begun.wait()
            _until_somebody_waits(connection)
    other.join()
    assert failures == []
    with database.read() as connection:
        assert stored(connection) == [bar(n, "7") for n in range(len(rows))]


def _until_somebody_waits(connection: Connection) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while connection.execute(waiting).scalar() == 0:
        pass


def test_rows_of_one_value_in_a_column_are_written_beside_rows_of_many(database: Database) -> None:
    rows = [{**bar(n), "close": D(5), "volume": None, "at": AT} for n in range(ARRAYS_FROM_ROWS)]
    with database.transaction() as connection:
        insert_or_replace(connection, market_data, rows)
        insert_or_replace(connection, market_data, [{**row, "volume": D(9)} for row in rows])
        found = connection.execute(select(market_data.c.at, market_data.c.close, market_data.c.volume)).all()
    assert set(found) == {(AT, D(5), D(9))}
    assert len(found) == ARRAYS_FROM_ROWS


@pytest.mark.parametrize("replaces", [True, False])
def test_rows_of_one_key_alone_become_one_row(database: Database, replaces: bool) -> None:
    write = insert_or_replace if replaces else insert_or_keep
    with database.transaction() as connection:
        write(connection, market_data, [bar(0, str(n)) for n in range(2 * ARRAYS_FROM_ROWS)])
        assert stored(connection) == [bar(0, str(2 * ARRAYS_FROM_ROWS - 1) if replaces else "0")]
