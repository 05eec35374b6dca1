"""Who may run a day, once: claims, leases and takeover of runs, and what their attempts recorded.

A run is one key (account, mode, trade date, kind); a rerun is the next attempt of the same key. A claim bumps the
account's epoch where an older attempt may still be able to send: the send gate refuses the older epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum

from sqlalchemy import Connection, bindparam, insert, select, update

from engine.errors import InvariantError, RefusedError, SupersededError
from engine.model.context import Mode, RunKey, RunKind, RunStatus
from engine.model.run_states import run_transition
from state.accounts import ensure_account
from state.database import Database
from state.journal import Journal
from state.prepared import Prepared, StoredRow
from state.processes import ProcessToken, is_dead, this_process
from state.tables import control, run_attempts, runs

LEASE_SECONDS = 60

_FINAL = (RunStatus.COMPLETED, RunStatus.ABANDONED)

# Built once: building one of them costs more than running it.
_NAMED = select(runs).where(runs.c.run_id == bindparam("run_id"))
_RUN, _RUN_LOCKED = Prepared(_NAMED), Prepared(_NAMED.with_for_update(key_share=True))
_ATTEMPT = Prepared(
    select(run_attempts).where(
        run_attempts.c.run_id == bindparam("run_id"), run_attempts.c.attempt == bindparam("attempt")
    )
)
_NEW_RUN, _NEW_ATTEMPT = Prepared(insert(runs)), Prepared(insert(run_attempts))
_SET_RUN = Prepared(update(runs).where(runs.c.run_id == bindparam("this_run")))
_SET_ATTEMPT = Prepared(
    update(run_attempts).where(
        run_attempts.c.run_id == bindparam("this_run"), run_attempts.c.attempt == bindparam("this_attempt")
    )
)
_EPOCH_LOCKED = Prepared(
    select(control.c.epoch, control.c.counted)
    .where(control.c.account == bindparam("account"))
    .with_for_update(key_share=True)
)
_SET_EPOCH = Prepared(
    update(control)
    .where(control.c.account == bindparam("this_account"))
    .values(epoch=bindparam("new_epoch"), counted=bindparam("new_count"))
)


class ClaimOutcome(Enum):
    """Answer to a claim."""

    NEW = "NEW"
    RESUMED = "RESUMED"
    TAKEN_OVER = "TAKEN_OVER"
    COMPLETED = "COMPLETED"
    HELD = "HELD"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClaim:
    """What a claim gave: with NEW, RESUMED and TAKEN_OVER the caller owns ``attempt`` and ``epoch``.

    ``behind`` is how much less the database counts than this machine has seen: above zero it is an older copy of
    itself, and nothing may leave before a person has taken the broker's statement in.
    """

    outcome: ClaimOutcome
    run_id: str
    attempt: int
    epoch: int
    status: RunStatus
    behind: int = 0

    @property
    def is_owner(self) -> bool:
        """Whether the caller may run."""
        return self.outcome in (ClaimOutcome.NEW, ClaimOutcome.RESUMED, ClaimOutcome.TAKEN_OVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as the book knows it; ``summary`` is what the last finished attempt left."""

    run_id: str
    key: RunKey
    status: RunStatus
    attempt: int
    epoch: int
    code_version: str
    config_digest: str
    claimed_at: datetime
    finished_at: datetime | None
    summary: bytes | None


def run_identifier(key: RunKey) -> str:
    """``<date>-<kind>-<8 hexadecimal digits>``: the same key is always the same run."""
    digest = hashlib.sha256(key.text.encode()).hexdigest()[:8]
    return f"{key.trade_date.isoformat()}-{key.kind.value}-{digest}"


