"""Assemble a day's report from the journal, the book and the broker's own figures, and write it to disk.

Nothing is computed anew that a step decided: the report shows recorded values, so it says what was true then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from engine.composition.stages import DayInputs
from engine.model.context import RunKind, RunStatus
from engine.model.market import FxRates
from engine.report import DayReport, OperatorAct
from state.halts import HaltRecord
from state.order_reading import account_orders
from tasks.adapters.report_json import to_result_json
from tasks.adapters.report_page import render_page
from tasks.adapters.report_text import estimate_text
from tasks.reporting_positions import exposure_rows, position_rows
from tasks.reporting_prices import flagged_prices, price_notes, rate_notes
from tasks.reporting_rolls import roll_rows
from tasks.reporting_trades import (
    cost_view,
    cross_notes,
    dividend_notes,
    fill_rows,
    hedge_lines,
    job_rows,
    order_rows,
    trade_rows,
    unhedged_usd_seconds,
)
from tasks.reporting_views import (
    bridge_view,
    comparison_rows,
    currency_rows,
    halt_views,
    history_points,
    reconciliation_view,
    risk_view,
)
from tasks.run_view import RunView, run_view
from tasks.runtime import World

NEXT_SEARCHED = 15
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPaths:
    """Where a day's report lies: the page, and the result as JSON beside it."""

    page: Path
    result: Path


def report_paths(world: World, day: date) -> ReportPaths:
    """Paths of a day's report."""
    folder = world.options.home / "reports" / world.account
    return ReportPaths(page=folder / f"{day}.html", result=folder / f"{day}.json")


