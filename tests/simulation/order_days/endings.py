"""A process that is asked to end (SIGTERM), or a run that stops: what it may still send, and what it may leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.model.orders import ChildStatus, ExecutionJob, OpenOrder
from engine.ports import ChildRecord
from engine.simulation.account import BrokerOrder
from engine.simulation.matching import AUCTIONS

PATIENCE = timedelta(seconds=25)
"""Cancels have 20 seconds to be confirmed; a look at the control state may be 5 seconds away."""


@dataclass
class Ending:
    """When a process was asked to end, and when it did: the broker's time, and how many orders it had taken by then.

    ``claimed`` are the orders that were between their claim and the line at that moment: they may still be written.
    """

    at: datetime
    accepted: int
    claimed: frozenset[str]
    ended_at: datetime | None = None
    last: int | None = None

    def end(self, at: datetime, accepted: int) -> None:
        """The process is gone."""
        if self.last is None:
            self.ended_at, self.last = at, accepted

    def sent_after(self, orders: Iterable[BrokerOrder]) -> Iterator[str]:
        """What the process sent though it was to end."""
        for order in orders:
            number, ref = int(order.broker_order_id), order.child.order_ref
            is_its_own = number > self.accepted and (self.last is None or number <= self.last)
            if is_its_own and ref not in self.claimed:
                yield f"{ref} was accepted as order {number}, its process was asked to end after {self.accepted}"

    def took_too_long(self) -> Iterator[str]:
        """Whoever asked will kill it before long."""
        if self.ended_at is not None and self.ended_at - self.at > PATIENCE:
            yield f"asked at {self.at:%H:%M:%S}, the process ended at {self.ended_at:%H:%M:%S}"


def between_claim_and_line(records: Iterable[ChildRecord]) -> frozenset[str]:
    """Orders that are claimed and of which nothing was heard."""
    return frozenset(row.child.order_ref for row in records if row.status is ChildStatus.SENDING)


def left_alone(
    orders: Iterable[BrokerOrder],
    known: Mapping[str, ChildStatus],
    jobs: Iterable[ExecutionJob],
    now: datetime,
) -> Iterator[str]:
    """Orders that work at the broker after a process ended in good order, and neither are in doubt nor may stand.

    What only reduces may stand, and what an auction does not give back after its cut-off.
    """
    parents = {intent.intent_id: (intent, job.window.cutoff) for job in jobs for intent in job.intents}
    for order in orders:
        status, (intent, cutoff) = known.get(order.child.order_ref), parents[order.child.intent_id]
        is_kept = cutoff is not None and now >= cutoff and order.child.order_type in AUCTIONS
        if order.is_open and status is not ChildStatus.UNKNOWN and not (intent.reduce_only or is_kept):
            yield f"{order.child.order_ref} works at the broker, {status} in the book"


@dataclass
class Sight:
    """What one process was shown to work at the broker, and whose cancels it asked for, heard or not.

    Without a line to the broker it can ask for none.
    """

    has_line: bool = False
    works: set[str] = field(default_factory=set)
    recalled: set[str] = field(default_factory=set)

    def show(self, listed: Iterable[OpenOrder]) -> None:
        """The process reads a list of orders."""
        self.works |= {str(order.order_ref) for order in listed if not order.status.is_terminal}


def left_working(
    orders: Iterable[BrokerOrder], known: Mapping[str, ChildStatus], sight: Sight
) -> Iterator[str]:
    """Orders that a run which stopped let work on: what its book has, and what it was shown that its book has lost.

    A lost order that no list has shown it can not take back, nor one in doubt; what it asked for is enough, for a cancel
    may be lost or refused.
    """
    for order in orders:
        ref, status = order.child.order_ref, known.get(order.child.order_ref)
        is_its_own = ref in sight.works if status is None else status is not ChildStatus.UNKNOWN
        if is_its_own and ref not in sight.recalled:
            yield f"{ref} works on after its run was stopped, {status} in the book"
