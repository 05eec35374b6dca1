"""The judge of a day: reads the broker's own account and compares it with our book (invariants of REL-3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, ExecutionStyle, Fill, JobStatus, Side, Urgency
from engine.model.portfolio import Portfolio
from engine.simulation.account import BrokerOrder
from engine.simulation.matching import AUCTIONS
from state.jobs import JobStore
from state.ledger import LedgerStore
from state.order_reading import account_fills, account_orders
from tests.engine.execution.market import execution_policy
from tests.simulation.order_days.auctions import turns_of_waiting
from tests.simulation.order_days.day import ACCOUNT, BOOK, FaultedDay
from tests.simulation.order_days.drawing import Fault
from tests.simulation.order_days.legs import alone
from tests.simulation.order_days.overtime import turns_of_doubt
from tests.simulation.order_days.strangers import is_ours

CENT = Decimal("0.01")
CALM_TURNS = 600
"""Turns of the loop within which a day is over once its faults are: a day of thirty orders takes less than half."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold, and how."""

    seed: int
    invariant: str
    detail: str


def judge(day: FaultedDay) -> list[Violation]:
    """Every invariant that the day broke; empty for a good one."""
    checks = dict(CHECKS)
    if day.restored and not day.ended:
        # A restored book that misses orders stays halted until the broker's statement is taken in: then it is made even.
        checks = {name: check for name, check in CHECKS.items() if name not in UNTIL_THE_STATEMENT}
        checks["C5 a restored book halts"] = _says_why_it_stopped
    return [
        Violation(day.drawn.seed, name, detail) for name, check in checks.items() for detail in check(day)
    ]


def _says_why_it_stopped(day: FaultedDay) -> Iterator[str]:
    if not any("book" in text for text in day.alarms[-2:]):
        yield f"the day stopped and said {day.alarms[-2:]}"


def _accepted(day: FaultedDay) -> list[BrokerOrder]:
    return [order for _, order in day.broker.state.orders.items() if is_ours(order.child.order_ref)]


def _lives(day: FaultedDay, orders: list[BrokerOrder]) -> Iterator[list[BrokerOrder]]:
    """Those of some orders that each life of the book sent or was restored with.

    Not those whose references it has: a life whose order never arrived or was refused at the gate has the reference too,
    and the order that the next life sends under it is not counted or anchored by the lost one.
    """
    return day.lives.of_each(orders, day.broker.state.head.orders)


def _accepted_once(day: FaultedDay) -> Iterator[str]:
    counts = Counter(order.child.order_ref for order in _accepted(day))
    yield from (f"{ref} was accepted {count} times" for ref, count in counts.items() if count > 1)


def _within_the_parent(day: FaultedDay) -> Iterator[str]:
    """Executions, and what may still trade; a spread counts for both of its parents."""
    ordered = {intent.intent_id: intent.quantity for job in day.drawn.jobs for intent in job.intents}
    latest = {fill.root: fill for fill in sorted(day.broker.executions(), key=lambda fill: fill.version)}
    executed: Counter[tuple[str | None, str]] = Counter()
    for fill in latest.values():
        executed[(fill.order_ref, fill.contract_id)] += fill.quantity  # type: ignore[assignment]
    traded: Counter[str] = Counter()
    for order in _accepted(day):
        child, alive = order.child, order.remaining if order.is_open else Decimal(0)
        legs = [(child.intent_id, child.contract_id)]
        legs += [(child.near.intent_id, child.near.contract_id)] if child.near is not None else []
        for intent_id, contract_id in legs:
            traded[intent_id] += executed[(child.order_ref, contract_id)] + alive  # type: ignore[assignment]
    yield from (
        f"{intent} traded or may trade {total} of {ordered[intent]}"
        for intent, total in traded.items()
        if total > ordered[intent] + day.late[intent]
    )


