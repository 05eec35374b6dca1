from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from config.loading import overlay, parse_document, parse_override, read_document
from engine.errors import ConfigurationError


def test_numbers_stay_exact_and_texts_stay_texts() -> None:
    document = parse_document(
        'a: 0.1\nb: 10\nc: "10"\nd: true\ne: null\nf: 2014-03-13\ng: [1, x]\n', "x.yaml"
    )

    assert document.data == {
        "a": Decimal("0.1"),
        "b": 10,
        "c": "10",
        "d": True,
        "e": None,
        "f": date(2014, 3, 13),
        "g": (1, "x"),
    }


def test_every_value_knows_its_line() -> None:
    document = parse_document("a:\n  b: 1\n  c: {d: 2,\n      e: 3}\n", "x.yaml")

    assert str(document.origin(("a", "b"))) == "x.yaml line 2"
    assert str(document.origin(("a", "c", "e"))) == "x.yaml line 4"
    assert str(document.origin(("a", "c", "unknown"))) == "x.yaml line 3"


def test_duplicate_key_is_refused_with_both_lines() -> None:
    with pytest.raises(
        ConfigurationError, match=r'"a\.b" a second time at x\.yaml line 3 \(first at line 2\)'
    ):
        parse_document("a:\n  b: 1\n  b: 2\n", "x.yaml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NO", "Norway reads as false"),
        ("yes", "reads as true"),
        ("True", "only true and false are choices"),
        ("10:30", "reads as 630"),
        ("1_000", "reads as 1000"),
        ("010", "reads as 8"),
        ("0x1F", "reads as 31"),
        (".inf", "no limit is infinite"),
        (".nan", "no limit is undefined"),
        ("2014-03-13 10:00:00", "reads as a time without a zone"),
        ("Null", "reads as nothing"),
    ],
)
def test_plain_scalar_that_yaml_reads_differently_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        parse_document(f"first: 1\nkey: {text}\n", "x.yaml")

    assert f'expected a plain value for "key" at x.yaml line 2, found {text}' in str(failure.value), reason


def test_quoted_scalar_is_text_whatever_it_looks_like() -> None:
    assert parse_document('key: "NO"\nclock: "08:00"\n', "x.yaml").data == {"key": "NO", "clock": "08:00"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\n", "found a syntax error"),
        ("a: 1\n b: 2\n", "x.yaml line 2"),
        ("- 1\n", "expected keys and values at the top of x.yaml"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "expected a plain name as a key at x.yaml line 3"),
        ("day: 2014-02-30\n", 'expected a day of the calendar for "day"'),
    ],
)
def test_broken_file_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match="expected") as failure:
        parse_document(text, "x.yaml")

    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"settings\.yaml, found none"):
        read_document(tmp_path / "settings.yaml")


def test_overlay_merges_sections_and_replaces_lists() -> None:
    base = parse_document("a: {b: 1, c: [1, 2]}\nd: 5\n", "base.yaml")
    top = parse_document("\na: {c: [3]}\n", "top.yaml")

    merged = overlay(base, top)

    assert merged.data == {"a": {"b": 1, "c": (3,)}, "d": 5}
    assert str(merged.origin(("a", "b"))) == "base.yaml line 1"
    assert str(merged.origin(("a", "c", 0))) == "top.yaml line 2"
    assert str(merged.origin(("d",))) == "base.yaml line 2"


def test_replaced_section_forgets_what_was_below() -> None:
    base = parse_document("a: {b: 1, c: 2}\n", "base.yaml")

    merged = overlay(base, parse_document("a: !replace {d: 3}\n", "top.yaml"))

    assert merged.data == {"a": {"d": 3}}


def test_override_reaches_one_nested_value() -> None:
    base = parse_document("a: {b: 1, c: 2}\n", "base.yaml")

    merged = overlay(base, parse_override("a.b=0.5"))

    assert merged.data == {"a": {"b": Decimal("0.5"), "c": 2}}
    assert str(merged.origin(("a", "b"))) == "--set a.b=0.5"


def test_override_below_a_section_that_no_file_has_names_itself() -> None:
    merged = overlay(parse_document("a: 1\n", "settings.yaml"), parse_override("typo.b=2"))
    assert str(merged.origin(("typo",))) == "--set typo.b=2"
    assert str(merged.origin(("a",))) == "settings.yaml line 1"


def test_override_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected --set KEY=VALUE, found --set sleeves"):
        parse_override("sleeves")