class RunStore(Journal):
    """Runs in the database. ``now`` is the wall clock's time here: leases are about real processes."""

    def __init__(self, database: Database, process: ProcessToken | None = None) -> None:
        super().__init__(database)
        self._process = this_process() if process is None else process

    @property
    def is_shared(self) -> bool:
        """Whether another process can see the runs."""
        return self._database.engine.url.database not in (None, "", ":memory:")

    def outlook(self, key: RunKey, now: datetime) -> ClaimOutcome:
        """What a claim would answer now; nothing is changed."""
        with self._database.read() as connection:
            found = _RUN.one_or_none(connection, {"run_id": run_identifier(key)})
            return self._outcome(connection, found, now)

    def claim(
        self,
        key: RunKey,
        now: datetime,
        code_version: str,
        config_digest: str,
        lease_seconds: int = LEASE_SECONDS,
    ) -> RunClaim:
        """Ask to run a key; a COMPLETED key and one held by a living attempt stay as they are."""
        run_id = run_identifier(key)
        with self._database.transaction() as connection:
            epoch, counted = _lock_account(connection, key.account)
            found = _RUN_LOCKED.one_or_none(connection, {"run_id": run_id})
            outcome = self._outcome(connection, found, now)
            if found is not None and outcome in (ClaimOutcome.COMPLETED, ClaimOutcome.HELD):
                return _claim(outcome, found)
            if outcome is ClaimOutcome.TAKEN_OVER or key.kind is RunKind.EXECUTION:
                epoch += 1
            behind = max(0, self._database.marks.highest(key.account) - counted)
            count = counted if behind else counted + 1
            _set_epoch(connection, key.account, epoch, count)
            attempt = 1 if found is None else found.attempt + 1
            status = _claimed(run_id, found)
            versions = {"code_version": code_version, "config_digest": config_digest}
            state = {
                **versions,
                "attempt": attempt,
                "epoch": epoch,
                "claimed_at": now,
                "status": status.value,
            }
            if found is None:
                _NEW_RUN.run(connection, {**state, **_key_columns(run_id, key)})
            else:
                _SET_RUN.run(connection, {**state, "finished_at": None, "this_run": run_id})
            lease = {"lease_until": now + timedelta(seconds=lease_seconds)}
            _NEW_ATTEMPT.run(connection, {**state, **lease, **self._columns(run_id)})
        self._database.marks.raise_to(key.account, count)  # before anything follows from the claim
        return RunClaim(
            outcome=outcome, run_id=run_id, attempt=attempt, epoch=epoch, status=status, behind=behind
        )

    def heartbeat(self, run_id: str, attempt: int, now: datetime, lease_seconds: int = LEASE_SECONDS) -> None:
        """Prolong the lease; raises `RefusedError` when another attempt has taken the run over."""
        with self._database.transaction() as connection:
            found = _run_row(connection, run_id)
            _refuse_fenced(found, attempt)
            if not RunStatus(found.status).is_held:
                raise RefusedError(f"{run_id} has ended ({found.status}); there is no lease to prolong")
            until = now + timedelta(seconds=lease_seconds)
            _SET_ATTEMPT.run(connection, {"this_run": run_id, "this_attempt": attempt, "lease_until": until})

    def finish(
        self, run_id: str, status: RunStatus, now: datetime, summary: bytes, attempt: int | None = None
    ) -> None:
        """End an attempt. Give ``attempt`` so that one that was taken over is refused.

        Ending again with the same status changes nothing; raises `IllegalTransition` on any other second end.
        """
        with self._database.transaction() as connection:
            found = _run_row(connection, run_id)
            if attempt is not None:
                _refuse_fenced(found, attempt)
            current = RunStatus(found.status)
            if status.is_held:
                raise InvariantError(f"{run_id}: expected the end of an attempt, found {status.value}")
            if current is status:
                return
            run_transition(current, status, run_id)
            ended = {"status": status.value, "finished_at": now}
            _SET_RUN.run(connection, {**ended, "summary": summary, "this_run": run_id})
            _SET_ATTEMPT.run(connection, {**ended, "this_run": run_id, "this_attempt": found.attempt})

    def run(self, run_id: str) -> RunRecord | None:
        """A run by its id."""
        with self._database.read() as connection:
            found = _RUN.one_or_none(connection, {"run_id": run_id})
        return None if found is None else _record(found)

    def runs(self, account: str | None = None, kind: RunKind | None = None) -> tuple[RunRecord, ...]:
        """Runs in the order of trade dates, then of their first claims."""
        wanted = select(runs).order_by(runs.c.trade_date, runs.c.claimed_at, runs.c.run_id)
        if account is not None:
            wanted = wanted.where(runs.c.account == account)
        if kind is not None:
            wanted = wanted.where(runs.c.kind == kind.value)
        with self._database.read() as connection:
            return tuple(_record(row) for row in connection.execute(wanted).all())

    def latest_run(self, account: str | None = None, kind: RunKind | None = None) -> RunRecord | None:
        """Run of the latest trade date, ``None`` before the first."""
        found = self.runs(account, kind)
        return found[-1] if found else None

    def _outcome(self, connection: Connection, found: StoredRow | None, now: datetime) -> ClaimOutcome:
        if found is None:
            return ClaimOutcome.NEW
        status = RunStatus(found.status)
        if status in _FINAL:
            return ClaimOutcome.COMPLETED
        if not status.is_held:
            return ClaimOutcome.RESUMED
        holder = _ATTEMPT.one(connection, {"run_id": found.run_id, "attempt": found.attempt})
        token = ProcessToken(host=holder.host, process=holder.process, started=holder.process_started)
        if holder.lease_until <= now or is_dead(token):
            return ClaimOutcome.TAKEN_OVER
        return ClaimOutcome.HELD

    def _columns(self, run_id: str) -> Mapping[str, str | int]:
        token = self._process
        return {
            "run_id": run_id,
            "host": token.host,
            "process": token.process,
            "process_started": token.started,
        }