def _inside_the_collar(day: FaultedDay) -> Iterator[str]:
    """The mid on arrival never moves while the book remembers it, and was once quoted; no limit goes beyond its collar.

    The broker knows no arrival: with the order that a restored book has lost its anchor is lost, and the next order of
    its parent arrives anew. So there is one anchor in each life of the book.
    """
    urgencies = {intent.intent_id: intent.urgency for job in day.drawn.jobs for intent in job.intents}
    # Before an open nothing is quoted: its orders stand around the price of the decision.
    opening = [job for job in day.drawn.jobs if job.style is ExecutionStyle.OPEN_AUCTION]
    decided = {intent.intent_id: intent.decision_price for job in opening for intent in job.intents}
    accepted = _accepted(day)
    for lived in _lives(day, accepted):
        yield from _one_anchor([order.child for order in lived])
    for order in accepted:
        child = order.child
        for _, contract_id, mid in _anchored(child):
            if mid not in day.far.served.get(contract_id, ()) and mid != decided.get(child.intent_id):
                yield f"{child.order_ref} is anchored at {mid}, which was never quoted of {contract_id}"
        if child.arrival_mid is None:
            continue
        # A spread's collar is that of its far leg, around the difference of the two mids.
        anchor = child.arrival_mid - (child.near.arrival_mid if child.near is not None else 0)
        over = child.limit_price - anchor if child.side is Side.BUY else anchor - child.limit_price
        if over > (width := _width(child, urgencies[child.intent_id])):
            yield f"{child.order_ref} pays {over} beyond {anchor}, more than {width}"


def _anchored(child: ChildOrder) -> list[tuple[str, str, Decimal | None]]:
    """Parent, contract and mid on arrival of each leg of an order."""
    own = (child.intent_id, child.contract_id, child.arrival_mid)
    return (
        [own]
        if child.near is None
        else [own, (child.near.intent_id, child.near.contract_id, child.near.arrival_mid)]
    )


def _one_anchor(children: list[ChildOrder]) -> Iterator[str]:
    anchors: dict[str, Decimal | None] = {}
    for child in children:
        for intent_id, _, mid in _anchored(child):
            if anchors.setdefault(intent_id, mid) != mid:
                yield f"{child.order_ref} is anchored at {mid}, {intent_id} at {anchors[intent_id]}"


def _width(child: ChildOrder, urgency: Urgency) -> Decimal:
    """How far from its anchor a parent of this urgency may pay."""
    policy, instrument, mid = (
        execution_policy(),
        BOOK.instrument(child.contract_id),
        child.arrival_mid or ZERO,
    )
    bps = policy.collar_bps[instrument.collar_class]
    multiple = policy.urgency.high_collar_multiple if urgency is Urgency.HIGH else 1
    return multiple * max(abs(mid) * bps / 10_000, instrument.tick_at(mid) * policy.minimum_collar_ticks)


def _reducing(day: FaultedDay) -> frozenset[str]:
    return frozenset(
        intent.intent_id for job in day.drawn.jobs for intent in job.intents if intent.reduce_only
    )


def _within_the_limits(day: FaultedDay) -> Iterator[str]:
    """Count, size and turnover of the broker's orders that may add risk, in each life of the book, which counts its own."""
    limits, reducing = day.drawn.limits, _reducing(day)
    risky = [order for order in _accepted(day) if order.child.intent_id not in reducing]
    latest = {fill.root: fill for fill in sorted(day.broker.executions(), key=lambda fill: fill.version)}
    usd = {order.child.order_ref: _usd(day, order.child) for order in risky}
    for ref, notional in usd.items():
        if notional > limits.max_order_usd:
            yield f"{ref} is of {notional} USD, more than {limits.max_order_usd}"
    for lived in _lives(day, risky):
        if len(lived) > limits.max_orders:
            yield f"{len(lived)} orders, more than {limits.max_orders}"
        traded = sum((usd[order.child.order_ref] * _part(order, latest.values()) for order in lived), ZERO)
        if traded > limits.max_turnover_usd + CENT and not day.late:
            yield f"{traded} USD traded or may trade, more than {limits.max_turnover_usd}"


def _part(order: BrokerOrder, executions: Collection[Fill]) -> Decimal:
    """How much of an order traded or may trade, as a part of it."""
    own = (order.child.order_ref, order.child.contract_id)
    done = sum((fill.quantity for fill in executions if (fill.order_ref, fill.contract_id) == own), ZERO)
    return (done + (order.remaining if order.is_open else ZERO)) / order.child.quantity


def _usd(day: FaultedDay, child: ChildOrder) -> Decimal:
    """Notional of an order at its limit; of a spread that of both legs at their mids on arrival."""
    instrument = BOOK.instrument(child.contract_id)
    prices = [child.limit_price] if child.near is None else [child.arrival_mid, child.near.arrival_mid]
    notional = sum((abs(instrument.notional(child.quantity, price or ZERO)) for price in prices), ZERO)
    return day.broker.terms.facts.fx(day.drawn.starts).to_base(notional, instrument.currency)


@lru_cache(maxsize=1)
def _book(day: FaultedDay) -> Portfolio:
    """Our book in the evening; both comparisons read it."""
    return LedgerStore(day.database).portfolio(ACCOUNT, day.now)


