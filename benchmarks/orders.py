"""The order loop: events a second with the journal off and on, beside a polling design, and how late deadlines are.

The mix of events is that of one time to live of orders that rest at their collar, all of them at once: an
acknowledgement, six looks at the market (a deadline and a quote each) that leave the price, and a fill of the whole.
The claim of an order is a transaction of its own by design, and is timed apart.
"""

from __future__ import annotations

import os
import queue
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import insert

from engine.execution import ticket as t
from engine.execution.executor import OrderManager
from engine.execution.inbox import Inbox
from engine.execution.news import MOST_AT_ONCE
from engine.model.context import Mode, RunKey, RunKind
from engine.model.encoding import encode
from engine.model.market import Quote
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    Fill,
    OpenOrder,
    OrderIntent,
    TransportEvent,
    TransportEventKind,
)
from engine.ports import GateOutcome
from state.database import Database, open_database
from state.gate import OrderLimits
from state.orders import OrderStore
from state.runs import RunStore
from state.tables import intents, orders
from tests.engine.execution.market import (
    CONTRACTS,
    DAY,
    INSTRUMENTS,
    NOON,
    execution_policy,
    intent,
    job,
    quote,
    world,
)

ORDERS, LOOKS, CLAIMS = 10_000, 6, 200
EVENTS_AN_ORDER = 2 + 2 * LOOKS
POLLED, POLL_SECONDS, ROUND_SECONDS = 500, 1, 720
DEADLINES, DEADLINE_SECONDS = 100, 3
ACCOUNT = "SIM-bench"
POLICY = execution_policy()
INSTRUMENT = next(one for one in INSTRUMENTS if one.instrument_id == "CSPX")

Figure = dict[str, str | float | bool | None]
Mix = Sequence[tuple[str, t.Event, datetime]]


def measure() -> list[Figure]:
    """All figures of the benchmark."""
    pure = _pure()
    with tempfile.TemporaryDirectory() as folder:
        journaled, claims = _journaled(open_database(None, Path(folder)))
    polled, driven = _beside_polling()
    late = sorted(_lateness())
    return [
        _figure("load of the machine", os.getloadavg()[0], "processes"),
        _figure(f"{ORDERS} working orders, journal off", pure[0], "events/s", 100_000),
        _figure("the same by processor time", pure[1], "events/CPU-s", 100_000),
        _figure("with the journal in a SQLite file, 500 at once", journaled[0], "events/s", 30_000),
        _figure("with the journal by processor time", journaled[1], "events/CPU-s", 30_000),
        _figure("claims, each a transaction of its own", claims, "orders/s"),
        _figure("beside looking at every order each second", driven, "events/CPU-s", 8 * polled, polled),
        _figure("deadlines kept to 99 %", 1000 * late[int(0.99 * len(late))], "ms late", 5, at_most=True),
        _figure("deadlines measured", float(len(late)), "deadlines"),
    ]


def _figure(
    metric: str,
    value: float,
    unit: str,
    target: float | None = None,
    baseline: float | None = None,
    *,
    at_most: bool = False,
) -> Figure:
    met = None if target is None else (value <= target if at_most else value >= target)
    return {
        "metric": metric,
        "value": round(value, 3),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 3),
        "ratio": None if baseline is None else round(value / baseline, 2),
        "target": target,
        "met": met,
    }


# ---------------------------------------------------------------- the orders and what happens to them


def _parents(number: int) -> list[OrderIntent]:
    return [intent(name=f"parent-{place}") for place in range(number)]


def _wide(at: datetime) -> Quote:
    """A market so wide that the first price stands at the collar, where every later one stands too."""
    return quote(bid="730.0", ask="738.0", at=at)


