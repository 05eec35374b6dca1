"""Stretches of recorded history that hold the hardest days; the whole spans run with FUND_CAMPAIGN=1.

What the whole spans gave is in docs/history-runs.md.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from engine.accounting.bridge import RESIDUAL_LIMIT_USD
from engine.accounting.fx_rates import FxState, FxVerdict, fx_verdict
from engine.composition.stages import DayInputs, judge_rates
from engine.model.context import RunKind
from engine.model.encoding import decode
from engine.model.halts import HaltChoice, HaltKind
from engine.report import DayReport, PriceFlag
from tasks.operator import OPERATOR
from tasks.reporting import build_report
from tests.factories import recorded_inputs, step_outputs
from tests.real_data.long_history import WHOLE_SPANS, CheckedSpan, Span, history_world, run_span
from tests.real_data.store_fixture import built_store

pytestmark = pytest.mark.shared

D = Decimal
CENT = D("0.01")
FRANC = Span(name="franc", first=date(2015, 1, 14), last=date(2015, 1, 16))
REFERENDUM = Span(name="referendum", first=date(2016, 6, 23), last=date(2016, 6, 27))
MISSING_ROWS = Span(name="missing-rows", first=date(2018, 9, 5), last=date(2018, 9, 12))
END_OF_THE_COMPANIES = Span(name="end-of-the-companies", first=date(2018, 12, 27), last=date(2019, 1, 3))
STRETCHES = (FRANC, REFERENDUM, MISSING_ROWS, END_OF_THE_COMPANIES)


class Ran:
    """A stretch that was run, and what single days of it read and decided."""

    def __init__(self, store: Path, span: Span) -> None:
        home = Path(tempfile.mkdtemp(prefix="fund-long-history-"))
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        self.inputs: dict[date, DayInputs] = {}
        self.rates: dict[date, FxVerdict] = {}
        self.reports: dict[date, DayReport] = {}
        with history_world(store, span, home) as world:
            self.found: CheckedSpan = run_span(world, span)
            self.setup = world.setup(span.last)
            for day in (found.trade_date for found in self.found.days):
                self.inputs[day] = recorded_inputs(world, day)
                self.rates[day] = decode(FxVerdict, step_outputs(world, day, RunKind.DECISION)["fx"])
            self.reports[span.last] = build_report(world, span.last)


@cache
def ran(store: Path, span: Span) -> Ran:
    return Ran(store, span)


@pytest.fixture(params=STRETCHES, ids=lambda span: span.name)
def stretch(request: pytest.FixtureRequest, shared: Path) -> Ran:
    return ran(built_store(shared / "market_data"), request.param)


def test_bridge_closes_and_bases_and_books_agree_on_every_day(stretch: Ran) -> None:
    require_sound(stretch.found)


def require_sound(found: CheckedSpan) -> None:
    for day in found.days:
        assert day.residual <= RESIDUAL_LIMIT_USD, day
        assert day.bases.settled == day.closing_nav, day
        assert day.bases.spread <= CENT, day
        assert day.books_agree, day
    assert found.listed.largest_residual_usd == found.largest_residual
    assert found.listed.days == len(found.days)


def test_every_act_of_the_script_is_listed_and_is_one_that_it_may_take(stretch: Ran) -> None:
    abandoned = {day for day, inputs in stretch.inputs.items() if inputs.abandoned}
    acts = stretch.found.listed.acts
    assert {act.trade_date for act in acts} == abandoned
    assert {(act.operator, act.kind, act.choice) for act in acts} <= {
        (OPERATOR, HaltKind.STALE_MARK.value, HaltChoice.ABANDON_DAY.value)
    }
    (report,) = stretch.reports.values()
    last = [act for act in acts if act.trade_date == report.trade_date]
    assert len(report.operator_acts) == len(last)


def test_every_held_price_of_an_earlier_session_is_listed(stretch: Ran) -> None:
    listed = {
        (day, row.contract_id, row.age_sessions, row.session_date)
        for day, row in stretch.found.listed.flagged
        if row.flag is PriceFlag.OLD
    }
    held = {
        (day, name, mark.age_sessions, mark.session_date)
        for day, inputs in stretch.inputs.items()
        for name, position in inputs.portfolio.positions.items()
        for mark in (inputs.market.marks[name],)
        if position.quantity != 0 and mark.age_sessions > 0
    }
    assert listed == held


def test_missing_rows_of_2018_stop_days_and_the_script_goes_on(shared: Path) -> None:
    found = ran(built_store(shared / "market_data"), MISSING_ROWS)
    assert {row.flag for _, row in found.found.listed.flagged} == {PriceFlag.OLD}
    assert len(found.found.listed.flagged) > 5
    assert len(found.found.listed.acts) >= 2


# ---------------------------------------------------------------- R-116


def test_real_fall_of_the_pound_is_confirmed_by_its_future(shared: Path) -> None:
    """GBPUSD closed at 1.45594 on 23 and at 1.36767 on 24 June 2016: 1.36767 / 1.45594 - 1 = -6.06 %."""
    found = ran(built_store(shared / "market_data"), REFERENDUM)
    (finding,) = found.rates[date(2016, 6, 27)].findings
    assert (finding.currency, finding.kind, finding.state) == ("GBP", HaltKind.FX_JUMP, FxState.WARNING)
    assert finding.move is not None
    assert round(finding.move, 4) == round(D("1.36767") / D("1.45594") - 1, 4) == D("-0.0606")
    assert found.found.halts[HaltKind.FX_JUMP.value] == 0


def test_same_fall_without_its_future_stops_the_day(shared: Path) -> None:
    found = ran(built_store(shared / "market_data"), REFERENDUM)
    inputs = found.inputs[date(2016, 6, 27)]
    marks = {name: mark for name, mark in inputs.market.marks.items() if not name.startswith("6B_")}
    assert len(marks) < len(inputs.market.marks)
    alone = replace(inputs, market=replace(inputs.market, marks=marks))
    verdict = judge_rates(found.setup, alone)
    assert (verdict.state, verdict.halt_kind) == (FxState.INVALID, HaltKind.FX_JUMP)


def test_real_rise_of_the_franc_stops_a_fund_that_holds_francs_with_one_source(shared: Path) -> None:
    """CHFUSD closed at 0.9826 on 14 and at 1.1937 on 15 January 2015: 1.1937 / 0.9826 - 1 = +21.48 %."""
    found = ran(built_store(shared / "market_data"), FRANC)
    inputs = found.inputs[date(2015, 1, 16)]
    assert found.rates[date(2015, 1, 16)].findings == ()  # nothing is held in francs
    with_francs = replace(
        inputs, portfolio=replace(inputs.portfolio, cash={**inputs.portfolio.cash, "CHF": D(1)})
    )
    verdict = judge_rates(found.setup, with_francs)
    (finding,) = verdict.findings
    assert (finding.currency, finding.state, verdict.halt_kind) == ("CHF", FxState.INVALID, HaltKind.FX_JUMP)
    assert finding.move is not None
    assert round(finding.move, 4) == round(D("1.1937") / D("0.9826") - 1, 4) == D("0.2148")


@pytest.mark.parametrize(("second", "state"), [("1.19", FxState.WARNING), ("1.10", FxState.INVALID)])
def test_second_source_of_the_franc_confirms_it_within_one_percent(
    shared: Path, second: str, state: FxState
) -> None:
    found = ran(built_store(shared / "market_data"), FRANC)
    inputs, policy = found.inputs[date(2015, 1, 16)], found.setup.policy.fx
    assert inputs.previous is not None
    now = inputs.context.as_of
    verdict = fx_verdict(inputs.market.fx, inputs.previous.fx, policy, now, ("CHF",), {"CHF": D(second)})
    assert verdict.state is state


def test_recorded_cross_of_euro_and_pound_is_held_against_its_legs(shared: Path) -> None:
    """EURGBP of 24 June 2016 agrees with its legs; the pound two percent dearer contradicts it."""
    found = ran(built_store(shared / "market_data"), REFERENDUM)
    inputs = found.inputs[date(2016, 6, 27)]
    rates = inputs.market.fx.rates
    euro, pound, cross = (rates[pair] for pair in ("EURUSD", "GBPUSD", "EURGBP"))
    assert euro.observed_at == pound.observed_at == cross.observed_at
    assert abs(cross.rate * pound.rate / euro.rate - 1) < D("0.0014")
    dearer = {**rates, "GBPUSD": replace(pound, rate=pound.rate * D("1.02"))}
    market = replace(inputs.market, fx=replace(inputs.market.fx, rates=dearer))
    verdict = judge_rates(found.setup, replace(inputs, market=market))
    assert verdict.state is FxState.INVALID
    assert HaltKind.FX_DIFFERENCE in {finding.kind for finding in verdict.findings}


def test_changed_source_of_the_franc_is_no_move_beyond_the_limit(shared: Path) -> None:
    """1.0266 of the future on 31 December 2018, 1.0100 spot on 2 January 2019: -1.62 %, told by the store."""
    found = ran(built_store(shared / "market_data"), END_OF_THE_COMPANIES)
    before, after = found.inputs[date(2019, 1, 2)].market.fx, found.inputs[date(2019, 1, 3)].market.fx
    move = after.get_rate("CHF", "USD") / before.get_rate("CHF", "USD") - 1
    assert round(move, 4) == round(D("1.0100") / D("1.0266") - 1, 4) == D("-0.0162")
    assert "CHF" not in {c for fund in found.inputs.values() for c in fund.portfolio.cash}


# ---------------------------------------------------------------- the end of the companies' record


def test_companies_are_sold_on_the_last_day_of_their_record(shared: Path) -> None:
    """The file of 387 companies ends on 31 December 2018; what was held on would stop every later day."""
    found = ran(built_store(shared / "market_data"), END_OF_THE_COMPANIES)
    recorded = frozenset(
        name for name in found.inputs[date(2018, 12, 31)].portfolio.positions if name.isalpha()
    )
    after = found.inputs[date(2019, 1, 3)].portfolio.positions
    assert len(recorded - {"LQD", "HYG", "BIL", "TIP", "IWM", "QQQ"}) >= 8
    assert recorded & after.keys() <= {"LQD", "HYG", "BIL", "TIP", "IWM", "QQQ", "AAPL", "AIG", "BAC"}


# ---------------------------------------------------------------- the whole of it


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("FUND_CAMPAIGN") != "1", reason="the whole spans run with FUND_CAMPAIGN=1")
@pytest.mark.parametrize("span", WHOLE_SPANS, ids=lambda span: span.name)
def test_every_day_of_a_whole_span_is_sound(shared: Path, tmp_path: Path, span: Span) -> None:
    with history_world(built_store(shared / "market_data"), span, tmp_path) as world:
        found = run_span(world, span)
    require_sound(found)
    assert found.halts.keys() <= {HaltKind.STALE_MARK.value}
