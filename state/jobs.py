"""Execution jobs and parent intents: decided at 06:00, kept until their windows, frozen once committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update

from engine.errors import InvariantError
from engine.model.encoding import decode, encode
from engine.model.order_states import job_transition
from engine.model.orders import ChildStatus, ExecutionJob, JobStatus, OrderIntent
from state.database import Database
from state.prepared import Prepared, StoredRow
from state.tables import execution_jobs, intents, orders
from state.upsert import insert_or_keep

_UNFINISHED = tuple(status.value for status in ChildStatus if not status.is_terminal)

_PARENT = Prepared(select(intents.c.payload).where(intents.c.intent_id == bindparam("intent_id")))
_CURRENT = select(execution_jobs).where(
    execution_jobs.c.job_id == bindparam("job_id"), execution_jobs.c.superseded.is_(False)
)
_JOB, _JOB_LOCKED = Prepared(_CURRENT), Prepared(_CURRENT.with_for_update(key_share=True))
_SUPERSEDE = Prepared(update(execution_jobs).where(execution_jobs.c.job_id == bindparam("this_job")))
_SET_STATUS = Prepared(
    update(execution_jobs)
    .where(
        execution_jobs.c.job_id == bindparam("this_job"),
        execution_jobs.c.version == bindparam("this_version"),
    )
    .values(status=bindparam("new_status"), note=bindparam("new_note"), updated_at=bindparam("changed_at"))
)
_JOBS: Mapping[tuple[str, ...], Prepared] = {
    names: Prepared(
        select(execution_jobs)
        .where(
            *(execution_jobs.c[name] == bindparam(name) for name in names),
            execution_jobs.c.superseded.is_(False),
        )
        .order_by(execution_jobs.c.window_start, execution_jobs.c.job_id)
    )
    for names in (
        ("account",),
        ("account", "trade_date"),
        ("account", "run_id"),
        ("account", "trade_date", "run_id"),
    )
}
"""By what is asked for."""

_STORE = Prepared(insert(execution_jobs))
_OPEN_CHILDREN = Prepared(
    select(func.count().label("count"))
    .select_from(orders)
    .where(orders.c.intent_id.in_(bindparam("intent_ids", expanding=True)), orders.c.status.in_(_UNFINISHED))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as stored: its current version, where it stands, and why."""

    job: ExecutionJob
    version: int
    run_id: str
    status: JobStatus
    note: str


class JobStore:
    """Jobs and intents of an account, written by one run."""

    def __init__(self, database: Database, account: str, run_id: str) -> None:
        self._database = database
        self._account = account
        self._run_id = run_id

    def save_intents(self, trade_date: date, wanted: Sequence[OrderIntent]) -> tuple[OrderIntent, ...]:
        """Freeze parents: what was committed first stays, and is what comes back."""
        with self._database.transaction() as connection:
            self._refuse_superseded(connection, share=True)
            return self._freeze(connection, trade_date, wanted)

    def intents(self, trade_date: date) -> tuple[OrderIntent, ...]:
        """Frozen parents of a date, by id."""
        wanted = (
            select(intents.c.payload)
            .where(intents.c.account == self._account, intents.c.trade_date == trade_date)
            .order_by(intents.c.intent_id)
        )
        with self._database.read() as connection:
            return tuple(decode(OrderIntent, payload) for payload in connection.execute(wanted).scalars())

    def save_jobs(self, wanted: Sequence[ExecutionJob]) -> tuple[JobRecord, ...]:
        """Store jobs with their frozen parents and say what holds for each.

        A PENDING job with another content is superseded by a new version; a job that was begun, finished or given
        up stays as it is, and so does one with the same content. Raises `SupersededError` when another run took over:
        its own decision holds.
        """
        with self._database.transaction() as connection:
            self._refuse_superseded(connection, share=True)
            return tuple(self._save(connection, job) for job in wanted)

    def jobs(self, trade_date: date | None = None, run_id: str | None = None) -> tuple[JobRecord, ...]:
        """Current versions of the account's jobs, by the start of their windows, then by id."""
        asked = {"account": self._account, "trade_date": trade_date, "run_id": run_id}
        given = {name: value for name, value in asked.items() if value is not None}
        with self._database.read() as connection:
            return tuple(_job_record(row) for row in _JOBS[tuple(given)].all(connection, given))

    def job(self, job_id: str) -> JobRecord:
        """Current version of a job; raises `InvariantError` when it was never stored."""
        with self._database.read() as connection:
            row = _JOB.one_or_none(connection, {"job_id": job_id})
        if row is None:
            raise InvariantError(f"expected a stored job, found none called {job_id}")
        return _job_record(row)

    def set_job_status(self, job_id: str, status: JobStatus, now: datetime, note: str = "") -> None:
        """Move a job along its table; the same status again changes nothing.

        Raises `IllegalTransition` for any other arrow, and `InvariantError` for DONE while a child of the job is
        not finished.
        """
        with self._database.transaction() as connection:
            self._refuse_superseded(connection)
            _move(connection, _stored(connection, job_id), (status,), now, note)

    def begin_job(self, job_id: str, now: datetime) -> None:
        """Claim and start a job in one transaction; one that is taken up again was claimed before."""
        with self._database.transaction() as connection:
            self._refuse_superseded(connection)
            current = _stored(connection, job_id)
            claimed = (JobStatus.CLAIMED,) if current.status is JobStatus.PENDING else ()
            _move(connection, current, (*claimed, JobStatus.RUNNING), now, "")

    def end_job(self, job_id: str, status: JobStatus, now: datetime, note: str) -> None:
        """Store how a job ended. What is not known is a matter of recovery; what was begun can not be skipped."""
        with self._database.transaction() as connection:
            self._refuse_superseded(connection)
            current = _stored(connection, job_id)
            if status in (JobStatus.SKIPPED, JobStatus.EXPIRED) and current.status is JobStatus.RECOVERING:
                status = JobStatus.UNKNOWN if _open_children(connection, current) else JobStatus.DONE
            recovering = status is JobStatus.UNKNOWN and current.status is JobStatus.RUNNING
            way = (JobStatus.RECOVERING, status) if recovering else (status,)
            _move(connection, current, way, now, note)

    def _refuse_superseded(self, connection: Connection, *, share: bool = False) -> None:
        """Raise `SupersededError` for a run that another took over; a store without a run's epoch has nothing to lose."""

    def _save(self, connection: Connection, job: ExecutionJob) -> JobRecord:
        current = _current(connection, job.job_id)
        if current is not None and (
            current.status is not JobStatus.PENDING or current.job.content_digest == job.content_digest
        ):
            return current
        frozen = replace(job, intents=self._freeze(connection, job.trade_date, job.intents))
        version = 1 if current is None else current.version + 1
        if current is not None:
            _SUPERSEDE.run(connection, {"this_job": job.job_id, "superseded": True})
        _STORE.run(connection, self._row(frozen, version))
        return JobRecord(job=frozen, version=version, run_id=self._run_id, status=JobStatus.PENDING, note="")

    def _row(self, job: ExecutionJob, version: int) -> Mapping[str, object]:
        return {
            "job_id": job.job_id,
            "version": version,
            "account": self._account,
            "run_id": self._run_id,
            "trade_date": job.trade_date,
            "venue": job.venue,
            "window_start": job.window.start,
            "window_end": job.window.end,
            "status": JobStatus.PENDING.value,
            "content_digest": job.content_digest,
            "payload": encode(job),
        }

    def _freeze(
        self, connection: Connection, trade_date: date, wanted: Sequence[OrderIntent]
    ) -> tuple[OrderIntent, ...]:
        rows = [
            {
                "intent_id": intent.intent_id,
                "account": self._account,
                "run_id": self._run_id,
                "trade_date": trade_date,
                "contract_id": intent.contract_id,
                "side": intent.side.value,
                "quantity": intent.quantity,
                "reason": intent.reason.value,
                "reduce_only": intent.reduce_only,
                "payload": encode(intent),
            }
            for intent in wanted
        ]
        insert_or_keep(connection, intents, rows)
        return tuple(read_intent(connection, intent.intent_id) for intent in wanted)


