"""What each step of a run decided and what it read: the journal that a rerun, a replay and a report look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from engine.errors import InvariantError, RefusedError
from engine.model.context import RunStatus
from engine.model.encoding import digest_bytes
from engine.model.run_states import run_transition
from state.accounts import ensure_account
from state.database import Database
from state.tables import memories, run_inputs, run_steps, runs
from state.upsert import insert_or_replace

_LATEST_STEP = (
    select(run_steps)
    .where(run_steps.c.run_id == bindparam("run_id"), run_steps.c.step == bindparam("step"))
    .order_by(run_steps.c.attempt.desc())
    .limit(1)
)
_STEP_DIGESTS = select(run_steps.c.input_digest, run_steps.c.output_digest).where(
    run_steps.c.run_id == bindparam("run_id"),
    run_steps.c.step == bindparam("step"),
    run_steps.c.attempt == bindparam("attempt"),
)
_STEPS = select(func.count()).where(run_steps.c.run_id == bindparam("run_id"))
_ADD_STEP = insert(run_steps)
_REPLACE_STEP = update(run_steps).where(
    run_steps.c.run_id == bindparam("of_run"),
    run_steps.c.step == bindparam("of_step"),
    run_steps.c.attempt == bindparam("of_attempt"),
)
_RUN = (
    select(runs.c.attempt, runs.c.status)
    .where(runs.c.run_id == bindparam("run_id"))
    .with_for_update(key_share=True)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """Output of a step: canonical bytes, made by ``attempt`` from inputs of ``input_digest``."""

    step: str
    attempt: int
    input_digest: str
    output_digest: str
    output: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord:
    """Recorded input of a run, as canonical bytes with their digest when they were recorded."""

    digest: str
    payload: bytes

    @property
    def is_intact(self) -> bool:
        """Whether the stored bytes still have the digest of the recorded ones."""
        return digest_bytes(self.payload) == self.digest


class Journal:
    """Steps, inputs and memories in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_step(self, run_id: str, step: str, attempt: int, input_digest: str, output: bytes) -> None:
        """Store what a step decided. An attempt may repeat a step; what it decides from other inputs takes its place.

        Raises `RefusedError` when a later attempt has taken the run over, and `InvariantError` when one attempt
        decides the same step from the same inputs differently.
        """
        row = {
            "run_id": run_id,
            "step": step,
            "attempt": attempt,
            "input_digest": input_digest,
            "output_digest": digest_bytes(output),
            "output": output,
        }
        with self._database.transaction() as connection:
            _enter(connection, run_id, attempt)
            known = connection.execute(
                _STEP_DIGESTS, {"run_id": run_id, "step": step, "attempt": attempt}
            ).one_or_none()
            if known is None:
                sequence = connection.execute(_STEPS, {"run_id": run_id}).scalar_one() + 1
                connection.execute(_ADD_STEP, {**row, "sequence": sequence})
            elif known.input_digest != input_digest:
                place = {"of_run": run_id, "of_step": step, "of_attempt": attempt}
                changed = {name: row[name] for name in ("input_digest", "output_digest", "output")}
                connection.execute(_REPLACE_STEP.values(changed), place)
            elif known.output_digest != row["output_digest"]:
                raise InvariantError(f"{run_id}: attempt {attempt} decided step {step} twice, differently")

    def step(self, run_id: str, step: str) -> StepRecord | None:
        """The step's record of the latest attempt that reached it, ``None`` when none did."""
        with self._database.read() as connection:
            found = connection.execute(_LATEST_STEP, {"run_id": run_id, "step": step}).one_or_none()
        return None if found is None else _step_record(found)

    def steps(self, run_id: str) -> tuple[StepRecord, ...]:
        """Latest record of each step, in the order in which the steps were first taken."""
        with self._database.read() as connection:
            found = connection.execute(
                select(run_steps).where(run_steps.c.run_id == run_id).order_by(run_steps.c.sequence)
            ).all()
        latest: dict[str, StepRecord] = {}
        for row in found:
            known = latest.get(row.step)
            if known is None or row.attempt >= known.attempt:
                latest[row.step] = _step_record(row)
        return tuple(latest.values())

    def record_input(self, run_id: str, name: str, payload: bytes) -> str:
        """Store what a run read, replacing what an earlier attempt read; returns the digest."""
        return self.record_inputs(run_id, {name: payload})[name]

    def record_inputs(
        self, run_id: str, payloads: Mapping[str, bytes], attempt: int | None = None
    ) -> Mapping[str, str]:
        """Store everything that a run read, by name, in one transaction; returns the digests, as `record_input`.

        With ``attempt`` one that was taken over is refused: what it read late is not what the run decided on.
        """
        digests = {name: digest_bytes(payload) for name, payload in payloads.items()}
        rows = [
            {"run_id": run_id, "name": name, "digest": digests[name], "payload": payload}
            for name, payload in payloads.items()
        ]
        with self._database.transaction() as connection:
            if attempt is not None:
                _claimed_status(connection, run_id, attempt)
            insert_or_replace(connection, run_inputs, rows)
        return digests

    def inputs(self, run_id: str) -> Mapping[str, InputRecord]:
        """Everything the run read, by name."""
        with self._database.read() as connection:
            found = connection.execute(
                select(run_inputs).where(run_inputs.c.run_id == run_id).order_by(run_inputs.c.name)
            ).all()
        return {row.name: InputRecord(digest=row.digest, payload=row.payload) for row in found}

    def record_memory(self, account: str, name: str, trade_date: date, payload: bytes) -> None:
        """Store what the decision of a date hands to the next one; a rerun of the date replaces it."""
        row = {"account": account, "name": name, "trade_date": trade_date, "payload": payload}
        with self._database.transaction() as connection:
            ensure_account(connection, account)
            insert_or_replace(connection, memories, [row])

    def memory(self, account: str, name: str, before: date) -> bytes | None:
        """The latest memory of a date before ``before``: a rerun reads what the first run read."""
        wanted = (
            select(memories.c.payload)
            .where(memories.c.account == account, memories.c.name == name, memories.c.trade_date < before)
            .order_by(memories.c.trade_date.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.execute(wanted).scalar()


def _step_record(row: Row[tuple[object, ...]]) -> StepRecord:
    return StepRecord(
        step=row.step,
        attempt=row.attempt,
        input_digest=row.input_digest,
        output_digest=row.output_digest,
        output=row.output,
    )


def _enter(connection: Connection, run_id: str, attempt: int) -> None:
    """Refuse a fenced attempt; the first step of an attempt makes the run RUNNING."""
    current = _claimed_status(connection, run_id, attempt)
    if current is not RunStatus.RUNNING:
        run_transition(current, RunStatus.RUNNING, run_id)
        connection.execute(update(runs).where(runs.c.run_id == run_id).values(status=RunStatus.RUNNING.value))


def _claimed_status(connection: Connection, run_id: str, attempt: int) -> RunStatus:
    """Status of a run, which is held until the caller commits; refuses an attempt that was taken over."""
    found = connection.execute(_RUN, {"run_id": run_id}).one_or_none()
    if found is None:
        raise InvariantError(f"expected a claimed run, found none called {run_id}")
    if found.attempt != attempt:
        raise RefusedError(
            f"{run_id}: attempt {attempt} was taken over by attempt {found.attempt}; it must stop"
        )
    return RunStatus(found.status)
