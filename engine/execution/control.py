"""What may leave now, as a run sees it between two orders: the control state, and that its process was asked to end.

The send gate looks at the control state for every order; here it is looked at so that orders that work already are
cancelled too. A process that was asked to end treats its orders as a HALT does, whatever the control state says.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.execution.outcome import AskAgain, ExecutionWorld
from engine.ports import Permission


class ControlWatch:
    """The permission that was seen last. ``look_at`` is when it is looked at next, ``end_by`` when the process leaves.

    ``asking`` is set while book and broker do not agree and the broker is asked again: until then nothing new leaves.
    """

    def __init__(self, world: ExecutionWorld) -> None:
        self._world = world
        self.permission = Permission.ALL
        self.look_at = world.transport.now()
        self.end_by: datetime | None = None
        self.asking: AskAgain | None = None

    @property
    def is_superseded(self) -> bool:
        """Whether another run took over."""
        return self.permission is Permission.SUPERSEDED

    @property
    def is_stopped(self) -> bool:
        """Whether nothing may leave but cancels."""
        return self.permission in (Permission.HALTED, Permission.STOPPED)

    @property
    def why_held(self) -> str:
        """Why no order may leave now, empty where one may."""
        if self.is_stopped:
            return "trading is halted"
        return "" if self.asking is None else "book and broker do not agree, and the broker is asked again"

    def became_stricter(self, now: datetime) -> bool:
        """Look, as often as the poll says; whether less may leave than before."""
        if self.end_by is None and self._world.is_ending():
            self.end_by, self.look_at = now + timedelta(seconds=self._world.ending_seconds), now
        if now < self.look_at:
            return False
        self.look_at = now + timedelta(seconds=self._world.control_poll_seconds)
        before, self.permission = self.permission, self._world.book.permission()
        if self.end_by is not None and Permission.HALTED.is_stricter_than(self.permission):
            self.permission = Permission.HALTED
        return self.permission.is_stricter_than(before)
