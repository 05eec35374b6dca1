"""Whether a difference may be that of a late answer, and when the broker is asked again before it stops the fund.

A broker tells positions, balances, marks and rates seconds or minutes after what moved them. What it shows that no
delay explains (an order or an execution that is not ours or not booked, another account) is never asked about twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from engine.accounting.break_values import Break
from engine.accounting.reconciliation import ReconciliationReport
from engine.model.breaks import BreakKind
from engine.model.halts import HaltKind

PERHAPS_LATE = frozenset(
    {
        HaltKind.UNANSWERED,
        HaltKind.FOREIGN_POSITION,
        HaltKind.CASH_BREAK,
        HaltKind.NLV_DRIFT,
        HaltKind.MARK_DIFFERENCE,
        HaltKind.FX_DIFFERENCE,
    }
)
"""Differences of figures that the broker tells after the fact, and answers that were not whole."""

SHOWN = frozenset(
    {
        BreakKind.WRONG_ACCOUNT,
        BreakKind.MANUAL_TRADE,
        BreakKind.BROKER_LIQUIDATION,
        BreakKind.UNKNOWN_CONTRACT,
    }
)
"""Causes that stand on something which the broker did tell: it stays told."""


def may_be_late(report: ReconciliationReport) -> bool:
    """Whether a late broker may be behind everything on which book and broker disagree."""
    return not report.can_trade and all(map(_may_be_late, report.breaks))


def _may_be_late(found: Break) -> bool:
    return found.kind in PERHAPS_LATE and not any(cause.cause in SHOWN for cause in found.explanations)


def next_question(
    report: ReconciliationReport,
    asked: Sequence[datetime],
    after: Sequence[timedelta],
    until: datetime | None = None,
) -> datetime | None:
    """When to ask again, ``None`` where the difference stands.

    ``asked`` are the times of all comparisons in a row that did not agree, this report's last; ``after`` are the times
    of the further questions, measured from the first. Nothing is asked at ``until`` or later.
    """
    if len(asked) > len(after) or not may_be_late(report):
        return None
    at = max(asked[0] + after[len(asked) - 1], asked[-1])
    return at if until is None or at < until else None
