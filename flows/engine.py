"""How the command line runs the three flows of a day: as Prefect flow runs, or as the plain functions they wrap."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from engine.errors import FundError
from engine.model.context import RunKind
from flows.day import close, decide, trade
from flows.outcome import Outcome
from flows.server import own_server
from tasks.opening import begin, ending
from tasks.runtime import World

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import State

BODIES = {RunKind.DECISION: decide, RunKind.EXECUTION: trade, RunKind.CLOSE: close}


class FlowEngine:
    """Runs flows; with Prefect and no server configured, one server of our own serves the whole command."""

    def __init__(self, *, with_prefect: bool) -> None:
        self._with_prefect = with_prefect
        self._server = own_server() if with_prefect else None

    def run(self, kind: RunKind, world: World, day: date) -> Outcome:
        """One flow of a day; a failure of the program is raised as it was."""
        if not self._with_prefect:
            claimed = begin(world, day, kind)
            with ending(claimed):
                return BODIES[kind](claimed)
        flow = _flows()[kind]
        if self._server is not None:
            self._server.await_ready()
        state = flow(trade_date=day, profile=world.options.profile, return_state=True)
        result = state.result(raise_on_failure=False)
        if isinstance(result, Outcome):
            return result
        if isinstance(result, BaseException):
            raise result
        raise FundError(f"expected the flow {kind.value} of {day} to say how it ended, found {state.name}")


def _flows() -> Mapping[RunKind, Flow[[date | None, str], State[Outcome] | Outcome]]:
    """The flows of the deployments; they are imported where they run, because they import Prefect."""
    from flows.close import end_of_day
    from flows.daily import daily_decision
    from flows.execution import execution

    return {RunKind.DECISION: daily_decision, RunKind.EXECUTION: execution, RunKind.CLOSE: end_of_day}
