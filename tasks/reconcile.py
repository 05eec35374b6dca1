"""Compare our book with the broker; a break stops the day with its evidence."""

from __future__ import annotations

from datetime import datetime

from engine.accounting.break_values import Break
from engine.accounting.reconciliation import ReconciliationReport, ReconciliationStatus
from engine.composition.comparison import compare_with_broker
from engine.composition.stages import DayInputs, ValuedFund
from engine.errors import HaltError
from engine.model.breaks import BreakKind
from engine.model.halts import HaltKind
from state.recording_book import reconciliation_rows
from tasks.day import TradingDay
from tasks.step import step

MOST_BREAKS_TOLD = 4
STEP_NAME = "reconcile"


@step("reconcile with the broker")
def reconcile(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> ReconciliationReport:
    """Quantities, cash, our quantities at the broker's prices, then prices one by one."""
    report = day.decide(STEP_NAME, ReconciliationReport, lambda: compare_with_broker(day.setup, inputs, fund))
    keep_comparison(day, day.context.as_of, report)
    for found in report.blocked:
        day.alert("WARNING", f"{found.subject}: {found.told}")
    if not report.can_trade:
        kind = report.halt_kind or HaltKind.UNANSWERED
        raise HaltError(
            kind.value,
            reconciliation_text(report),
            emergency=report.status is ReconciliationStatus.EMERGENCY,
        )
    return report


def keep_comparison(day: TradingDay, at: datetime, report: ReconciliationReport) -> None:
    """Keep a comparison in the day record, whatever it found."""
    day.world.records.save_all(reconciliation_rows(day.run_id, day.claim.attempt, at, report))


def reconciliation_text(report: ReconciliationReport) -> str:
    """What was expected and what was found, in one paragraph: the breaks that stop trading."""
    texts = [break_text(found) for found in report.breaks[:MOST_BREAKS_TOLD]]
    more = len(report.breaks) - len(texts)
    if more:
        texts.append(f"and {more} more in the evidence")
    return "; ".join(texts) or "expected the broker to answer every question, found no answer to some"


def break_text(found: Break) -> str:
    """One break in words; a difference that is worth nothing names no money."""
    worth = f", which would change NAV by {-found.difference_usd:+,.2f} USD" if found.difference_usd else ""
    if found.kind is HaltKind.UNANSWERED:
        if found.cause is not BreakKind.UNANSWERED:
            return f"expected an answer to go by, found that {found.explanations[0].text}"
        return f"expected the broker's {found.subject.replace('_', ' ')}, found no answer"
    if found.kind is HaltKind.UNKNOWN_ORDER:
        if found.cause is BreakKind.FOREIGN_ORDER:
            return f"expected only our own orders at the broker, found {found.subject}: {found.broker}"
        return f"expected {found.subject} as {found.ours}, found at the broker: {found.broker}"
    if found.kind is HaltKind.NLV_DRIFT:
        return (
            f"expected a net liquidation value of {found.ours}, our book at the broker's own prices, "
            f"found {found.broker} at the broker{worth}"
        )
    return f"expected {_ours(found)} as in our book, found {found.broker} at the broker{worth}"


def _ours(found: Break) -> str:
    if found.kind is HaltKind.CASH_BREAK:
        return f"{found.ours} of cash"
    if found.kind in (HaltKind.MARK_DIFFERENCE, HaltKind.FX_DIFFERENCE):
        return f"{found.subject} at {found.ours}"
    return f"{found.ours} of {found.subject}"
