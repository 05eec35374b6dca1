"""Operations that people start from Prefect's pages: resolving a HALT by a form, with a second look before it counts."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.states import Completed
from pydantic import Field

from engine.model.halts import HaltChoice
from flows.accounts import world_of_halt
from flows.commands.effect import effect_markdown
from tasks.day import marks_in
from tasks.resolution import ResolutionEffect, apply, preview

CONFIRM_SECONDS = 15 * 60
"""How long a shown effect may wait for its confirmation; after that nothing changes."""


class Confirmation(RunInput):
    """The operator's second look."""

    confirmed: bool = Field(
        default=False, description="make the choice whose effect the artifact of this run shows"
    )


@flow(name="resolve-halt", retries=0, persist_result=False)
def resolve_halt(halt_id: str, choice: HaltChoice, reason: str, operator: str = "") -> State[str]:
    """Show what a choice does to NAV and orders, wait for the confirmation, then resolve the halt.

    Prices for mark-manually and write-down stand in the reason, as [CONTRACT=PRICE].
    """
    effect = shown_effect(halt_id, choice, reason, operator)
    create_markdown_artifact(
        effect_markdown(effect), key="halt-resolution", description=f"Effect of {choice.value} on {halt_id}"
    )
    if not confirmed():
        return Completed(name="Unconfirmed", message=f"{halt_id} was not confirmed; nothing changed")
    with world_of_halt(halt_id) as world:
        apply(world, halt_id, choice, reason, operator, {}, shown=effect)
    return Completed(message=f"{halt_id} resolved with {choice.value}; retry the halted run")


def shown_effect(halt_id: str, choice: HaltChoice, reason: str, operator: str) -> ResolutionEffect:
    """The effect, after everything that would be refused was refused; the world is closed again."""
    with world_of_halt(halt_id) as world:
        world.halts.require_resolvable(halt_id, choice, reason, operator)
        return preview(world, halt_id, choice, marks_in(reason))


def confirmed() -> bool:
    """Wait for the operator; silence is a no."""
    try:
        answer = pause_flow_run(wait_for_input=Confirmation, timeout=CONFIRM_SECONDS, poll_interval=2)
    except FlowPauseTimeout:
        return False
    return answer.confirmed
