"""The fields of Flex rows as values: text, dates, times and exact numbers; what is missing or no number is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from engine.errors import StatementError

_SEPARATORS = re.compile(r"[;, T]+")
_DATE_DIGITS = 8
_TIME_DIGITS = 6


@dataclass(frozen=True, slots=True)
class FlexRow:
    """One element of a statement, read field by field; ``zone`` is that of its clock times."""

    element: Element
    zone: ZoneInfo

    def text(self, name: str) -> str:
        """A field that must be there and may be empty."""
        found = self.element.get(name)
        if found is None:
            raise StatementError(
                f"expected the field {name} in every {self.element.tag}, found a row without it; "
                "add it to the sections of the Flex query"
            )
        return found.strip()

    def required(self, name: str) -> str:
        """A field that must say something."""
        found = self.text(name)
        if not found:
            raise StatementError(f"expected {name} of a {self.element.tag} to say something, found it empty")
        return found

    def optional(self, name: str) -> str:
        """A field that a query may leave out; empty then."""
        return self.element.get(name, "").strip()

    def number(self, name: str) -> Decimal:
        """An exact, finite number."""
        return self._number(name, self.required(name))

    def number_or_zero(self, name: str) -> Decimal:
        """An amount whose field a query may leave out where nothing was charged."""
        text = self.optional(name)
        return self._number(name, text) if text else Decimal(0)

    def _number(self, name: str, text: str) -> Decimal:
        try:
            value = Decimal(text.replace(",", ""))
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite():
            raise StatementError(f"expected {name} of a {self.element.tag} to be a number, found {text!r}")
        return value

    def day(self, name: str) -> date:
        """A date, with or without dashes; a time behind it is not looked at."""
        return self._day(name, _SEPARATORS.split(self.required(name))[0])

    def moment(self, name: str) -> datetime:
        """A date and a clock time in the statement's zone, as UTC; the start of the day where no time is given."""
        day, *clock = _SEPARATORS.split(self.required(name))
        digits = "".join(clock).replace(":", "")[:_TIME_DIGITS].ljust(_TIME_DIGITS, "0")
        try:
            local = datetime.strptime(f"{self._day(name, day):%Y%m%d}{digits}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - given its zone below
        except ValueError as error:
            raise StatementError(
                f"expected {name} of a {self.element.tag} as 20261112;143000, found {self.text(name)!r}"
            ) from error
        return local.replace(tzinfo=self.zone).astimezone(UTC)

    def _day(self, name: str, text: str) -> date:
        digits = text.replace("-", "")
        try:
            if len(digits) != _DATE_DIGITS:
                raise ValueError(digits)
            return date.fromisoformat(digits)
        except ValueError as error:
            raise StatementError(
                f"expected {name} of a {self.element.tag} as 20261112 or 2026-11-12, found {text!r}"
            ) from error
