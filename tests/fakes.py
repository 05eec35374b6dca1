"""Fakes that implement the engine's ports for real, in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from engine.errors import BrokerUnavailable, IllegalTransition, InvariantError, RefusedError, SupersededError
from engine.execution.absence import judge_absence
from engine.model.absence import AbsenceEvidence, LinkState, Look
from engine.model.context import ControlState
from engine.model.market import Quote
from engine.model.order_states import CHILD_TRANSITIONS
from engine.model.orders import (
    ORDER_REFERENCE_PREFIX,
    ChildOrder,
    ChildStatus,
    Fill,
    OpenOrder,
    TransportEvent,
    TransportEventKind,
    order_reference,
)
from engine.ports import ChildRecord, GateOutcome, Permission, StatusChange

ZERO = Decimal(0)
CLIENT = 1
"""Who the fund is to the scripted broker."""


class MemoryOrderBook:
    """Order book with the send gate's rules: one claim a child, control state, reservation within the parent."""

    def __init__(self, parents: Mapping[str, tuple[Decimal, bool]]) -> None:
        """``parents`` maps intent ids to quantity and whether the parent only reduces."""
        self.parents = dict(parents)
        self.control = ControlState.ACTIVE
        self.stopped = False
        self.superseded = False
        self.epoch_is_mine = True
        self.notional_limit_usd: Decimal | None = None
        self.records: dict[str, ChildRecord] = {}
        self.fills: dict[str, Fill] = {}
        self.corrected: tuple[Fill, ...] = ()
        self.history: list[tuple[str, ChildStatus]] = []
        self.spent: set[str] = set()
        self.passing = 0
        self.holds_latch = True
        self.doubts: list[AbsenceEvidence] = []

    def plan(self, child: ChildOrder) -> ChildRecord:
        """Keep a planned child; the same again changes nothing."""
        known = self.records.get(child.order_ref)
        if known is not None and known.child != child:
            raise InvariantError(f"{child.order_ref} is planned with other terms")
        if known is None:
            known = ChildRecord(
                child=child, status=ChildStatus.PLANNED, filled=ZERO, sent_at=None, client_id=CLIENT
            )
            self.records[child.order_ref] = known
        return known

    @contextmanager
    def passage(self) -> Iterator[Callable[[], bool]]:
        self.passing += 1
        try:
            yield lambda: self.holds_latch
        finally:
            self.passing -= 1

    def is_passage_free(self) -> bool:
        return self.passing == 0

    def claim(self, child: ChildOrder, notional_usd: Decimal, now: datetime) -> GateOutcome:
        order_ref = child.order_ref
        record = self.plan(child)
        quantity, reduce_only = self.parents[record.child.intent_id]
        if not self.epoch_is_mine:
            return GateOutcome.STALE_EPOCH
        if record.status is not ChildStatus.PLANNED:
            return GateOutcome.ALREADY_CLAIMED
        if self.stopped or self.control is ControlState.HALTED:
            return GateOutcome.HALTED
        if self.control is ControlState.REDUCING and not reduce_only:
            return GateOutcome.REDUCE_ONLY
        if self.committed(record.child.intent_id) + record.child.quantity > quantity:
            return GateOutcome.OVER_RESERVED
        near = record.child.near
        if near is not None and (
            self.committed(near.intent_id) + record.child.quantity > self.parents[near.intent_id][0]
        ):
            return GateOutcome.OVER_RESERVED
        if self.notional_limit_usd is not None and notional_usd > self.notional_limit_usd:
            return GateOutcome.LIMIT
        self.records[order_ref] = replace(record, status=ChildStatus.SENDING, sent_at=now)
        self.history.append((order_ref, ChildStatus.SENDING))
        return GateOutcome.CLAIMED

    def committed(self, intent_id: str) -> Decimal:
        """Filled and reserved quantity of a parent."""
        total = ZERO
        for record in self.children(intent_id):
            filled = record.filled_of(intent_id)
            reserved = record.child.quantity - filled if record.status.holds_reservation else ZERO
            total += filled + reserved
        return total

    def record(self, fills: Sequence[Fill], changes: Sequence[StatusChange], now: datetime) -> None:
        for fill in fills:
            self.record_fill(fill)
        for change in changes:
            self.record_status(change.order_ref, change.status, now, change.text)

    def record_status(self, order_ref: str, status: ChildStatus, now: datetime, text: str) -> None:
        record = self.records[order_ref]
        if self.superseded:
            raise SupersededError(f"{order_ref} is another run's")
        if status not in CHILD_TRANSITIONS[record.status]:
            raise IllegalTransition(f"{order_ref}: {record.status.value} to {status.value}")
        self.records[order_ref] = replace(record, status=status)
        self.history.append((order_ref, status))

    def record_fill(self, fill: Fill, booked_at: datetime | None = None) -> bool:
        known = self.fills.get(fill.root)
        if known is not None and known.execution_id >= fill.execution_id:
            return False
        self.corrected += () if known is None else (known,)
        self.fills[fill.root] = fill
        record = self.records.get(fill.order_ref or "")
        if record is not None:
            done = [
                sum((f.quantity for f in self.fills.values() if (f.order_ref, f.contract_id) == (fill.order_ref, name)), ZERO)
                for name in record.child.contract_ids
            ]  # fmt: skip
            near = ZERO if record.child.near is None else done[1]
            self.records[record.child.order_ref] = replace(record, filled=done[0], near_filled=near)
        return True

    def unbooked(self, executions: Sequence[Fill]) -> tuple[Fill, ...]:
        known = {root: fill.version for root, fill in self.fills.items()}
        return tuple(
            f for f in executions if f.order_ref in self.records and f.version > known.get(f.root, -1)
        )

    def uncharged(self, executions: Sequence[Fill]) -> tuple[Fill, ...]:
        return ()

    def child(self, order_ref: str) -> ChildRecord:
        return self.records[order_ref]

    def children(self, intent_id: str) -> tuple[ChildRecord, ...]:
        found = [
            r
            for r in self.records.values()
            if r.child.intent_id == intent_id
            or (r.child.near is not None and r.child.near.intent_id == intent_id)
        ]
        latest = {fill.root: fill for fill in sorted(self.fills.values(), key=lambda fill: fill.version)}
        return tuple(
            replace(
                r,
                fills=tuple(f for f in latest.values() if f.order_ref == r.child.order_ref),
                corrected=tuple(f for f in self.corrected if f.order_ref == r.child.order_ref),
            )
            for r in sorted(found, key=lambda r: r.child.attempt)
        )

    def spend(self, order_refs: Collection[str]) -> frozenset[str]:
        ours = {name for name in order_refs if name.startswith(ORDER_REFERENCE_PREFIX)}
        lost = frozenset(ours - self.records.keys())
        self.spent |= lost
        return lost

    def spent_attempts(self, intent_id: str) -> int:
        attempts = [int(name.rpartition(".")[2]) for name in self.spent]
        return max((n for n in attempts if order_reference(intent_id, n) in self.spent), default=0)

    def unresolved(self) -> tuple[ChildRecord, ...]:
        return tuple(
            r for r in self.records.values() if r.status.holds_reservation or r.status is ChildStatus.PLANNED
        )

    def held(self, contract_ids: Collection[str]) -> Mapping[str, Decimal]:
        found = dict.fromkeys(contract_ids, ZERO)
        for fill in self.fills.values():
            if fill.contract_id in found:
                found[fill.contract_id] += fill.signed_quantity
        return found

    def was_acknowledged(self, order_ref: str) -> bool:
        return (order_ref, ChildStatus.WORKING) in self.history

    def note_doubt(self, evidence: AbsenceEvidence) -> None:
        self.doubts.append(evidence)

    def prove_absent(self, evidence: AbsenceEvidence) -> None:
        if not judge_absence(evidence).is_absent:
            raise InvariantError(f"{evidence.order_ref}: that is no proof")
        record = self.records[evidence.order_ref]
        if record.status is not ChildStatus.UNKNOWN:
            raise RefusedError(f"{evidence.order_ref} is {record.status.value}")
        self.records[evidence.order_ref] = replace(record, status=ChildStatus.ABSENT)
        self.history.append((evidence.order_ref, ChildStatus.ABSENT))

    def permission(self) -> Permission:
        if self.superseded:
            return Permission.SUPERSEDED
        if self.stopped:
            return Permission.STOPPED
        allowed = {
            ControlState.ACTIVE: Permission.ALL,
            ControlState.REDUCING: Permission.REDUCTIONS,
            ControlState.HALTED: Permission.HALTED,
        }
        return allowed[self.control]


