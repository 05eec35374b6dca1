"""Whether an order that was perhaps sent may be taken for one that never reached the market (REL-5.5).

In: everything observed since it was sent. Out: ABSENT, or what the proof still misses, in words for a person. How
often it was not found and how old it is decide nothing: an absent answer is no absent order, and a list of today knows
nothing of yesterday.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine.model.absence import (
    AbsenceEvidence,
    AbsencePolicy,
    HeldTwice,
    LinkState,
    Look,
    LookFinding,
    StatementProof,
)
from engine.model.money import ZERO
from engine.model.orders import OpenOrder
from engine.ports import ChildRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the proof still misses; nothing missing means that the order is ABSENT."""

    missing: tuple[str, ...]

    @property
    def is_absent(self) -> bool:
        """Whether the order never reached the market."""
        return not self.missing


def judge_absence(evidence: AbsenceEvidence) -> Verdict:
    """The verdict on one order. A statement of the broker, or a person's word, stands for the quiet and the looks.

    A person's word still needs one look that does not contradict it.
    """
    return Verdict(missing=(*_contradictions(evidence), *_missing(evidence)))


def examine(record: ChildRecord, look: Look, ours: Mapping[str, Decimal]) -> LookFinding:
    """What a look says of an order; ``ours`` are the book's signed positions, with all the look's executions booked."""
    child = record.child
    numbers = set(record.broker_ids)
    found = [
        f"listed as order {order.broker_order_id}, {order.status.value}"
        for order in look.orders
        if order.order_ref == child.order_ref or order.broker_order_id in numbers
    ]
    found += [
        f"executed as {fill.execution_id}" for fill in look.executions if fill.order_ref == child.order_ref
    ]
    found += [
        f"perhaps order {order.broker_order_id}, which carries no reference"
        for order in look.orders
        if order.order_ref is None and _could_be(order, record)
    ]
    return LookFinding(
        at=look.at,
        found=tuple(found),
        positions=tuple(
            HeldTwice(contract_id=name, ours=ours.get(name, ZERO), broker=look.positions.get(name, ZERO))
            for name in child.contract_ids
        ),
    )


def _could_be(order: OpenOrder, record: ChildRecord) -> bool:
    child = record.child
    return (order.contract_id, order.side, order.quantity) == (child.contract_id, child.side, child.quantity)


def evidence_of(
    record: ChildRecord,
    policy: AbsencePolicy,
    now: datetime,
    *,
    acknowledged: bool,
    link: LinkState | None = None,
    looks: tuple[LookFinding, ...] = (),
    asked_since: datetime | None = None,
) -> AbsenceEvidence:
    """What is known of an order in doubt."""
    numbers = [int(name) for name in record.broker_ids[:1] if name.isdecimal()]
    return AbsenceEvidence(
        order_ref=record.child.order_ref,
        sent_at=record.sent_at,
        client_id=record.client_id,
        order_id=numbers[0] if numbers else None,
        contract_ids=record.child.contract_ids,
        now=now,
        policy=policy,
        filled=max(record.filled, record.near_filled),
        acknowledged=acknowledged,
        asked_since=asked_since,
        link=link,
        looks=looks,
    )


def broker_day(at: datetime, policy: AbsencePolicy) -> date:
    """The broker's day of a time: its lists of orders and executions begin anew with each."""
    return at.astimezone(ZoneInfo(policy.broker_zone)).date()


def looks_can_prove(evidence: AbsenceEvidence) -> bool:
    """Whether more looks can end the doubt by a proof, or only a statement or a person can."""
    if evidence.sent_at is None or evidence.acknowledged or evidence.filled > 0 or evidence.client_id is None:
        return False
    is_today = broker_day(evidence.sent_at, evidence.policy) == broker_day(evidence.now, evidence.policy)
    return is_today and (evidence.link is None or evidence.link.client_id == evidence.client_id)


def next_look(evidence: AbsenceEvidence) -> datetime:
    """When the next look may count, not before now."""
    policy, counted = evidence.policy, _counted(evidence)
    if counted:
        return max(evidence.now, counted[-1].at + timedelta(seconds=policy.looks_apart_seconds))
    since = _quiet_since(evidence)
    if since is None:
        return evidence.now
    return max(evidence.now, since + timedelta(seconds=policy.quiet_seconds))