def _same_positions(day: FaultedDay) -> Iterator[str]:
    ours = _book(day)
    theirs = {name: held.quantity for name, held in day.broker.state.positions.items() if held.quantity != 0}
    own = {name: held.quantity for name, held in ours.positions.items() if held.quantity != 0}
    for name in sorted(own.keys() | theirs.keys()):
        if own.get(name, Decimal(0)) != theirs.get(name, Decimal(0)):
            yield f"{name}: book {own.get(name, 0)}, broker {theirs.get(name, 0)}"


def _same_cash(day: FaultedDay) -> Iterator[str]:
    ours = _book(day).cash
    deposit = {"USD": Decimal(10_000_000)}
    for currency in sorted(ours.keys() | {name for name, _ in day.broker.state.cash.items()}):
        theirs = day.broker.state.balance(currency) - deposit.get(currency, Decimal(0))
        if ours.get(currency, Decimal(0)) != theirs:
            yield f"{currency}: book {ours.get(currency, 0)}, broker {theirs}"


def _booked_once(day: FaultedDay) -> Iterator[str]:
    """Of an order that a restored book has lost, an execution that was taken back changed nothing that is to be booked."""
    latest: dict[str, Fill] = {}
    for fill in day.broker.executions():
        if not is_ours(fill.order_ref):
            continue
        latest[fill.root] = max(latest.get(fill.root, fill), fill, key=lambda version: version.execution_id)
    booked = {fill.root: fill.execution_id for fill in account_fills(day.database, ACCOUNT)}
    for root in sorted(latest.keys() | booked.keys()):
        theirs = latest.get(root)
        if day.restored and root not in booked and theirs is not None and theirs.quantity == 0:
            continue
        told = None if theirs is None else theirs.execution_id
        if told != booked.get(root):
            yield f"{root}: broker {told}, booked {booked.get(root)}"


def _nothing_after_the_halt(day: FaultedDay) -> Iterator[str]:
    """Once the halt was reported as effective no order arrives any more that it forbids, whenever it was claimed."""
    if day.halted_at is None:
        return
    reducing = _reducing(day) if day.may_reduce else frozenset()
    last = day.broker.state.head.orders if day.resumed_at is None else day.resumed_at
    for order in _accepted(day):
        number = int(order.broker_order_id)
        ref = order.child.order_ref
        if day.halted_at < number <= last and order.child.intent_id not in reducing:
            yield f"{ref} was accepted as order {number}, halted after {day.halted_at}"


def _nothing_after_a_stranger(day: FaultedDay) -> Iterator[str]:
    """From the moment in which the fund is shown an order or a trade that is not its own, until a person settled it."""
    for first, last in day.far.strangers.shown:
        for order in _accepted(day):
            number = int(order.broker_order_id)
            if first < number and (last is None or number <= last):
                yield f"{order.child.order_ref} was accepted as order {number}, a stranger was shown after {first}"


def _strangers_are_told(day: FaultedDay) -> Iterator[str]:
    unsettled = day.far.strangers.unsettled(day.broker)
    yield from (f"nobody was told of {ref} in {name}" for ref, name in unsettled.items())
    booked = {fill.order_ref for fill in account_fills(day.database, ACCOUNT) if not is_ours(fill.order_ref)}
    yield from (f"{ref} is booked as a fill of ours" for ref in sorted(map(str, booked)))


def _auctions_in_time(day: FaultedDay) -> Iterator[str]:
    """No order for an auction arrives once its cut-off has passed, by a clock that never stepped back."""
    if day.dice.fired[Fault.CLOCK_BACK]:
        return
    cutoffs = {intent.intent_id: job.window.cutoff for job in day.drawn.jobs for intent in job.intents}
    for order in _accepted(day):
        cutoff = cutoffs[order.child.intent_id]
        if order.child.order_type in AUCTIONS and (cutoff is None or order.accepted_at >= cutoff):
            yield f"{order.child.order_ref} was sent at {order.accepted_at:%H:%M:%S}, cut-off {cutoff}"