OnSend = Callable[["ScriptedTransport", ChildOrder], None]


class ScriptedTransport:
    """Broker in virtual time: quotes by a function of time, answers to sends and cancels by a script."""

    def __init__(self, start: datetime, quote: Callable[[str, datetime], Quote | None]) -> None:
        self.clock = start
        self.quote_at = quote
        self.on_send: OnSend = acknowledge
        self.on_cancel: Callable[[ScriptedTransport, str], None] = confirm_cancel
        self.sent: list[ChildOrder] = []
        self.cancelled: list[str] = []
        self.cancel_times: list[tuple[datetime, str]] = []
        self.queue: list[tuple[datetime, int, TransportEvent]] = []
        self.at_times: list[tuple[datetime, Callable[[], None]]] = []
        self.open: dict[str, OpenOrder] = {}
        self.done: list[Fill] = []
        self.answers = True
        self.connection = LinkState(client_id=CLIENT, connected_at=start - timedelta(hours=1))

    def now(self) -> datetime:
        return self.clock

    def quote(self, contract_id: str) -> Quote | None:
        return self.quote_at(contract_id, self.clock)

    def send(self, child: ChildOrder) -> None:
        self.sent.append(child)
        self.on_send(self, child)

    def cancel(self, order_ref: str) -> None:
        self.cancelled.append(order_ref)
        self.cancel_times.append((self.clock, order_ref))
        self.on_cancel(self, order_ref)

    def next_event(self, until: datetime) -> TransportEvent | None:
        self.queue.sort(key=lambda item: item[:2])
        while self.at_times and self.at_times[0][0] <= min([until, *(at for at, _, _ in self.queue[:1])]):
            self.clock = max(self.clock, self.at_times[0][0])
            self.at_times.pop(0)[1]()
            self.queue.sort(key=lambda item: item[:2])
        if self.queue and self.queue[0][0] <= until:
            at, _, event = self.queue.pop(0)
            self.clock = max(self.clock, at)
            return event
        self.clock = max(self.clock, until)
        return None

    def orders(self) -> tuple[OpenOrder, ...]:
        return tuple(self.open.values())

    def executions(self) -> tuple[Fill, ...]:
        """What traded so far: an execution is listed at most a second before its message arrives."""
        arrived = self.clock + timedelta(seconds=1)
        ahead = {id(event.fill) for at, _, event in self.queue if at > arrived}
        return tuple(fill for fill in self.done if id(fill) not in ahead)

    def link(self) -> LinkState:
        return self.connection

    def look(self) -> Look:
        if not self.answers:
            raise BrokerUnavailable("the question timed out")
        held: dict[str, Decimal] = {}
        for fill in self.executions():
            held[fill.contract_id] = held.get(fill.contract_id, ZERO) + fill.signed_quantity
        return Look(at=self.clock, orders=self.orders(), executions=self.executions(), positions=held)

    def report(
        self,
        kind: TransportEventKind,
        order_ref: str,
        *,
        after: float = 0.1,
        fill: Fill | None = None,
        text: str = "",
        filled: Decimal | None = None,
    ) -> None:
        """Put a message into the inbox, some seconds from now."""
        at = self.clock + timedelta(seconds=after)
        event = TransportEvent(kind=kind, at=at, order_ref=order_ref, fill=fill, text=text, filled=filled)
        self.queue.append((at, len(self.queue), event))

    def execute(self, child: ChildOrder, quantity: Decimal, *, after: float = 0.2, number: int = 1) -> Fill:
        """Let a quantity of a child trade at its limit."""
        fill = Fill(
            execution_id=f"E{child.order_ref}-{number}.01",
            order_ref=child.order_ref,
            contract_id=child.contract_id,
            side=child.side,
            quantity=quantity,
            price=child.limit_price,
            executed_at=self.clock + timedelta(seconds=after),
            commission=Decimal(1),
            commission_currency="USD",
        )
        self.done.append(fill)
        self.report(TransportEventKind.FILL, child.order_ref, after=after, fill=fill)
        return fill


def acknowledge(broker: ScriptedTransport, child: ChildOrder) -> None:
    """Take the order and let it rest."""
    broker.report(TransportEventKind.ACKNOWLEDGED, child.order_ref)


def fill_all(broker: ScriptedTransport, child: ChildOrder) -> None:
    """Take the order and fill it at once."""
    acknowledge(broker, child)
    broker.execute(child, child.quantity)


def lose_connection(broker: ScriptedTransport, child: ChildOrder) -> None:
    """Break while the order is being written."""
    raise BrokerUnavailable(f"connection lost while {child.order_ref} was written")


def confirm_cancel(broker: ScriptedTransport, order_ref: str) -> None:
    """Cancel what is asked for."""
    broker.report(TransportEventKind.CANCELLED, order_ref)


def ignore_cancel(broker: ScriptedTransport, order_ref: str) -> None:
    """Never answer a cancel."""
