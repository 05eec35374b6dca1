"""The scripted operator answers by rule, and never an EMERGENCY."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.model.halts import ALLOWED_CHOICES, HaltChoice, HaltKind
from state.halts import HaltRecord, HaltSeverity, HaltStatus
from tasks.operator import _answer


def halt(kind: HaltKind, severity: HaltSeverity = HaltSeverity.HALT) -> HaltRecord:
    return HaltRecord(
        halt_id="halt-1",
        account="SIM-fund-1",
        run_id="2026-11-18-decision-00000000",
        kind=kind.value,
        severity=severity,
        status=HaltStatus.OPEN,
        message="found",
        evidence=b"[]",
        choices=ALLOWED_CHOICES[kind],
        raised_at=datetime(2026, 11, 18, 6, tzinfo=UTC),
        choice=None,
        reason=None,
        operator=None,
        resolved_at=None,
        consumed_run_id=None,
        consumed_attempt=None,
    )


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (HaltKind.MISSED_FILL, HaltChoice.ADOPT_BROKER),
        (HaltKind.CASH_BREAK, HaltChoice.ADOPT_BROKER),
        (HaltKind.STALE_MARK, HaltChoice.ABANDON_DAY),
        (HaltKind.STALE_FX, HaltChoice.RETRY),
        (HaltKind.UNKNOWN_ORDER, None),
        (HaltKind.BRIDGE_RESIDUAL, None),
    ],
)
def test_halt_is_answered_as_its_evidence_says(kind: HaltKind, answer: HaltChoice | None) -> None:
    assert _answer(halt(kind)) is answer


@pytest.mark.parametrize("kind", [HaltKind.CASH_BREAK, HaltKind.MISSED_FILL])
def test_emergency_waits_for_a_person(kind: HaltKind) -> None:
    assert _answer(halt(kind, HaltSeverity.EMERGENCY)) is None