def _working(parents: Sequence[OrderIntent], until: datetime) -> Inbox:
    """Every parent with an order that was sent, none of them acknowledged."""
    inbox = Inbox()
    for one in parents:
        core = t.OrderCore(intent=one, instrument=INSTRUMENT, window_end=until, quantity=one.quantity)
        inbox.tickets[one.intent_id] = t.new_ticket(core)
        inbox.put(one.intent_id, t.Start())
    inbox.take_steps(NOON, POLICY)
    for event in (t.QuoteArrived(_wide(NOON)), t.ClaimResult(GateOutcome.CLAIMED)):
        for one in parents:
            inbox.answer(one.intent_id, event)
        inbox.take_steps(NOON, POLICY)
    return inbox


def _child(inbox: Inbox, intent_id: str) -> ChildOrder:
    child = inbox.tickets[intent_id].state.child
    if child is None:
        raise RuntimeError(f"expected {intent_id} to work an order, found none")
    return child


def _message(kind: TransportEventKind, child: ChildOrder, at: datetime, fill: Fill | None = None) -> t.Broker:
    return t.Broker(TransportEvent(kind=kind, at=at, order_ref=child.order_ref, fill=fill))


def _whole(child: ChildOrder, at: datetime) -> Fill:
    return Fill(
        execution_id=f"E{child.order_ref}.01",
        order_ref=child.order_ref,
        contract_id=child.contract_id,
        side=child.side,
        quantity=child.quantity,
        price=child.limit_price,
        executed_at=at,
        commission=Decimal(1),
        commission_currency="USD",
    )


def _mix(inbox: Inbox) -> Iterator[list[tuple[str, t.Event, datetime]]]:
    """What happens to all orders, a moment after the other, each of at most `MOST_AT_ONCE` events."""
    children = {name: _child(inbox, name) for name in inbox.tickets}
    acknowledged = TransportEventKind.ACKNOWLEDGED
    yield from _moments(
        [(name, _message(acknowledged, child, NOON), NOON) for name, child in children.items()]
    )
    for look in range(1, LOOKS + 1):
        at = NOON + timedelta(seconds=look * POLICY.replace_interval_seconds)
        yield from _moments([(name, t.Deadline(t.DeadlineKind.REPRICE, at), at) for name in children])
        yield from _moments([(name, t.QuoteArrived(_wide(at)), at) for name in children])
    at = NOON + timedelta(seconds=100)
    filled = TransportEventKind.FILL
    yield from _moments(
        [(name, _message(filled, child, at, _whole(child, at)), at) for name, child in children.items()]
    )


def _moments(events: list[tuple[str, t.Event, datetime]]) -> Iterator[list[tuple[str, t.Event, datetime]]]:
    for start in range(0, len(events), MOST_AT_ONCE):
        yield events[start : start + MOST_AT_ONCE]


def _take(inbox: Inbox, moment: Mix) -> tuple[t.RecordStatus, ...]:
    """One moment of the loop, without the world: a quote is the answer of a ticket that asked for it."""
    for name, event, _ in moment:
        if isinstance(event, t.QuoteArrived):
            inbox.answer(name, event)
        else:
            inbox.put(name, event)
    found = inbox.take_steps(moment[0][2], POLICY)
    if found.error is not None:
        raise found.error
    return found.changes


# ---------------------------------------------------------------- events a second


class _Watch:
    """Events a second since it was made: by the clock, and by the processor time of this process."""

    def __init__(self) -> None:
        self._began, self._spent = time.perf_counter(), time.process_time()

    def rates(self, events: int) -> tuple[float, float]:
        return events / (time.perf_counter() - self._began), events / (time.process_time() - self._spent)


def _pure() -> tuple[float, float]:
    inbox = _working(_parents(ORDERS), NOON + timedelta(hours=1))
    moments = list(_mix(inbox))
    watch = _Watch()
    for moment in moments:
        _take(inbox, moment)
    rates = watch.rates(ORDERS * EVENTS_AN_ORDER)
    _expect_filled(inbox)
    return rates


def _expect_filled(inbox: Inbox) -> None:
    open_ = [name for name, ticket in inbox.tickets.items() if not ticket.is_done]
    if open_:
        raise RuntimeError(f"expected every order to be filled, found {len(open_)} open")


