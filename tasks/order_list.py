"""Orders as an operator sees them: what is open or in doubt, what is known of it, and what a proof still misses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from engine.execution.absence import evidence_of, judge_absence
from engine.model.absence import AbsencePolicy
from engine.model.orders import ChildStatus
from state.database import Database
from state.doubts import DoubtView, order_views

RECENT = 20
"""Ended orders that are listed unless all are asked for."""

_OPEN = tuple(status for status in ChildStatus if not status.is_terminal)
_ENDED = tuple(status for status in ChildStatus if status.is_terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One child order. ``age_seconds`` is since it was sent, by the account's time; ``missing`` is of a proof of absence.

    ``decided_by`` names who resolved it, where a person did, and ``reason`` why.
    """

    order_ref: str
    contract_id: str
    side: str
    quantity: Decimal
    filled: Decimal
    limit_price: Decimal
    status: str
    sent_at: datetime | None
    age_seconds: float | None
    known: str
    missing: tuple[str, ...]
    decided_by: str
    reason: str


def order_lines(
    database: Database, account: str, policy: AbsencePolicy, now: datetime, *, everything: bool
) -> tuple[OrderLine, ...]:
    """Orders in doubt first, then open ones, then the latest that ended, or all of them."""
    open_ones = order_views(database, account, _OPEN)
    ended = order_views(database, account, _ENDED, None if everything else RECENT)
    doubted = sorted(open_ones, key=lambda view: view.record.status is not ChildStatus.UNKNOWN)
    return tuple(_line(view, policy, now) for view in (*doubted, *ended))


def _line(view: DoubtView, policy: AbsencePolicy, now: datetime) -> OrderLine:
    record, child = view.record, view.record.child
    sent = record.sent_at
    attestation = view.known[-1].evidence.attestation if view.known else None
    return OrderLine(
        order_ref=child.order_ref,
        contract_id=child.contract_id,
        side=child.side.value,
        quantity=child.quantity,
        filled=record.filled,
        limit_price=child.limit_price,
        status=record.status.value,
        sent_at=sent,
        age_seconds=None if sent is None else max(0.0, (now - sent).total_seconds()),
        known=view.note,
        missing=_missing(view, policy, now) if record.status is ChildStatus.UNKNOWN else (),
        decided_by="" if attestation is None else attestation.operator,
        reason="" if attestation is None else attestation.reason,
    )


def _missing(view: DoubtView, policy: AbsencePolicy, now: datetime) -> tuple[str, ...]:
    """What a proof would miss now, by the last evidence; a refused statement or word counts for nothing."""
    if not view.known:
        return judge_absence(
            evidence_of(view.record, policy, now, acknowledged=view.was_acknowledged)
        ).missing
    last = replace(view.known[-1].evidence, statement=None, attestation=None)
    return judge_absence(replace(last, now=max(now, last.now))).missing
