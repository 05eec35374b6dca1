"""Every comparison behind a halt: what the broker answered each time that it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from engine.accounting.break_values import Break
from engine.accounting.reconciliation import ReconciliationReport
from engine.errors import InvariantError
from engine.model.encoding import decode
from engine.report import BreakRow
from state.record_values import Record
from tasks.day import TradingDay
from tasks.reporting_views import break_rows

Answers = Sequence[tuple[datetime, ReconciliationReport]]
AGREED = "the same as our book"


def asked_rows(day: TradingDay, report: ReconciliationReport) -> tuple[BreakRow, ...]:
    """Breaks of the last comparison, each with the broker's earlier answers; then those that only earlier ones had."""
    answers = _in_a_row(day)
    if len(answers) < 2:
        return break_rows(report)
    rows = tuple(
        replace(row, explanation=f"{row.explanation}; {_history(row, answers)}") for row in break_rows(report)
    )
    named = {(row.kind, row.subject) for row in rows}
    gone: dict[tuple[str, str], BreakRow] = {}
    for _, earlier in answers[:-1]:
        gone |= {
            (row.kind, row.subject): row
            for row in break_rows(earlier)
            if (row.kind, row.subject) not in named
        }
    return (*rows, *(replace(row, explanation=_history(row, answers)) for row in gone.values()))


def _in_a_row(day: TradingDay) -> Answers:
    """The comparisons of this attempt that did not agree, since the last that did."""
    kept = day.world.records.rows("reconciliations", run_id=day.run_id, attempt=day.claim.attempt)
    found: list[tuple[datetime, ReconciliationReport]] = []
    for row in sorted(kept, key=_time):
        report = _report(row)
        if report.can_trade:
            found.clear()
        else:
            found.append((_time(row), report))
    return found


def _time(row: Record) -> datetime:
    at = row["at"]
    if not isinstance(at, datetime):
        raise InvariantError(f"expected the time of a comparison, found {at!r}")
    return at


def _report(row: Record) -> ReconciliationReport:
    payload = row["payload"]
    if not isinstance(payload, bytes):
        raise InvariantError(f"expected a kept comparison, found {payload!r}")
    return decode(ReconciliationReport, payload)


def _history(row: BreakRow, answers: Answers) -> str:
    """What the broker had at each question, in one paragraph."""
    told = [(at, _found(report, row)) for at, report in answers]
    if len({text for _, text in told}) == 1:
        return f"asked {len(told)} times from {told[0][0]:%H:%M:%S}Z to {told[-1][0]:%H:%M:%S}Z, always {told[0][1]}"
    return f"asked {len(told)} times: " + ", ".join(f"{text} at {at:%H:%M:%S}Z" for at, text in told)


def _found(report: ReconciliationReport, row: BreakRow) -> str:
    found: Mapping[tuple[str, str], Break] = {
        (item.kind.value, item.subject): item for item in (*report.breaks, *report.blocked)
    }
    item = found.get((row.kind, row.subject))
    return AGREED if item is None else item.broker
