"""The table of the broker's codes: what each means, and that none of them ends an order by itself."""

from __future__ import annotations

import pytest

from tasks.adapters.ibkr.errors import ERROR_RULES, LINK_LOST, LINK_RESTORED, ErrorClass, rule_of

NOTED = (
    100, 103, 104, 105, 106, 107, 109, 110, 113, 135, 136, 161, 162, 200, 201, 202, 203, 321, 326, 329, 354, 366, 387, 388,
    399, 404, 417, 434, 436, 451, 460, 463, 502, 504, 10052, 10147, 10148, 10149, 10167, 10168, 10197, 10268, 10318, 10349,
    1100, 1101, 1102, 1300, 2100, 2103, 2104, 2105, 2106, 2107, 2108, 2109, 2110, 2157, 2158, 2161, 2168,
)  # fmt: skip
"""Every code that the notes on the protocol name."""


@pytest.mark.parametrize("code", NOTED)
def test_noted_code_has_a_rule_and_a_meaning(code: int) -> None:
    assert code in ERROR_RULES
    assert ERROR_RULES[code].meaning


@pytest.mark.parametrize("code", [104, 105, 135, 136, 161, 202, 399, 404, 434, 10147, 10148, 10197, 10349])
def test_code_about_an_order_that_lives_or_ended_announces_no_refusal(code: int) -> None:
    assert not rule_of(code).refuses_order


@pytest.mark.parametrize("code", [103, 110, 200, 201, 203, 321, 387, 388])
def test_code_about_a_new_order_announces_a_refusal(code: int) -> None:
    assert rule_of(code).refuses_order


def test_unknown_code_asks_for_a_look_and_an_unknown_warning_does_not() -> None:
    assert rule_of(99_999).refuses_order
    assert rule_of(2199).kind is ErrorClass.INFO
    assert not rule_of(2199).refuses_order


def test_codes_of_the_link_are_about_connectivity() -> None:
    assert {rule_of(code).kind for code in LINK_LOST | LINK_RESTORED} == {ErrorClass.CONNECTIVITY}


@pytest.mark.parametrize(
    ("complaint", "code", "kind"),
    [
        ("insufficient buying power", 201, ErrorClass.ORDER),
        ("symbol not found", 200, ErrorClass.ORDER),
        ("market closed", 399, ErrorClass.INFO),
        ("timeout", 1100, ErrorClass.CONNECTIVITY),
        ("rate limit", 100, ErrorClass.PACING),
    ],
)
def test_common_complaint_maps_to_its_class(complaint: str, code: int, kind: ErrorClass) -> None:
    assert rule_of(code).kind is kind, complaint