def _journaled(database: Database) -> tuple[tuple[float, float], float]:
    """Events a second with every moment committed, and claims a second."""
    parents = _parents(ORDERS + CLAIMS)
    store = _store(database, parents)
    inbox = _working(parents[:ORDERS], NOON + timedelta(hours=1))
    _keep_sent(database, store, [_child(inbox, name) for name in inbox.tickets])
    moments = list(_mix(inbox))
    watch = _Watch()
    for moment in moments:
        told = [
            event.event.fill for _, event, _ in moment if isinstance(event, t.Broker) and event.event.fill
        ]
        fresh = store.unbooked(told) if told else ()
        if len(fresh) != len(told):
            raise RuntimeError("expected executions that nobody booked")
        changes = _take(inbox, moment)
        if told or changes:
            store.record(told, changes, moment[0][2])
    rates = watch.rates(ORDERS * EVENTS_AN_ORDER)
    _expect_filled(inbox)
    later = _working(parents[ORDERS:], NOON + timedelta(hours=1))
    children = [_child(later, name) for name in later.tickets]
    began = time.perf_counter()
    outcomes = {store.claim(child, Decimal(73_500), NOON) for child in children}
    claims = len(children) / (time.perf_counter() - began)
    if outcomes != {GateOutcome.CLAIMED}:
        raise RuntimeError(f"expected claims, found {outcomes}")
    database.close()
    return rates, claims


def _store(database: Database, parents: Sequence[OrderIntent]) -> OrderStore:
    key = RunKey(account=ACCOUNT, mode=Mode.PAPER, trade_date=DAY, kind=RunKind.EXECUTION)
    claim = RunStore(database).claim(key, NOON, "code", "config")
    most = Decimal(10**12)
    limits = OrderLimits(max_orders=10 * ORDERS, max_order_usd=most, max_turnover_usd=most)
    with database.transaction() as connection:
        rows = [
            {
                "intent_id": one.intent_id,
                "account": ACCOUNT,
                "run_id": claim.run_id,
                "trade_date": DAY,
                "contract_id": one.contract_id,
                "side": one.side.value,
                "quantity": one.quantity,
                "reason": one.reason.value,
                "reduce_only": one.reduce_only,
                "payload": encode(one),
            }
            for one in parents
        ]
        connection.execute(insert(intents), rows)
    return OrderStore(database, ACCOUNT, claim.run_id, claim.epoch, limits, CONTRACTS)


def _keep_sent(database: Database, store: OrderStore, children: Sequence[ChildOrder]) -> None:
    """Orders as the send gate leaves them, all at once: claims are timed apart."""
    sender = store._sender
    rows = [
        {
            "order_ref": child.order_ref,
            "account": ACCOUNT,
            "intent_id": child.intent_id,
            "run_id": sender.run_id,
            "trade_date": DAY,
            "attempt": child.attempt,
            "contract_id": child.contract_id,
            "side": child.side.value,
            "quantity": child.quantity,
            "filled": Decimal(0),
            "limit_price": child.limit_price,
            "status": ChildStatus.SENDING.value,
            "epoch": sender.epoch,
            "notional_usd": Decimal(73_500),
            "counted_usd": Decimal(73_500),
            "sent_at": NOON,
            "payload": encode(child),
        }
        for child in children
    ]
    with database.transaction() as connection:
        connection.execute(insert(orders), rows)


# ---------------------------------------------------------------- polling


