"""The gate at the data border: expectation suites over everything that the day reads or decides as a table.

The suites are in `tasks.adapters.expectations`. A failed expectation is a finding with the rows that broke it; what
follows from it is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.composition.stages import DayInputs, TargetStep
from engine.errors import HaltError
from engine.model.halts import HaltKind
from tasks.adapters.expectations import QualityFinding
from tasks.day import TradingDay
from tasks.step import step
from tasks.tables import check_inputs, check_targets

MOST_TOLD = 4


@step("check data quality")
def require_quality(day: TradingDay, inputs: DayInputs) -> tuple[QualityFinding, ...]:
    """Check everything that the decision reads; a broken expectation stops the day and names its rows."""
    findings = check_inputs(inputs.market, day.world.universe)
    if findings:
        raise HaltError(HaltKind.DATA_QUALITY.value, findings_text(findings))
    return findings


@step("check the targets' quality")
def require_sound_targets(targets: TargetStep) -> tuple[QualityFinding, ...]:
    """Check what the decision wants to hold; an impossible weight stops the day before it becomes an order."""
    findings = check_targets(targets.book)
    if findings:
        raise HaltError(HaltKind.DATA_QUALITY.value, findings_text(findings))
    return findings


def findings_text(findings: Sequence[QualityFinding]) -> str:
    """What was expected of the data and what was found, in one paragraph."""
    told = [found.text for found in findings[:MOST_TOLD]]
    more = [f"and {len(findings) - MOST_TOLD} more in the evidence"] if len(findings) > MOST_TOLD else []
    return f"expected sound data, found: {'; '.join((*told, *more))}"
