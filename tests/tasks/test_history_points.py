"""The days before in a report are closes, as the results of those days say."""

from __future__ import annotations

from tasks.reporting import build_report
from tasks.reporting_views import history_points
from tests.factories import DAYS, days_run, new_world


def test_points_of_the_days_before_are_the_closes_of_their_results() -> None:
    world = new_world(days_run().home)
    try:
        closes = {day: build_report(world, day).closing_nav for day in DAYS}
        points = history_points(world, DAYS[-1])
        assert [point.trade_date for point in points] == list(DAYS)
        assert {point.trade_date: point.nav for point in points} == closes
        assert points[0].gross_exposure > 0  # the first day bought something before it closed
    finally:
        world.close()
