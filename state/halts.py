"""HALTs: why trading stopped, the evidence, who resolved it and how, and which attempt used the resolution."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from sqlalchemy import Connection, Row, func, insert, select, update

from engine.accounting.ledger import LedgerEntry
from engine.errors import ConfigurationError, InvariantError, RefusedError
from engine.model.halts import HaltChoice, HaltKind
from state.control_row import catch_up, confirm_effective, highest_seen, lock_control, request_change
from state.database import Database
from state.ledger import post_entries
from state.tables import halts, runs


class HaltSeverity(Enum):
    """How bad it is: an EMERGENCY always needs a named operator."""

    HALT = "HALT"
    EMERGENCY = "EMERGENCY"


class HaltStatus(Enum):
    """Life of a halt; UNREADABLE is a row that can not be read, and counts as open."""

    OPEN = "OPEN"
    RESOLVED = "RESOLVED"
    CONSUMED = "CONSUMED"
    UNREADABLE = "UNREADABLE"

    @property
    def is_open(self) -> bool:
        """Whether trading stands still because of it."""
        return self in (HaltStatus.OPEN, HaltStatus.UNREADABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRecord:
    """A halt with its evidence (canonical bytes) and, once there is one, its resolution."""

    halt_id: str
    account: str
    run_id: str
    kind: str
    severity: HaltSeverity
    status: HaltStatus
    message: str
    evidence: bytes
    choices: tuple[HaltChoice, ...]
    raised_at: datetime
    choice: HaltChoice | None
    reason: str | None
    operator: str | None
    resolved_at: datetime | None
    consumed_run_id: str | None
    consumed_attempt: int | None


class HaltStore:
    """Halts in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def raise_halt(  # noqa: PLR0913 (a halt is all of these)
        self,
        account: str,
        run_id: str,
        kind: str,
        *,
        severity: HaltSeverity,
        message: str,
        evidence: bytes,
        choices: Sequence[HaltChoice],
        now: datetime,
    ) -> str:
        """Stop the account and say under which id.

        A halt of the same kind that is open already is joined: its id is returned and its first evidence stays,
        but a worse severity is taken over. The id follows from the run's key and the kind. The halt is requested when
        this commits; the control row says whether it has become effective as well.
        """
        highest = highest_seen(self._database, account)
        with self._database.transaction() as connection:
            lock_control(connection, account)  # after the commit no claim passes the send gate
            joined = _open_of_kind(connection, account, kind)
            if joined is not None:
                halt_id = joined
                if severity is HaltSeverity.EMERGENCY:
                    _update(connection, joined, severity=severity.value)
            else:
                halt_id = _identifier(connection, run_id, kind)
                row = {
                    "halt_id": halt_id,
                    "account": account,
                    "run_id": run_id,
                    "kind": kind,
                    "severity": severity.value,
                    "status": HaltStatus.OPEN.value,
                    "message": message,
                    "evidence": evidence,
                    "choices": ",".join(choice.value for choice in choices),
                    "raised_at": now,
                }
                connection.execute(insert(halts).values(**row))
                request_change(connection, account, {"reason": message}, now, highest)
            if kind == HaltKind.RESTORED.value:  # said, so the next claim need not say it again
                catch_up(connection, account, highest)
        confirm_effective(self._database, account, now)
        return halt_id

    def halt(self, halt_id: str) -> HaltRecord | None:
        """A halt by its id."""
        with self._database.read() as connection:
            return _read(connection, halt_id)

    def open_halts(self, account: str) -> tuple[HaltRecord, ...]:
        """Halts that keep the account stopped, oldest first; one that can not be read is among them."""
        return tuple(record for record in self.halts(account) if record.status.is_open)

    def resolved_halts(self, account: str) -> tuple[HaltRecord, ...]:
        """Resolutions that no attempt has used yet, oldest first."""
        return tuple(record for record in self.halts(account) if record.status is HaltStatus.RESOLVED)

    def halts(self, account: str) -> tuple[HaltRecord, ...]:
        """All halts of an account, oldest first."""
        ids = (
            select(halts.c.halt_id)
            .where(halts.c.account == account)
            .order_by(halts.c.raised_at, halts.c.halt_id)
        )
        with self._database.read() as connection:
            found = [_read(connection, halt_id) for halt_id in connection.execute(ids).scalars().all()]
        return tuple(record for record in found if record is not None)

    def require_resolvable(self, halt_id: str, choice: HaltChoice, reason: str, operator: str) -> HaltRecord:
        """The halt, if these answers could resolve it now; raises as `resolve` does and changes nothing."""
        with self._database.read() as connection:
            found = _read(connection, halt_id)
        if found is None:
            raise ConfigurationError(f"expected the id of a halt, found {halt_id!r}; `halt` lists them")
        _refuse_incomplete(found, choice, reason, operator)
        if found.status is not HaltStatus.OPEN:
            raise _lost(found)
        return found

    def resolve(
        self,
        halt_id: str,
        choice: HaltChoice,
        reason: str,
        operator: str,
        now: datetime,
        entries: Sequence[LedgerEntry] = (),
    ) -> HaltRecord:
        """Record a person's decision; the first one wins, and only his entries are posted, in one transaction.

        Raises `ConfigurationError` when the choice is not offered, or the reason (for an EMERGENCY: the operator)
        is missing, and `RefusedError` when the halt is resolved already.
        """
        with self._database.transaction() as connection:
            found = _read(connection, halt_id)
            if found is None:
                raise ConfigurationError(f"expected the id of a halt, found {halt_id!r}; `halt` lists them")
            _refuse_incomplete(found, choice, reason, operator)
            lock_control(connection, found.account)
            won = connection.execute(
                update(halts)
                .where(halts.c.halt_id == halt_id, halts.c.status == HaltStatus.OPEN.value)
                .values(
                    status=HaltStatus.RESOLVED.value,
                    choice=choice.value,
                    reason=reason,
                    operator=operator,
                    resolved_at=now,
                )
            )
            resolved = _read(connection, halt_id)
            if won.rowcount != 1 or resolved is None:
                raise _lost(found if resolved is None else resolved)
            if entries:
                post_entries(connection, found.account, entries)
        return resolved

    def consume(self, halt_id: str, run_id: str, attempt: int, now: datetime) -> bool:
        """Use a resolution: ``True`` for the one attempt that may, as often as it asks."""
        with self._database.transaction() as connection:
            won = connection.execute(
                update(halts)
                .where(halts.c.halt_id == halt_id, halts.c.status == HaltStatus.RESOLVED.value)
                .values(
                    status=HaltStatus.CONSUMED.value,
                    consumed_run_id=run_id,
                    consumed_attempt=attempt,
                    consumed_at=now,
                )
            )
            if won.rowcount == 1:
                return True
            found = _read(connection, halt_id)
        return found is not None and (found.consumed_run_id, found.consumed_attempt) == (run_id, attempt)


