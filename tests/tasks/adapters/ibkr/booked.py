"""A window of orders worked by the executor over TCP, on a book in a database, with mishaps at chosen moments.

Before a window the fund's own comparison is made, with the account as the wire tells it. Judged afterwards by the
gateway's own ledger: what the book says is compared with what the broker's account holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from engine.errors import BrokerUnavailable, HaltError
from engine.execution.executor import execute
from engine.execution.liquidity import LiquidityEstimator
from engine.execution.netting import PriceBook
from engine.execution.outcome import AskAgain, ExecutionWorld
from engine.execution.recovery import recover
from engine.execution.revalidation import WindowVerdict
from engine.model.absence import AbsencePolicy, LinkState, Look
from engine.model.context import Mode, RunKey, RunKind, RunStatus
from engine.model.instruments import VenueGroup
from engine.model.market import Quote
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    ExecutionJob,
    Fill,
    OpenOrder,
    OrderIntent,
    Reason,
    Side,
    TransportEvent,
    Urgency,
)
from engine.model.universe import ContractBook
from engine.model.windows import ExecutionStyle, LiquidityWindow
from engine.ports import OrderTransport
from engine.simulation.account import FaultKind
from engine.simulation.interventions import distort_report
from state.database import Database, open_database
from state.ledger import LedgerStore
from state.order_reading import account_fills, account_orders
from state.orders import OrderStore
from state.processes import ProcessToken
from state.runs import RunStore
from tasks.adapters.guarded_transport import GuardedTransport
from tasks.asking import Asking
from tasks.execute import JobObserver, jobs_of_date
from tasks.leave import Leave
from tests.engine.execution.market import execution_policy, safety_policy
from tests.simulation.order_days.drawing import WIDE, ProcessDeath
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, RunningGateway, make_gateway, running, small_world
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.trading import CLIENT, Desk, open_desk
from tests.tasks.adapters.ibkr.window_comparison import WiredDay, open_book

LATE = "late"
LEASE = timedelta(seconds=61)
WINDOW = timedelta(minutes=20)
ABSENCE = AbsencePolicy(broker_zone="America/New_York")
Mishap = Callable[["BookedWindow"], object]
Moment = tuple[str, int]
"""What happened, and how many times by then: ``("send", 1)``, ``("cancel", 1)``, ``("fill", 2)``; a quote counts before it is answered."""


def contract_book() -> ContractBook:
    """Every contract of the small world."""
    universe, _, world = small_world()
    listed = {row.contract_id: row for chain in world.panel.chains.values() for row in chain}
    return ContractBook(universe=universe, contracts=listed)


class Interrupted:
    """The adapter's transport; tells what was done and heard, as soon as it was."""

    def __init__(self, line: OrderTransport, told: Callable[[str], None]) -> None:
        self._line, self._told = line, told

    def now(self) -> datetime:
        return self._line.now()

    def quote(self, contract_id: str) -> Quote | None:
        self._told("quote")
        return self._line.quote(contract_id)

    def send(self, child: ChildOrder) -> None:
        self._line.send(child)
        self._told("send")

    def cancel(self, order_ref: str) -> None:
        self._line.cancel(order_ref)
        self._told("cancel")

    def next_event(self, until: datetime) -> TransportEvent | None:
        event = self._line.next_event(until)
        if event is not None:
            self._told(event.kind.value)
        return event

    def orders(self) -> tuple[OpenOrder, ...]:
        return self._line.orders()

    def executions(self) -> tuple[Fill, ...]:
        return self._line.executions()

    def link(self) -> LinkState:
        return self._line.link()

    def look(self) -> Look:
        return self._line.look()


