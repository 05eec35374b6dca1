"""Forms of messages as data: which fields a message has, in which order, at which version; read and written by one rule.

A record is what a message says: texts by name, and lists of records where a form repeats. A form is read from front to
back and has to use up every field: one field too many would shift all that follow without anyone noticing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import cast

from tasks.adapters.simulated_gateway.framing import OutOfRange, WireError

Record = Mapping[str, "str | tuple[Record, ...]"]
UNSET_NUMBER = "1.7976931348623157E308"
NEWEST = 10_000
LARGEST_INTEGER = 2**31
LARGEST_POWER = 20
"""Numbers lie between 10^-20 and 10^20: a step beyond a price or a size of anything, and cheap to reckon with."""

MOST_DIGITS = 28
"""As many as decimal arithmetic keeps."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")


@dataclass(frozen=True, slots=True)
class Field:
    """One text; ``default`` stands for it when a record does not name it. ``since`` and ``before`` are versions."""

    name: str
    default: str = ""
    since: int = 0
    before: int = NEWEST


@dataclass(frozen=True, slots=True)
class Many:
    """A count, then as many records of a form."""

    name: str
    form: Form


@dataclass(frozen=True, slots=True)
class When:
    """Fields that are there only when another field, read before, has one of some values (``None``: any text)."""

    name: str
    values: frozenset[str] | None
    form: Form


Part = Field | Many | When
Form = tuple[Part, ...]


def fields(text: str, *, since: int = 0, before: int = NEWEST) -> Form:
    """Fields by their names in order; ``name=text`` gives a default."""
    made = []
    for word in text.split():
        name, _, default = word.partition("=")
        made.append(Field(name, default, since, before))
    return tuple(made)


def read(form: Form, texts: Sequence[str], version: int) -> Record:
    """The record that a whole message says; raises `WireError` when fields are missing or left over."""
    rest = iter(texts)
    record = _read(form, rest, version, {})
    left = sum(1 for _ in rest)
    if left:
        raise WireError(
            f"expected {len(texts) - left} fields, found {len(texts)}: the message has another form"
        )
    return record


def write(form: Form, record: Record, version: int) -> list[str]:
    """The message that says a record; raises `WireError` for a name that the form does not have."""
    unknown = record.keys() - _names(form)
    if unknown:
        raise WireError(f"expected names of the form, found {', '.join(sorted(unknown))}")
    return _write(form, record, version)


@dataclass(frozen=True, slots=True)
class _Row:
    """Fields that follow each other at one version, with their defaults."""

    names: tuple[str, ...]
    defaults: tuple[str, ...]


_Plan = tuple[_Row | Many | When, ...]
_known_names: dict[int, tuple[Form, frozenset[str]]] = {}
_known_plans: dict[tuple[int, int], tuple[Form, _Plan]] = {}
"""Both by the identity of the form, which is kept with them: a form is long, and always the same."""


def _names(form: Form) -> frozenset[str]:
    known = _known_names.get(id(form))
    if known is None:
        known = _known_names[id(form)] = (form, names(form))
    return known[1]


def _plan(form: Form, version: int) -> _Plan:
    """A form at one version: fields in rows, for nearly all of a message is one."""
    known = _known_plans.get((id(form), version))
    if known is None:
        known = _known_plans[id(form), version] = (form, tuple(_rows(form, version)))
    return known[1]


def _rows(form: Form, version: int) -> Iterator[_Row | Many | When]:
    row: list[Field] = []
    for part in (*form, None):
        if isinstance(part, Field):
            row += [part] if part.since <= version < part.before else []
            continue
        if row:
            yield _Row(tuple(field.name for field in row), tuple(field.default for field in row))
            row = []
        if part is not None:
            yield part


def names(form: Form) -> frozenset[str]:
    """Every name that a record of the form may have."""
    found: set[str] = set()
    for part in form:
        if isinstance(part, When):
            found |= names(part.form)
        else:
            found.add(part.name)
    return frozenset(found)


