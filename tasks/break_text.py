"""A comparison with the broker in words: what was expected and what was found."""

from __future__ import annotations

from engine.accounting.break_values import Break
from engine.accounting.reconciliation import ReconciliationReport
from engine.model.breaks import BreakKind
from engine.model.halts import HaltKind

MOST_BREAKS_TOLD = 4


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