def _lone_legs_are_told(day: FaultedDay) -> Iterator[str]:
    """Whoever watches hears of a roll that ends on one leg, unless its executions changed or were known too late for that."""
    said, fired = " ".join(day.alarms), day.dice.fired
    is_clear = not (
        day.restored or any(fired[fault] for fault in (Fault.LATE_FILL, Fault.BUST, Fault.CORRECTION))
    )
    traded: Counter[str] = Counter()
    parents = {order.child.order_ref: order.child.intent_id for order in _accepted(day)}
    for fill in {fill.root: fill for fill in day.broker.executions()}.values():
        if fill.order_ref in parents:
            traded[parents[fill.order_ref]] += fill.quantity  # type: ignore[assignment]
    for group, legs in alone(day.drawn.jobs, traded):  # type: ignore[arg-type]
        own = [ref for ref, name in parents.items() if name in legs]
        is_doubted = any(f"{ref}: outcome not known" in said for ref in own)
        if is_clear and not is_doubted and f"{group} has stood on one leg" not in said:
            yield f"{group} ended on one leg and nobody was told"


def _nothing_after_the_end_was_asked_for(day: FaultedDay) -> Iterator[str]:
    for ending in day.endings:
        yield from ending.sent_after(_accepted(day))
        if not day.dice.fired[Fault.CLOCK_BACK]:  # while such a clock catches up, no deadline comes
            yield from ending.took_too_long()


def _nothing_left_alone(day: FaultedDay) -> Iterator[str]:
    yield from day.left_alone


def _doubt_is_told(day: FaultedDay) -> Iterator[str]:
    said = " ".join(day.alarms)
    for view in account_orders(day.database, ACCOUNT, day.drawn.day):
        child = view.record.child
        if (
            view.record.status in (ChildStatus.UNKNOWN, ChildStatus.ABSENT)
            and child.contract_id not in said
            and child.order_ref not in said
        ):
            yield f"{child.order_ref} is {view.record.status.value} and nobody was told"


def _doubt_is_decided(day: FaultedDay) -> Iterator[str]:
    """In a calm evening the broker answers everything: no order may be left in doubt."""
    for view in account_orders(day.database, ACCOUNT, day.drawn.day):
        if view.record.status is ChildStatus.UNKNOWN:
            yield f"{view.record.child.order_ref} is still UNKNOWN"


def _ends(day: FaultedDay) -> Iterator[str]:
    """With the faults gone the day is over within a bounded number of turns of the loop, and no job is left open."""
    most = CALM_TURNS + turns_of_waiting(day.drawn.jobs) + turns_of_doubt(day.drawn, day.alarms)
    if (turns := day.dice.counted["calm turns"]) > most:
        yield f"{turns} turns of the loop after the last fault, more than {most}"
    if not day.ended:
        yield f"the day did not end; errors: {day.errors}"
    for record in JobStore(day.database, ACCOUNT, "judge").jobs(trade_date=day.drawn.day):
        if record.status not in (JobStatus.DONE, JobStatus.SKIPPED, JobStatus.EXPIRED, JobStatus.UNKNOWN):
            yield f"{record.job.job_id} is left {record.status.value}"


def _every_process_ends(day: FaultedDay) -> Iterator[str]:
    """Also while faults strike: none waits long after the end of the day's last job."""
    yield from day.lived_on


def _no_false_halt(day: FaultedDay) -> Iterator[str]:
    """More than was ordered is only filled where the broker fills what it had cancelled."""
    if not day.late:
        yield from (text for text in day.alarms if "more was filled than ordered" in text)


def _no_broken_contract(day: FaultedDay) -> Iterator[str]:
    yield from day.errors


UNTIL_THE_STATEMENT = frozenset(
    {"I12 doubt is decided", "I4 same cash", "I5 same positions", "I11 booked once", "I13 the day ends"}
)

CHECKS: dict[str, Callable[[FaultedDay], Iterator[str]]] = {
    "I1 accepted at most once": _accepted_once,
    "I2 within the parent": _within_the_parent,
    "I3 inside the collar": _inside_the_collar,
    "I3 within the limits": _within_the_limits,
    "I4 same cash": _same_cash,
    "I5 same positions": _same_positions,
    "I7 nothing after a halt": _nothing_after_the_halt,
    "I6 lone legs are told": _lone_legs_are_told,
    "A28 auctions in time": _auctions_in_time,
    "A15 A16 nothing after a stranger": _nothing_after_a_stranger,
    "I12 strangers are told": _strangers_are_told,
    "B7 nothing after the end was asked for": _nothing_after_the_end_was_asked_for,
    "B7 nothing left alone": _nothing_left_alone,
    "I11 booked once": _booked_once,
    "I12 doubt is told": _doubt_is_told,
    "I12 doubt is decided": _doubt_is_decided,
    "I13 the day ends": _ends,
    "I13 every process ends": _every_process_ends,
    "no false halt": _no_false_halt,
    "no broken contract": _no_broken_contract,
}
