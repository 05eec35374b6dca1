"""How a flow run ended, as a value, and the Prefect state that says the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import HaltError
from engine.model.context import RunStatus
from tasks.step import in_flow_run

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """End of one flow run: its run id, the status that the book holds, and a sentence; ``held``: it did nothing."""

    run_id: str
    status: RunStatus
    text: str
    halt_id: str = ""
    held: bool = False

    @property
    def is_halted(self) -> bool:
        """Whether a person is needed."""
        return self.status in (RunStatus.HALTED, RunStatus.EMERGENCY)


def as_state(outcome: Outcome) -> State[Outcome] | Outcome:
    """A Prefect state named after the outcome inside a flow run, the plain value outside.

    A halted flow *returns* its Failed state; steps raise, so that no halt can be cached as a success.
    """
    if not in_flow_run():
        return outcome
    from prefect.states import Completed, Failed

    if outcome.held:
        return Completed(name="Skipped", message=outcome.text, data=outcome)
    if outcome.is_halted:
        return Failed(name="HALTED", message=outcome.text, data=outcome)
    return Completed(message=outcome.text, data=outcome)


def halted(run_id: str, halt: HaltError) -> Outcome:
    """Outcome of a run that a halt ended."""
    status = RunStatus.EMERGENCY if halt.emergency else RunStatus.HALTED
    return Outcome(run_id=run_id, status=status, text=str(halt), halt_id=halt.halt_id)


def skipped(run_id: str, text: str) -> Outcome:
    """Outcome of a run of the schedule that came too late to begin."""
    return Outcome(run_id=run_id, status=RunStatus.ABANDONED, text=text, held=True)
