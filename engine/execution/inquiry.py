"""Asking the broker about orders in doubt: looks are gathered until they prove an absence or find the order.

`look_again` does it between runs; while a run works, `engine.execution.doubts` does it in the run's own time.
`recover_all` asks once more about what a restored book has lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.execution.absence import Verdict, evidence_of, examine, judge_absence, looks_can_prove, next_look
from engine.execution.recovery import RecoveryReport, recall, recover, working
from engine.model.absence import AbsenceEvidence, AbsencePolicy, Look, LookFinding
from engine.model.orders import ChildStatus, Fill, OpenOrder, TransportEvent, TransportEventKind
from engine.ports import OrderBook, OrderTransport

LOOKS_KEPT = 8
"""The newest looks at an order that are kept as evidence."""

RECALL_PATIENCE = timedelta(seconds=20)
"""How long the cancel of a lost order may take to be confirmed."""

_A_MOMENT = timedelta(seconds=1)

_NEWS: Mapping[ChildStatus, TransportEventKind] = {
    ChildStatus.SENDING: TransportEventKind.ACKNOWLEDGED,
    ChildStatus.WORKING: TransportEventKind.ACKNOWLEDGED,
    ChildStatus.CANCEL_PENDING: TransportEventKind.ACKNOWLEDGED,
    ChildStatus.CANCELLED: TransportEventKind.CANCELLED,
    ChildStatus.REJECTED: TransportEventKind.REJECTED,
    ChildStatus.EXPIRED: TransportEventKind.EXPIRED,
}
"""What a listed order tells; that it is filled tell its executions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtOutcome:
    """What became of an order in doubt; with nothing missing it ended as ABSENT."""

    order_ref: str
    contract_id: str
    verdict: Verdict


class Inquiry:
    """Looks at orders in doubt, and what they add up to."""

    def __init__(self, book: OrderBook, transport: OrderTransport, policy: AbsencePolicy) -> None:
        self._book, self._transport, self._policy = book, transport, policy
        self._looks: dict[str, tuple[LookFinding, ...]] = {}
        self._asked: dict[str, datetime] = {}

    def add(self, order_ref: str, look: Look) -> None:
        """Keep what a look says of an order; the look's executions are booked.

        Looks count from one on at which nobody was between a claim and the line: a process that was stopped there, and
        perhaps still has its connection, could write the order after any look.
        """
        if order_ref not in self._asked and self._book.is_passage_free():
            self._asked[order_ref] = look.at
        record = self._book.child(order_ref)
        finding = examine(record, look, self._book.held(record.child.contract_ids))
        self._looks[order_ref] = (*self._looks.get(order_ref, ()), finding)[-LOOKS_KEPT:]

    def evidence(self, order_ref: str, now: datetime) -> AbsenceEvidence:
        """All that is known of an order now."""
        return evidence_of(
            self._book.child(order_ref),
            self._policy,
            now,
            acknowledged=self._book.was_acknowledged(order_ref),
            link=self._transport.link(),
            looks=self._looks.get(order_ref, ()),
            asked_since=self._asked.get(order_ref),
        )


def missed_news(look: Look, doubted: Collection[str], unheard: Sequence[Fill]) -> tuple[TransportEvent, ...]:
    """Messages that a look makes up for: executions of which nothing was heard, then where the doubted orders stand."""
    told = [
        TransportEvent(kind=TransportEventKind.FILL, at=look.at, order_ref=fill.order_ref, fill=fill)
        for fill in unheard
    ]
    listed = [order for order in look.orders if order.order_ref in doubted and order.status in _NEWS]
    return (*told, *(_standing(order, look.at) for order in listed))


def _standing(order: OpenOrder, at: datetime) -> TransportEvent:
    return TransportEvent(
        kind=_NEWS[order.status],
        at=at,
        order_ref=order.order_ref,
        text="found at the broker",
        filled=order.filled if order.status.is_terminal else None,
    )