def save_report(world: World, report: DayReport) -> ReportPaths:
    """Write page and result, each whole or not at all."""
    paths = report_paths(world, report.trade_date)
    paths.page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(paths.page, render_page(report))
    result = to_result_json(report, str(paths.page))
    write_whole(paths.result, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return paths


def build_report(world: World, trade_date: date) -> DayReport:
    """The report of one trade date, as far as the day has come."""
    runs = {run.key.kind: run for run in world.runs.runs(world.account) if run.key.trade_date == trade_date}
    decision = run_view(world, runs[RunKind.DECISION])
    close = run_view(world, runs[RunKind.CLOSE]) if RunKind.CLOSE in runs else None
    last = max(runs.values(), key=lambda run: list(RunKind).index(run.key.kind))
    orders = account_orders(world.database, world.account, trade_date)
    valued = close.fund if close is not None and close.fund is not None else decision.fund
    seen = close.inputs if close is not None and close.inputs is not None else decision.inputs
    fx, label = _rates(world, trade_date, seen), world.outside.label
    fills = fill_rows(world, fx, orders)
    is_closed = close is not None and close.record.status is RunStatus.COMPLETED
    trades = trade_rows(world, decision, orders, closed=is_closed)
    return DayReport(
        run_id=decision.record.run_id,
        account=world.account,
        profile=world.options.profile,
        trade_date=trade_date,
        mode=world.mode.value,
        status=last.status.value,
        attempt=decision.record.attempt,
        seed=world.seed,
        market=label.name,
        generated=label.generated,
        as_of=world.decision_time(trade_date),
        nav=None if decision.fund is None else decision.fund.valuation.nav,
        closing_nav=None if close is None or close.fund is None else close.fund.valuation.nav,
        estimate=decision.estimate,
        closing_estimate=None if close is None else close.estimate,
        unit_price=None if valued is None else valued.valuation.unit_price,
        cash_by_currency={} if seen is None else dict(seen.portfolio.cash),
        gross_exposure=valued.valuation.gross_exposure if valued is not None else _ZERO,
        net_exposure=valued.valuation.net_exposure if valued is not None else _ZERO,
        bridge=bridge_view(close.fund if close is not None else decision.fund),
        exposures=exposure_rows(world, decision, valued, seen),
        currencies=currency_rows(world, valued, seen),
        risk=risk_view(world, decision),
        positions=position_rows(world, decision, valued, seen),
        trades=trades,
        rolls=roll_rows(decision, orders),
        hedges=hedge_lines(decision),
        jobs=job_rows(world, trade_date),
        orders=order_rows(orders),
        fills=fills,
        unhedged_usd_seconds=unhedged_usd_seconds(world, trade_date),
        costs=cost_view(world, fx, trade_date, decision, fills),
        reconciliation=reconciliation_view(decision.reconciliation),
        closing_reconciliation=None if close is None else reconciliation_view(close.reconciliation),
        comparisons=comparison_rows(world.records, tuple(runs.values())),
        halts=halt_views(world, trade_date),
        flagged_prices=flagged_prices(decision.fund, world.contracts),
        notes=(*estimate_notes(decision, close), *report_notes(world, decision)),
        operator_acts=operator_acts(world, trade_date),
        history=history_points(world, trade_date),
        next_run=next_run(world, trade_date),
    )


_ZERO = Decimal(0)


def _rates(world: World, trade_date: date, seen: DayInputs | None) -> FxRates:
    """Rates that the day's last run read; none where none did, and then nothing was traded either."""
    return FxRates(as_of=world.close_time(trade_date), rates={}) if seen is None else seen.market.fx


def estimate_notes(decision: RunView, close: RunView | None) -> tuple[str, ...]:
    """What is to be said of a NAV that is an estimate."""
    runs = (("the NAV at the decision", decision), ("the NAV at the close", close))
    return tuple(
        estimate_text(name, run.estimate)
        for name, run in runs
        if run is not None and run.estimate is not None
    )


def report_notes(world: World, decision: RunView) -> tuple[str, ...]:
    """Everything about the data and the decision that a reader should know."""
    notes: list[str] = []
    if decision.inputs is not None:
        notes += decision.inputs.market.data_notes
    if decision.targets is not None:
        notes += decision.targets.book.notes
        notes += [f"{name} keeps its book: {why}" for name, why in decision.targets.book.held.items()]
    for plan in (decision.rolls, decision.hedge, None if decision.tail is None else decision.tail.plan):
        notes += () if plan is None else plan.notes
    if decision.trades is not None and decision.trades.gate.tracking_error_annual > 0:
        notes.append(
            f"trades that were not worth their cost leave {decision.trades.gate.tracking_error_annual:.2%} "
            "of annual tracking error"
        )
    if decision.fund is not None and decision.fund.marks.text:
        notes.append(f"stale prices: {decision.fund.marks.text}")
    notes += (
        *price_notes(flagged_prices(decision.fund, world.contracts)),
        *rate_notes(decision.rates),
        *dividend_notes(world, decision),
        *cross_notes(decision, world.contracts),
    )
    return tuple(dict.fromkeys((*world.outside.label.notes, *notes)))


def operator_acts(world: World, trade_date: date) -> tuple[str, ...]:
    """Who resolved which halt of the date, how and why."""
    return tuple(
        f"{act.operator} resolved {act.kind} with {act.choice}: {act.reason}"
        for act in acts_on(world.halts.halts(world.account), (trade_date,))
    )


def acts_on(halts: Sequence[HaltRecord], days: Sequence[date]) -> tuple[OperatorAct, ...]:
    """Answers to the halts of some dates, in the order of the dates."""
    return tuple(
        OperatorAct(
            trade_date=day,
            halt_id=halt.halt_id,
            kind=halt.kind,
            choice=halt.choice.value,
            operator=halt.operator or "nobody named",
            reason=halt.reason or "",
        )
        for day in days
        for halt in halts
        if halt.choice is not None and halt.run_id.startswith(day.isoformat())
    )


def next_run(world: World, trade_date: date) -> date | None:
    """Next date on which a venue other than the currency market trades."""
    venues = [venue for venue in world.sessions.venues if venue != "FX"]
    for ahead in range(1, NEXT_SEARCHED):
        day = trade_date + timedelta(days=ahead)
        if day <= world.sessions.last and any(world.sessions.is_session(venue, day) for venue in venues):
            return day
    return None


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    draft = path.with_suffix(f"{path.suffix}.{os.getpid()}.tmp")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
