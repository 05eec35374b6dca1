"""A run that is long enough for options to leave their chains, to be rolled and to be sold."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from engine.model.context import RunStatus
from flows.planning import trading_days
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.factories import book_at_close, run_day

FIRST, LAST = date(2026, 6, 8), date(2026, 7, 2)


@pytest.mark.slow
def test_fund_closes_every_day_of_four_weeks_with_both_books_equal(tmp_path: Path) -> None:
    days = trading_days(FIRST, LAST)
    assert len(days) >= 18
    world = World(WorldOptions(profile="fund", first=FIRST, last=LAST, seed=1, home=tmp_path))
    try:
        for day in days:
            outcomes = run_day(world, day)
            assert {outcome.status for outcome in outcomes.values()} == {RunStatus.COMPLETED}, day
        book = book_at_close(world)
        assert book.ours == book.broker
    finally:
        world.close()