@dataclass(eq=False)
class BookedWindow:
    """One window of one job, in as many attempts as it takes."""

    gateway: RunningGateway
    database: Database
    job: ExecutionJob
    mishaps: Mapping[Moment, Mishap] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    alarm_times: dict[str, datetime] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    request_timeout: float = 5.0
    desk: Desk | None = None
    require_leave: Callable[[], object] | None = None
    late_until: datetime | None = None
    compared: list[datetime] = field(default_factory=list)

    def ask(self, command: str, **fields: object) -> dict[str, object]:
        """A command of the control interface."""
        return self.gateway.control.ask(command, **fields)

    def pass_by(self, seconds: float) -> None:
        """Virtual time that the fund does not wait through."""
        self.gateway.run_until(self.gateway.gateway.now + timedelta(seconds=seconds))

    def cut(self, *, seconds: float = 5) -> None:
        """Reset the line; so much virtual time is over before anybody is let in again."""
        assert self.desk is not None
        session = self.desk.session
        self.ask("freeze")
        self.ask("reset")
        eventually(lambda: not session.is_ready)
        self.pass_by(seconds)
        self.ask("thaw")

    def executions(self) -> list[Fill]:
        """The broker's own, each in its latest version."""
        rows = sorted(self.gateway.gateway.broker.executions(), key=lambda fill: fill.version)
        return list({fill.root: fill for fill in rows}.values())

    def newest_number(self) -> int:
        """Number of the order that the gateway took last."""
        rows = self.ask("orders")["orders"]
        assert isinstance(rows, list)
        return int(rows[-1]["order_id"])

    def say_error(self, code: int) -> None:
        """A bare code about the newest order."""
        self.ask("error", client_id=CLIENT, code=code, request_id=self.newest_number(), text="Injected")

    def run(self, attempts: int = 4) -> BookedWindow:
        """Attempt after attempt until one is over."""
        while not self.attempt():
            assert self.attempts < attempts, self.alarms
            self.pass_by(LEASE.total_seconds())
        return self

    def stopped(self) -> str:
        """One attempt that is stopped before it writes anything; the words that it was stopped with."""
        sent, told = self.counted["send"], len(self.alarms)
        assert not self.attempt(), "the window was worked"
        assert self.counted["send"] == sent, "an order was written before the window was stopped"
        return "\n".join(self.alarms[told:])

    def distort(self, name: str, kind: FaultKind, subject: str = "", amount: Decimal = Decimal(0)) -> None:
        """Let the account be told wrongly in one way until that is cleared."""
        broker = self.gateway.gateway.broker

        def strike() -> None:
            distort_report(broker, name, kind, subject, amount)
            broker.commit()

        self.gateway.call(strike)

    def be_late(
        self, seconds: float, kind: FaultKind, subject: str = "", amount: Decimal = Decimal(0)
    ) -> None:
        """Let the account be told wrongly for some seconds."""
        self.distort(LATE, kind, subject, amount)
        self.late_until = self.gateway.gateway.now + timedelta(seconds=seconds)

    def _happened(self, what: str) -> None:
        self.counted[what] += 1
        mishap = self.mishaps.get((what, self.counted[what]))
        if mishap is not None:
            mishap(self)

    def attempt(self) -> bool:
        """One attempt, as a process of its own; whether the run is over."""
        self.attempts += 1
        try:
            self.desk = open_desk(
                self.gateway, self.gateway.gateway.now, request_timeout=self.request_timeout
            )
        except BrokerUnavailable as error:
            self.alarms.append(str(error))
            return False
        try:
            return self._worked(self.desk)
        except ProcessDeath:
            return False
        except (BrokerUnavailable, HaltError) as error:
            self.alarms.append(str(error))
            return False
        finally:
            self.alarms += self.desk.alarms
            self.desk.session.close()

    def _worked(self, desk: Desk) -> bool:
        token = ProcessToken(host="simulated", process=self.attempts, started=str(self.attempts))
        runs = RunStore(self.database, token)
        claim = runs.claim(_key(RunKind.EXECUTION), desk.transport.now(), "code", "config")
        assert claim.is_owner
        orders, wire = store(self.database, claim.run_id, claim.epoch), desk.transport
        line = Interrupted(wire, self._happened)
        if self.require_leave is not None:
            orders = orders.under(Leave(self.require_leave, self.alarms.append))
            line = Interrupted(GuardedTransport(wire, self.require_leave), self._happened)
        found = recover(orders, line)
        self.alarms += [f"blocked: {name}" for name in found.blocked]
        world = SimpleNamespace(now=desk.transport.now(), observer=self._observe)
        watched = SimpleNamespace(orders=orders, trade_date=OPENED.date(), world=world)
        wired = WiredDay(
            database=self.database,
            desk=desk,
            orders=orders,
            claim=claim,
            alarms=self.alarms,
            book=contract_book(),
        )
        jobs, over = jobs_of_date(watched)  # type: ignore[arg-type]
        execute(
            jobs,
            ExecutionWorld(
                transport=line, book=orders, finished=over, strangers=found.strangers, execution=execution_policy(), safety=safety_policy(),
                prices=PriceBook(contracts=contract_book(), prices={}, fx=small_world()[2].fx(OPENED)),
                liquidity=LiquidityEstimator(average_daily_volume={}),
                observer=JobObserver(watched),  # type: ignore[arg-type]
                absence=ABSENCE,
                before_window=partial(self._compare, wired, wired.asking()),
            ),
        )  # fmt: skip
        runs.finish(claim.run_id, RunStatus.COMPLETED, desk.transport.now(), b"", claim.attempt)
        return True

    def _compare(self, wired: WiredDay, asking: Asking, at: datetime) -> WindowVerdict | AskAgain:
        """The fund's comparison; what the broker tells late it tells right from its time on."""
        if self.late_until is not None and self.gateway.gateway.now >= self.late_until:
            self.ask("clear", name=LATE)
            self.late_until = None
        self.compared.append(at)
        return wired.compare(asking, at)

    def _observe(self, kind: str, text: str) -> None:
        if kind == "alarm":
            self.alarms.append(text)
            self.alarm_times[text] = self.gateway.gateway.now

    # ------------------------------------------------------------ what is judged

    def statuses(self) -> list[ChildStatus]:
        """States of the children in the book."""
        return [view.record.status for view in account_orders(self.database, ACCOUNT, OPENED.date())]

    def written(self, contract_id: str) -> list[ChildStatus]:
        """States of one contract's children in the book."""
        views = account_orders(self.database, ACCOUNT, OPENED.date())
        return [view.record.status for view in views if view.record.child.contract_id == contract_id]

    def references(self) -> Counter[str]:
        """How many orders the broker took under each reference."""
        return Counter(order.child.order_ref for _, order in self.gateway.gateway.broker.state.orders.items())

    def booked(self) -> dict[str, tuple[str, Decimal]]:
        """Executions in the book: id and quantity by their root."""
        return {
            fill.root: (fill.execution_id, fill.quantity) for fill in account_fills(self.database, ACCOUNT)
        }

    def assert_book_is_the_brokers(self) -> None:
        """No reference twice, nothing beyond the parents, every execution once, positions and cash to the last digit."""
        broker, ledger = self.gateway.gateway.broker, LedgerStore(self.database)
        assert not [ref for ref, count in self.references().items() if ref and count > 1]
        assert self.booked() == {fill.root: (fill.execution_id, fill.quantity) for fill in self.executions()}
        portfolio = ledger.portfolio(ACCOUNT, broker.now)
        held = {name: row.quantity for name, row in portfolio.positions.items() if row.quantity != 0}
        assert held == {
            name: row.quantity for name, row in broker.state.positions.items() if row.quantity != 0
        }
        currencies = portfolio.cash.keys() | {name for name, _ in broker.state.cash.items()}
        for currency in currencies:
            assert portfolio.cash.get(currency, Decimal(0)) == broker.state.balance(currency)
        for intent in self.job.intents:
            alive = [o for _, o in broker.state.orders.items() if o.child.intent_id == intent.intent_id]
            done = sum(
                (f.quantity for f in self.executions() if f.contract_id == intent.contract_id), Decimal(0)
            )
            assert done + sum((o.remaining for o in alive if o.is_open), Decimal(0)) <= intent.quantity


