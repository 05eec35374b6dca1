"""A history without its days: what a close records of the market's past."""

from datetime import date

import numpy as np

from engine.model.encoding import canonical
from engine.model.market import MarketHistory


def test_history_without_days_keeps_its_lines_and_currencies() -> None:
    history = MarketHistory(
        dates=(date(2026, 11, 19), date(2026, 11, 20)),
        instrument_ids=("ES", "VX"),
        currencies=("EUR", "USD", "GBP"),
        returns=np.array([[0.01, 0.02], [-0.01, np.nan]]),
        fx_returns=np.zeros((2, 3)),
        vix=np.array([18.0, 19.5]),
        v2x=np.array([np.nan, 20.0]),
    )
    empty = canonical(history.without_days)
    assert (empty.dates, empty.instrument_ids, empty.currencies) == ((), ("ES", "VX"), ("EUR", "USD", "GBP"))
    assert (empty.returns.shape, empty.fx_returns.shape) == ((0, 2), (0, 3))
    assert (empty.vix.shape, empty.v2x.shape) == ((0,), (0,))
