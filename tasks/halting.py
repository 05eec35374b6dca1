"""Stop the day: a durable halt with its evidence first, then the flow ends."""

from __future__ import annotations

from engine.accounting.reconciliation import ReconciliationReport
from engine.errors import HaltError
from engine.model.encoding import decode, encode
from engine.model.halts import ALLOWED_CHOICES, HaltKind
from engine.report import BreakRow
from state.halts import HaltSeverity
from tasks.artifacts import publish_halt
from tasks.day import TradingDay, halted_status, wall_clock
from tasks.day_record import record_incidents
from tasks.reporting_views import break_rows
from tasks.step import step


@step("join open halts")
def join_open_halts(day: TradingDay) -> None:
    """While a halt is open nothing new is decided or sent: this run ends in it."""
    open_halts = day.world.halts.open_halts(day.key.account)
    if open_halts:
        first = open_halts[0]
        raise HaltError(
            first.kind,
            f"{first.halt_id} is open: {first.message}",
            emergency=first.severity is HaltSeverity.EMERGENCY,
            halt_id=first.halt_id,
        )
    control = day.world.control.control(day.key.account)
    if control.kill_switch:
        raise HaltError(
            HaltKind.KILL_SWITCH.value,
            f"the kill switch is set by {control.operator}: {control.reason}",
            emergency=True,
        )


def stop(day: TradingDay, halt: HaltError) -> HaltError:
    """Store the halt before the flow ends; the same halt found again is joined."""
    kind = HaltKind(halt.kind)
    evidence = halt_evidence(day)
    halt_id = halt.halt_id or day.world.halts.raise_halt(
        day.key.account,
        day.run_id,
        kind.value,
        severity=HaltSeverity.EMERGENCY if halt.emergency else HaltSeverity.HALT,
        message=str(halt),
        evidence=encode(evidence),
        choices=ALLOWED_CHOICES[kind],
        now=wall_clock(),
    )
    day.world.control.confirm_effective(day.key.account, wall_clock())
    record_incidents(day)
    day.alert("CRITICAL", f"{halt_id}: {halt}")
    day.finish(halted_status(halt), encode({"halt_id": halt_id, "message": str(halt)}))
    day.world.observer("halted", str(halt))
    publish_halt(day, halt_id, halt, evidence)
    return HaltError(halt.kind, str(halt), emergency=halt.emergency, halt_id=halt_id)


def halt_evidence(day: TradingDay) -> tuple[BreakRow, ...]:
    """Every difference that this attempt's reconciliation found, with its likeliest explanation."""
    found = day.world.runs.step(day.run_id, "reconcile")
    if found is None or found.attempt != day.claim.attempt:
        return ()
    return break_rows(decode(ReconciliationReport, found.output))
