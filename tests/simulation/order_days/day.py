"""One faulted day: attempts until it ends, first with faults and then without, and what the world looks like after."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from types import SimpleNamespace

from sqlalchemy.exc import DatabaseError

from engine.errors import BrokerUnavailable, HaltError, InvariantError, SupersededError
from engine.execution.executor import execute
from engine.execution.inquiry import look_again, recover_all
from engine.execution.liquidity import LiquidityEstimator
from engine.execution.netting import PriceBook
from engine.execution.outcome import ExecutionWorld
from engine.execution.recovery import recover
from engine.model.absence import AbsencePolicy
from engine.model.context import ControlState, Mode, RunKey, RunKind, RunStatus
from engine.model.universe import ContractBook
from engine.simulation.broker import SimulatedBroker
from engine.simulation.exchange import SimulatedTransport
from engine.simulation.journal import MemoryJournal
from state.control import ControlStore
from state.order_reading import account_orders
from state.orders import OrderStore
from state.processes import ProcessToken
from state.runs import RunStore
from tasks.execute import JobObserver, jobs_of_date
from tests.engine.execution.market import execution_policy, safety_policy
from tests.engine.simulation.exchange_world import CONTRACTS, UNIVERSE, World, broker_terms, opening, utc
from tests.simulation.order_days.auctions import AROUND, cutoffs, last_told
from tests.simulation.order_days.comparing import compare
from tests.simulation.order_days.copies import require_newest_book, take_the_statement_in
from tests.simulation.order_days.drawing import Dice, DrawnDay, Fault, ProcessDeath
from tests.simulation.order_days.endings import Ending, between_claim_and_line, left_alone, left_working
from tests.simulation.order_days.far import Far
from tests.simulation.order_days.faulted import (
    FaultedDatabase,
    FaultedTransport,
    UnwrittenBroker,
    bring_back,
    empty_book,
    image,
)
from tests.simulation.order_days.lives import Backup, Lives
from tests.simulation.order_days.mishaps import strike_executions
from tests.simulation.order_days.overtime import LivesOn, late_start, must_end_by
from tests.simulation.order_days.strangers import is_ours

ACCOUNT = "SIM-test-7"
BOOK = ContractBook(universe=UNIVERSE, contracts=CONTRACTS)
ATTEMPTS_WITH_FAULTS, ATTEMPTS_WITHOUT = 6, 4
LEASE = timedelta(seconds=61)
CLIENT = 0
ABSENCE = AbsencePolicy(broker_zone="America/New_York")


@dataclass(eq=False)
class FaultedDay:
    """The world of one day: the broker's own account, our book, the dice, and what was said aloud."""

    drawn: DrawnDay
    dice: Dice
    broker: SimulatedBroker
    database: FaultedDatabase
    alarms: list[str] = field(default_factory=list)
    far: Far = field(default_factory=Far)
    backups: list[Backup] = field(default_factory=list)
    restored: int = 0
    lives: Lives = field(default_factory=Lives)
    effects: int = 0
    late: Counter[str] = field(default_factory=Counter)
    may_reduce: bool = False
    halted_at: int | None = None
    resumed_at: int | None = None
    is_halted: bool = False
    is_asked_to_end: bool = False
    endings: list[Ending] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    lived_on: list[str] = field(default_factory=list)
    ended: bool = False
    errors: list[str] = field(default_factory=list)
    attempts: int = 0
    _nested: bool = False
    _cutoffs: tuple[datetime, ...] = ()

    @classmethod
    def begin(cls, drawn: DrawnDay, kills: Iterable[int] = ()) -> FaultedDay:
        """The morning of a day: an account with its deposit, and the day's jobs in the book."""
        dice = Dice(drawn, frozenset(kills))
        terms = broker_terms(World(depth=drawn.depth, drift=drawn.drift))
        if cutoffs(drawn.jobs) and dice.strikes(Fault.AUCTION_MOVED):
            minutes = round(dice.amount(Fault.AUCTION_MOVED, 1, 6))
            terms = replace(terms, auctions_moved=timedelta(minutes=minutes))
        broker = UnwrittenBroker.create(terms, MemoryJournal(), opening(drawn.starts))
        day = cls(drawn, dice, broker, None, _cutoffs=cutoffs(drawn.jobs))  # type: ignore[arg-type]
        day.database = empty_book(dice, day.interrupt)
        dice.faults_on = False
        kills_later, dice.kills = dice.kills, frozenset()
        claim = RunStore(day.database).claim(day.key(RunKind.DECISION), drawn.starts, "code", "config")
        day.store(claim.run_id, claim.epoch).save_jobs(drawn.jobs)
        RunStore(day.database).finish(claim.run_id, RunStatus.COMPLETED, drawn.starts, b"")
        dice.moments, dice.faults_on, dice.kills = 0, True, kills_later
        day.back_up()
        dice.log.clear()
        dice.counted.clear()
        return day

    def key(self, kind: RunKind) -> RunKey:
        """Key of a run of this day."""
        return RunKey(account=ACCOUNT, mode=Mode.SIMULATED, trade_date=self.drawn.day, kind=kind)

    def store(self, run_id: str, epoch: int) -> OrderStore:
        """The durable side of the executor, for one attempt."""
        return OrderStore(self.database, ACCOUNT, run_id, epoch, self.drawn.limits, BOOK).over(CLIENT)

    def live(self) -> FaultedDay:
        """Run the day to its end: with faults, then without, as long as it takes."""
        for number in range(ATTEMPTS_WITH_FAULTS + ATTEMPTS_WITHOUT):
            if number == ATTEMPTS_WITH_FAULTS:
                self.calm_down()
            if self.attempt():
                self.ended = True
                break
            if not self.dice.faults_on:
                self.settle()
            self.broker.advance(self.broker.now + LEASE)
            self.perhaps_restore()
            if self.dice.strikes(Fault.LATE_START):
                later = timedelta(minutes=round(self.dice.amount(Fault.LATE_START, 1, 45)))
                self.broker.advance(late_start(self.now, later))
        self.calm_down()
        self.find_the_rest()
        return self

    def calm_down(self) -> None:
        """Faults end, the broker's statement lists what its lists forgot, and an operator lifts what was stopped."""
        self.far.forgotten = None
        self.effects = self.effects or self.dice.moments
        self.dice.faults_on, self.dice.kills, self.dice.is_dead = False, frozenset(), False
        self.dice.choice = None
        if self.is_halted and self.resumed_at is None:
            self.resumed_at = self.broker.state.head.orders
            control = ControlStore(self.database)
            control.release_kill_switch(ACCOUNT, "looked", "operator", self.now)
            control.set_state(ACCOUNT, ControlState.ACTIVE, "looked", "operator", self.now)

    def settle(self) -> None:
        """What the fund has told of strangers in the account a person settles."""
        self.far.strangers.settle(self.broker, self.database, BOOK, self.alarms)

    def perhaps_restore(self) -> None:
        """Between two attempts a person may bring back the book of the morning, or that of the attempt's begin."""
        self.dice.is_dead = False
        self._quietly(partial(take_the_statement_in, self))
        if self.dice.strikes(Fault.RESTORE):
            latest = round(self.dice.amount(Fault.RESTORE, 0, 1))
            backup = self.backups[-latest]
            bring_back(self.database, backup.book)
            self.lives.begin_anew(backup, self.broker.state.head.orders)
            self.restored += 1
        elif Fault.RESTORE in self.drawn.rates:
            self.back_up()

    def back_up(self) -> None:
        """Keep the book as it is, for a restore."""
        self.backups.append(Backup(image(self.database), self.lives.sent(self.broker.state.head.orders)))

    @property
    def now(self) -> datetime:
        """The world's time."""
        return self.broker.now

    def attempt(self) -> bool:
        """One attempt of the run in a process of its own; whether the run is over."""
        self.attempts += 1
        self.dice.is_dead = self.is_asked_to_end = False
        sight = self.far.begin_process()
        self.dice.note(f"attempt {self.attempts} at {self.now:%H:%M:%S}")
        try:
            return self._end_of(self._run)
        except ProcessDeath:
            return False
        except LivesOn as error:
            self.lived_on.append(str(error))
            return False
        except (DatabaseError, BrokerUnavailable, SupersededError) as error:
            self.dice.note(f"ended by {type(error).__name__}")
            return False
        except HaltError as error:
            self.alarms.append(str(error))
            if sight.has_line and sight is self.far.sight:
                self._look_for_orders_left_alone(is_stopped=True)
            return False
        except InvariantError as error:
            if not isinstance(error.__cause__, DatabaseError):  # a halt by a failure that no rule foresees
                self.errors.append(f"{type(error).__name__}: {error}")
            self.alarms.append(str(error))
            return False
        except Exception as error:  # nothing else may ever come out of an attempt
            self.errors.append(f"{type(error).__name__}: {error}")
            self.alarms.append(str(error))
            return False

    def _end_of(self, run: Callable[[], bool]) -> bool:
        """Live one process, and note where it ended if it was asked to."""
        try:
            return run()
        finally:
            self._note_the_end()

    def _note_the_end(self) -> None:
        if self.endings:
            self.endings[-1].end(self.now, self.broker.state.head.orders)

    def _run(self) -> bool:
        runs = RunStore(
            self.database, ProcessToken(host="simulated", process=self.attempts, started=str(self.attempts))
        )
        claim = runs.claim(self.key(RunKind.EXECUTION), self.now, "code", "config")
        if not claim.is_owner:
            return claim.status is RunStatus.COMPLETED
        orders = self.store(claim.run_id, claim.epoch)
        self.far.must_end_by = must_end_by(self.now, self.drawn.jobs)
        transport = FaultedTransport(self.broker, self.far, self.dice, self.interrupt)
        found = recover_all(orders, transport, ABSENCE, lambda: self.is_asked_to_end)
        self.alarms += [f"blocked: {name}" for name in found.blocked]
        require_newest_book(self, claim, transport)
        self.dice.note(f"found {[child.after.value for child in found.children]}, booked {found.booked}")
        watched = SimpleNamespace(
            orders=orders,
            trade_date=self.drawn.day,
            world=SimpleNamespace(now=self.now, observer=self._observe),
        )
        jobs, over = jobs_of_date(watched)  # type: ignore[arg-type]
        report = execute(
            jobs,
            ExecutionWorld(
                transport=transport,
                book=orders,
                finished=over,
                strangers=found.strangers,
                recalled=found.recalled,
                prices=PriceBook(contracts=BOOK, prices={}, fx=self.broker.terms.facts.fx(self.now)),
                execution=execution_policy(),
                safety=safety_policy(),
                liquidity=LiquidityEstimator(average_daily_volume={}),
                observer=JobObserver(watched),  # type: ignore[arg-type]
                absence=ABSENCE,
                before_window=lambda at: compare(self.broker, self.database, ACCOUNT, self.far.strangers),
                is_ending=lambda: self.is_asked_to_end,
            ),
        )
        if report.fenced:
            return False
        if report.interrupted:
            self._look_for_orders_left_alone()
            runs.finish(claim.run_id, RunStatus.FAILED, self.now, b"", claim.attempt)
            return False
        runs.finish(claim.run_id, RunStatus.COMPLETED, self.now, b"", claim.attempt)
        return True

    def _observe(self, kind: str, text: str) -> None:
        if kind == "alarm":
            self.alarms.append(text)
        self.dice.note(f"{kind} {text}")

    def interrupt(self) -> None:
        """What may happen between two effects of a living process: another writer, a halt, changed executions."""
        if self._nested or not self.dice.faults_on or self.dice.is_dead:
            return
        is_near = any(abs(self.now - cutoff) <= AROUND for cutoff in self._cutoffs)
        if is_near and self.dice.strikes(Fault.CUTOFF_DEATH):
            self.dice.is_dead = True
            raise ProcessDeath
        self._perhaps_halt()
        if self.dice.strikes(Fault.TERMINATE) and not self.is_asked_to_end:
            self._quietly(self.ask_to_end)
        for fault in (Fault.FOREIGN_ORDER, Fault.FOREIGN_TRADE):
            if self.dice.strikes(fault):
                self.far.strangers.act(self.broker, self.dice, fault, BOOK)
        self.late += strike_executions(self.broker, self.dice, BOOK)
        if self.dice.strikes(Fault.MIDNIGHT):
            self.far.forgotten = self.now
        if self.dice.strikes(Fault.SECOND_WRITER):
            self._quietly(self._second_writer)

    def _quietly(self, act: object) -> None:
        self._nested, faults, self.dice.faults_on = True, self.dice.faults_on, False
        try:
            act()  # type: ignore[operator]
        finally:
            self._nested, self.dice.faults_on = False, faults

    def _perhaps_halt(self) -> None:
        if self.dice.strikes(Fault.HALT) and not self.is_halted:
            self.halt(ControlState.HALTED)
        if self.dice.strikes(Fault.REDUCING) and not self.is_halted:
            self.halt(ControlState.REDUCING)
        if self.is_halted and self.halted_at is None:
            self._quietly(self._ask_whether_it_is_effective)

    def halt(self, state: ControlState = ControlState.HALTED) -> None:
        """Stop trading; once that is effective, no order may leave but one that reduces while that is allowed."""
        self._quietly(partial(self._halt, state))

    def _ask_whether_it_is_effective(self) -> None:
        ControlStore(self.database).confirm_effective(ACCOUNT, self.now)
        self._note_when_effective()

    def _note_when_effective(self) -> None:
        if ControlStore(self.database).control(ACCOUNT).is_effective:
            self.halted_at = self.broker.state.head.orders

    def ask_to_end(self) -> None:
        """The process gets SIGTERM: its next wait is broken off, and what is between claim and line may still be written."""
        self.is_asked_to_end = self.far.is_signalled = True
        records = [view.record for view in account_orders(self.database, ACCOUNT, self.drawn.day)]
        claimed = between_claim_and_line(records)
        self.endings.append(Ending(self.now, self.broker.state.head.orders, claimed))

    def _look_for_orders_left_alone(self, *, is_stopped: bool = False) -> None:
        views = account_orders(self.database, ACCOUNT, self.drawn.day)
        known = {view.record.child.order_ref: view.record.status for view in views}
        orders = [order for order in self.broker.state.open_orders() if is_ours(order.child.order_ref)]
        self.left_alone += (
            left_working(orders, known, self.far.sight)
            if is_stopped
            else left_alone(orders, known, self.drawn.jobs, self.now)
        )

    def _halt(self, state: ControlState) -> None:
        """Under the kill switch no order may leave, while reducing those that only reduce."""
        self.stop(state)
        self.is_halted, self.may_reduce = True, state is ControlState.REDUCING
        self._note_when_effective()

    def stop(self, state: ControlState) -> None:
        """Set the control state as whoever stops the fund does it."""
        control = ControlStore(self.database)
        if state is ControlState.HALTED:
            control.engage_kill_switch(ACCOUNT, "drawn", "seed", self.now)
        else:
            control.set_state(ACCOUNT, state, "drawn", "seed", self.now)

    def _second_writer(self) -> None:
        self._note_the_end()  # what the process that was taken over may do is another rule's
        asked = self.is_asked_to_end
        self.broker.advance(self.now + LEASE)
        self.attempt()
        self.is_asked_to_end = asked

    def find_the_rest(self) -> None:
        """The evening: once more ask the broker what became of everything that is open."""
        runs = RunStore(self.database)
        end = max(self.now, last_told(self.drawn.jobs, utc(self.drawn.day, 20)))
        self.broker.advance(end)
        claim = runs.claim(self.key(RunKind.CLOSE), self.now + LEASE, "code", "config")
        orders = self.store(claim.run_id, claim.epoch)
        try:
            line = SimulatedTransport(self.broker, CLIENT)
            recover(orders, line)
            self._compare_in_the_evening()
            found = look_again(orders, line, ABSENCE, self.now + timedelta(minutes=5))
            self.dice.note(f"decided in the evening {[row.verdict.missing for row in found]}")
            compare(self.broker, self.database, ACCOUNT, self.far.strangers)
        except HaltError as error:
            self.alarms.append(str(error))
            self.ended = False
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def _compare_in_the_evening(self) -> None:
        """What the fund finds of strangers a person settles; everything else that differs is found once more below."""
        try:
            compare(self.broker, self.database, ACCOUNT, self.far.strangers)
        except HaltError as error:
            if self.far.strangers.refs:
                self.alarms.append(str(error))
                self.settle()

    @property
    def size(self) -> Counter[str]:
        """How much happened: orders that the broker took, messages, transactions, statements, turns of the loop."""
        head = self.broker.state.head
        return (
            Counter(orders=head.orders, executions=head.executions, attempts=self.attempts)
            + self.dice.counted
        )

    @property
    def digest(self) -> str:
        """Digest of everything that happened, in order."""
        return hashlib.sha256("\n".join(self.dice.log).encode()).hexdigest()