def _key(kind: RunKind) -> RunKey:
    return RunKey(account=ACCOUNT, mode=Mode.PAPER, trade_date=OPENED.date(), kind=kind)


def store(database: Database, run_id: str, epoch: int) -> OrderStore:
    """The book of one run."""
    return OrderStore(database, ACCOUNT, run_id, epoch, WIDE, contract_book()).over(CLIENT)


def intent(contract_id: str, quantity: int, side: Side = Side.BUY) -> OrderIntent:
    """A parent that crosses the market soon."""
    instrument, quote = contract_book().instrument(contract_id), small_world()[2].quote(contract_id, OPENED)
    assert quote is not None
    return OrderIntent(
        intent_id=f"parent-{contract_id}", contract_id=contract_id, instrument_id=instrument.instrument_id, side=side,
        quantity=Decimal(quantity), reason=Reason.REBALANCE, urgency=Urgency.HIGH, group=None, reduce_only=False,
        sleeves={"core_index_rv": Decimal(quantity * side.sign)}, decision_price=quote.mid,
    )  # fmt: skip


def job(*intents: OrderIntent) -> ExecutionJob:
    """One window of twenty minutes from the gateway's first moment."""
    return ExecutionJob(
        job_id="job", trade_date=OPENED.date(), venue="US", venue_group=VenueGroup.US, style=ExecutionStyle.MIDDAY,
        window=LiquidityWindow(venue="US", style=ExecutionStyle.MIDDAY, start=OPENED, end=OPENED + WINDOW),
        group="strategy/core", after=(), intents=intents, content_digest="d",
    )  # fmt: skip


@contextmanager
def booked_window(
    home: Path, *intents: OrderIntent, mishaps: Mapping[Moment, Mishap] | None = None
) -> Iterator[BookedWindow]:
    """A new account and a new book with one job, before its first attempt."""
    database = open_database(None, home)
    try:
        with running(make_gateway) as gateway:
            claim = RunStore(database).claim(_key(RunKind.DECISION), OPENED, "code", "config")
            planned = job(*intents)
            store(database, claim.run_id, claim.epoch).save_jobs([planned])
            RunStore(database).finish(claim.run_id, RunStatus.COMPLETED, OPENED, b"")
            open_book(database)
            yield BookedWindow(gateway, database, planned, mishaps or {})
    finally:
        database.close()
