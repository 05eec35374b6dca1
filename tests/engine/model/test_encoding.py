from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvariantError, NonFiniteValue
from engine.model.encoding import (
    SPARE,
    canonical,
    canonical_text,
    decimal_text,
    decode,
    digest,
    digest_bytes,
    encode,
    significant,
    to_json,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    price: Decimal
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    name: str
    day: date
    weight: float
    count: int
    flag: bool
    wait: timedelta
    colour: Colour
    inner: Inner | None
    rows: tuple[Inner, ...]
    pair: tuple[int, str]
    by_name: Mapping[str, Decimal]
    by_colour: Mapping[Colour, int]
    by_pair: Mapping[tuple[str, str], float]
    names: frozenset[str]


FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15)
TIMES = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=9))])
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="|"), max_size=12)
INNERS = st.builds(Inner, price=DECIMALS, when=TIMES)
RECORDS = st.builds(
    Record,
    name=TEXT,
    day=st.dates(),
    weight=FINITE,
    count=st.integers(-(2**53), 2**53),
    flag=st.booleans(),
    wait=st.integers(0, 10**6).map(lambda seconds: timedelta(seconds=seconds)),
    colour=st.sampled_from(Colour),
    inner=st.none() | INNERS,
    rows=st.lists(INNERS, max_size=3).map(tuple),
    pair=st.tuples(st.integers(0, 9), TEXT),
    by_name=st.dictionaries(TEXT, DECIMALS, max_size=3),
    by_colour=st.dictionaries(st.sampled_from(Colour), st.integers(0, 9)),
    by_pair=st.dictionaries(st.tuples(TEXT, TEXT), FINITE, max_size=3),
    names=st.frozensets(TEXT, max_size=3),
)


@given(record=RECORDS)
def test_record_read_back_has_the_same_bytes(record: Record) -> None:
    data = encode(record)
    again = decode(Record, data)
    assert encode(again) == data
    assert (again.by_name, again.inner, again.rows) == (record.by_name, record.inner, record.rows)


@settings(max_examples=40)
@given(record=RECORDS)
def test_text_of_a_record_is_that_of_its_tree(record: Record) -> None:
    tree = {"of": record, "by": {3: (True, None), "b": [record.inner]}, "at": frozenset(record.rows)}
    told = json.dumps(
        to_json(tree), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    assert canonical_text(tree) == told


def test_hour_that_comes_twice_has_two_texts() -> None:
    # In New York 01:30 comes at 05:30 and again at 06:30 UTC; Python holds the two for equal.
    first = datetime(2025, 11, 2, 1, 30, tzinfo=ZoneInfo("America/New_York"))
    again = first.replace(fold=1)
    assert first == again
    assert [canonical_text(first), canonical_text(again)] == [
        '"2025-11-02T05:30:00Z"',
        '"2025-11-02T06:30:00Z"',
    ]


@given(value=FINITE)
def test_significant_is_idempotent_and_close(value: float) -> None:
    rounded = significant(value)
    assert significant(rounded) == rounded
    assert rounded == pytest.approx(value, rel=1e-11)


@given(value=DECIMALS)
def test_decimal_text_is_exact_and_has_one_form(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value
    longer = text + "00" if "." in text else text + ".00"
    assert decimal_text(Decimal(longer)) == text
    assert "E" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.500", "1.5"), ("100", "100"), ("1E+3", "1000"), ("-0", "0"), ("0.000001", "0.000001")],
)
def test_decimal_text_has_no_exponent_and_no_trailing_zeros(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


def test_order_of_keys_does_not_matter() -> None:
    assert encode({"b": 1, "a": 2}) == encode({"a": 2, "b": 1}) == b'{"a":2,"b":1}'


def test_same_instant_in_two_zones_has_the_same_bytes() -> None:
    here = datetime(2025, 12, 1, 6, tzinfo=UTC)
    assert encode(here) == encode(here.astimezone(timezone(timedelta(hours=9)))) == b'"2025-12-01T06:00:00Z"'


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(InvariantError, match="zone"):
        encode(datetime(2025, 12, 1))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_no_number_has_no_form(value: float | Decimal) -> None:
    with pytest.raises(NonFiniteValue):
        encode(value)


def test_type_without_a_form_is_refused() -> None:
    with pytest.raises(InvariantError, match="canonical form"):
        encode(object())


@pytest.mark.parametrize("dtype", ["float64", "int64", ">f8", "bool"])
def test_array_is_carried_bit_for_bit(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    again = decode(np.ndarray, encode(array))
    assert again.shape == (3, 2)
    assert np.array_equal(again, array)


def test_array_keeps_its_gaps() -> None:
    array = np.array([1.0, np.nan, 1 / 3])
    assert decode(np.ndarray, encode(array)).tobytes() == array.tobytes()


def test_digest_is_of_the_bytes() -> None:
    assert digest({"a": 1}) == digest_bytes(b'{"a":1}')
    assert len(digest(None)) == 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    names: tuple[str, ...]
    rows: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", {name: row for row, name in enumerate(self.names)})


def test_what_a_value_derives_for_itself_is_derived_again() -> None:
    again = canonical(Ordered(names=("b", "a")))
    assert encode(again) == b'{"names":["b","a"]}'
    assert again.rows == {"b": 0, "a": 1}


def test_canonical_value_has_the_digits_and_the_order_of_its_record() -> None:
    value = Inner(price=Decimal("1.500"), when=datetime(2025, 12, 1, 1, tzinfo=timezone(timedelta(hours=-5))))
    assert str(canonical(value).price) == "1.5"
    assert canonical(value).when.tzinfo is UTC


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "no JSON"),
        (b'{"price":"1"}', "a field is missing"),
        (b'{"price":"one","when":"2025-12-01T06:00:00Z"}', "no number"),
        (b'{"price":"1","when":5}', "no time"),
        (b"null", "nothing"),
    ],
)
def test_bytes_that_do_not_fit_are_named(data: bytes, why: str) -> None:
    with pytest.raises(InvariantError, match="record of a Inner"):
        decode(Inner, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A record with a field that it did not have before."""

    kept: int
    added: Mapping[str, str] = field(default_factory=dict, metadata=SPARE)


def test_spare_field_is_left_out_while_it_is_empty_and_read_back_either_way() -> None:
    assert encode(Grown(kept=0)) == b'{"kept":0}'
    assert decode(Grown, b'{"kept":0}') == Grown(kept=0)
    told = Grown(kept=1, added={"AAPL": "refused"})
    assert encode(told) == b'{"added":{"AAPL":"refused"},"kept":1}'
    assert decode(Grown, encode(told)) == told
    for value in (told, Grown(kept=0)):
        assert json.loads(canonical_text(value)) == to_json(value)
