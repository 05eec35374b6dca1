"""Orders of a run whose outcome is not known: each is decided while the run works, or told to a person.

What a look finds is handed on as the messages that were missed. Nothing is ever sent again under a doubtful order's
reference; when its absence is proved its parent goes on with a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.errors import BrokerUnavailable
from engine.execution import ticket as t
from engine.execution.absence import judge_absence, next_look
from engine.execution.inquiry import Inquiry, missed_news, undecided_text
from engine.execution.news import unheard
from engine.execution.schedule import Action
from engine.model.absence import AbsencePolicy
from engine.model.orders import ChildOrder, ChildStatus, TransportEvent
from engine.ports import OrderBook, OrderTransport

SOON = timedelta(seconds=1)
"""How soon the first look follows: what was only a lost answer is found at once."""


class Listeners(NamedTuple):
    """Whom the watch calls: for a later look, with missed messages, with a proof, and with what a person should know."""

    push: Callable[[datetime, Action], None]
    deliver: Callable[[Sequence[TransportEvent]], None]
    decide: Callable[[str, t.ProvedAbsent], None]
    alarm: Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubted:
    intent_id: str
    since: datetime
    is_told: bool = False


class DoubtWatch:
    """The orders in doubt, and which contracts they block for other parents. Without a policy nobody looks."""

    def __init__(
        self, book: OrderBook, transport: OrderTransport, policy: AbsencePolicy | None, listeners: Listeners
    ) -> None:
        self._book, self._transport, self._policy, self._call = book, transport, policy, listeners
        self._inquiry = None if policy is None else Inquiry(book, transport, policy)
        self._doubted: dict[str, _Doubted] = {}
        self._blocking: dict[str, dict[str, str]] = {}
        self._due: datetime | None = None
        for record in book.unresolved():
            if record.status.holds_reservation:
                self._block(record.child)

    def blocks(self, contract_id: str, intent_id: str) -> bool:
        """Whether an order of another parent that was found open, or whose outcome is not known, stands in a contract."""
        owners = self._blocking.get(contract_id)
        return owners is not None and any(owner != intent_id for owner in owners.values())

    def note(self, changes: Iterable[t.RecordStatus], now: datetime) -> None:
        """Orders changed their states: those that became doubtful are watched, those that ended are let go."""
        for change in changes:
            if change.status is ChildStatus.UNKNOWN:
                self.begin(self._book.child(change.order_ref).child, now)
            elif self._blocking and change.status.is_terminal:
                self._let_go(change.order_ref)

    def begin(self, child: ChildOrder, now: datetime) -> None:
        """Watch an order of this run."""
        if child.order_ref not in self._doubted:
            self._block(child)
            self._doubted[child.order_ref] = _Doubted(intent_id=child.intent_id, since=now)
            self._look_at(now + SOON)

    def leave(self, now: datetime) -> None:
        """The run ends: keep what is known of the orders that stay in doubt."""
        if self._inquiry is not None:
            for ref in sorted(self._doubted):
                self._book.note_doubt(self._inquiry.evidence(ref, now))

    def _block(self, child: ChildOrder) -> None:
        for name in child.contract_ids:
            self._blocking.setdefault(name, {})[child.order_ref] = child.intent_id

    def _let_go(self, ref: str) -> None:
        self._doubted.pop(ref, None)
        for owners in self._blocking.values():
            owners.pop(ref, None)

    def _look_at(self, at: datetime) -> None:
        if self._due is None or at < self._due:
            self._due = at
            self._call.push(at, self._look)

    def _look(self, now: datetime) -> None:
        """Ask the broker once for all orders in doubt; a look that an earlier one replaced is skipped."""
        if self._due is None or now < self._due or self._inquiry is None:
            return
        self._due = None
        try:
            look = self._transport.look()
        except BrokerUnavailable:
            look = None
        if look is not None:
            self._call.deliver(missed_news(look, self._doubted, unheard(look.executions, self._book)))
            for ref in self._doubted:
                self._inquiry.add(ref, look)
        for ref in sorted(self._doubted):
            self._judge(ref, now, self._inquiry)

    def _judge(self, ref: str, now: datetime, inquiry: Inquiry) -> None:
        doubted, evidence = self._doubted[ref], inquiry.evidence(ref, now)
        policy, verdict = evidence.policy, judge_absence(evidence)
        if verdict.is_absent:
            self._book.prove_absent(evidence)
            self._let_go(ref)
            self._call.alarm(
                ref, f"{ref} never reached the broker: it is proved absent, and its quantity is free"
            )
            self._call.decide(doubted.intent_id, t.ProvedAbsent(ref))
            return
        following = next_look(evidence)
        apart = timedelta(seconds=policy.looks_apart_seconds)
        self._look_at(following if following > now else now + apart)
        if not doubted.is_told and now >= doubted.since + timedelta(seconds=policy.decided_within_seconds):
            self._doubted[ref] = replace(doubted, is_told=True)
            self._book.note_doubt(evidence)
            self._call.alarm(ref, undecided_text(ref, verdict))
