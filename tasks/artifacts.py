"""What Prefect's pages show of a run: tables and text beside it; without a flow run nothing is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.accounting.reconciliation import ReconciliationReport
from engine.composition.stages import TargetStep
from engine.composition.trading import TradeListDecision
from engine.errors import HaltError
from engine.report import BreakRow, DayReport
from tasks.adapters.report_text import exposure_text, halt_name, last_good_text
from tasks.day import TradingDay
from tasks.reporting_views import BUCKETS
from tasks.step import in_flow_run


def publish_decision(
    day: TradingDay, report: ReconciliationReport, targets: TargetStep, trades: TradeListDecision
) -> None:
    """Reconciliation, targets, and every trade with its reason."""
    if not in_flow_run():
        return
    _table(
        "reconciliation",
        [{"bucket": name, "USD": f"{getattr(report.buckets, name):,.2f}"} for name in BUCKETS]
        if report.buckets is not None
        else [],
        f"Reconciliation of {day.trade_date}: {report.status.value}",
    )
    _table(
        "targets",
        [
            {
                "sleeve": line.sleeve,
                "contract": line.contract_id,
                "quantity": f"{line.quantity:,f}",
                "weight": f"{line.weight:.2%}",
                "USD": f"{line.notional_usd:,.0f}",
            }
            for line in targets.book.lines
        ],
        f"Targets of {day.trade_date}",
    )
    _table(
        "trades",
        [
            {
                "contract": row.contract_id,
                "quantity": f"{row.quantity:,f}",
                "USD": f"{row.notional_usd:,.0f}",
                "done": "yes" if row.done else "no",
                "stage": row.stage,
                "reason": row.reason,
            }
            for row in trades.decisions
        ],
        f"Trades of {day.trade_date} and their reasons",
    )


def publish_fills(day: TradingDay) -> None:
    """Executions of the date."""
    if not in_flow_run():
        return
    start = day.world.decision_time(day.trade_date)
    _table(
        "fills",
        [
            {
                "time": f"{fill.executed_at:%H:%M:%S}",
                "contract": fill.contract_id,
                "side": fill.side.value,
                "quantity": f"{fill.quantity:,f}",
                "price": f"{fill.price:f}",
                "order": fill.order_ref or "",
            }
            for fill in day.orders.fills(since=start)
        ],
        f"Fills of {day.trade_date}",
    )


def publish_summary(day: TradingDay, report: DayReport) -> None:
    """The day in a few lines."""
    _markdown("summary", summary_text(report), f"Summary of {day.trade_date}")


def publish_halt(day: TradingDay, halt_id: str, halt: HaltError, evidence: Sequence[BreakRow]) -> None:
    """The evidence of a halt and how it is resolved."""
    _table("halt-evidence", [evidence_cells(row) for row in evidence], f"Evidence of {halt_id}")
    _markdown(
        "halt",
        f"# HALTED: {halt_name(halt.kind)}\n\n{halt}\n\nNothing but cancels leaves. On these pages it is resolved "
        f"with the deployment `resolve-halt` (halt id `{halt_id}`); then retry this run.",
        f"{halt_id} of {day.trade_date}",
    )


def evidence_cells(row: BreakRow) -> Mapping[str, str]:
    """One fact behind a halt as the cells of a table, every figure with its unit."""
    found = (
        {
            "ours": row.ours,
            "broker": row.broker,
            "difference": "not valued" if row.difference_usd is None else f"{row.difference_usd:+,.2f} USD",
        }
        if row.price is None
        else {
            "found": row.ours,
            "limit": row.price.limit,
            "last good price": last_good_text(row.price),
            "exposure": exposure_text(row.price),
        }
    )
    return {
        "kind": halt_name(row.kind),
        "subject": row.subject,
        **found,
        "likely explanation": row.explanation,
        "proposed choice": row.proposed_choice,
    }


def summary_text(report: DayReport) -> str:
    """The day's figures as markdown."""
    nav = report.closing_nav if report.closing_nav is not None else report.nav
    estimate = report.closing_estimate if report.closing_nav is not None else report.estimate
    shown = "not valued" if nav is None else f"{nav:,.2f} USD{'' if estimate is None else ' (an estimate)'}"
    return (
        f"**{report.trade_date}** {report.status} - NAV {shown}, gross {report.gross_exposure:,.0f} USD, "
        f"net {report.net_exposure:,.0f} USD, traded {report.costs.traded_usd:,.0f} USD, "
        f"commission {report.costs.commission_usd:,.2f} USD"
    )


def _table(key: str, rows: Sequence[Mapping[str, str]], description: str) -> None:
    if in_flow_run() and rows:
        from prefect.artifacts import create_table_artifact

        create_table_artifact(key=key, table=[dict(row) for row in rows], description=description)


def _markdown(key: str, text: str, description: str) -> None:
    if in_flow_run():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(key=key, markdown=text, description=description)
