"""Stop the day: a durable halt with its evidence first, then the flow ends."""

from __future__ import annotations

from typing import TypeAlias

from engine.errors import (
    BrokerUnavailable,
    HaltError,
    InvariantError,
    MissingFxRate,
    MissingMark,
    NonFiniteValue,
    UnknownContract,
)
from engine.model.encoding import encode
from engine.model.halts import ALLOWED_CHOICES, HALT_NAMES, WHAT_TO_DO, HaltKind
from engine.model.universe import ContractBook
from state.halts import HaltRecord, HaltSeverity
from tasks.adapters.report_text import resolve_command
from tasks.artifacts import publish_halt
from tasks.day import TradingDay, halted_status, wall_clock
from tasks.day_record import record_incidents
from tasks.halt_evidence import halt_evidence
from tasks.known import BROKER
from tasks.step import step
from tasks.unforeseen import unforeseen, unforeseen_row

Stop: TypeAlias = (
    HaltError | BrokerUnavailable | NonFiniteValue | MissingMark | MissingFxRate | InvariantError
)
STOPS = (HaltError, BrokerUnavailable, NonFiniteValue, MissingMark, MissingFxRate, InvariantError)
"""What ends a flow until a person, or the broker, has answered.

Without a single figure the fund has no value; and after what no table of a state machine knows, nothing may leave.
"""


def require_newest_book(day: TradingDay) -> None:
    """An older copy of the book stops the run before anything is compared with it: what it lost, it can not say.

    Raises `HaltError`, also while an earlier one about it is open. Asked after the recovery, which keeps the names of
    orders that the broker still shows.
    """
    for halt in day.world.halts.open_halts(day.key.account):
        if halt.kind == HaltKind.RESTORED.value:
            raise _joined(halt)
    if day.claim.behind:
        raise HaltError(
            HaltKind.RESTORED.value,
            f"expected the newest database of {day.key.account}, found an older copy: it lacks {day.claim.behind} "
            "claims of runs or changes of control that this machine has seen, and with them perhaps orders, fills "
            "and halts",
        )


@step("join open halts")
def join_open_halts(day: TradingDay) -> None:
    """While a halt is open nothing new is decided or sent: this run ends in it."""
    open_halts = day.world.halts.open_halts(day.key.account)
    if open_halts:
        raise _joined(open_halts[0])
    control = day.world.control.control(day.key.account)
    if control.kill_switch:
        raise HaltError(
            HaltKind.KILL_SWITCH.value,
            f"the kill switch is set by {control.operator}: {control.reason}",
            emergency=True,
        )


def _joined(halt: HaltRecord) -> HaltError:
    return HaltError(
        halt.kind,
        f"{halt.halt_id} is open: {halt.message}",
        emergency=halt.severity is HaltSeverity.EMERGENCY,
        halt_id=halt.halt_id,
    )


def stop(day: TradingDay, error: Stop) -> HaltError:
    """Store the halt before the flow ends; the same halt found again is joined.

    A silent broker is a halt too, and so is a figure that is missing or no number. The error that comes back says in
    one paragraph what was expected, what was found and the line that answers it.
    """
    halt = _as_halt(error, day.world.contracts)
    kind = HaltKind(halt.kind)
    evidence = (unforeseen_row(error),) if isinstance(error, InvariantError) else halt_evidence(day, halt)
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
    if not day.world.control.control(day.key.account).is_effective:
        day.world.control.confirm_effective(day.key.account, wall_clock())
    record_incidents(day)
    day.alert("CRITICAL", f"{halt_id}: {told}")
    day.finish(halted_status(halt), encode({"halt_id": halt_id, "message": told}))
    day.world.observer("halted", f"{HALT_NAMES[kind]}, {halt_id}")
    stopped = HaltError(halt.kind, _paragraph(day, halt_id, told), emergency=halt.emergency, halt_id=halt_id)
    publish_halt(day, halt_id, stopped, evidence)
    return stopped


def _as_halt(error: Stop, contracts: ContractBook) -> HaltError:
    """A figure's halt goes by whose it is: the broker's, a rate's, a contract's, or a row of the data.

    A rule of our own that broke is nobody's figure: what it says is all that is known.
    """
    if isinstance(error, HaltError):
        return error
    if isinstance(error, BrokerUnavailable):
        return _unanswered(error)
    if isinstance(error, InvariantError):
        return unforeseen(error)
    if isinstance(error, MissingFxRate):
        return HaltError(HaltKind.STALE_FX.value, str(error), subject=error.subject)
    if error.subject.partition(".")[0] == BROKER:
        is_worth = error.subject == f"{BROKER}.net_liquidation"
        return HaltError(HaltKind.UNANSWERED.value, str(error), subject=error.subject, emergency=is_worth)
    kind = HaltKind.NAN_PRICE if _is_contract(error.subject, contracts) else HaltKind.DATA_QUALITY
    return HaltError(kind.value, str(error), subject=error.subject)


def _is_contract(name: str, contracts: ContractBook) -> bool:
    try:
        contracts.contract(name)
    except UnknownContract:
        return False
    return True


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