def free_jobs(connection: Connection, account: str, intent_ids: Collection[str], now: datetime) -> None:
    """Recover jobs of unknown outcome, of some parents, whose every child has ended; past its window a job is done."""
    waiting = select(execution_jobs).where(
        execution_jobs.c.account == account,
        execution_jobs.c.superseded.is_(False),
        execution_jobs.c.status == JobStatus.UNKNOWN.value,
    )
    for row in connection.execute(waiting).all():
        record = _job_record(row)
        of_these = any(intent.intent_id in intent_ids for intent in record.job.intents)
        if not of_these or _open_children(connection, record):
            continue
        over = (JobStatus.DONE,) if record.job.window.end <= now else ()
        _move(connection, record, (JobStatus.RECOVERING, *over), now, record.note)


def read_intent(connection: Connection, intent_id: str) -> OrderIntent:
    """A frozen parent; raises `InvariantError` when it was never committed."""
    row = _PARENT.one_or_none(connection, {"intent_id": intent_id})
    if row is None:
        raise InvariantError(
            f"expected a committed parent, found none called {intent_id}; save its job first"
        )
    return decode(OrderIntent, row.payload)


def _current(connection: Connection, job_id: str) -> JobRecord | None:
    row = _JOB_LOCKED.one_or_none(connection, {"job_id": job_id})
    return None if row is None else _job_record(row)


def _job_record(row: StoredRow) -> JobRecord:
    return JobRecord(
        job=decode(ExecutionJob, row.payload),
        version=row.version,
        run_id=row.run_id,
        status=JobStatus(row.status),
        note=row.note,
    )


def _stored(connection: Connection, job_id: str) -> JobRecord:
    current = _current(connection, job_id)
    if current is None:
        raise InvariantError(f"expected a stored job, found none called {job_id}")
    return current


def _move(
    connection: Connection, current: JobRecord, way: Sequence[JobStatus], now: datetime, note: str
) -> None:
    """Take a job along one or more arrows of its table; the row keeps the last."""
    job_id, status = current.job.job_id, current.status
    for following in way:
        if following is status:
            continue
        job_transition(status, following, f"job {job_id}")
        if following is JobStatus.DONE and (unfinished := _open_children(connection, current)):
            raise InvariantError(
                f"job {job_id} can not be DONE: {unfinished} of its child orders are not finished"
            )
        status = following
    if status is current.status:
        return
    _SET_STATUS.run(
        connection,
        {
            "this_job": job_id,
            "this_version": current.version,
            "new_status": status.value,
            "new_note": note,
            "changed_at": now,
        },
    )


def _open_children(connection: Connection, record: JobRecord) -> int:
    """Child orders of a job that are not finished."""
    ids = [intent.intent_id for intent in record.job.intents]
    return int(_OPEN_CHILDREN.one(connection, {"intent_ids": ids})[0])