def _contradictions(evidence: AbsenceEvidence) -> Iterator[str]:
    """What speaks for the order's life: no statement and nobody's word outweighs it."""
    if evidence.filled > 0:
        yield f"the broker knows it: {evidence.filled:f} of it are booked"
    for text in dict.fromkeys(text for look in evidence.looks for text in look.found):
        yield f"the broker knows it: {text}"
    if evidence.looks:
        for held in evidence.looks[-1].positions:
            if held.ours != held.broker:
                yield (
                    f"the broker holds {held.broker:f} of {held.contract_id}, our book {held.ours:f}: the difference of "
                    f"{held.broker - held.ours:+f} may be its executions"
                )
    yield from _saw_its_number(evidence.link, evidence.order_id)


def _saw_its_number(link: LinkState | None, order_id: int | None) -> Iterator[str]:
    if link is None or link.next_order_id is None or order_id is None:
        return
    is_newest = link.last_sent_id is None or link.last_sent_id <= order_id
    if is_newest and link.next_order_id > order_id:
        yield f"the broker expects number {link.next_order_id} next and has seen its number {order_id}"


def _missing(evidence: AbsenceEvidence) -> Iterator[str]:
    if evidence.statement is not None:
        return _statement_misses(evidence, evidence.statement)
    if evidence.attestation is not None:
        return (
            iter(())
            if evidence.looks
            else iter(("one complete answer of the broker beside a person's word",))
        )
    return _proof_misses(evidence)


def _statement_misses(evidence: AbsenceEvidence, statement: StatementProof) -> Iterator[str]:
    if evidence.sent_at is None or not statement.begins <= evidence.sent_at < statement.ends:
        yield "a statement that covers the time at which it was sent"
    elif statement.missing:
        yield f"a statement that proves it: {statement.missing}"


def _proof_misses(evidence: AbsenceEvidence) -> Iterator[str]:
    policy, link = evidence.policy, evidence.link
    if evidence.sent_at is None:
        yield "the time at which it was sent: only a statement of the broker can tell"
        return
    sent, today = broker_day(evidence.sent_at, policy), broker_day(evidence.now, policy)
    if sent != today:
        yield (
            f"a statement of the broker for {sent}: it was sent then, and the broker lists orders and executions of "
            f"{today} only"
        )
        return
    if evidence.acknowledged:
        yield "a statement of the broker: it had taken the order, and no list of today may forget it"
    if link is None:
        yield "a connection to the broker"
        return
    if evidence.client_id is None:
        yield "the client id that sent it, which nobody recorded"
    elif evidence.client_id != link.client_id:
        yield f"the connection of client {evidence.client_id}, which sent it; this one is client {link.client_id}"
    quiet = timedelta(seconds=policy.quiet_seconds)
    if evidence.now < link.healthy_since + quiet:
        yield f"a link that is undisturbed for {policy.quiet_seconds:g} seconds; it is so since {_clock(link.healthy_since)}"
    yield from _looks_missing(evidence)


def _looks_missing(evidence: AbsenceEvidence) -> Iterator[str]:
    policy, counted = evidence.policy, _counted(evidence)
    if evidence.looks and evidence.asked_since is None:
        yield "that nobody is between a claim and the line: a process there may still write the order; end it"
    if len(counted) < 2:
        yield (
            f"two complete answers of the broker, {policy.looks_apart_seconds:g} seconds apart and each at least "
            f"{policy.quiet_seconds:g} seconds after the order, the last disturbance and the first answer; there is "
            f"{'one' if counted else 'none'}"
        )
        return
    for held in counted[0].positions:
        if held.ours != held.broker:
            yield f"a position of {held.contract_id} that agrees in both answers"


def _counted(evidence: AbsenceEvidence) -> tuple[LookFinding, ...]:
    """Of the looks that are late enough, the first and the last, where these are far enough apart."""
    policy, since = evidence.policy, _quiet_since(evidence)
    if since is None:
        return ()
    earliest = since + timedelta(seconds=policy.quiet_seconds)
    late = [look for look in evidence.looks if earliest <= look.at <= evidence.now]
    if not late:
        return ()
    apart = late[-1].at - late[0].at >= timedelta(seconds=policy.looks_apart_seconds)
    return (late[0], late[-1]) if apart else (late[0],)


def _quiet_since(evidence: AbsenceEvidence) -> datetime | None:
    """Since when nothing can have been on its way that is still out of sight; ``None`` before the first look."""
    sent, link, asked = evidence.sent_at, evidence.link, evidence.asked_since
    if sent is None or link is None or asked is None:
        return None
    return max(sent, link.healthy_since, asked)


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}Z"
