"""Values of a column as PostgreSQL reads them: the text of one value, and of an array over many rows."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from datetime import date

from sqlalchemy import Column, Dialect

from engine.errors import InvariantError
from engine.model.money import to_micros
from state.columns import Micros, Moment, Payload, Price, moment_text, price_text

Written: typing.TypeAlias = "str | None"


def written_once_each(values: Sequence[object], write: Callable[[typing.Any], object]) -> list[object]:
    """Values as ``write`` gives them, ``None`` as it is; one that stands in many rows is written once."""
    try:
        known: dict[object, object] = dict.fromkeys(values)
    except TypeError:  # a signaling NaN has no hash: its column's type refuses it by name
        return [None if value is None else write(value) for value in values]
    for value in known:
        known[value] = None if value is None else write(value)
    return [known[value] for value in values]


def texts_of(column: Column[object], dialect: Dialect, values: Sequence[object]) -> list[Written]:
    """Each value as PostgreSQL reads it; raises what the column's type raises."""
    kind = column.type
    if isinstance(kind, Payload):
        return typing.cast(
            "list[Written]",
            written_once_each(values, lambda value: _text(kind.process_bind_param(value, dialect))),
        )
    for known, write in _WRITERS:
        if isinstance(kind, known):
            return typing.cast("list[Written]", written_once_each(values, write))
    return [value if isinstance(value, str) else _text(value) for value in values]


def array_literal(texts: Sequence[Written]) -> str:
    """The text of an array; what could be read as something else is quoted."""
    plain = _joined(texts)
    if plain is not None:
        return '{"' + plain + '"}'
    return "{" + ",".join(["NULL" if text is None else _quoted(text) for text in texts]) + "}"


def _joined(texts: Sequence[Written]) -> str | None:
    """Texts in one go, ``None`` where one is missing or has to be quoted by itself."""
    try:
        joined = '","'.join(typing.cast("Sequence[str]", texts))
    except TypeError:
        return None
    return None if "\\" in joined or joined.count('"') != 2 * (len(texts) - 1) else joined


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITERS: tuple[tuple[type, Callable[[typing.Any], str]], ...] = (
    (Micros, lambda value: str(to_micros(value))),
    (Price, price_text),
    (Moment, moment_text),
)
"""Money, prices and times fill most of a day's record, and the same ones stand in many rows."""


def _text(value: object) -> Written:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, date):
        return value.isoformat()
    raise InvariantError(f"expected a value that a column can hold, found {value!r}")
