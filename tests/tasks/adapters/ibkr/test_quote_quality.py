"""The gate of quotes, tick by tick: what was told last of a side is that side, however odd the ticks are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf, isfinite, nan

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.model.market import Quote
from tasks.adapters.ibkr.lines import Lines, Tick
from tasks.adapters.ibkr.option_chain import reference_price
from tasks.adapters.ibkr.quote_quality import QuoteQualityConfig, QuoteRefusal
from tasks.adapters.ibkr.units import WireUnits
from tests.tasks.adapters.gateways import small_world

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOT_SET = 1.7976931348623157e308
HIGHEST = 9e12
Told = tuple[int, float, float]
"""A tick of bid or ask with its size, or of a size, whose second number is not read."""

ODD = st.sampled_from([nan, inf, -inf, NOT_SET, -1.0, 0.0, -100.0, 1e-300, 1e299, HIGHEST, 2e300])
GOOD = st.integers(1, 5).map(float)
VALUES = st.one_of(GOOD, GOOD, ODD)
TICKS = st.tuples(st.sampled_from([Tick.BID, Tick.ASK, Tick.BID_SIZE, Tick.ASK_SIZE]), VALUES, VALUES)


def judged(ticks: Sequence[Told], contract_id: str = "CSPX") -> Quote | QuoteRefusal:
    """What the gate says of a line that was told this."""
    lines = Lines(lambda: NOON)
    line = lines.open(1)
    for tick, value, size in ticks:
        if tick in (Tick.BID_SIZE, Tick.ASK_SIZE):
            lines.size(1, tick, value)
        else:
            lines.price(1, tick, value, size)
    instrument = small_world()[0][contract_id]
    return QuoteQualityConfig().judge(contract_id, line, instrument, WireUnits(), NOON)


def told_last(ticks: Sequence[Told], price: Tick, size: Tick) -> tuple[float, float]:
    """The last price and the last size of a side, read from the end of what was told; 0 where there was none."""
    prices = [value for tick, value, _ in ticks if tick == price]
    sizes = [value if tick == size else beside for tick, value, beside in ticks if tick in (price, size)]
    return (prices or [0.0])[-1], (sizes or [0.0])[-1]


@given(st.lists(TICKS, max_size=12))
@example([(Tick.BID, 3.0, 5.0), (Tick.ASK, 4.0, 5.0), (Tick.BID, nan, 5.0)])
@example([(Tick.BID, 3.0, 5.0), (Tick.ASK, 4.0, 5.0), (Tick.ASK_SIZE, NOT_SET, 0.0)])
@example([(Tick.BID, 3.0, 5.0), (Tick.ASK, 4.0, 5.0), (Tick.BID, -1.0, 0.0), (Tick.BID, 2.0, 1.0)])
def test_quote_is_given_exactly_when_both_sides_were_told_good_last(ticks: list[Told]) -> None:
    sides = [
        told_last(ticks, Tick.BID, Tick.BID_SIZE),
        told_last(ticks, Tick.ASK, Tick.ASK_SIZE),
    ]
    is_good = all(
        isfinite(price) and 0 < price <= HIGHEST and isfinite(size) and 0 < size < 1e300
        for price, size in sides
    )
    [(bid, bid_size), (ask, ask_size)] = sides
    found = judged(ticks)
    assert isinstance(found, Quote) == (is_good and bid <= ask)
    if isinstance(found, Quote):
        told = (found.bid, found.ask, found.bid_size, found.ask_size)
        assert [float(value or 0) for value in told] == [bid, ask, bid_size, ask_size]


@pytest.mark.parametrize("end", [nan, NOT_SET, inf, -1.0, 0.0])
def test_side_that_ended_is_none_until_a_good_one_is_told(end: float) -> None:
    good: list[Told] = [(Tick.BID, 3.0, 5.0), (Tick.ASK, 4.0, 5.0)]
    ended: list[Told] = [*good, (Tick.BID, end, 5.0)]
    assert isinstance(judged(good), Quote)
    assert isinstance(judged(ended), QuoteRefusal)
    assert isinstance(judged([*ended, (Tick.BID_SIZE, 9.0, 0.0)]), QuoteRefusal), "a size is no price"
    again = judged([*ended, (Tick.BID, 2.0, 1.0)])
    assert isinstance(again, Quote)
    assert (again.bid, again.bid_size) == (2, 1)


def test_price_in_pounds_is_measured_in_pence() -> None:
    # 9e12 pounds are 9e14 pence: more than money holds, although the figure that was told is not.
    lines = Lines(lambda: NOON)
    line = lines.open(1)
    lines.price(1, Tick.BID, 9e12, 1)
    lines.price(1, Tick.ASK, 9e12, 1)
    instrument = small_world()[0]["IUKD"]
    in_pounds, later = WireUnits(market_in_quote_units=False), NOON + timedelta(seconds=1)
    assert isinstance(QuoteQualityConfig().judge("IUKD", line, instrument, in_pounds, later), QuoteRefusal)
    assert isinstance(QuoteQualityConfig().judge("IUKD", line, instrument, WireUnits(), later), Quote)


def test_level_of_an_underlying_is_never_made_from_a_side_that_ended() -> None:
    lines = Lines(lambda: NOON)
    line = lines.open(1)
    lines.price(1, Tick.BID, 99.0, 1)
    lines.price(1, Tick.ASK, 101.0, 1)
    lines.price(1, Tick.LAST, 90.0, 1)
    assert reference_price(line) == 100  # (99 + 101) / 2
    lines.price(1, Tick.BID, nan, 1)
    assert reference_price(line) == 90
    lines.price(1, Tick.LAST, nan, 1)
    assert reference_price(line) is None
    lines.price(1, Tick.CLOSE, 88.5, 0)
    assert reference_price(line) == Decimal("88.5")
