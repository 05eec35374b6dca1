"""What becomes of the trade list over the first days: sleeves are built in time, and every trade says what it became."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from engine.composition.stages import TargetStep
from engine.composition.trading import TradeListDecision
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.report import DayReport, TradeRow
from flows.planning import trading_days
from tasks.options import WorldOptions
from tasks.reporting import build_report
from tasks.runtime import World
from tests import factories as fund

ZERO, NEAR = Decimal(0), Decimal("0.05")
SLEEVES = {"core_index_rv", "sector_rv", "single_name", "credit_carry"}
UK_HOLIDAY, US_HOLIDAY = date(2026, 8, 31), date(2026, 9, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDays:
    """Days of a fund that began with cash: how far each sleeve is from its target at each date's close."""

    statuses: frozenset[RunStatus]
    distances: Mapping[date, Mapping[str, Decimal]]
    trades: Mapping[date, TradeListDecision]
    reports: Mapping[date, DayReport]


@cache
def first_days(seed: int, first: date, count: int) -> FirstDays:
    """The days, run once for all tests."""
    days = trading_days(first, first + timedelta(days=2 * count + 5))[:count]
    home = Path(tempfile.mkdtemp(prefix="fund-first-days-"))
    world = World(WorldOptions(profile="fund", first=days[0], last=days[-1], seed=seed, home=home))
    statuses: set[RunStatus] = set()
    distances, trades, reports = {}, {}, {}
    try:
        for day in days:
            statuses |= {outcome.status for outcome in fund.run_day(world, day).values()}
            distances[day] = _distances(world, day)
            trades[day] = decode(TradeListDecision, fund.step_outputs(world, day)["trades"])
            reports[day] = build_report(world, day)
    finally:
        world.close()
        shutil.rmtree(home)
    return FirstDays(statuses=frozenset(statuses), distances=distances, trades=trades, reports=reports)


def _distances(world: World, day: date) -> dict[str, Decimal]:
    """|held| / |wanted| − 1 of every sleeve: gross exposure at the close against the decision's target."""
    wanted = dict.fromkeys(SLEEVES, ZERO)
    for line in decode(TargetStep, fund.step_outputs(world, day)["targets"]).book.lines:
        wanted[line.sleeve] += abs(line.notional_usd)
    values = {line.contract_id: line for line in fund.valued(world, day, RunKind.CLOSE).valuation.lines}
    held = dict.fromkeys(SLEEVES, ZERO)
    for name, position in fund.recorded_inputs(world, day, RunKind.CLOSE).portfolio.positions.items():
        for sleeve, quantity in position.sleeves.items():
            if sleeve.value in SLEEVES and position.quantity != 0:
                held[sleeve.value] += abs(values[name].exposure_usd * quantity / position.quantity)
    return {sleeve: held[sleeve] / usd - 1 for sleeve, usd in wanted.items()}


@pytest.mark.parametrize(
    ("seed", "first", "why"),
    [
        (5, date(2025, 9, 15), "the caps leave every sleeve 15 % short, below a large change"),
        (13, date(2026, 5, 4), "London is closed on the first day"),
        (2, date(2025, 3, 10), "a core leg of 23 % of NAV takes three orders"),
        (3, date(2024, 8, 1), "a core leg of 20 % of NAV"),
        (7, UK_HOLIDAY, "London is closed on the first day, and bond futures are rolled on the second"),
        (
            1,
            US_HOLIDAY,
            "New York is closed on the first day; two shares go ex on the day on which they are bought",
        ),
    ],
)
def test_every_sleeve_is_built_by_the_fourth_day(seed: int, first: date, why: str) -> None:
    """R-108: from an empty book, within 5 % of the target, whatever the caps and the closed venues did before."""
    days = first_days(seed, first, 4)
    assert days.statuses == {RunStatus.COMPLETED}
    fourth = list(days.distances)[3]
    assert all(abs(distance) < NEAR for distance in days.distances[fourth].values()), (
        why,
        days.distances[fourth],
    )


