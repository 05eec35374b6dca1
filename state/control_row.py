"""The control row of an account, as the send gate, the control store and the halts read it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, func, select, update

from engine.errors import ConfigurationError
from engine.model.context import ControlState, RunStatus
from state.accounts import ensure_account
from state.database import Database
from state.prepared import Prepared
from state.processes import ProcessToken, is_dead
from state.tables import control, halts, run_attempts, runs

_LOG = logging.getLogger(__name__)

# Statements that run for every order are built once: building one costs more than running it.
_OPEN_HALTS = (
    select(func.count())
    .select_from(halts)
    .where(halts.c.account == bindparam("account"), halts.c.status.not_in(("RESOLVED", "CONSUMED")))
)
# A severity that can not be read counts as the worse one.
_EMERGENCIES = _OPEN_HALTS.where(halts.c.severity != "HALT")
_CONTROL = select(
    control,
    _OPEN_HALTS.scalar_subquery().label("open_halts"),
    _EMERGENCIES.scalar_subquery().label("emergencies"),
).where(control.c.account == bindparam("account"))
_READ_CONTROL, _HOLD_CONTROL = Prepared(_CONTROL), Prepared(_CONTROL.with_for_update(read=True, of=control))
_REQUESTED = select(control.c.requested_at, control.c.counted).where(
    control.c.account == bindparam("account")
)
_UNDER_WAY = (
    select(run_attempts)
    .join(runs, runs.c.run_id == run_attempts.c.run_id)
    .where(
        runs.c.account == bindparam("account"),
        run_attempts.c.status.in_([status.value for status in RunStatus if status.is_held]),
    )
    .order_by(run_attempts.c.claimed_at.desc())
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRecord:
    """Control of an account.

    ``state`` is what holds now; ``set_state`` is what was set, before halts and kill switch are looked at.
    ``emergencies`` are the open halts of that severity.
    """

    account: str
    state: ControlState
    set_state: ControlState
    kill_switch: bool
    open_halts: int
    emergencies: int
    epoch: int
    reason: str
    operator: str
    requested_at: datetime | None
    effective_at: datetime | None

    @property
    def stops_everything(self) -> bool:
        """Whether orders that work are cancelled too, also those that only reduce (REC-04)."""
        return self.kill_switch or self.emergencies > 0

    @property
    def is_effective(self) -> bool:
        """Whether the last change was confirmed by the sender."""
        if self.requested_at is None:
            return True
        return self.effective_at is not None and self.effective_at >= self.requested_at


def lock_control(connection: Connection, account: str) -> None:
    """Hold the account's control row exclusively until the transaction ends."""
    ensure_account(connection, account)
    connection.execute(
        select(control.c.account).where(control.c.account == account).with_for_update(key_share=True)
    )


def read_control(connection: Connection, account: str, *, share: bool = False) -> ControlRecord | None:
    """The control row, held against changes when ``share``; ``None`` when there is none."""
    row = (_HOLD_CONTROL if share else _READ_CONTROL).one_or_none(connection, {"account": account})
    if row is None:
        return None
    open_halts = int(row.open_halts)
    set_state = _readable_state(row.state)
    return ControlRecord(
        account=account,
        state=ControlState.HALTED if row.kill_switch or open_halts else set_state,
        set_state=set_state,
        kill_switch=row.kill_switch,
        open_halts=open_halts,
        emergencies=int(row.emergencies),
        epoch=row.epoch,
        reason=row.reason,
        operator=row.operator,
        requested_at=row.requested_at,
        effective_at=row.effective_at,
    )


def request_change(
    connection: Connection, account: str, values: Mapping[str, str | bool], now: datetime, highest: int
) -> None:
    """Change the row, whose lock the caller holds: what became effective before says nothing of this change.

    The change is counted; not in an older copy of the database, which counts less than the ``highest`` that was seen
    and stays behind until a halt has said so.
    """
    count = case((control.c.counted >= highest, control.c.counted + 1), else_=control.c.counted)
    connection.execute(
        update(control)
        .where(control.c.account == account)
        .values(**values, requested_at=now, effective_at=None, counted=count)
    )


def highest_seen(database: Database, account: str) -> int:
    """The account's mark for a change of control, which must hold without it: zero where it can not be read.

    Raising the mark after the change logs then what is wrong with it.
    """
    try:
        return database.marks.highest(account)
    except ConfigurationError:
        return 0


def catch_up(connection: Connection, account: str, highest: int) -> None:
    """Let an older copy count on from the mark, once a halt says that it is one.

    It comes up to the mark and not beyond: the newest copy, put back in its place, is still as far as any.
    """
    connection.execute(
        update(control)
        .where(control.c.account == account, control.c.counted < highest)
        .values(counted=highest)
    )


def confirm_effective(database: Database, account: str, now: datetime) -> bool:
    """Wait until nothing claimed before the last change is on its way, and write that the change holds from then on.

    ``now`` is when the waiting begins. ``False`` when an executor held the latch for as long as one would wait: the
    change stays requested, and who asks again may find it effective. A change that is made meanwhile is not confirmed.
    The account's mark is raised in any case, last of all.
    """
    begun = time.monotonic()
    with database.read() as connection:
        found = connection.execute(_REQUESTED, {"account": account}).one_or_none()
    try:
        return _confirm(database, account, now, None if found is None else found.requested_at, begun)
    finally:
        if found is not None:
            _raise_mark(database, account, found.counted)


def _raise_mark(database: Database, account: str, count: int) -> None:
    """A mark that can not be kept is a line of the log and keeps nobody from stopping; it refuses the next claim."""
    try:
        database.marks.raise_to(account, count)
    except ConfigurationError as error:
        _LOG.error("%s; the change of control holds", error)


def _confirm(
    database: Database, account: str, now: datetime, requested: datetime | None, begun: float
) -> bool:
    if not database.latch(account).was_free():
        return False
    if requested is None:
        return True
    waited = timedelta(milliseconds=int(1000 * (time.monotonic() - begun)))
    with database.transaction() as connection:
        connection.execute(
            update(control)
            .where(control.c.account == account, control.c.requested_at == requested)
            .values(effective_at=max(requested, now + waited))  # whose clock is behind confirms no less
        )
    return True


def may_be_sending(database: Database, account: str) -> tuple[str, ...]:
    """Attempts at runs whose process may live, the latest first: who may hold the latch."""
    with database.read() as connection:
        found = connection.execute(_UNDER_WAY, {"account": account}).all()
    return tuple(
        f"process {row.process} on {row.host.partition('|')[0]}, {row.run_id} attempt {row.attempt}"
        for row in found
        if not is_dead(ProcessToken(host=row.host, process=row.process, started=row.process_started))
    )


def count_open_halts(connection: Connection, account: str) -> int:
    """Halts that are not readably settled: a row with any other status counts as open."""
    return int(connection.execute(_OPEN_HALTS, {"account": account}).scalar_one())


def _readable_state(text: str) -> ControlState:
    """The state that a row names; a row that can not be read means HALTED."""
    known = {state.value: state for state in ControlState}
    return known.get(text, ControlState.HALTED)
