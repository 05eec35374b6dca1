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
import types
import typing
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache

import numpy as np

from engine.errors import InvariantError, NonFiniteValue

Json: typing.TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
T = typing.TypeVar("T")


def significant(value: float) -> float:
    """A float rounded to 12 significant digits: what thresholds and state changes compare."""
    if not math.isfinite(value):
        raise NonFiniteValue(f"expected a finite number, found {value}")
    return float(f"{value:.12g}")


def decimal_text(value: Decimal) -> str:
    """Shortest plain text of an exact number, without exponent or trailing zeros."""
    if not value.is_finite():
        raise NonFiniteValue(f"expected a finite number, found {value}")
    # Not normalize(): it rounds to the 28 digits of the context.
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "0") else text


def to_json(value: object) -> Json:
    """The JSON tree of a record; raises `InvariantError` on a type without a canonical form."""
    if isinstance(value, Enum):
        return typing.cast("str", value.value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return significant(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, datetime):
        return _time_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _container_to_json(value)


def _container_to_json(value: object) -> Json:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in _field_names(type(value))}
    if isinstance(value, Mapping):
        return {_key_text(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, frozenset | set):
        return sorted((to_json(item) for item in value), key=str)
    if isinstance(value, np.ndarray):
        return _array_to_json(value)
    if isinstance(value, np.generic):
        return to_json(value.item())
    raise InvariantError(f"no canonical form for {type(value).__name__}; add it to engine.model.encoding")


def _key_text(key: object) -> str:
    if isinstance(key, tuple):
        return "|".join(_key_text(part) for part in key)
    encoded = to_json(key)
    return encoded if isinstance(encoded, str) else json.dumps(encoded)


def _time_text(value: datetime) -> str:
    if value.tzinfo is None:
        raise InvariantError(f"expected a time with a zone, found {value!r}")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _array_to_json(array: np.ndarray) -> Json:
    data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return {
        "array": data.dtype.str,
        "shape": [int(size) for size in data.shape],
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }


def encode(value: object) -> bytes:
    """Canonical UTF-8 bytes of a record."""
    return json.dumps(
        to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: object) -> str:
    """SHA-256 of the canonical bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(encode(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes that are canonical already."""
    return hashlib.sha256(data).hexdigest()


@cache
def _field_names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(typing.cast(typing.Any, cls)))


@cache
def _hints(cls: type) -> dict[str, object]:
    return dict(typing.get_type_hints(cls))


def decode(cls: type[T], data: bytes | str) -> T:
    """Read canonical bytes back into a value of ``cls``; raises `InvariantError` when they do not fit."""
    return typing.cast(T, from_json(cls, json.loads(data)))


def from_json(hint: object, value: Json) -> object:
    """Value of a type hint from its JSON tree."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _from_union(typing.get_args(hint), value)
    if origin is tuple:
        return _from_tuple(typing.get_args(hint), value)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _from_mapping(typing.get_args(hint), value)
    if origin in (frozenset, set):
        return frozenset(from_json(typing.get_args(hint)[0], item) for item in typing.cast(list[Json], value))
    if origin is list:
        return [from_json(typing.get_args(hint)[0], item) for item in typing.cast(list[Json], value)]
    if origin is np.ndarray or hint is np.ndarray:
        return _array_from_json(value)
    if isinstance(hint, type):
        return _from_plain(hint, value)
    raise InvariantError(f"no way to read {hint!r} back from its canonical form")


def _from_union(options: tuple[object, ...], value: Json) -> object:
    if value is None:
        return None
    remaining = [option for option in options if option is not type(None)]
    return from_json(remaining[0], value)


def _from_tuple(arguments: tuple[object, ...], value: Json) -> object:
    items = typing.cast(list[Json], value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(from_json(arguments[0], item) for item in items)
    return tuple(from_json(hint, item) for hint, item in zip(arguments, items, strict=True))


def _from_mapping(arguments: tuple[object, ...], value: Json) -> object:
    key_hint, item_hint = arguments
    items = typing.cast(dict[str, Json], value)
    return {_key_from_text(key_hint, key): from_json(item_hint, item) for key, item in sorted(items.items())}


def _key_from_text(hint: object, text: str) -> object:
    if typing.get_origin(hint) is tuple:
        return tuple(
            _key_from_text(part, piece)
            for part, piece in zip(typing.get_args(hint), text.split("|"), strict=True)
        )
    return int(text) if hint is int else from_json(hint, text)


def _array_from_json(value: Json) -> np.ndarray:
    record = typing.cast(dict[str, typing.Any], value)
    flat = np.frombuffer(base64.b64decode(record["data"]), dtype=np.dtype(record["array"]))
    return flat.reshape(record["shape"]).copy()


def _from_plain(cls: type, value: Json) -> object:
    if dataclasses.is_dataclass(cls):
        record = typing.cast(dict[str, Json], value)
        hints = _hints(cls)
        return cls(**{name: from_json(hints[name], record[name]) for name in _field_names(cls)})
    if issubclass(cls, Enum):
        return cls(value)
    if cls is Decimal:
        return Decimal(typing.cast(str, value))
    if cls is datetime:
        return datetime.fromisoformat(typing.cast(str, value).replace("Z", "+00:00"))
    if cls is date:
        return date.fromisoformat(typing.cast(str, value))
    if cls is timedelta:
        return timedelta(seconds=typing.cast(float, value))
    if cls is float:
        return float(typing.cast(float, value))
    if cls in (int, str, bool):
        return value
    raise InvariantError(f"no way to read {cls.__name__} back from its canonical form")
