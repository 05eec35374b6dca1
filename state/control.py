"""What may leave the fund: the control state of an account, its kill switch, and what an open HALT makes of both.

The send gate reads the same row under a lock, so after a change commits nothing new can be claimed against it.
The change is *requested* when its row commits and *effective* once the latch was free for a moment: an order that was
claimed before has been written by then, and from then on only cancels leave.
"""

from __future__ import annotations

from datetime import datetime

from engine.errors import ConfigurationError
from engine.model.context import ControlState
from state.control_row import (
    ControlRecord,
    confirm_effective,
    highest_seen,
    lock_control,
    may_be_sending,
    read_control,
    request_change,
)
from state.database import Database
from state.halts import HaltRecord, HaltSeverity, HaltStatus, HaltStore

__all__ = ["ControlRecord", "ControlStore", "HaltRecord", "HaltSeverity", "HaltStatus", "HaltStore"]


class ControlStore:
    """Control rows in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, account: str) -> ControlState:
        """What may leave now. An open or unreadable halt and the kill switch both mean HALTED."""
        return self.control(account).state

    def control(self, account: str) -> ControlRecord:
        """The whole control row; an account that never ran is ACTIVE."""
        with self._database.read() as connection:
            found = read_control(connection, account)
        return found if found is not None else _fresh(account)

    def set_state(
        self, account: str, state: ControlState, reason: str, operator: str, now: datetime
    ) -> ControlRecord:
        """Set what may leave, as risk or a person wants it; open halts still mean HALTED."""
        return self._change(account, {"state": state.value}, reason, operator, now)

    def engage_kill_switch(self, account: str, reason: str, operator: str, now: datetime) -> ControlRecord:
        """Nothing but cancels leaves until a person releases the switch; works without the orchestrator."""
        return self._change(account, {"kill_switch": True}, reason, operator, now)

    def release_kill_switch(self, account: str, reason: str, operator: str, now: datetime) -> ControlRecord:
        """Take the kill switch back; raises `ConfigurationError` without the name of the operator."""
        if not operator.strip():
            raise ConfigurationError(
                "expected the name of the operator who releases the kill switch, found none"
            )
        return self._change(account, {"kill_switch": False}, reason, operator, now)

    def confirm_effective(self, account: str, now: datetime) -> bool:
        """Make the last change effective as soon as nothing claimed before it is on its way; see `state.latch`.

        Every change asks this itself; ask again for one that could not become effective at once.
        """
        return confirm_effective(self._database, account, now)

    def may_be_sending(self, account: str) -> tuple[str, ...]:
        """Who may keep a change from becoming effective: attempts at runs whose process may live."""
        return may_be_sending(self._database, account)

    def _change(
        self, account: str, values: dict[str, str | bool], reason: str, operator: str, now: datetime
    ) -> ControlRecord:
        highest = highest_seen(self._database, account)
        with self._database.transaction() as connection:
            lock_control(connection, account)
            why = {"reason": reason, "operator": operator}
            request_change(connection, account, {**values, **why}, now, highest)
        self.confirm_effective(account, now)
        return self.control(account)


def _fresh(account: str) -> ControlRecord:
    return ControlRecord(
        account=account,
        state=ControlState.ACTIVE,
        set_state=ControlState.ACTIVE,
        kill_switch=False,
        open_halts=0,
        emergencies=0,
        epoch=0,
        reason="",
        operator="",
        requested_at=None,
        effective_at=None,
    )
