"""One command of the control interface: its fields, read as what they have to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from engine.errors import ConfigurationError
from tasks.adapters.simulated_gateway.forms import LARGEST_POWER, MOST_DIGITS

Told = dict[str, object]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_TIMES = 1_000_000
_LARGEST = 2**31 - 1
_LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
"""The last moment that there is: who waits for good names it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One command with what it takes; reading a field of another kind raises `ConfigurationError`."""

    fields: Mapping[str, object]

    @classmethod
    def parse(cls, line: bytes) -> Asked:
        """A line of JSON; raises `ConfigurationError` for anything else."""
        try:
            found = json.loads(line)
        except ValueError as problem:
            raise ConfigurationError(f"expected a line of JSON, found {line[:60]!r}") from problem
        if not isinstance(found, dict):
            raise ConfigurationError(f"expected an object of JSON, found {line[:60]!r}")
        return cls(found)

    def has(self, name: str) -> bool:
        """Whether a field is given."""
        return self.fields.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        found = self.fields.get(name, default)
        if not isinstance(found, str):
            raise ConfigurationError(f"{name}: expected a text, found {found!r}")
        return found

    def integer(
        self, name: str, default: int | None = None, *, least: int = -_LARGEST, most: int = _LARGEST
    ) -> int:
        """A whole number, of 32 bits unless it is told otherwise."""
        found = self.fields.get(name, default)
        if not isinstance(found, int) or isinstance(found, bool):
            raise ConfigurationError(f"{name}: expected a whole number, found {_shown(found)}")
        if not least <= found <= most:
            raise ConfigurationError(
                f"{name}: expected a whole number from {least} to {most}, found one of {found.bit_length()} bits"
            )
        return found

    def times(self) -> int:
        """How often something happens: ``times``, else once."""
        return self.integer("times", 1, least=0, most=MOST_TIMES)

    def time(self, name: str) -> datetime:
        """A time, said in whole microseconds since 1970, UTC."""
        return EPOCH + timedelta(microseconds=self.integer(name, least=0, most=_LAST))

    def client(self) -> int | None:
        """The client that is meant, ``None`` for all."""
        return self.integer("client_id") if self.has("client_id") else None

    def switch(self, name: str) -> bool:
        """On or off; on when it is not given."""
        found = self.fields.get(name, True)
        if not isinstance(found, bool):
            raise ConfigurationError(f"{name}: expected true or false, found {found!r}")
        return found

    def number(self, name: str) -> Decimal:
        """A number, written as a text so that it stays exact, or a whole one."""
        return _number(name, self.fields.get(name))

    def numbers(self, name: str) -> tuple[Decimal, ...]:
        """A list of numbers, empty when it is not given."""
        found = self.fields.get(name, [])
        if not isinstance(found, list):
            raise ConfigurationError(f"{name}: expected a list, found {found!r}")
        return tuple(_number(name, item) for item in found)


def _number(name: str, found: object) -> Decimal:
    try:
        value = Decimal(found) if isinstance(found, str | int) and not isinstance(found, bool) else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite():
        raise ConfigurationError(f"{name}: expected a number as a text, found {_shown(found)}")
    if abs(value.adjusted()) > LARGEST_POWER or len(value.as_tuple().digits) > MOST_DIGITS:
        raise ConfigurationError(
            f"{name}: expected a number of at most {MOST_DIGITS} digits between 10^-{LARGEST_POWER} and "
            f"10^{LARGEST_POWER}, found {_shown(found)}"
        )
    return value


def _shown(found: object) -> str:
    return repr(found)[:60]