def test_goals_are_forgotten_once_they_are_reached() -> None:
    days = first_days(5, date(2025, 9, 15), 4)
    first, *_, last = days.trades.values()
    assert {"group:core", "CSPX"} & first.memory.goals.keys() == {"group:core"}
    assert "group:core" not in last.memory.goals


def test_share_that_is_bought_on_its_ex_date_earns_no_dividend() -> None:
    """ARCC is bought on 2026-09-08, on which it goes ex: who held it at 00:00 UTC is paid, and the fund did not."""
    days = first_days(1, US_HOLIDAY, 4)
    (bought,) = (
        row for row in days.reports[date(2026, 9, 8)].trades if row.contract_id == "ARCC" and row.filled
    )
    assert bought.filled > 0
    bridges = [report.bridge for report in days.reports.values()]
    assert all(bridge is not None and abs(bridge.residual) < Decimal("0.01") for bridge in bridges)
    assert not any(
        row.component == "dividends" for bridge in bridges if bridge is not None for row in bridge.rows
    )


@pytest.fixture(params=[(7, UK_HOLIDAY), (1, US_HOLIDAY)], ids=["London closed", "New York closed"])
def holiday(request: pytest.FixtureRequest) -> tuple[FirstDays, date]:
    seed, first = request.param
    return first_days(seed, first, 4), first


def _rows(report: DayReport) -> dict[str, TradeRow]:
    return {row.contract_id: row for row in report.trades if row.purpose != "caps"}


def test_trades_of_a_closed_venue_wait_with_their_reason_and_take_no_turnover(
    holiday: tuple[FirstDays, date],
) -> None:
    days, day = holiday
    rows = _rows(days.reports[day])
    closed, opened = ("CSPX", "AAPL") if day == UK_HOLIDAY else ("AAPL", "CSPX")
    assert (rows[closed].decision, rows[closed].filled, rows[closed].purpose) == ("not done", ZERO, "venue")
    assert rows[closed].reason.startswith("venue: venue closed: ")
    assert (rows[opened].decision, rows[opened].filled) == ("done", rows[opened].quantity)
    waiting = {d.contract_id for d in days.trades[day].decisions if d.stage == "venue"}
    assert waiting.isdisjoint(trade.contract_id for trade in days.trades[day].trades)
    traded = sum(
        abs(d.notional_usd)
        for d in days.trades[day].decisions
        if d.done and d.reason not in ("roll", "hedge_fx")
    )
    assert days.trades[day].turnover_usd == pytest.approx(traded, abs=1)


def test_pair_waits_as_a_whole_when_one_of_its_venues_is_closed() -> None:
    rows = _rows(first_days(7, UK_HOLIDAY, 4).reports[UK_HOLIDAY])
    assert "does not trade on 2026-08-31" in rows["CSPX"].reason
    (future,) = (row for row in rows.values() if row.instrument_id == "FESX")
    assert (future.decision, future.filled) == ("not done", ZERO)
    assert "not traded without CSPX" in future.reason


def test_every_trade_of_a_completed_day_ends_with_its_reason(holiday: tuple[FirstDays, date]) -> None:
    for report in holiday[0].reports.values():
        assert report.trades
        assert {row.decision for row in report.trades} <= {"done", "partly done", "not done"}
        assert all(row.reason for row in report.trades)
        assert all(row.filled == row.quantity for row in report.trades if row.decision == "done")
        undone = [row for row in report.trades if row.decision == "not done" and row.purpose in PURPOSES]
        assert all("; " in row.reason for row in undone), "a trade that went to the market says what kept it"


def test_report_says_what_tracking_error_the_gate_left(holiday: tuple[FirstDays, date]) -> None:
    days, _ = holiday
    for day, report in days.reports.items():
        left = days.trades[day].gate.tracking_error_annual
        told = [note for note in report.notes if "tracking error" in note]
        assert len(told) == (1 if left > 0 else 0)
        assert all(f"{left:.2%}" in note for note in told)


PURPOSES = ("rebalance", "hedge_tail", "hedge_fx", "roll", "close", "crisis", "derisk", "limit_breach")
