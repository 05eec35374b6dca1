"""The one canonical encoding of records: digests, equality, journal and replay are over these bytes.

Keys are sorted, money and prices are strings without trailing zeros, floats are rounded to 12 significant
digits, times are UTC with a ``Z``, arrays are carried bit for bit in base64. ``decode`` reads a record back
into its dataclass by its type hints, so that ``encode(decode(T, encode(x))) == encode(x)``.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import operator
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache, lru_cache

import numpy as np

from engine.errors import InvariantError, NonFiniteValue

SPARE: Mapping[str, object] = {"spare": True}
"""Metadata of a field that is left out of a record while it is empty: the records of before it was there stay as they are."""

Json: typing.TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
T = typing.TypeVar("T")
_REMEMBERED = 4096
"""Texts of times and amounts that are kept: the same few stand in record after record."""


def significant(value: float) -> float:
    """A float rounded to 12 significant digits: what thresholds and state changes compare."""
    if not math.isfinite(value):
        raise NonFiniteValue(f"expected a finite number, found {value}")
    return float(f"{value:.12g}")


def decimal_text(value: Decimal) -> str:
    """Shortest plain text of an exact number, without exponent or trailing zeros."""
    if not value.is_finite():
        raise NonFiniteValue(f"expected a finite number, found {value}")
    return _plain_text(value)


@lru_cache(maxsize=_REMEMBERED)
def _plain_text(value: Decimal) -> str:
    # Not normalize(): it rounds to the 28 digits of the context.
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "0") else text


def to_json(value: object) -> Json:
    """The JSON tree of a record; raises `InvariantError` on a type without a canonical form."""
    kind: type = type(value)
    return _writer(kind)(value)


Writer: typing.TypeAlias = "Callable[[typing.Any], Json]"
Reader: typing.TypeAlias = "Callable[[typing.Any], object]"


@cache
def _writer(cls: type) -> Writer:
    """How values of a type are written: looked up once per type, a day writes tens of thousands of values."""
    if issubclass(cls, Enum):
        return lambda value: typing.cast("str", value._value_)
    if cls is type(None) or issubclass(cls, bool | str):
        return lambda value: typing.cast("Json", value)
    for kind, writer in _PLAIN_WRITERS:
        if issubclass(cls, kind):
            return writer
    return _container_writer(cls)


def _container_writer(cls: type) -> Writer:
    if dataclasses.is_dataclass(cls):
        names, spare = _field_names(cls), _spare_names(cls)
        if not spare:
            return lambda value: {name: to_json(getattr(value, name)) for name in names}
        return lambda value: {
            name: to_json(getattr(value, name)) for name in names if name not in spare or getattr(value, name)
        }
    if issubclass(cls, Mapping):
        return lambda value: {_key_text(key): to_json(item) for key, item in value.items()}
    if issubclass(cls, tuple | list):
        return lambda value: [to_json(item) for item in value]
    if issubclass(cls, frozenset | set):
        return lambda value: sorted((to_json(item) for item in value), key=str)
    if issubclass(cls, np.ndarray):
        return _array_to_json
    if issubclass(cls, np.generic):
        return lambda value: to_json(value.item())
    raise InvariantError(f"no canonical form for {cls.__name__}; add it to engine.model.encoding")


def _key_text(key: object) -> str:
    if isinstance(key, tuple):
        return "|".join(_key_text(part) for part in key)
    encoded = to_json(key)
    return encoded if isinstance(encoded, str) else json.dumps(encoded)


def _time_text(value: datetime) -> str:
    if value.tzinfo is None:
        raise InvariantError(f"expected a time with a zone, found {value!r}")
    return _utc_text(value if value.tzinfo is UTC else value.astimezone(UTC))


@lru_cache(maxsize=_REMEMBERED)
def _utc_text(value: datetime) -> str:
    # By the times of UTC only: two of a zone can be equal and yet differ, in the hour that comes twice.
    return value.isoformat().replace("+00:00", "Z")


def _array_to_json(array: np.ndarray) -> Json:
    data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return {
        "array": data.dtype.str,
        "shape": [int(size) for size in data.shape],
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }


_PLAIN_WRITERS: tuple[tuple[type, Writer], ...] = (
    (int, int),
    (float, significant),
    (Decimal, decimal_text),
    (datetime, _time_text),
    (date, date.isoformat),
    (timedelta, timedelta.total_seconds),
)
"""In this order: a time is a date too."""


def encode(value: object) -> bytes:
    """Canonical UTF-8 bytes of a record."""
    return canonical_text(value).encode()


def canonical_text(value: object) -> str:
    """The canonical bytes as text: what `json.dumps` makes of `to_json`, with sorted keys and no blanks."""
    return _texts[type(value)](value)


TextWriter: typing.TypeAlias = "Callable[[typing.Any], str]"


def _text_without_empty(record: object, names: Sequence[str], spare: Collection[str]) -> str:
    fields = ((name, getattr(record, name)) for name in names)
    kept = [f'"{name}":{canonical_text(found)}' for name, found in fields if name not in spare or found]
    return "{" + ",".join(kept) + "}"


class _TextWriters(dict[type, TextWriter]):
    """How values of a type are written as text, each found out once: a day writes tens of thousands of records."""

    def __missing__(self, cls: type) -> TextWriter:
        writer = self[cls] = _text_writer(cls)
        return writer


_texts = _TextWriters()


def _text_writer(cls: type) -> TextWriter:
    if issubclass(cls, Enum):
        texts = {member.value: _dumps(member.value) for member in cls}
        return lambda value: texts[value._value_]
    exact = _TEXT_WRITERS.get(cls)
    if exact is not None:
        return exact
    if dataclasses.is_dataclass(cls):
        return _record_text_writer(cls)
    if issubclass(cls, Mapping):
        return _mapping_text
    if issubclass(cls, tuple | list):
        return lambda value: f"[{','.join([_texts[type(item)](item) for item in value])}]"
    return lambda value: _dumps(to_json(value))


def _record_text_writer(cls: type) -> TextWriter:
    """One template for a dataclass: its sorted names stand, its values are put in."""
    names, spare = sorted(_field_names(cls)), _spare_names(cls)
    if spare:
        return lambda record: _text_without_empty(record, names, spare)
    template = "{" + ",".join(f'"{name}":%s' for name in names) + "}"
    if len(names) < 2:
        return lambda value: template % tuple([canonical_text(getattr(value, name)) for name in names])
    values_of, texts = operator.attrgetter(*names), _texts
    return lambda record: template % tuple([texts[type(value)](value) for value in values_of(record)])


def _mapping_text(value: Mapping[object, object]) -> str:
    texts = {_key_text(key): canonical_text(item) for key, item in value.items()}
    return "{" + ",".join([f"{_dumps(key)}:{texts[key]}" for key in sorted(texts)]) + "}"


def _dumps(tree: Json) -> str:
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


_TEXT_WRITERS: Mapping[type, TextWriter] = {
    type(None): lambda value: "null",
    bool: lambda value: "true" if value else "false",
    int: repr,
    str: json.encoder.encode_basestring,
    float: lambda value: repr(significant(value)),
    Decimal: lambda value: f'"{decimal_text(value)}"',
    datetime: lambda value: f'"{_time_text(value)}"',
    date: lambda value: f'"{value.isoformat()}"',
}
"""Of exactly these types; what derives from one goes by way of its tree."""


def digest(value: object) -> str:
    """SHA-256 of the canonical bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(encode(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes that are canonical already."""
    return hashlib.sha256(data).hexdigest()


@cache
def _field_names(cls: type) -> tuple[str, ...]:
    """Fields that make a value; what it derives for itself (``init=False``) is no part of its record."""
    fields = dataclasses.fields(typing.cast(typing.Any, cls))
    return tuple(field.name for field in fields if field.init)


def _spare_names(cls: type) -> frozenset[str]:
    fields = dataclasses.fields(typing.cast(typing.Any, cls))
    return frozenset(field.name for field in fields if field.metadata.get("spare"))


def _fields_without_default(cls: type) -> frozenset[str]:
    unset = dataclasses.MISSING
    fields = dataclasses.fields(typing.cast(typing.Any, cls))
    return frozenset(f.name for f in fields if f.default is unset and f.default_factory is unset)


@cache
def _hints(cls: type) -> dict[str, object]:
    return dict(typing.get_type_hints(cls))


def decode(cls: type[T], data: bytes | str) -> T:
    """Read canonical bytes back into a value of ``cls``; raises `InvariantError` when they do not fit."""
    try:
        return typing.cast(T, from_json(cls, json.loads(data)))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvariantError(
            f"expected the record of a {cls.__name__}, found bytes that do not fit it"
            f" ({type(error).__name__}: {error}); the row was altered, or another version wrote it"
        ) from error


def canonical(value: T) -> T:
    """The value as its record gives it back: what a replay and a rerun will see in its place."""
    return decode(type(value), encode(value))


def from_json(hint: object, value: Json) -> object:
    """Value of a type hint from its JSON tree."""
    return _reader(hint)(value)


@cache
def _reader(hint: object) -> Reader:
    """How a hint is read: worked out once per hint, a day reads tens of thousands of values."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _optional_reader(next(_reader(option) for option in arguments if option is not type(None)))
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin is np.ndarray or hint is np.ndarray:
        return _array_from_json
    if origin is not None and isinstance(origin, type):
        return _collection_reader(origin, arguments)
    if isinstance(hint, type):
        return _plain_reader(hint)
    raise InvariantError(f"no way to read {hint!r} back from its canonical form")


def _optional_reader(read: Reader) -> Reader:
    return lambda value: None if value is None else read(value)


def _tuple_reader(arguments: tuple[object, ...]) -> Reader:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        read_one = _reader(arguments[0])
        return lambda items: tuple([read_one(item) for item in items])
    readers = tuple(_reader(argument) for argument in arguments)
    return lambda items: tuple([read(item) for read, item in zip(readers, items, strict=True)])


def _collection_reader(origin: type, arguments: tuple[object, ...]) -> Reader:
    if issubclass(origin, Mapping):
        read_key, read_item = _key_reader(arguments[0]), _reader(arguments[1])
        return lambda items: {read_key(key): read_item(item) for key, item in sorted(items.items())}
    read = _reader(arguments[0])
    if issubclass(origin, frozenset | set):
        return lambda items: frozenset([read(item) for item in items])
    if issubclass(origin, list):
        return lambda items: [read(item) for item in items]
    raise InvariantError(f"no way to read {origin.__name__} back from its canonical form")


def _key_reader(hint: object) -> Callable[[str], object]:
    if typing.get_origin(hint) is tuple:
        readers = tuple(_key_reader(part) for part in typing.get_args(hint))
        return lambda text: tuple([read(piece) for read, piece in zip(readers, text.split("|"), strict=True)])
    return int if hint is int else _reader(hint)


def _array_from_json(value: typing.Any) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(value["data"]), dtype=np.dtype(value["array"]))
    return flat.reshape(value["shape"]).copy()


def _record_reader(cls: type) -> Reader:
    """Reads a dataclass; a field that an older version did not write yet takes its default."""
    hints, needed = _hints(cls), _fields_without_default(cls)
    readers = tuple((name, _reader(hints[name]), name in needed) for name in _field_names(cls))
    return lambda record: cls(
        **{name: read(record[name]) for name, read, always in readers if always or name in record}
    )


def _plain_reader(cls: type) -> Reader:
    if dataclasses.is_dataclass(cls):
        return _record_reader(cls)
    if issubclass(cls, Enum):
        return {member.value: member for member in cls}.__getitem__
    reader = _PLAIN_READERS.get(cls)
    if reader is None:
        raise InvariantError(f"no way to read {cls.__name__} back from its canonical form")
    return reader


_PLAIN_READERS: Mapping[type, Reader] = {
    Decimal: Decimal,
    datetime: lambda value: datetime.fromisoformat(value.replace("Z", "+00:00")),
    date: date.fromisoformat,
    timedelta: lambda value: timedelta(seconds=value),
    float: float,
    int: lambda value: value,
    str: lambda value: value,
    bool: lambda value: value,
}
