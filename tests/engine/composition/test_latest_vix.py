"""The VIX of a decision is its last official close, unless that is too long ago."""

from dataclasses import replace

import numpy as np
import pytest

from engine.composition.readings import latest_vix
from tests.factories import DAYS, days_run, new_world, recorded_inputs

NAN = float("nan")


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        ((20.0, 21.0, 22.0, 23.0), 23.0),
        ((20.0, 21.0, 22.0, NAN), 22.0),  # a US holiday yesterday
        ((20.0, 21.0, NAN, NAN), 21.0),
        ((20.0, NAN, NAN, NAN), None),  # older than three weekdays: missing
    ],
)
def test_last_close_of_three_weekdays_counts(closes: tuple[float, ...], expected: float | None) -> None:
    world = new_world(days_run().home)
    try:
        market = recorded_inputs(world, DAYS[0]).market
    finally:
        world.close()
    past = market.history.vix[: -len(closes)]
    history = replace(market.history, vix=np.concatenate([past, closes]))
    assert latest_vix(replace(market, history=history)) == expected