def _read(form: Form, rest: Iterator[str], version: int, outer: Record) -> Record:
    record: dict[str, str | tuple[Record, ...]] = {}
    for part in _plan(form, version):
        match part:
            case _Row(row, _):
                found = tuple(islice(rest, len(row)))
                if len(found) < len(row):
                    raise _ended(row[len(found)])
                record.update(zip(row, found, strict=True))
            case Many(name, inner):
                count = _count(_next(rest, name), name)
                record[name] = tuple(_read(inner, rest, version, record) for _ in range(count))
            case When(name, _, inner):
                if _holds(part, record if name in record else outer):
                    record |= _read(inner, rest, version, {**outer, **record})
    return record


def _write(form: Form, record: Record, version: int) -> list[str]:
    said: list[str] = []
    for part in _plan(form, version):
        match part:
            case _Row(row, defaults):
                said += _texts(record, row, defaults)
            case Many(name, inner):
                rows = many(record, name)
                said.append(str(len(rows)))
                for one in rows:
                    said += _write(inner, one, version)
            case When(_, _, inner):
                if _holds(part, record):
                    said += _write(inner, record, version)
    return said


def _texts(record: Record, row: tuple[str, ...], defaults: tuple[str, ...]) -> list[str]:
    found = list(map(record.get, row, defaults))
    if set(map(type, found)) == {str}:
        return cast("list[str]", found)
    return [text(record, name, default) for name, default in zip(row, defaults, strict=True)]


def _holds(part: When, record: Record) -> bool:
    found = text(record, part.name)
    return bool(found) if part.values is None else found in part.values


def _next(rest: Iterator[str], name: str) -> str:
    found = next(rest, None)
    if found is None:
        raise _ended(name)
    return found


def _ended(name: str) -> WireError:
    return WireError(f"expected the field {name}, found the end of the message")


def _count(found: str, name: str) -> int:
    if found == "":
        return 0
    if not found.isascii() or not found.isdigit() or len(found) > 4:
        raise WireError(f"{name}: expected a count, found {found[:20]!r}")
    return int(found)


# ---------------------------------------------------------------- what a record says


def text(record: Record, name: str, default: str = "") -> str:
    """A text of a record."""
    found = record.get(name, default)
    if not isinstance(found, str):
        raise WireError(f"{name}: expected a text, found a list")
    return found


def many(record: Record, name: str) -> tuple[Record, ...]:
    """A list of a record, empty when it has none."""
    found = record.get(name, ())
    if isinstance(found, str):
        raise WireError(f"{name}: expected a list, found a text")
    return found


def integer(record: Record, name: str, default: int = 0) -> int:
    """A whole number of a record; raises `OutOfRange` for one of more than 32 bits, `WireError` for anything else."""
    found = text(record, name)
    if found == "":
        return default
    if _INTEGER.fullmatch(found) is None:
        raise WireError(f"{name}: expected a whole number, found {found[:20]!r}")
    value = int(found)
    if not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
        raise OutOfRange(f"{name}: expected a whole number of 32 bits, found {found[:20]!r}")
    return value


def number(record: Record, name: str) -> Decimal | None:
    """A number of a record, ``None`` when it is not set.

    Raises `OutOfRange` for one that is too large, too small or too long, `WireError` for NaN and anything else.
    """
    found = text(record, name)
    if found == "" or found.upper().replace("E+", "E") == UNSET_NUMBER:
        return None
    try:
        value = Decimal(found)
    except InvalidOperation as error:
        raise WireError(f"{name}: expected a number, found {found[:20]!r}") from error
    if not value.is_finite():
        raise WireError(f"{name}: expected a finite number, found {found[:20]!r}")
    if abs(value.adjusted()) > LARGEST_POWER or len(value.as_tuple().digits) > MOST_DIGITS:
        raise OutOfRange(
            f"{name}: expected a number of at most {MOST_DIGITS} digits between 10^-{LARGEST_POWER} and "
            f"10^{LARGEST_POWER}, found {found[:20]!r}"
        )
    return value


def flag(record: Record, name: str) -> bool:
    """A yes or no of a record."""
    found = text(record, name)
    if found not in ("", "0", "1"):
        raise WireError(f"{name}: expected 0 or 1, found {found[:20]!r}")
    return found == "1"
