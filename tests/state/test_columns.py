import zlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import StatementError

from engine.errors import InvariantError
from state.columns import Micros, Moment, Payload, Price
from state.database import Database

D = Decimal
metadata = MetaData()
samples = Table(
    "samples",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("money", Micros),
    Column("price", Price),
    Column("at", Moment),
    Column("payload", Payload),
)


def stored(database: Database, **values: object) -> dict[str, object]:
    with database.transaction() as connection:
        metadata.create_all(connection)
        connection.execute(samples.delete())
        connection.execute(insert(samples).values(number=1, **values))
        return dict(connection.execute(select(samples)).one()._mapping)


@pytest.mark.parametrize(
    "price", ["0.1", "1.172345678901", "-37.63", "0", "9999999999999999.999999999999", "100"]
)
def test_price_comes_back_digit_for_digit(database: Database, price: str) -> None:
    found = stored(database, price=D(price))["price"]
    assert str(found) == price


@pytest.mark.parametrize("price", ["0.0000000000001", "1e16", "NaN"])
def test_price_that_would_be_rounded_is_refused(database: Database, price: str) -> None:
    with pytest.raises((StatementError, InvariantError), match=r"12 decimals|finite"):
        stored(database, price=D(price))


def test_price_is_text_on_sqlite_and_numeric_on_postgresql() -> None:
    assert str(samples.c.price.type.compile(sqlite.dialect())) == "VARCHAR"
    assert str(samples.c.price.type.compile(postgresql.dialect())) == "NUMERIC(28, 12)"


@pytest.mark.parametrize("money", ["0.000001", "-9000000000000", "12345678.9"])
def test_money_comes_back_exactly(database: Database, money: str) -> None:
    assert stored(database, money=D(money))["money"] == D(money)


def test_money_with_seven_decimals_is_refused(database: Database) -> None:
    with pytest.raises((StatementError, InvariantError), match="six decimals"):
        stored(database, money=D("0.0000001"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(money=st.decimals(-(10**12), 10**12, places=6), price=st.decimals(-(10**9), 10**9, places=12))
def test_exact_numbers_survive_sqlite(money: Decimal, price: Decimal) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(insert(samples).values(number=1, money=money, price=price))
        row = connection.execute(select(samples.c.money, samples.c.price)).one()
    engine.dispose()
    assert tuple(row) == (money, price)


def test_time_comes_back_in_utc_whatever_zone_it_had(database: Database) -> None:
    at = datetime(2025, 12, 1, 7, 30, tzinfo=timezone(timedelta(hours=1)))
    found = stored(database, at=at)["at"]
    assert found == datetime(2025, 12, 1, 6, 30, tzinfo=UTC)
    assert found.tzinfo == UTC


def test_time_without_zone_is_refused(database: Database) -> None:
    with pytest.raises((StatementError, InvariantError), match="with a zone"):
        stored(database, at=datetime(2025, 12, 1))  # noqa: DTZ001


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 100_000])
def test_payload_of_any_size_comes_back(database: Database, size: int) -> None:
    assert stored(database, payload=b"x" * size)["payload"] == b"x" * size


def test_large_payload_is_stored_small(database: Database) -> None:
    stored(database, payload=b"x" * 100_000)
    with database.read() as connection:
        raw = bytes(connection.execute(text("SELECT payload FROM samples")).scalar_one())
    assert len(raw) < 1000
    assert zlib.decompress(raw[1:]) == b"x" * 100_000


def test_altered_payload_is_refused(database: Database) -> None:
    stored(database, payload=b"x" * 100_000)
    with database.transaction() as connection:
        connection.execute(text("UPDATE samples SET payload = :broken"), {"broken": b"\x01broken"})
    with database.read() as connection, pytest.raises(InvariantError, match="unpacked"):
        connection.execute(select(samples)).one()