def undecided_text(order_ref: str, verdict: Verdict) -> str:
    """What a person is told of an order that could not be decided."""
    return (
        f"{order_ref} is still in doubt and its contract blocked; the proof of its absence misses "
        f"{'; '.join(verdict.missing)}; ./fund orders resolve {order_ref} --evidence FILE --reason WHY"
    )


def look_again(
    book: OrderBook, transport: OrderTransport, policy: AbsencePolicy, until: datetime
) -> tuple[DoubtOutcome, ...]:
    """Between runs: look at every order in doubt until each is decided or the time is up; what stays so is noted.

    Raises `BrokerUnavailable` when the broker stops answering.
    """
    inquiry, outcomes = Inquiry(book, transport, policy), dict[str, DoubtOutcome]()
    while True:
        recover(book, transport)
        look, doubted = transport.look(), _doubted(book)
        for ref in doubted:
            inquiry.add(ref, look)
        evidence = {ref: inquiry.evidence(ref, look.at) for ref in doubted}
        for ref, known in evidence.items():
            verdict = judge_absence(known)
            outcomes[ref] = DoubtOutcome(order_ref=ref, contract_id=known.contract_ids[0], verdict=verdict)
            if verdict.is_absent:
                book.prove_absent(known)
        left = {ref: known for ref, known in evidence.items() if not outcomes[ref].verdict.is_absent}
        at = min((next_look(known) for known in left.values() if looks_can_prove(known)), default=look.at)
        if not look.at < at <= until:
            break
        _wait(transport, at)
    for known in left.values():
        book.note_doubt(known)
    return tuple(outcomes[ref] for ref in sorted(outcomes))


def recover_all(
    book: OrderBook,
    transport: OrderTransport,
    policy: AbsencePolicy,
    is_ending: Callable[[], bool] = lambda: False,
) -> RecoveryReport:
    """Recover, and where the book has lost an order of ours, once more when the broker's lists can miss none.

    Such a book was restored, and what else it has lost may not be listed yet: under a reference that nobody knows to be
    spent a new order would be sent. So nothing leaves before a complete answer that is a quiet time younger than the
    link; whoever asks the process to end meanwhile need not wait for it. What it has lost and what works is cancelled,
    and waited for a while until it has ended.

    Raises `BrokerUnavailable` when the broker stops answering.
    """
    first = recover(book, transport)
    if not first.lost:
        return first
    quiet, look = timedelta(seconds=policy.quiet_seconds), transport.look()
    while (left := transport.link().healthy_since + quiet - look.at) > timedelta(0) and not is_ending():
        transport.next_event(transport.now() + left)
        look = transport.look()
    again = recover(book, transport)
    shown = [*(order.order_ref for order in look.orders), *(fill.order_ref for fill in look.executions)]
    lost = first.lost | again.lost | book.spend([ref for ref in shown if ref is not None])
    asked = first.recalled | again.recalled
    asked |= recall(transport, working(look.orders, lost - asked))
    found = [first, again]
    if asked:
        _wait_for_ends(transport, asked)
        found.append(recover(book, transport))  # messages of other orders may have come meanwhile
    return replace(
        found[-1],
        children=tuple(child for report in found for child in report.children),
        booked=tuple(name for report in found for name in report.booked),
        late=tuple(name for report in found for name in report.late),
        lost=lost | found[-1].lost,
        recalled=asked | found[-1].recalled,
    )


def _wait_for_ends(transport: OrderTransport, order_refs: frozenset[str]) -> None:
    """Let time pass until the broker lists the ends of some orders, but not for ever."""
    until, left = transport.now() + RECALL_PATIENCE, order_refs
    while left and transport.now() < until:
        transport.next_event(min(until, transport.now() + _A_MOMENT))
        listed = transport.orders()
        left -= {order.order_ref for order in listed if order.status.is_terminal}


def _doubted(book: OrderBook) -> list[str]:
    return [row.child.order_ref for row in book.unresolved() if row.status is ChildStatus.UNKNOWN]


def _wait(transport: OrderTransport, until: datetime) -> None:
    """Let time pass; messages that come meanwhile are in the next look."""
    while transport.now() < until:
        transport.next_event(until)
