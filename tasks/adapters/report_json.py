"""The day's report as the JSON that ``fund run --json`` writes: money is text, exact to the last digit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.model.encoding import Json, decimal_text, significant, to_json
from engine.report import DayReport, TradeRow


def to_result_json(report: DayReport, page: str | None) -> dict[str, Json]:
    """The result of one day; ``page`` is the path of its HTML page, if one was written.

    Raises `NonFiniteValue` when a number of the report is NaN or infinite.
    """
    return {
        "run_id": report.run_id,
        "trade_date": to_json(report.trade_date),
        "mode": report.mode,
        "status": report.status,
        "attempt": report.attempt,
        "nav": to_json(report.nav),
        "cash_by_currency": to_json(report.cash_by_currency),
        "positions": to_json(report.positions),
        "reconciliation": to_json(report.reconciliation),
        "risk": to_json(report.risk),
        "targets": _targets(report),
        "hedges": to_json(report.hedges),
        "trades": [_trade(row) for row in report.trades],
        "rolls": to_json(report.rolls),
        "jobs": to_json(report.jobs),
        "orders": to_json(report.orders),
        "fills": to_json(report.fills),
        "costs": to_json(report.costs),
        "unhedged_usd_seconds": to_json(report.unhedged_usd_seconds),
        "halts": to_json(report.halts),
        "report": page,
        **_context(report),
        **derived_figures(report),
    }


def derived_figures(report: DayReport) -> dict[str, Json]:
    """Figures of the summary that follow from others: change of NAV and of NAV per unit, exposure as a fraction of NAV, all costs."""
    bridge = report.bridge
    change = None if bridge is None else bridge.closing_nav - bridge.opening_nav
    earned = None if bridge is None else bridge.unit_return
    return {
        "change": {
            "usd": to_json(change),
            "fraction": None if earned is None else significant(float(earned)),
        },
        "exposure": {
            "gross_usd": None if report.nav is None else decimal_text(report.gross_exposure),
            "net_usd": None if report.nav is None else decimal_text(report.net_exposure),
            "gross_fraction": _fraction(report.gross_exposure, report.nav),
            "net_fraction": _fraction(report.net_exposure, report.nav),
        },
        "total_cost_usd": decimal_text(report.costs.total_usd),
    }


def figure(result: Mapping[str, Json], path: str) -> Json:
    """The value at a dotted path, as in ``costs.traded_usd``; ``None`` where a part of the path is missing."""
    value: Json = dict(result)
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value[name]
    return value


def _context(report: DayReport) -> dict[str, Json]:
    return {
        "account": report.account,
        "profile": report.profile,
        "seed": report.seed,
        "market": report.market,
        "generated": report.generated,
        "as_of": to_json(report.as_of),
        "closing_nav": to_json(report.closing_nav),
        "estimate": to_json(report.estimate),
        "closing_estimate": to_json(report.closing_estimate),
        "unit_price": to_json(report.unit_price),
        "bridge": to_json(report.bridge),
        "closing_reconciliation": to_json(report.closing_reconciliation),
        "comparisons": to_json(report.comparisons),
        "flagged_prices": to_json(report.flagged_prices),
        "notes": to_json(report.notes),
        "operator_acts": to_json(report.operator_acts),
        "next_run": to_json(report.next_run),
    }


def _targets(report: DayReport) -> list[Json]:
    return [
        {
            "sleeve": row.sleeve,
            "instrument": row.instrument_id,
            "contract": row.contract_id,
            "quantity": to_json(row.target_quantity),
            "weight": to_json(row.target_weight),
        }
        for row in report.positions
        if row.target_quantity is not None
    ]


def _trade(row: TradeRow) -> Json:
    return {
        "instrument": row.instrument_id,
        "contract": row.contract_id,
        "quantity": decimal_text(row.quantity),
        "filled": decimal_text(row.filled),
        "notional_usd": decimal_text(row.notional_usd),
        "decision": row.decision,
        "reason": row.reason,
        "purpose": row.purpose,
        "sleeves": to_json(row.sleeves),
    }


def _fraction(part: Decimal | None, whole: Decimal | None) -> float | None:
    return None if part is None or not whole else significant(float(part / whole))
