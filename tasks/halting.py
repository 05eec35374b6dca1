"""Stop the day: a durable halt with its evidence first, then the flow ends."""

from __future__ import annotations

from engine.errors import BrokerUnavailable, HaltError
from engine.model.encoding import encode
from engine.model.halts import ALLOWED_CHOICES, HALT_NAMES, WHAT_TO_DO, HaltKind
from state.halts import HaltSeverity
from tasks.adapters.report_text import resolve_command
from tasks.artifacts import publish_halt
from tasks.day import TradingDay, halted_status, wall_clock
from tasks.day_record import record_incidents
from tasks.halt_evidence import halt_evidence
from tasks.step import step

STOPS = (HaltError, BrokerUnavailable)
"""What ends a flow until a person, or the broker, has answered."""


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


def stop(day: TradingDay, error: HaltError | BrokerUnavailable) -> HaltError:
    """Store the halt before the flow ends; the same halt found again is joined. A silent broker is a halt too.

    The error that comes back says in one paragraph what was expected, what was found and the line that answers it.
    """
    halt = error if isinstance(error, HaltError) else _unanswered(error)
    kind = HaltKind(halt.kind)
    evidence = halt_evidence(day, halt)
    told = str(halt) if halt.halt_id else f"{halt}; {WHAT_TO_DO[kind]}"
    halt_id = halt.halt_id or day.world.halts.raise_halt(
        day.key.account,
        day.run_id,
        kind.value,
        severity=HaltSeverity.EMERGENCY if halt.emergency else HaltSeverity.HALT,
        message=told,
        evidence=encode(evidence),
        choices=ALLOWED_CHOICES[kind],
        now=wall_clock(),
    )
    day.world.control.confirm_effective(day.key.account, wall_clock())
    record_incidents(day)
    day.alert("CRITICAL", f"{halt_id}: {told}")
    day.finish(halted_status(halt), encode({"halt_id": halt_id, "message": told}))
    day.world.observer("halted", f"{HALT_NAMES[kind]}, {halt_id}")
    stopped = HaltError(halt.kind, _paragraph(day, halt_id, told), emergency=halt.emergency, halt_id=halt_id)
    publish_halt(day, halt_id, stopped, evidence)
    return stopped


def _unanswered(error: BrokerUnavailable) -> HaltError:
    return HaltError(HaltKind.UNANSWERED.value, f"expected the broker to answer, found no answer: {error}")


def _paragraph(day: TradingDay, halt_id: str, told: str) -> str:
    """The halt with the line that answers it, as stored: a halt that was joined keeps its own choices."""
    record = day.world.halts.halt(halt_id)
    if record is None or not record.choices:
        return told
    command = resolve_command(
        halt_id, record.choices[0].value, is_emergency=record.severity is HaltSeverity.EMERGENCY
    )
    name = HALT_NAMES[HaltKind(record.kind)]
    return f"{name}: {told}. Answer it with {command}, then go on with ./fund resume"