def _claimed(run_id: str, found: StoredRow | None) -> RunStatus:
    """State of a run that a new attempt has: the first claims it, every later one recovers it."""
    if found is None:
        return run_transition(RunStatus.NEW, RunStatus.CLAIMED, run_id)
    return run_transition(RunStatus(found.status), RunStatus.RECOVERING, run_id)


def _lock_account(connection: Connection, account: str) -> tuple[int, int]:
    """Make the account known, hold its control row, and say its epoch and what it counts."""
    ensure_account(connection, account)
    found = _EPOCH_LOCKED.one(connection, {"account": account})
    return int(found.epoch), int(found.counted)


def _set_epoch(connection: Connection, account: str, epoch: int, counted: int) -> None:
    _SET_EPOCH.run(connection, {"this_account": account, "new_epoch": epoch, "new_count": counted})


def _run_row(connection: Connection, run_id: str) -> StoredRow:
    found = _RUN_LOCKED.one_or_none(connection, {"run_id": run_id})
    if found is None:
        raise InvariantError(f"expected a claimed run, found none called {run_id}")
    return found


def _refuse_fenced(found: StoredRow, attempt: int) -> None:
    if found.attempt != attempt:
        raise SupersededError(
            f"{found.run_id}: attempt {attempt} was taken over by attempt {found.attempt}; it must stop"
        )


def _key_columns(run_id: str, key: RunKey) -> Mapping[str, str | date]:
    return {
        "run_id": run_id,
        "account": key.account,
        "mode": key.mode.value,
        "trade_date": key.trade_date,
        "kind": key.kind.value,
    }


def _claim(outcome: ClaimOutcome, found: StoredRow) -> RunClaim:
    return RunClaim(
        outcome=outcome,
        run_id=found.run_id,
        attempt=found.attempt,
        epoch=found.epoch,
        status=RunStatus(found.status),
    )


def _record(row: StoredRow) -> RunRecord:
    key = RunKey(account=row.account, mode=Mode(row.mode), trade_date=row.trade_date, kind=RunKind(row.kind))
    return RunRecord(
        run_id=row.run_id,
        key=key,
        status=RunStatus(row.status),
        attempt=row.attempt,
        epoch=row.epoch,
        code_version=row.code_version,
        config_digest=row.config_digest,
        claimed_at=row.claimed_at,
        finished_at=row.finished_at,
        summary=row.summary,
    )
