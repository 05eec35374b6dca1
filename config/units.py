"""Number types with a unit: what each accepts, and the words with which it refuses.

Numbers come from YAML as whole numbers or exact decimals (money may also be a quoted decimal); they are kept as
`Decimal`, so that no value passes through a binary float before the code asks for one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

_PLAIN_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _as_decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PydanticCustomError("number", "expected a number, found {found}", {"found": _shown(value)})
    return Decimal(value)


def _as_money(value: object) -> Decimal:
    if isinstance(value, str) and _PLAIN_DECIMAL.fullmatch(value):
        return Decimal(value)
    return _as_decimal(value)


def _as_clock(value: object) -> str:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise PydanticCustomError(
            "clock", 'expected a time of day as "HH:MM" in quotes, found {found}', {"found": _shown(value)}
        )
    return value


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f'the text "{value}"'
    return str(value)


def _between(low: Decimal | None, high: Decimal | None, words: str) -> Callable[[Decimal], Decimal]:
    def fits(value: Decimal) -> bool:
        return (low is None or value >= low) and (high is None or value <= high)

    def check(value: Decimal) -> Decimal:
        if fits(value):
            return value
        # 35 for 35 %, or 0.15 for a loss of 15 %: the two slips that happen.
        guesses = [guess for guess in (value / 100, -value, -value / 100) if high is not None and fits(guess)]
        raise PydanticCustomError(
            "range",
            "expected {words}, found {found}",
            {"words": words, "found": f"{value:f}", "guess": f"{guesses[0]:f}" if guesses else ""},
        )

    return check


def _schema(words: str, low: str | None, high: str | None) -> WithJsonSchema:
    schema: dict[str, object] = {"type": "number", "description": words}
    if low is not None:
        schema["minimum"] = float(low)
    if high is not None:
        schema["maximum"] = float(high)
    return WithJsonSchema(schema)


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise PydanticCustomError(
            "range", "expected a number above 0, found {found}", {"found": f"{value:f}", "guess": ""}
        )
    return value


_SHARE = "a fraction between 0 and 1"
_LOSS = "a loss as a negative fraction between -1 and 0"
_SIGNED = "a fraction between -1 and 1"
_NOT_NEGATIVE = "a number of 0 or more"
_BPS = "basis points between 0 and 10000"

Fraction: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(0), Decimal(1), _SHARE)),
    _schema(_SHARE, "0", "1"),
]
LossFraction: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(-1), Decimal(0), _LOSS)),
    _schema(_LOSS, "-1", "0"),
]
SignedFraction: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(-1), Decimal(1), _SIGNED)),
    _schema(_SIGNED, "-1", "1"),
]
BasisPoints: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(0), Decimal(10000), _BPS)),
    _schema(_BPS, "0", "10000"),
]
Multiple: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(0), Decimal(10), "a multiple between 0 and 10")),
    _schema("a multiple between 0 and 10", "0", "10"),
]
AtLeastOne: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(1), Decimal(10), "a multiple between 1 and 10")),
    _schema("a multiple between 1 and 10", "1", "10"),
]
Number: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(0), None, _NOT_NEGATIVE)),
    _schema(_NOT_NEGATIVE, "0", None),
]
Positive: TypeAlias = Annotated[
    Decimal, BeforeValidator(_as_decimal), AfterValidator(_positive), _schema("a number above 0", "0", None)
]
Money: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_money),
    AfterValidator(_positive),
    _schema("an amount of money above 0", "0", None),
]
Clock: TypeAlias = Annotated[
    str, BeforeValidator(_as_clock), WithJsonSchema({"type": "string", "pattern": _CLOCK.pattern})
]
Count: TypeAlias = Annotated[int, Field(ge=0)]
CountFromOne: TypeAlias = Annotated[int, Field(ge=1)]


# Limits of the orders and of the comparisons: a value a hundred times too large is refused, as a slip of bps and percent.

_COLLAR = "basis points between 0 and 150"
_BREAK = "basis points between 0 and 500"
_TOLERANCE = "a fraction between 0 and 0.05"
_SMALL_SUM = "an amount between 0 and 5000"
_FLOOR = "a fraction between 0.05 and 1"
_VIX = "a level of the VIX between 5 and 100"

CollarBps: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(0), Decimal(150), _COLLAR)),
    _schema(_COLLAR, "0", "150"),
]
BreakBps: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(0), Decimal(500), _BREAK)),
    _schema(_BREAK, "0", "500"),
]
Tolerance: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(0), Decimal("0.05"), _TOLERANCE)),
    _schema(_TOLERANCE, "0", "0.05"),
]
SmallSum: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(0), Decimal(5000), _SMALL_SUM)),
    _schema(_SMALL_SUM, "0", "5000"),
]
LiquidityFloor: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal("0.05"), Decimal(1), _FLOOR)),
    _schema(_FLOOR, "0.05", "1"),
]
VixLevel: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_between(Decimal(5), Decimal(100), _VIX)),
    _schema(_VIX, "5", "100"),
]
MinorSeconds: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_positive),
    AfterValidator(_between(None, Decimal(300), "at most 300 seconds")),
    _schema("seconds above 0, at most 300", "0", "300"),
]
MajorSeconds: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_positive),
    AfterValidator(_between(None, Decimal(7200), "at most 7200 seconds")),
    _schema("seconds above 0, at most 7200", "0", "7200"),
]
OpenHours: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_as_decimal),
    AfterValidator(_positive),
    AfterValidator(_between(None, Decimal(240), "at most 240 hours")),
    _schema("hours above 0, at most 240", "0", "240"),
]
Ticks: TypeAlias = Annotated[int, Field(ge=0, le=20)]
Sessions: TypeAlias = Annotated[int, Field(ge=0, le=20)]
Minutes: TypeAlias = Annotated[int, Field(ge=0, le=240)]
Replaces: TypeAlias = Annotated[int, Field(ge=0, le=60)]
OrdersADay: TypeAlias = Annotated[int, Field(ge=1, le=5000)]
