"""What is a market of two sides, and a history without its days: what a close records of the market's past."""

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest

from engine.model.encoding import canonical
from engine.model.market import MarketHistory, Quote, Source


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


@pytest.mark.parametrize(
    ("bid", "ask", "is_market"),
    [
        ("1.0", "1.1", True),
        ("1.0", "1.0", True),
        ("0", "0.05", True),  # an option that nobody bids for
        ("0", "0", False),
        ("1.1", "1.0", False),
        ("-1", "-1", False),  # what the broker says where it has no data
        ("NaN", "1.1", False),
        ("1.0", "sNaN", False),
        ("1.0", "Infinity", False),
        (None, "1.1", False),
        ("1.0", None, False),
    ],
)
def test_market_has_two_sides_that_are_numbers_and_not_crossed(
    bid: str | None, ask: str | None, is_market: bool
) -> None:
    quote = Quote(
        contract_id="CSPX",
        observed_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
        bid=None if bid is None else Decimal(bid),
        ask=None if ask is None else Decimal(ask),
        bid_size=Decimal(1),
        ask_size=Decimal(1),
        last=None,
        close=None,
        source=Source.IBKR,
    )
    assert quote.is_two_sided is is_market
