"""On the morning of a split the old close counts per new share: nobody grows rich, no order is due to it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from engine.accounting.jumps import price_jumps
from engine.model.market import Mark
from engine.model.policy import MarkPolicy
from engine.model.universe import ContractBook
from engine.simulation.pointintime import market_inputs
from tests.engine.simulation import worlds

FRIDAY, EX_DATE, TUESDAY = date(2026, 7, 10), date(2026, 7, 13), date(2026, 7, 14)
POLICY = MarkPolicy(
    flagged_sessions_max=3,
    flagged_gross_fraction=Decimal("0.05"),
    jump_quarantine_fraction=Decimal("0.3"),
    jump_quarantine_by_class={},
    jump_halt_fraction=Decimal("0.0025"),
)


def _mark(day: date) -> Mark:
    as_of = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
    return market_inputs(worlds.world(), worlds.universe(), worlds.sessions(), day, as_of, (), {}).marks[
        "LLY"
    ]


def test_close_of_the_evening_before_is_restated_on_the_ex_date() -> None:
    panel = worlds.world()
    (split,) = [row for row in panel.splits if row.instrument_id == "LLY" and row.ex_date == EX_DATE]
    friday_close = float(panel.series["LLY"].close[panel.dates.index(FRIDAY)])
    monday_close = float(panel.series["LLY"].close[panel.dates.index(EX_DATE)])

    morning, next_day = _mark(EX_DATE), _mark(TUESDAY)

    assert morning.session_date == FRIDAY
    assert abs(float(morning.price) - friday_close / float(split.ratio)) < 1e-6
    assert abs(float(next_day.price) - monday_close) < 1e-6


def test_split_is_no_jump_on_any_morning_around_it() -> None:
    panel, book = worlds.world(), ContractBook(universe=worlds.universe(), contracts={})
    known = [row for row in panel.splits if row.instrument_id == "LLY" and row.ex_date == EX_DATE]
    mornings = [_mark(FRIDAY), _mark(EX_DATE), _mark(TUESDAY)]

    on_the_day = price_jumps({"LLY": mornings[1]}, {"LLY": mornings[0]}, known, book, POLICY)
    day_after = price_jumps({"LLY": mornings[2]}, {"LLY": mornings[1]}, (), book, POLICY)

    assert on_the_day == day_after == ()
    assert price_jumps({"LLY": mornings[1]}, {"LLY": mornings[0]}, (), book, POLICY) != ()
