"""The exported state of the portfolio: its keys, its figures, and that it is written whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from engine.composition.stages import RiskStep
from engine.model.context import RunKind
from engine.model.encoding import decode
from engine.report import DayReport
from state.record_values import Record
from tasks.portfolio_state import FILE, PortfolioExport, business_days, write_portfolio_state, year_drawdown
from tasks.reporting import build_report
from tasks.runtime import World
from tests.factories import DAYS, days_run, new_world, step_outputs, valued

D = Decimal
KEYS = {
    "schema_version", "account", "nav", "nav_is_estimate", "cash_by_ccy", "initial_capital", "exposures", "realized_vol_annual",
    "current_drawdown", "max_drawdown", "max_drawdown_one_year", "daily_pnl", "daily_return", "total_pnl", "last_update", "inception_date",
    "positions", "pnl_history",
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    opened = new_world(days_run().home)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def export() -> PortfolioExport:
    return decode(PortfolioExport, (days_run().home / FILE).read_text())


@pytest.fixture(scope="module")
def report(world: World) -> DayReport:
    return build_report(world, DAYS[-1])


def nav_row(day: date, nav: str, units: str = "10") -> Record:
    return {"trade_date": day, "nav": D(nav), "units": D(units), "unit_price": D(nav) / D(units)}


def test_export_has_the_keys_that_are_promised() -> None:
    assert set(json.loads((days_run().home / FILE).read_text())) == KEYS


def test_export_says_what_the_last_close_says(
    world: World, export: PortfolioExport, report: DayReport
) -> None:
    closing = valued(world, DAYS[-1], RunKind.CLOSE).valuation
    assert export.nav == closing.nav == report.closing_nav
    assert export.cash_by_ccy == report.cash_by_currency
    assert (
        export.exposures["gross"]
        == report.gross_exposure
        == export.exposures["long"] + export.exposures["short"]
    )
    assert export.exposures["net"] == report.net_exposure
    assert export.last_update == closing.as_of
    assert (export.initial_capital, export.inception_date) == (D(10_000_000), DAYS[0])
    risk = decode(RiskStep, step_outputs(world, DAYS[-1])["risk"]).decision
    assert export.realized_vol_annual == risk.volatility.annual
    assert export.max_drawdown <= export.current_drawdown <= 0
    # The fund began at 100 a unit; from the highest close to the lowest after it
    prices = [D(100), *(valued(world, day, RunKind.CLOSE).valuation.unit_price for day in DAYS)]
    falls = [float(low / high - 1) for row, high in enumerate(prices) for low in prices[row:]]
    assert export.max_drawdown_one_year == pytest.approx(min(falls), abs=1e-11)
    held = {line.contract_id: line for line in closing.lines if line.quantity != 0}
    assert {name: row.quantity for name, row in export.positions.items()} == {
        name: line.quantity for name, line in held.items()
    }
    assert all(sum(row.sleeves.values(), D(0)) == row.quantity for row in export.positions.values())


def test_results_of_the_days_add_up_to_the_total(world: World, export: PortfolioExport) -> None:
    assert list(export.pnl_history) == [day.isoformat() for day in DAYS]
    navs = [D(10_000_000), *(valued(world, day, RunKind.CLOSE).valuation.nav for day in DAYS)]
    assert list(export.pnl_history.values()) == [after - before for before, after in pairwise(navs)]
    assert export.total_pnl == sum(export.pnl_history.values()) == export.nav - D(10_000_000)
    assert export.daily_pnl == export.pnl_history[DAYS[-1].isoformat()]
    assert export.daily_return == pytest.approx(float(navs[-1] / navs[-2] - 1), abs=1e-11)


def test_year_forgets_an_older_fall_and_flows_are_none() -> None:
    rows = [
        nav_row(date(2025, 11, 19), "1000"),
        nav_row(date(2025, 11, 20), "700"),  # 365 days before today: no longer in the year
        nav_row(date(2025, 11, 21), "600"),
        nav_row(date(2026, 3, 2), "660"),
        nav_row(date(2026, 3, 3), "1254", units="20"),  # 62.7 a unit: ten more units came in
        nav_row(date(2026, 11, 20), "640"),
    ]
    # 62.7 / 66 − 1
    assert year_drawdown(rows, date(2026, 11, 20)) == pytest.approx(-0.05)
    # It began at 128 a unit: 60 / 128 − 1
    began: Record = {"nav": D(1280), "units": D(10)}
    assert year_drawdown(rows, date(2026, 11, 18), began) == pytest.approx(-0.53125)
    assert year_drawdown(rows, date(2026, 11, 20), began) == pytest.approx(-0.05)
    # 60 / 100 − 1
    assert year_drawdown(rows, date(2026, 11, 18)) == pytest.approx(-0.4)


def test_written_export_reads_back_the_same(tmp_path: Path, export: PortfolioExport) -> None:
    path = write_portfolio_state(tmp_path, export)
    assert decode(PortfolioExport, path.read_text()) == export


def test_crash_before_the_move_leaves_the_old_file_whole(
    tmp_path: Path, export: PortfolioExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_text("the day before")

    def crash(*_: object) -> None:
        raise OSError("power")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="power"):
        write_portfolio_state(tmp_path, export)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {FILE: "the day before"}


def test_weekend_is_no_business_day_and_its_change_belongs_to_monday() -> None:
    friday, saturday, sunday, monday = (date(2025, 12, day) for day in (12, 13, 14, 15))
    rows = [nav_row(friday, "100"), nav_row(saturday, "101"), nav_row(sunday, "102"), nav_row(monday, "99")]
    assert business_days(rows) == {"2025-12-15": D(-1)}
    opening: Record = {"nav": D(90), "units": D(10)}
    assert business_days(rows, opening) == {"2025-12-12": D(10), "2025-12-15": D(-1)}


def test_capital_that_came_is_no_result() -> None:
    # 100 USD and 10 units become 220 USD and 20 units at 11 USD: 110 USD came in, 10 USD were earned.
    rows = [nav_row(date(2025, 12, 11), "100"), nav_row(date(2025, 12, 12), "220", "20")]
    assert business_days(rows) == {"2025-12-12": D(10)}