def _beside_polling() -> tuple[float, float]:
    """Events a processor second of a loop that looks at every order each second, and of ours, over one round.

    Both take the same steps: the acknowledgement and six looks at the market in the first 90 s, then the order rests
    until its round of 720 s is over.
    """
    parents = _parents(POLLED)
    events = POLLED * (1 + 2 * LOOKS)
    driven_inbox = _working(parents, NOON + timedelta(hours=1))
    began = time.process_time()
    for moment in list(_mix(driven_inbox))[:-1]:
        _take(driven_inbox, moment)
    driven = events / (time.process_time() - began)
    inbox = _working(parents, NOON + timedelta(hours=1))
    listed = {name: _child(inbox, name) for name in inbox.tickets}
    seen: dict[str, bool] = dict.fromkeys(listed, False)
    began = time.process_time()
    for second in range(0, ROUND_SECONDS, POLL_SECONDS):
        at = NOON + timedelta(seconds=second)
        market = {"CSPX": _wide(at)}
        for name, child in listed.items():
            _look(inbox, name, child, seen, market, at)
    polled = events / (time.process_time() - began)
    ends = [[ticket.state for ticket in one.tickets.values()] for one in (driven_inbox, inbox)]
    if ends[0] != ends[1]:
        raise RuntimeError("expected both loops to decide the same")
    return polled, driven


def _look(
    inbox: Inbox,
    name: str,
    child: ChildOrder,
    seen: dict[str, bool],
    market: dict[str, Quote],
    at: datetime,
) -> None:
    """One look at one order: is it acknowledged, has a clock run out, what is the market."""
    state = inbox.tickets[name].state
    if not seen[name]:
        seen[name] = True
        _take(inbox, [(name, _message(TransportEventKind.ACKNOWLEDGED, child, NOON), NOON)])
        state = inbox.tickets[name].state
    latest = market[child.contract_id]
    due = state.reprice_at
    if due is not None and due <= at and state.step < LOOKS:
        _take(inbox, [(name, t.Deadline(t.DeadlineKind.REPRICE, due), at)])
        _take(inbox, [(name, t.QuoteArrived(latest), at)])


# ---------------------------------------------------------------- deadlines


class _RealClock:
    """A transport on the real clock that acknowledges every order; nobody trades."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[TransportEvent] = queue.SimpleQueue()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def quote(self, contract_id: str) -> Quote | None:
        return replace(_wide(self.now()), contract_id=contract_id)

    def send(self, child: ChildOrder) -> None:
        acknowledged = TransportEventKind.ACKNOWLEDGED
        self._messages.put(TransportEvent(kind=acknowledged, at=self.now(), order_ref=child.order_ref))

    def cancel(self, order_ref: str) -> None:
        cancelled = TransportEventKind.CANCELLED
        self._messages.put(TransportEvent(kind=cancelled, at=self.now(), order_ref=order_ref))

    def next_event(self, until: datetime) -> TransportEvent | None:
        seconds = (until - self.now()).total_seconds()
        try:
            return self._messages.get(timeout=seconds) if seconds > 0 else self._messages.get_nowait()
        except queue.Empty:
            return None

    def orders(self) -> tuple[OpenOrder, ...]:
        return ()

    def executions(self) -> tuple[Fill, ...]:
        return ()


def _lateness() -> list[float]:
    """How late the executor itself took its deadlines, which fall at different moments."""
    parents, began = _parents(DEADLINES), datetime.now(UTC) + timedelta(seconds=0.1)
    made, _, _ = world(*parents)
    quick = replace(POLICY, replace_interval_seconds=0.5, quote_age_price_seconds=60.0)
    jobs = [
        job(
            one,
            name=f"job-{place}",
            start=began + timedelta(seconds=0.5 * place / DEADLINES),
            minutes=DEADLINE_SECONDS / 60,
        )
        for place, one in enumerate(parents)
    ]
    manager = OrderManager(jobs, replace(made, transport=_RealClock(), execution=quick, drain_seconds=0.1))
    inbox, late = manager._inbox, list[float]()
    put = inbox.put

    def noted(intent_id: str, event: t.Event) -> None:
        if isinstance(event, t.Deadline):
            late.append((datetime.now(UTC) - event.at).total_seconds())
        put(intent_id, event)

    inbox.put = noted
    manager.run()
    return late
