"""Column types that store exact values exactly, on SQLite and PostgreSQL alike.

`Micros` is money and quantities (BIGINT of 10⁻⁶), `Price` is prices and exchange rates (text on SQLite,
NUMERIC(28,12) on PostgreSQL, never through a float), `Moment` is a time in UTC, `Payload` is canonical bytes.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, Dialect, LargeBinary, Numeric, String, TypeDecorator
from sqlalchemy.types import TypeEngine

from engine.errors import InvariantError
from engine.model.encoding import decimal_text
from engine.model.money import from_micros, to_micros

PRICE_DECIMALS = 12
PRICE_DIGITS = 16
PRICE_LIMIT = Decimal(10) ** PRICE_DIGITS
COMPRESS_ABOVE_BYTES = 4096
_PLAIN, _ZLIB = b"\x00", b"\x01"


class Micros(TypeDecorator[Decimal]):
    """Exact money or quantity, stored as whole micro-units."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Whole micro-units; refuses more than six decimals."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """The exact amount."""
        return None if value is None else from_micros(int(value))


def price_text(value: Decimal) -> str:
    """Canonical text of a price; raises `InvariantError` on what NUMERIC(28,12) would round."""
    text = decimal_text(value)
    whole, _, decimals = text.partition(".")
    if len(decimals) > PRICE_DECIMALS or (len(whole) > PRICE_DIGITS and abs(value) >= PRICE_LIMIT):
        raise InvariantError(f"expected a price below 1e16 with at most 12 decimals, found {value}")
    return text


def moment_text(value: datetime) -> str:
    """A time in UTC as text of fixed width; raises `InvariantError` on one without a zone."""
    if value.tzinfo is None:
        raise InvariantError(f"expected a time with a zone, found {value!r}")
    at = value if value.tzinfo is UTC else value.astimezone(UTC)
    # isoformat() asks the zone for its offset, which takes twice as long.
    day = f"{at.year:04d}-{at.month:02d}-{at.day:02d}"
    return f"{day}T{at.hour:02d}:{at.minute:02d}:{at.second:02d}.{at.microsecond:06d}Z"


class Price(TypeDecorator[Decimal]):
    """Exact price or exchange rate with at most twelve decimals; never added or compared in SQL."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Decimal] | TypeEngine[str]:
        """NUMERIC on PostgreSQL, text elsewhere."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(28, PRICE_DECIMALS))
        return dialect.type_descriptor(String())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | Decimal | None:
        """Canonical text or the number itself; refuses what NUMERIC(28,12) would round."""
        if value is None:
            return None
        text = price_text(value)
        return Decimal(text) if dialect.name == "postgresql" else text

    def process_result_value(self, value: str | Decimal | None, dialect: Dialect) -> Decimal | None:
        """The number without trailing zeros, the same from both databases."""
        return None if value is None else Decimal(decimal_text(Decimal(value)))


class Moment(TypeDecorator[datetime]):
    """A time in UTC: TIMESTAMPTZ on PostgreSQL, text of fixed width (so that it sorts) on SQLite."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime] | TypeEngine[str]:
        """TIMESTAMPTZ on PostgreSQL, text elsewhere."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(String())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | datetime | None:
        """Refuses a time without a zone."""
        if value is None:
            return None
        text = moment_text(value)
        return value.astimezone(UTC) if dialect.name == "postgresql" else text

    def process_result_value(self, value: str | datetime | None, dialect: Dialect) -> datetime | None:
        """The time in UTC."""
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        # SQLite's CURRENT_TIMESTAMP is UTC and does not say so.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Payload(TypeDecorator[bytes]):
    """Canonical bytes; large ones are compressed, and a first byte says so."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """Marked, and compressed above 4 KB."""
        if value is None:
            return None
        if len(value) > COMPRESS_ABOVE_BYTES:
            return _ZLIB + zlib.compress(value, level=1)
        return _PLAIN + value

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """The bytes as they were given; raises `InvariantError` when they can not be read."""
        if value is None:
            return None
        data = bytes(value)
        try:
            return zlib.decompress(data[1:]) if data[:1] == _ZLIB else _unmarked(data)
        except zlib.error as error:
            raise InvariantError(f"a stored payload can not be unpacked ({error})") from error


def _unmarked(data: bytes) -> bytes:
    if data[:1] != _PLAIN:
        raise InvariantError("a stored payload does not begin with its mark; the row was altered")
    return data[1:]
