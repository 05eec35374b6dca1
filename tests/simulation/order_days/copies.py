"""An older copy of the book in a faulted day: the run stops as the flows do, and a person does what the halt says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import HaltError
from engine.execution.recovery import recall_what_is_left
from engine.model.context import ControlState, RunKind
from engine.model.halts import ALLOWED_CHOICES, HaltChoice, HaltKind
from engine.ports import OrderTransport
from state.control import HaltSeverity, HaltStore
from state.runs import RunClaim
from tests.simulation.order_days.strangers import is_ours

if TYPE_CHECKING:
    from tests.simulation.order_days.day import FaultedDay

KIND = HaltKind.RESTORED


def require_newest_book(day: FaultedDay, claim: RunClaim, transport: OrderTransport) -> None:
    """Raise `HaltError` where the claim was made on an older copy, with its halt in the book and nothing left at work."""
    if not claim.behind:
        return
    recall_what_is_left(day.store(claim.run_id, claim.epoch), transport)
    text = f"the book lacks {claim.behind} claims or changes of control"
    HaltStore(day.database).raise_halt(
        day.key(RunKind.EXECUTION).account,
        claim.run_id,
        KIND.value,
        severity=HaltSeverity.HALT,
        message=text,
        evidence=b"",
        choices=ALLOWED_CHOICES[KIND],
        now=day.now,
    )
    raise HaltError(KIND.value, text)


def take_the_statement_in(day: FaultedDay) -> None:
    """Take in which orders there were, stop again what was stopped, and let the run go on."""
    halts = HaltStore(day.database)
    for halt in halts.open_halts(day.key(RunKind.EXECUTION).account):
        names = [order.child.order_ref for _, order in day.broker.state.orders.items()]
        day.store(halt.run_id, 0).spend([name for name in names if is_ours(name)])
        if day.is_halted and day.resumed_at is None:
            day.stop(ControlState.REDUCING if day.may_reduce else ControlState.HALTED)
        halts.resolve(halt.halt_id, HaltChoice.RETRY, "the statement is in", "operator", day.now)
