"""Compare our book with the broker; a break stops the day with its evidence."""

from __future__ import annotations

from engine.accounting.reconciliation import ReconciliationReport, ReconciliationStatus
from engine.composition.stages import DayInputs, ValuedFund, compare_with_broker
from engine.errors import HaltError
from engine.model.halts import HaltKind
from state.recording_book import reconciliation_rows
from tasks.day import TradingDay
from tasks.step import step


@step("reconcile with the broker")
def reconcile(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> ReconciliationReport:
    """Quantities, cash, our quantities at the broker's prices, then prices one by one."""
    report = day.decide(
        "reconcile", ReconciliationReport, lambda: compare_with_broker(day.setup, inputs, fund)
    )
    day.world.records.save_all(reconciliation_rows(day.run_id, day.claim.attempt, report))
    if not report.can_trade:
        kind = report.halt_kind or HaltKind.UNANSWERED
        raise HaltError(
            kind.value,
            reconciliation_text(report),
            emergency=report.status is ReconciliationStatus.EMERGENCY,
        )
    return report


def reconciliation_text(report: ReconciliationReport) -> str:
    """What differs, in one paragraph: every break that stops trading."""
    texts = [
        f"{found.kind.value} of {found.subject}: ours {found.ours}, broker {found.broker} "
        f"({found.difference_usd:+,.2f} USD)"
        for found in report.breaks
    ]
    return "; ".join(texts) or "the broker did not answer every question"
