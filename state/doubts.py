"""Orders in doubt: the evidence about each, row by row, and the jobs that wait for their fate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Row, Table, bindparam, func, insert, select

from engine.errors import InvariantError, RefusedError
from engine.execution.absence import judge_absence
from engine.model.absence import AbsenceEvidence
from engine.model.encoding import decode, encode
from engine.model.money import ZERO
from engine.model.orders import ChildStatus, OrderIntent
from engine.ports import ChildRecord
from state.database import Database
from state.jobs import JobStore
from state.ledger import KEYS_A_QUERY
from state.order_reading import child_record
from state.order_writes import end_as_absent, status_of
from state.tables import intents, ledger_lines, order_events, order_evidence, orders

_ACKNOWLEDGED = (ChildStatus.WORKING.value, ChildStatus.CANCEL_PENDING.value)
_POSITIONS = "position:%"

PASSAGE_SECONDS = 0.1
"""How long an order may take from claim to line before who asks is told that somebody is there; writing takes far less."""

_TOLD = (
    select(func.count())
    .select_from(order_events)
    .where(order_events.c.order_ref == bindparam("order_ref"), order_events.c.status.in_(_ACKNOWLEDGED))
)
_NEXT = select(func.coalesce(func.max(order_evidence.c.sequence), 0) + 1).where(
    order_evidence.c.order_ref == bindparam("order_ref")
)
_KEEP = insert(order_evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDoubt:
    """One row of evidence, and the state that the order had with it."""

    at: datetime
    status: ChildStatus
    evidence: AbsenceEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtView:
    """A child order with its parent, what its last change said, whether the broker ever took it, and all evidence, oldest first."""

    record: ChildRecord
    intent: OrderIntent
    note: str
    known: tuple[KnownDoubt, ...]
    was_acknowledged: bool


class DoubtStore(JobStore):
    """Orders of an account whose outcome is not known, and the evidence that ends the doubt."""

    def prove_absent(self, evidence: AbsenceEvidence) -> None:
        """End an order as ABSENT and keep the proof, in one transaction; its reservation and turnover are free then.

        Raises `InvariantError` for evidence that proves nothing and `RefusedError` for an order in doubt no more, or
        while a process is between a claim and the line: woken, it would still write what it had claimed.
        """
        verdict = judge_absence(evidence)
        if not verdict.is_absent:
            raise InvariantError(
                f"{evidence.order_ref}: expected a proof, found that it misses {verdict.missing[0]}"
            )
        if not self._is_passage_free():
            raise RefusedError(
                f"expected nobody between a claim and the line, found a process there that may still write "
                f"{evidence.order_ref}; nothing changed: end that process (./fund status names who may be sending), "
                "then ask again"
            )
        with self._database.transaction() as connection:
            self._require_doubt(connection, evidence.order_ref)
            _keep_evidence(connection, evidence, ChildStatus.ABSENT)
            told = "a person resolved it" if evidence.attestation is not None else "proved absent"
            end_as_absent(connection, evidence.order_ref, evidence.now, told)

    def note_doubt(self, evidence: AbsenceEvidence) -> None:
        """Keep what is known of an order that stays UNKNOWN; raises as `prove_absent` for one in doubt no more."""
        with self._database.transaction() as connection:
            self._require_doubt(connection, evidence.order_ref)
            _keep_evidence(connection, evidence, ChildStatus.UNKNOWN)

    def was_acknowledged(self, order_ref: str) -> bool:
        """Whether the broker ever told that it had taken an order."""
        with self._database.read() as connection:
            return bool(connection.execute(_TOLD, {"order_ref": order_ref}).scalar_one())

    def held(self, contract_ids: Collection[str]) -> Mapping[str, Decimal]:
        """Signed quantity of contracts by the ledger's lines; each contract asked for is in the answer."""
        wanted = select(ledger_lines.c.unit, ledger_lines.c.amount).where(
            ledger_lines.c.account == self._account,
            ledger_lines.c.ledger_account.like(_POSITIONS),
            ledger_lines.c.unit.in_(sorted(contract_ids)),
        )
        found = dict.fromkeys(contract_ids, ZERO)
        with self._database.read() as connection:
            for unit, amount in connection.execute(wanted):
                found[unit] += amount
        return found

    def _is_passage_free(self, patience_seconds: float = PASSAGE_SECONDS) -> bool:
        return self._database.latch(self._account).was_free(patience_seconds)

    def _require_doubt(self, connection: Connection, order_ref: str) -> None:
        """Hold the order and refuse one that somebody else has settled."""
        self._refuse_superseded(connection)
        status = status_of(connection, order_ref)
        if status is not ChildStatus.UNKNOWN:
            raise RefusedError(
                f"expected {order_ref} in doubt, found it {'nowhere' if status is None else status.value}: somebody else settled it; nothing changed"
            )


def _keep_evidence(connection: Connection, evidence: AbsenceEvidence, status: ChildStatus) -> None:
    ref = evidence.order_ref
    number = connection.execute(_NEXT, {"order_ref": ref}).scalar_one()
    row = {"order_ref": ref, "sequence": number, "at": evidence.now, "status": status.value}
    connection.execute(_KEEP, {**row, "payload": encode(evidence)})


def order_views(
    database: Database, account: str, statuses: Collection[ChildStatus], latest: int | None = None
) -> tuple[DoubtView, ...]:
    """Children in some states, the latest trade date first; with ``latest`` only so many."""
    wanted = (
        select(orders, intents.c.payload.label("parent"))
        .join(intents, intents.c.intent_id == orders.c.intent_id)
        .where(orders.c.account == account, orders.c.status.in_([status.value for status in statuses]))
        .order_by(orders.c.trade_date.desc(), orders.c.intent_id, orders.c.attempt.desc())
        .limit(latest)
    )
    with database.read() as connection:
        rows = connection.execute(wanted).all()
        refs = [row.order_ref for row in rows]
        events: dict[str, list[Row[tuple[object, ...]]]] = {}
        for row in _rows(connection, order_events, refs):
            events.setdefault(row.order_ref, []).append(row)
        known: dict[str, list[KnownDoubt]] = {}
        for row in _rows(connection, order_evidence, refs):
            evidence = decode(AbsenceEvidence, row.payload)
            found = KnownDoubt(at=row.at, status=ChildStatus(row.status), evidence=evidence)
            known.setdefault(row.order_ref, []).append(found)
    return tuple(
        DoubtView(
            record=child_record(row),
            intent=decode(OrderIntent, row.parent),
            note=events[row.order_ref][-1].note if row.order_ref in events else "",
            known=tuple(known.get(row.order_ref, ())),
            was_acknowledged=any(told.status in _ACKNOWLEDGED for told in events.get(row.order_ref, ())),
        )
        for row in rows
    )


def _rows(connection: Connection, table: Table, refs: Sequence[str]) -> list[Row[tuple[object, ...]]]:
    """Rows about some orders in the order in which they were written."""
    found: list[Row[tuple[object, ...]]] = []
    for start in range(0, len(refs), KEYS_A_QUERY):
        some = refs[start : start + KEYS_A_QUERY]
        wanted = (
            select(table).where(table.c.order_ref.in_(some)).order_by(table.c.order_ref, table.c.sequence)
        )
        found.extend(connection.execute(wanted))
    return found