def _identifier(connection: Connection, run_id: str, kind: str) -> str:
    """``halt-<12 hexadecimal digits>`` of run key and kind; the next occurrence in the same run adds its number."""
    key = connection.execute(
        select(runs.c.account, runs.c.mode, runs.c.trade_date, runs.c.kind).where(runs.c.run_id == run_id)
    ).one_or_none()
    if key is None:
        raise InvariantError(f"expected a claimed run to halt, found none called {run_id}")
    text = f"{key.account}|{key.mode}|{key.trade_date.isoformat()}|{key.kind}|{kind}"
    digits = hashlib.sha256(text.encode()).hexdigest()[:12]
    before = connection.execute(
        select(func.count()).select_from(halts).where(halts.c.run_id == run_id, halts.c.kind == kind)
    ).scalar_one()
    return f"halt-{digits}" if before == 0 else f"halt-{digits}-{before + 1}"


def _open_of_kind(connection: Connection, account: str, kind: str) -> str | None:
    wanted = select(halts.c.halt_id).where(
        halts.c.account == account, halts.c.kind == kind, halts.c.status == HaltStatus.OPEN.value
    )
    return connection.execute(wanted.order_by(halts.c.raised_at)).scalars().first()


def _update(connection: Connection, halt_id: str, **values: str) -> None:
    connection.execute(update(halts).where(halts.c.halt_id == halt_id).values(**values))


def _refuse_incomplete(found: HaltRecord, choice: HaltChoice, reason: str, operator: str) -> None:
    if found.status is HaltStatus.UNREADABLE:
        raise RefusedError(
            f"{found.halt_id} can not be read; verify or restore the database before resolving it"
        )
    if choice not in found.choices:
        offered = ", ".join(option.value for option in found.choices)
        raise ConfigurationError(f"{found.halt_id} ({found.kind}) offers {offered}; found {choice.value}")
    if not reason.strip():
        raise ConfigurationError(
            f"expected the reason for resolving {found.halt_id}, found none; give --reason"
        )
    if found.severity is HaltSeverity.EMERGENCY and not operator.strip():
        raise ConfigurationError(f"{found.halt_id} is an EMERGENCY: expected the operator's name, found none")


def _lost(found: HaltRecord) -> RefusedError:
    choice = found.choice.value if found.choice else "unknown"
    return RefusedError(
        f"{found.halt_id} was resolved already with {choice} by {found.operator or 'nobody named'}; nothing changed"
    )


def _read(connection: Connection, halt_id: str) -> HaltRecord | None:
    try:
        row = connection.execute(select(halts).where(halts.c.halt_id == halt_id)).one_or_none()
        return None if row is None else _record(row)
    except (InvariantError, ValueError, AttributeError):  # what damaged columns make of their types
        return _unreadable(connection, halt_id)


def _record(row: Row[tuple[object, ...]]) -> HaltRecord:
    return HaltRecord(
        halt_id=row.halt_id,
        account=row.account,
        run_id=row.run_id,
        kind=row.kind,
        severity=HaltSeverity(row.severity),
        status=HaltStatus(row.status),
        message=row.message,
        evidence=row.evidence,
        choices=tuple(HaltChoice(name) for name in row.choices.split(",") if name),
        raised_at=row.raised_at,
        choice=None if row.choice is None else HaltChoice(row.choice),
        reason=row.reason,
        operator=row.operator,
        resolved_at=row.resolved_at,
        consumed_run_id=row.consumed_run_id,
        consumed_attempt=row.consumed_attempt,
    )


def _unreadable(connection: Connection, halt_id: str) -> HaltRecord:
    plain = (halts.c.account, halts.c.run_id, halts.c.kind)
    row = connection.execute(select(*plain).where(halts.c.halt_id == halt_id)).one()
    return HaltRecord(
        halt_id=halt_id,
        account=row.account,
        run_id=row.run_id,
        kind=row.kind,
        severity=HaltSeverity.EMERGENCY,
        status=HaltStatus.UNREADABLE,
        message="the stored halt can not be read; it counts as a HALT until the database is verified",
        evidence=b"",
        choices=(),
        raised_at=datetime.min.replace(tzinfo=UTC),
        choice=None,
        reason=None,
        operator=None,
        resolved_at=None,
        consumed_run_id=None,
        consumed_attempt=None,
    )
