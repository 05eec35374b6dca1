"""Let sleeves with opposite wishes meet inside the fund: the ledger moves what one gives to the other."""

from __future__ import annotations

from datetime import timedelta

from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.composition.crossing import internal_transfers
from engine.composition.trading import TradeListDecision
from engine.execution.safety import SafetyVerdict
from tasks.day import TradingDay
from tasks.step import step

AFTER_THE_DECISION = timedelta(seconds=1)
"""A transfer counts from just after its decision: an attempt that decides again reads the same book."""


@step("book internal crosses")
def book_crosses(
    day: TradingDay, trades: TradeListDecision, verdict: SafetyVerdict
) -> tuple[LedgerEntry, ...]:
    """Book the day's crosses once the safety check passed; what an earlier attempt of the run booked stays as it is."""
    if not verdict.passed or not trades.crosses:
        return ()
    at = day.context.as_of + AFTER_THE_DECISION
    entries = internal_transfers(trades.crosses, day.run_id, at)
    if not _is_booked(day):
        day.world.ledger.post(day.key.account, entries)
    return entries


def _is_booked(day: TradingDay) -> bool:
    """Whether an attempt of this run booked its crosses; they go in one transaction, so one of them tells."""
    return any(
        entry.kind is EntryKind.TRANSFER and entry.reference == day.run_id
        for entry in day.world.ledger.entries(day.key.account, since=day.context.as_of)
    )
