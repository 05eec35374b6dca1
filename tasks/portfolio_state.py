"""``portfolio_state.json`` in FUND_HOME: the fund at the end of its last day, for people and other programs.

An export, written whole or not at all and never read back: the database is the book of record.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from engine.accounting.performance import UnitPrice
from engine.accounting.performance import drawdown as worst_fall
from engine.composition.stages import DayInputs, ValuedFund
from engine.model.context import RunKind
from engine.model.encoding import encode, significant
from engine.model.money import ZERO, round_money
from engine.risk.decision import drawdown_of
from state.record_values import Record
from state.runs import run_identifier
from tasks.day import TradingDay, run_key
from tasks.uncharged import is_estimate

FILE = "portfolio_state.json"
SCHEMA_VERSION = 1
HISTORY_DAYS = 260
"""Business days of results in the export, about a year; the whole history is in the table nav_history."""
_SATURDAY = 5
_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePosition:
    """One contract held: signed quantity, mark in quote units, value and exposure in USD, quantity by sleeve."""

    instrument_id: str
    quantity: Decimal
    mark: Decimal
    value_usd: Decimal
    exposure_usd: Decimal
    sleeves: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioExport:
    """The fund at the end of a day. Money in USD except ``cash_by_ccy``; returns and drawdowns are fractions.

    ``max_drawdown`` is since inception, ``max_drawdown_one_year`` from close to close within 365 days. ``exposures`` are long, short, gross and net, and the notional of the currency hedge. ``pnl_history`` holds the
    result of each business day by ISO date; capital that came or went is no result. ``nav_is_estimate``: executions
    stood without a commission.
    """

    schema_version: int
    account: str
    nav: Decimal
    nav_is_estimate: bool
    cash_by_ccy: Mapping[str, Decimal]
    initial_capital: Decimal
    exposures: Mapping[str, Decimal]
    realized_vol_annual: float | None
    current_drawdown: float
    max_drawdown: float
    max_drawdown_one_year: float
    daily_pnl: Decimal | None
    daily_return: float | None
    total_pnl: Decimal
    last_update: datetime
    inception_date: date
    positions: Mapping[str, StatePosition]
    pnl_history: Mapping[str, Decimal]


def business_days(history: Sequence[Record], opening: Record | None = None) -> Mapping[str, Decimal]:
    """Result of each business day by ISO date, from rows of nav_history, oldest first.

    ``NAV − NAV before − (units − units before) × unit price``. The first row is measured from ``opening``, the NAV
    and units before it, or left out. A valuation on a weekend is no day of its own: its change belongs to the next
    business day.
    """
    dated = [row for row in history if _date(row).weekday() < _SATURDAY]
    rows = [*(() if opening is None else (opening,)), *dated]
    results = {}
    for before, row in pairwise(rows):
        flow = (_amount(row, "units") - _amount(before, "units")) * _amount(row, "unit_price")
        results[_date(row).isoformat()] = round_money(_amount(row, "nav") - _amount(before, "nav") - flow)
    return results


def year_drawdown(history: Sequence[Record], today: date, opening: Record | None = None) -> float:
    """Deepest fall of the unit price from a peak of the same year, over rows of nav_history, oldest first.

    ``opening`` is the NAV and units that the fund began with, where its first close is among the rows.
    """
    begun = today - _YEAR
    first, prices = _date(history[0]), []
    if opening is not None and first > begun:
        prices.append(UnitPrice(day=first, price=_amount(opening, "nav") / _amount(opening, "units")))
    prices += [
        UnitPrice(day=_date(row), price=_amount(row, "unit_price")) for row in history if _date(row) > begun
    ]
    return significant(float(worst_fall(prices).maximum))


def portfolio_export(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> PortfolioExport:
    """The export of a day that was closed."""
    valuation, policy = fund.valuation, day.policy
    records, account = day.world.records, day.key.account
    history = records.latest("nav_history", "trade_date", count=HISTORY_DAYS + 1, account=account)[::-1]
    start: Record = {"nav": policy.initial_capital, "units": policy.initial_units}
    opening = start if len(history) <= HISTORY_DAYS else None
    results = business_days(history, opening)
    today = history[-1]
    decision = run_identifier(run_key(day.world, day.trade_date, RunKind.DECISION))
    risk = records.rows("risk_decisions", run_id=decision)
    past = inputs.memory.risk.closing
    price = valuation.unit_price
    drawdown = drawdown_of(price, max(price, past.peak_unit_price or price))
    deposited = policy.initial_capital + (valuation.units - policy.initial_units) * price
    return PortfolioExport(
        schema_version=SCHEMA_VERSION,
        account=account,
        nav=valuation.nav,
        nav_is_estimate=is_estimate(day),
        cash_by_ccy=dict(inputs.portfolio.cash),
        initial_capital=policy.initial_capital,
        exposures={
            "long": valuation.long_exposure,
            "short": valuation.short_exposure,
            "gross": valuation.gross_exposure,
            "net": valuation.net_exposure,
            "fx_hedge_gross": valuation.fx_hedge_gross,
        },
        realized_vol_annual=_figure(risk[0], "realized_volatility_annual") if risk else None,
        current_drawdown=drawdown,
        max_drawdown=min(drawdown, past.maximum_drawdown),
        max_drawdown_one_year=year_drawdown(history, day.trade_date, opening),
        daily_pnl=results.get(day.trade_date.isoformat()),
        daily_return=_figure(today, "daily_return"),
        total_pnl=round_money(valuation.nav - deposited),
        last_update=valuation.as_of,
        inception_date=day.world.ledger.entries(account)[0].booked_at.date(),
        positions=_positions(inputs, fund),
        pnl_history=results,
    )


def _positions(inputs: DayInputs, fund: ValuedFund) -> Mapping[str, StatePosition]:
    return {
        line.contract_id: StatePosition(
            instrument_id=line.instrument_id,
            quantity=line.quantity,
            mark=line.mark,
            value_usd=line.value_usd,
            exposure_usd=line.exposure_usd,
            sleeves={
                sleeve.value: quantity
                for sleeve, quantity in inputs.portfolio.positions[line.contract_id].sleeves.items()
                if quantity != ZERO
            },
        )
        for line in fund.valuation.lines
        if line.quantity != ZERO
    }


def write_portfolio_state(home: Path, export: PortfolioExport) -> Path:
    """Write the export beside its place and move it there: a reader sees the old file or the new one."""
    path = home / FILE
    draft = path.with_name(f"{FILE}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(encode(export) + b"\n")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _date(row: Record) -> date:
    return date.fromisoformat(str(row["trade_date"]))


def _amount(row: Record, name: str) -> Decimal:
    return Decimal(str(row[name]))


def _figure(row: Record, name: str) -> float | None:
    found = row[name]
    return None if found is None else significant(float(str(found)))
