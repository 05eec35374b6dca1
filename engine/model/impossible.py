"""Where is a figure that is no number? The place of the first one in a record, by its names.

Money is never assumed: a NaN, an infinity, or nothing where a number must stand makes a record useless, and whoever
has to answer for it needs to know which row it was.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache

from engine.errors import NonFiniteValue

_IDS = ("contract_id", "instrument_id", "execution_id", "order_ref", "pair", "entry_id")


def impossible_figure(record: object) -> str | None:
    """Place of the first figure that is no number, such as ``broker.cash[USD]``; ``None`` where all are.

    Arrays of history are not looked into: a day without a price is NaN in them by contract.
    """
    return next(_places(record, type(record), ""), None)


def require_possible(record: object, name: str) -> None:
    """Raise `NonFiniteValue` naming the first figure of a record that is no number."""
    place = impossible_figure(record)
    if place is not None:
        raise impossible(f"{name}{place if place.startswith('[') else f'.{place}'}")


def impossible(place: str) -> NonFiniteValue:
    """The refusal of a figure that is no number."""
    return NonFiniteValue(
        f"expected a number at {place}, found none; nothing is assumed in its place", subject=place
    )


def _places(value: object, hint: object, place: str) -> Iterator[str]:
    if _is_impossible(value, hint):
        yield place
    for part, of, where in _parts(value, hint, place):
        yield from _places(part, of, where)


def _is_impossible(value: object, hint: object) -> bool:
    if value is None:
        return not _may_be_absent(hint)
    if isinstance(value, Decimal):
        return not value.is_finite()
    return isinstance(value, float) and not math.isfinite(value)


def _parts(value: object, hint: object, place: str) -> Iterator[tuple[object, object, str]]:
    """What a value is made of: each part, its hint and its place."""
    if isinstance(value, Mapping):
        of = _part(hint, -1)
        for key, item in value.items():
            yield item, of, f"{place}[{getattr(key, 'value', key)}]"
    elif isinstance(value, tuple | list):
        of = _part(hint, 0)
        for row, item in enumerate(value):
            yield item, of, f"{place}[{_name(item) or row}]"
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field, of in _fields(type(value)):
            yield getattr(value, field), of, f"{place}.{field}" if place else field


def _name(item: object) -> str:
    """What a row is called, if it has a name of its own."""
    contract = getattr(item, "contract", None)
    found = (getattr(item if contract is None else contract, name, None) for name in _IDS)
    return next((name for name in found if isinstance(name, str)), "")


def _may_be_absent(hint: object) -> bool:
    if hint is None or hint is type(None) or hint is object:
        return True
    return typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint)


def _part(hint: object, position: int) -> object:
    """Hint of the items of a container; of ``X | None`` that of ``X``."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _part(next(part for part in typing.get_args(hint) if part is not type(None)), position)
    parts = typing.get_args(hint)
    return parts[position] if parts else object


@cache
def _fields(cls: type) -> tuple[tuple[str, object], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(cls) if field.init)
