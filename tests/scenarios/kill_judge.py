"""What a killed day has to look like when it is over, by the simulated broker's own file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from sqlalchemy import select

from engine.model.encoding import decode
from engine.model.orders import ChildStatus, Fill, JobStatus
from engine.simulation.account import BrokerOrder
from engine.simulation.journal import RecordKind
from state.order_reading import account_orders
from state.tables import order_events
from tasks.adapters.simulated_account import SqliteJournal, account_path
from tasks.runtime import World
from tests import factories as fund

ZERO = Decimal(0)
Amounts = dict[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayEnd:
    """Both sides of a day that is over; what is the broker's comes from its own file alone.

    ``traded`` is what each parent traded at the broker or may still trade, ``alive`` names the orders that may;
    ``reserved`` names our orders that hold a quantity, without those of unknown fate, which ``unknown`` names.
    ``doubted`` are those that were of unknown fate at some time of the day, decided since or not.
    """

    statuses: tuple[str, ...]
    accepted: tuple[str, ...]
    traded: Amounts
    executions: tuple[str, ...]
    booked: tuple[str, ...]
    alive: frozenset[str]
    reserved: frozenset[str]
    unknown: frozenset[str]
    parents: Amounts
    jobs: dict[str, str]
    ours: dict[str, Amounts] = field(default_factory=dict)
    theirs: dict[str, Amounts] = field(default_factory=dict)
    doubted: frozenset[str] = frozenset()


def look_at_end(world: World, day: date, statuses: tuple[str, ...] = ()) -> DayEnd:
    """Read both sides."""
    journal = SqliteJournal(account_path(world.options.home, world.account))
    try:
        orders = [decode(BrokerOrder, record.body) for record in journal.history(RecordKind.ORDER)]
        fills = [decode(Fill, record.body) for record in journal.history(RecordKind.EXECUTION)]
    finally:
        journal.close()
    views = account_orders(world.database, world.account, day)
    store, book = fund.order_store(world), fund.book_at_close(world)
    return DayEnd(
        statuses=statuses,
        accepted=tuple(order.child.order_ref for order in orders),
        traded=_traded(orders, fills),
        executions=tuple(fill.execution_id for fill in fills),
        booked=tuple(
            entry.entry_id.removeprefix("trade:")
            for entry in world.ledger.entries(world.account)
            if entry.entry_id.startswith("trade:")
        ),
        alive=frozenset(order.child.order_ref for order in orders if order.is_open),
        reserved=frozenset(
            view.record.child.order_ref
            for view in views
            if view.record.status.holds_reservation and view.record.status is not ChildStatus.UNKNOWN
        ),
        unknown=frozenset(
            view.record.child.order_ref for view in views if view.record.status is ChildStatus.UNKNOWN
        ),
        parents={
            intent.intent_id: intent.quantity
            for record in store.jobs(trade_date=day)
            for intent in record.job.intents
        },
        jobs={record.job.job_id: record.status.value for record in store.jobs(trade_date=day)},
        ours={name: dict(part) for name, part in book.ours.items()},
        theirs={name: dict(part) for name, part in book.broker.items()},
        doubted=_doubted(world, frozenset(view.record.child.order_ref for view in views)),
    )


def _doubted(world: World, refs: frozenset[str]) -> frozenset[str]:
    wanted = select(order_events.c.order_ref).where(order_events.c.status == ChildStatus.UNKNOWN.value)
    with world.database.read() as connection:
        return refs & frozenset(connection.execute(wanted).scalars().all())


def _traded(orders: Sequence[BrokerOrder], fills: Sequence[Fill]) -> Amounts:
    """What each parent traded and may still trade; a spread counts for both of its parents."""
    executed: dict[tuple[str | None, str], Decimal] = {}
    for fill in fills:
        key = (fill.order_ref, fill.contract_id)
        executed[key] = executed.get(key, ZERO) + fill.quantity
    traded: Amounts = {}
    for order in {order.child.order_ref: order for order in orders}.values():
        child, may_trade = order.child, order.remaining if order.is_open else ZERO
        legs = [(child.intent_id, child.contract_id)]
        legs += [] if child.near is None else [(child.near.intent_id, child.near.contract_id)]
        for parent, contract_id in legs:
            done = executed.get((child.order_ref, contract_id), ZERO)
            traded[parent] = traded.get(parent, ZERO) + done + may_trade
    return traded


def violations(end: DayEnd) -> list[str]:
    """Every promise that the day broke, in words; empty for a good one."""
    return [f"{name}: {detail}" for name, check in CHECKS.items() for detail in check(end)]


def _accepted_once(end: DayEnd) -> Iterator[str]:
    counts = Counter(end.accepted)
    yield from (f"{ref} was accepted {count} times" for ref, count in counts.items() if count > 1)


def _within_the_parent(end: DayEnd) -> Iterator[str]:
    yield from (
        f"{parent} traded or may trade {total} of {end.parents.get(parent)}"
        for parent, total in end.traded.items()
        if total > end.parents.get(parent, ZERO)
    )


def _no_fill_lost(end: DayEnd) -> Iterator[str]:
    booked, executed = Counter(end.booked), Counter(end.executions)
    yield from (
        f"{name}: executed {executed[name]} times, booked {booked[name]} times"
        for name in sorted(booked.keys() | executed.keys())
        if booked[name] != executed[name]
    )


def _same_book(end: DayEnd) -> Iterator[str]:
    for part in sorted(end.ours.keys() | end.theirs.keys()):
        ours, theirs = end.ours.get(part, {}), end.theirs.get(part, {})
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name, ZERO) != theirs.get(name, ZERO):
                yield f"{part} {name}: book {ours.get(name, ZERO)}, broker {theirs.get(name, ZERO)}"


def _same_open_orders(end: DayEnd) -> Iterator[str]:
    strays, ghosts = end.alive - end.reserved - end.unknown, end.reserved - end.alive
    yield from (f"{ref} lives at the broker and nobody knows" for ref in sorted(strays))
    yield from (f"{ref} is held open, the broker has it not" for ref in sorted(ghosts))


def _is_over(end: DayEnd) -> Iterator[str]:
    yield from (f"a run ended {status}" for status in end.statuses if status != "COMPLETED")
    done = (JobStatus.DONE.value, JobStatus.SKIPPED.value, JobStatus.UNKNOWN.value)
    yield from (f"job {name} is left {status}" for name, status in end.jobs.items() if status not in done)


CHECKS = {
    "accepted once": _accepted_once,
    "within the parent": _within_the_parent,
    "no fill lost, none twice": _no_fill_lost,
    "book = broker": _same_book,
    "open orders = broker": _same_open_orders,
    "the day ends": _is_over,
}
