"""Compare our book with the broker; a break that stays stops the day with its evidence."""

from __future__ import annotations

from engine.accounting.reconciliation import ReconciliationReport
from engine.composition.comparison import compare_with_broker
from engine.composition.stages import DayInputs, ValuedFund
from tasks.asking import STEP_NAME, Asking
from tasks.day import TradingDay
from tasks.step import step


@step("reconcile with the broker")
def reconcile(day: TradingDay, inputs: DayInputs, fund: ValuedFund, asking: Asking) -> ReconciliationReport:
    """Quantities, cash, our quantities at the broker's prices, then prices one by one.

    The report either passes, or the broker may only be late and ``asking`` says when to ask again; raises `HaltError`
    where a break stands.
    """
    report = day.decide(STEP_NAME, ReconciliationReport, lambda: compare_with_broker(day.setup, inputs, fund))
    for found in report.blocked:
        day.alert("WARNING", f"{found.subject}: {found.told}")
    # The first one is kept as of the time of the day's decision or close, however long reading took.
    kept_as = asking.asked_at or day.context.as_of
    asking.heard(max(kept_as, day.world.now), report, kept_as=kept_as)
    return report
