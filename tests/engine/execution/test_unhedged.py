"""How much of a group stood open, and for how long."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from engine.execution.analytics import GroupFill, unhedged_usd_seconds
from tests.engine.execution.market import NOON

PAIR = (D(1000), D(-1000))


def fill(second: int, usd: int) -> GroupFill:
    return GroupFill(NOON + timedelta(seconds=second), D(usd))


@pytest.mark.parametrize(
    ("planned", "fills", "expected", "why"),
    [
        (PAIR, (), 0, "nothing was done"),
        (PAIR, (fill(0, 1000), fill(30, -1000)), 30_000, "1,000 USD for 30 s, then closed"),
        (
            PAIR,
            (fill(0, 1000), fill(30, -400)),
            30_000 + 600 * 70,
            "600 USD stay open for the 70 s that are left",
        ),
        (PAIR, (fill(30, -1000), fill(0, 1000)), 30_000, "in order of time"),
        ((D(1000), D(-400)), (fill(0, 1000), fill(60, -400)), 400 * 60, "600 USD were meant to stay open"),
        (
            (D(-1000), D(400)),
            (fill(0, 400), fill(60, -1000)),
            400 * 60,
            "what goes the other way was not meant to stay open",
        ),
    ],
)
def test_open_part_counts_by_its_seconds(
    planned: tuple[D, ...], fills: tuple[GroupFill, ...], expected: int, why: str
) -> None:
    assert unhedged_usd_seconds(planned, fills, NOON + timedelta(seconds=100)) == expected, why
