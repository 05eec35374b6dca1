import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import OperationalError

from engine.accounting.ledger import EntryKind, commission
from engine.errors import IllegalTransition, InvariantError, SupersededError
from engine.model.context import ControlState, RunKind
from engine.model.order_states import CHILD_TRANSITIONS, JOB_TRANSITIONS
from engine.model.orders import ChildOrder, ChildStatus, ExecutionJob, JobStatus, OrderIntent, Side
from engine.model.portfolio import Sleeve
from engine.ports import GateOutcome, OrderBook, Permission, StatusChange
from state import orders
from state.control import ControlStore, HaltSeverity
from state.database import Database, open_database
from state.executions import overfilled_parents
from state.gate import GateFacts, OrderLimits, claim_child, counted_notional, judge
from state.ledger import LedgerStore
from state.order_reading import uncharged_orders
from state.orders import OrderStore
from state.runs import RunStore
from tests.state.builders import (
    ACCOUNT,
    DAY,
    LIMITS,
    NOW,
    STAMP,
    later,
    make_child,
    make_fill,
    make_intent,
    make_job,
    make_key,
    open_orders,
    plan,
    word_that_it_is_absent,
)
from tests.state.test_control import stop

D = Decimal
S = ChildStatus


def unsent(
    store: OrderStore, intent: OrderIntent | None = None, attempt: int = 1, quantity: str = "100"
) -> ChildOrder:
    intent = make_intent() if intent is None else intent
    store.save_intents(DAY, (intent,))
    return make_child(intent, attempt, quantity)


def planned(
    store: OrderStore, intent: OrderIntent | None = None, attempt: int = 1, quantity: str = "100"
) -> ChildOrder:
    child = unsent(store, intent, attempt, quantity)
    plan(store, child)
    return child


def claimed(store: OrderStore, *path: ChildStatus, **values: object) -> ChildOrder:
    child = unsent(store, **values)
    assert store.claim(child, D(19_000), later(3600)) is GateOutcome.CLAIMED
    for status in path:
        store.record_status(child.order_ref, status, later(3601), "")
    return child


def test_store_is_an_order_book(database: Database) -> None:
    book: OrderBook = open_orders(database)
    assert book.unresolved() == ()


# ---------------------------------------------------------------- the gate


def resolve_halts(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("UPDATE halts SET status = 'RESOLVED', choice = 'retry'"))


def test_planned_child_is_claimed_once(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store)
    assert store.claim(child, D(19_000), later(3601)) is GateOutcome.ALREADY_CLAIMED
    (record,) = store.children("parent")
    assert (record.child, record.status, record.sent_at) == (child, S.SENDING, later(3600))


def test_claim_plans_and_sends_in_one_transaction(database: Database) -> None:
    store, commits = open_orders(database), [0]
    child = unsent(store)

    def count_commit(_: Connection) -> None:
        commits[0] += 1

    event.listen(database.engine, "commit", count_commit)
    assert store.claim(child, D(19_000), later(3600)) is GateOutcome.CLAIMED
    event.remove(database.engine, "commit", count_commit)
    assert commits == [1]
    with database.read() as connection:
        noted = connection.execute(text("SELECT sequence, status FROM order_events")).all()
    assert noted == [(1, "SENDING")]


def test_refused_child_stays_planned_and_may_be_claimed_later(database: Database) -> None:
    store = open_orders(database)
    child = unsent(store)
    stop(database)
    assert store.claim(child, D(1), NOW) is GateOutcome.HALTED
    assert [(record.child, record.status) for record in store.unresolved()] == [(child, S.PLANNED)]
    resolve_halts(database)
    assert store.claim(child, D(1), NOW) is GateOutcome.CLAIMED


@pytest.mark.parametrize("halted", [False, True])
def test_superseded_run_keeps_no_child(database: Database, halted: bool) -> None:
    store = open_orders(database)
    child = unsent(store)
    RunStore(database).claim(make_key(RunKind.EXECUTION), later(61), "code", "config")
    if halted:
        stop(database)
    assert store.claim(child, D(1), NOW) is GateOutcome.STALE_EPOCH
    assert store.children("parent") == ()


def test_racing_claims_let_one_order_leave(database: Database) -> None:
    store = open_orders(database)
    child, barrier, outcomes = planned(store), threading.Barrier(5), list[GateOutcome]()

    def race() -> None:
        barrier.wait()
        outcomes.append(store.claim(child, D(19_000), NOW))

    threads = [threading.Thread(target=race) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.value for outcome in outcomes) == ["already_claimed"] * 4 + ["claimed"]


def test_racing_children_of_one_parent_never_exceed_it(database: Database) -> None:
    store = open_orders(database)
    children = [planned(store, attempt=number, quantity="60") for number in (1, 2, 3, 4)]
    assert raced(store, children) == ["claimed"] + ["over_reserved"] * 3


def test_order_that_waits_for_another_ones_claim_counts_it_towards_the_day(database: Database) -> None:
    store = open_orders(database, replace(LIMITS, max_orders=2))
    first, second, third = (planned(store, make_intent(name)) for name in ("one", "two", "three"))
    assert store.claim(first, D(1), NOW) is GateOutcome.CLAIMED
    told: list[GateOutcome] = []
    other = threading.Thread(target=lambda: told.append(store.claim(third, D(1), NOW)))
    with database.transaction() as connection:
        assert claim_child(connection, store._sender, second, D(1), NOW) is GateOutcome.CLAIMED
        other.start()
        other.join(timeout=0.3)
        assert told == []
    other.join()
    assert told == [GateOutcome.LIMIT]


def raced(store: OrderStore, children: list[ChildOrder]) -> list[str]:
    """What the send gate answers to orders that come to it at once."""
    barrier, outcomes = threading.Barrier(len(children)), list[GateOutcome]()

    def race(child: ChildOrder) -> None:
        barrier.wait()
        outcomes.append(store.claim(child, D(1), NOW))

    threads = [threading.Thread(target=race, args=(child,)) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcome.value for outcome in outcomes)


def test_claim_holds_what_may_leave_against_changes_until_it_commits(database: Database) -> None:
    store = open_orders(database)
    child = planned(store)
    patience = {"options": "-c lock_timeout=100"} if database.is_postgresql else {"timeout": 0.1}
    impatient = create_engine(database.engine.url, connect_args=patience)
    halted = text("UPDATE control SET kill_switch = true")
    with database.transaction() as connection:
        assert claim_child(connection, store._sender, child, D(1), NOW) is GateOutcome.CLAIMED
        with pytest.raises(OperationalError, match="lock"), impatient.begin() as other:
            other.execute(halted)
    with impatient.begin() as other:
        other.execute(halted)
    impatient.dispose()


def test_no_run_takes_over_while_a_moment_is_recorded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    patience = {"options": "-c lock_timeout=100"} if database.is_postgresql else {"timeout": 0.1}
    impatient = create_engine(database.engine.url, connect_args=patience)
    refused: list[str] = []
    record = orders.record_moment

    def meanwhile(*args: object, **options: object) -> object:
        with pytest.raises(OperationalError, match="lock") as met, impatient.begin() as other:
            other.execute(text("UPDATE control SET epoch = epoch + 1"))
        refused.append(str(met.value))
        return record(*args, **options)

    monkeypatch.setattr(orders, "record_moment", meanwhile)
    store.record((), [StatusChange(child.order_ref, S.CANCEL_PENDING, "")], NOW)
    assert len(refused) == 1
    impatient.dispose()


def test_halt_closes_the_gate_and_its_resolution_opens_it(database: Database) -> None:
    store = open_orders(database)
    child = planned(store)
    stop(database)
    assert store.claim(child, D(1), NOW) is GateOutcome.HALTED
    assert store.permission() is Permission.HALTED
    resolve_halts(database)
    assert store.permission() is Permission.ALL
    assert store.claim(child, D(1), NOW) is GateOutcome.CLAIMED


def test_kill_switch_closes_the_gate(database: Database) -> None:
    store = open_orders(database)
    child = planned(store)
    closing = planned(store, make_intent("close", side=Side.SELL, reduce_only=True))
    ControlStore(database).engage_kill_switch(ACCOUNT, "stop", "me", NOW)
    assert store.claim(child, D(1), NOW) is GateOutcome.HALTED
    assert store.claim(closing, D(1), NOW) is GateOutcome.HALTED
    assert store.permission() is Permission.STOPPED


@pytest.mark.parametrize(
    ("severity", "permission"),
    [(HaltSeverity.HALT, Permission.HALTED), (HaltSeverity.EMERGENCY, Permission.STOPPED)],
)
def test_severity_of_a_halt_decides_what_goes_on_working(
    database: Database, severity: HaltSeverity, permission: Permission
) -> None:
    store = open_orders(database)
    stop(database, severity=severity)
    assert store.permission() is permission


def test_missing_control_row_closes_the_gate(database: Database) -> None:
    store = open_orders(database)
    child = planned(store)
    with database.transaction() as connection:
        connection.execute(text("DELETE FROM control"))
    assert store.claim(child, D(1), NOW) is GateOutcome.HALTED
    assert store.permission() is Permission.HALTED


def test_gate_is_closed_while_there_is_no_leave_also_for_reductions(database: Database) -> None:
    given = [False]
    store = open_orders(database).under(lambda: given[0])
    intents = (make_intent(), make_intent("less", side=Side.SELL, reduce_only=True))
    store.save_intents(DAY, intents)
    for intent in intents:
        child = make_child(intent)
        assert store.claim(child, D(19_000), NOW) is GateOutcome.HALTED
        assert store.child(child.order_ref).status is S.PLANNED
    assert store.permission() is Permission.HALTED
    given[0] = True
    assert store.permission() is Permission.ALL
    assert store.claim(make_child(intents[0]), D(19_000), NOW) is GateOutcome.CLAIMED


def test_reducing_lets_only_reductions_leave(database: Database) -> None:
    store = open_orders(database)
    opening = planned(store)
    closing = planned(store, make_intent("close", side=Side.SELL, reduce_only=True))
    ControlStore(database).set_state(ACCOUNT, ControlState.REDUCING, "margin", "risk", NOW)
    assert store.claim(opening, D(1), NOW) is GateOutcome.REDUCE_ONLY
    assert store.claim(closing, D(1), NOW) is GateOutcome.CLAIMED


def test_older_epoch_is_fenced(database: Database) -> None:
    store = open_orders(database)
    child = planned(store)
    RunStore(database).claim(make_key(RunKind.EXECUTION), later(61), "code", "config")
    assert store.claim(child, D(1), NOW) is GateOutcome.STALE_EPOCH
    assert store.permission() is Permission.SUPERSEDED


def test_older_epoch_changes_no_state_of_orders_and_jobs(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    RunStore(database).claim(make_key(RunKind.EXECUTION), later(61), "code", "config")
    with pytest.raises(SupersededError, match="another run took over"):
        store.record_status(child.order_ref, S.CANCEL_PENDING, NOW, "zombie")
    with pytest.raises(SupersededError, match="another run took over"):
        store.begin_job("job", NOW)
    with pytest.raises(SupersededError, match="another run took over"):
        store.save_jobs((make_job("job of an older decision", make_intent("older")),))
    with pytest.raises(SupersededError, match="another run took over"):
        store.save_intents(DAY, (make_intent("older"),))
    assert [intent.intent_id for intent in store.intents(DAY)] == [child.intent_id]
    assert store.jobs(DAY) == ()
    with pytest.raises(SupersededError, match="another run took over"):
        store.record([make_fill(child, 1)], [StatusChange(child.order_ref, S.FILLED, "zombie")], NOW)
    assert [fill.quantity for fill in store.fills()] == [1]  # an execution is true whoever tells it
    assert [record.status for record in store.unresolved()] == [S.WORKING]


def test_unknown_child_keeps_its_quantity_and_blocks_its_contract(database: Database) -> None:
    store = open_orders(database)
    claimed(store, S.UNKNOWN, quantity="60")
    second = planned(store, attempt=2, quantity="41")
    assert store.claim(second, D(1), NOW) is GateOutcome.OVER_RESERVED
    assert store.blocked_contracts() == {"AAPL"}
    third = planned(store, attempt=3, quantity="40")
    assert store.claim(third, D(1), NOW) is GateOutcome.CLAIMED


def test_cancelled_remainder_may_be_sent_again(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    store.record_fill(make_fill(child, 30))
    store.record_status(child.order_ref, S.CANCEL_PENDING, NOW, "")
    assert store.claim(unsent(store, attempt=2, quantity="70"), D(1), NOW) is GateOutcome.OVER_RESERVED
    store.record_status(child.order_ref, S.CANCELLED, NOW, "")
    assert store.claim(make_child(make_intent(), 2, "70"), D(1), NOW) is GateOutcome.CLAIMED


def test_limits_of_the_day_count_orders_and_what_traded(database: Database) -> None:
    store = open_orders(
        database, OrderLimits(max_orders=3, max_order_usd=D(25_000), max_turnover_usd=D(25_000))
    )
    first = claimed(store, S.WORKING)  # counts 19,000 while it may trade
    intent = make_intent("second")
    second = planned(store, intent)
    assert store.claim(second, D(19_000), NOW) is GateOutcome.LIMIT
    store.record_fill(make_fill(first, 25))
    store.record_status(first.order_ref, S.CANCEL_PENDING, NOW, "")
    store.record_status(first.order_ref, S.CANCELLED, NOW, "")  # now a quarter: 4,750
    assert store.claim(second, D("20250.000001"), NOW) is GateOutcome.LIMIT
    assert store.claim(second, D(20_250), NOW) is GateOutcome.CLAIMED
    store.record_status(second.order_ref, S.REJECTED, NOW, "")
    for attempt, expected in ((2, GateOutcome.CLAIMED), (3, GateOutcome.LIMIT)):
        child = planned(store, intent, attempt, "10")
        assert store.claim(child, D(1), NOW) is expected


def test_crash_before_the_commit_leaves_the_child_planned(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_orders(database)
    child = planned(store)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("state.orders.append_events", crash)
        with pytest.raises(KeyboardInterrupt):
            store.claim(child, D(1), NOW)
    assert store.children("parent")[0].status is S.PLANNED
    assert store.claim(child, D(1), NOW) is GateOutcome.CLAIMED


micros = st.integers(0, 10**15)


@given(quantity=micros, filled=micros, reserved=micros, parent=micros, used=micros, notional=micros)
def test_gate_claims_exactly_when_both_sums_fit(
    quantity: int, filled: int, reserved: int, parent: int, used: int, notional: int
) -> None:
    database_row = _fresh_control()
    facts = GateFacts(
        control=database_row,
        epoch=0,
        status=S.PLANNED,
        reduce_only=False,
        quantity=quantity,
        filled=filled,
        reserved=reserved,
        parent_quantity=parent,
        notional=notional,
        orders_today=0,
        turnover_today=used,
    )
    fits = filled + reserved + quantity <= parent
    affordable = used + notional <= 10**13
    expected = (
        GateOutcome.CLAIMED
        if fits and affordable
        else GateOutcome.LIMIT
        if fits
        else GateOutcome.OVER_RESERVED
    )
    assert judge(facts, LIMITS) is expected


def _fresh_control() -> object:
    from state.control import _fresh

    return _fresh(ACCOUNT)


@given(
    notional=st.decimals(0, 10**9, places=6),
    quantity=st.integers(1, 10**6),
    parts=st.integers(0, 10**6),
    status=st.sampled_from(S),
)
def test_counted_turnover_lies_between_what_traded_and_what_was_claimed(
    notional: Decimal, quantity: int, parts: int, status: ChildStatus
) -> None:
    filled = min(parts, quantity)
    counted = counted_notional(notional, D(quantity), D(filled), status)
    assert counted <= notional
    assert counted * quantity >= notional * filled
    if status.is_terminal:
        assert counted * quantity < notional * filled + quantity * D("0.000001")


class Gate(RuleBasedStateMachine):
    """Any sequence of plans, claims, fills and ends keeps filled + reserved within the parent."""

    _numbers = count()
    factory: pytest.TempPathFactory

    def __init__(self) -> None:
        super().__init__()
        self.database = open_database(None, self.factory.mktemp("gate"))
        self.store = open_orders(self.database)
        self.intent = make_intent()
        self.store.save_intents(DAY, (self.intent,))
        self.attempt = 0

    def teardown(self) -> None:
        self.database.close()

    @rule(quantity=st.integers(1, 100))
    def plan_and_claim(self, quantity: int) -> None:
        self.attempt += 1
        child = make_child(self.intent, self.attempt, str(quantity))
        taken = self._taken()
        outcome = self.store.claim(child, D(quantity), NOW)
        assert (outcome is GateOutcome.CLAIMED) == (taken + quantity <= 100)

    @precondition(lambda self: any(record.status is S.SENDING for record in self.store.unresolved()))
    @rule(part=st.integers(1, 100), end=st.sampled_from((S.WORKING, S.UNKNOWN, S.REJECTED)))
    def go_on(self, part: int, end: ChildStatus) -> None:
        record = next(record for record in self.store.unresolved() if record.status is S.SENDING)
        quantity = min(D(part), record.child.quantity)
        if end is not S.REJECTED:
            self.store.record_fill(make_fill(record.child, quantity, f"{next(self._numbers):04d}.01"))
        self.store.record_status(record.child.order_ref, end, NOW, "")

    @precondition(lambda self: any(record.status is S.WORKING for record in self.store.unresolved()))
    @rule()
    def cancel(self) -> None:
        record = next(record for record in self.store.unresolved() if record.status is S.WORKING)
        self.store.record_status(record.child.order_ref, S.CANCEL_PENDING, NOW, "")
        self.store.record_status(record.child.order_ref, S.CANCELLED, NOW, "")

    def _taken(self) -> Decimal:
        return sum(
            (
                record.child.quantity if record.status.holds_reservation else record.filled
                for record in self.store.children("parent")
            ),
            D(0),
        )

    @invariant()
    def parent_is_never_exceeded(self) -> None:
        assert self._taken() <= 100

    @invariant()
    def book_holds_what_was_filled(self) -> None:
        filled = sum((record.filled for record in self.store.children("parent")), D(0))
        assert LedgerStore(self.database).portfolio(ACCOUNT, later(9999)).quantity("AAPL") == filled


def test_no_sequence_of_events_exceeds_a_parent(tmp_path_factory: pytest.TempPathFactory) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Gate.factory = tmp_path_factory
    run_state_machine_as_test(Gate, settings=settings(max_examples=15, stateful_step_count=12))


# ---------------------------------------------------------------- one moment


def test_moment_books_executions_then_states_in_one_transaction(database: Database) -> None:
    store = open_orders(database)
    first, second = claimed(store, intent=make_intent("one")), claimed(store, intent=make_intent("two"))
    moment = [make_fill(second, 40, "0001.01"), make_fill(first, 100, "0002.01")]
    changes = [StatusChange(first.order_ref, S.WORKING, ""), StatusChange(second.order_ref, S.WORKING, "")]
    commits = [0]

    def count_commit(_: Connection) -> None:
        commits[0] += 1

    event.listen(database.engine, "commit", count_commit)
    store.record(moment, [*changes, StatusChange(first.order_ref, S.FILLED, "")], later(3700))
    event.remove(database.engine, "commit", count_commit)
    assert commits == [1]
    assert {r.child.order_ref: (r.status, r.filled) for r in (store.child(first.order_ref), store.child(second.order_ref))} == {
        first.order_ref: (S.FILLED, D(100)),
        second.order_ref: (S.WORKING, D(40)),
    }  # fmt: skip
    booked = [e.entry_id for e in LedgerStore(database).entries(ACCOUNT) if e.kind is EntryKind.TRADE]
    assert booked == ["trade:0001.01", "trade:0002.01"]


@pytest.mark.parametrize(
    "broken", ["an unknown order", "other figures", "no reference", "another contract", "no price"]
)
def test_execution_that_can_not_be_booked_takes_nothing_else_of_its_moment_down(
    database: Database, broken: str
) -> None:
    store = open_orders(database)
    child, other = claimed(store, intent=make_intent("one")), claimed(store, intent=make_intent("two"))
    store.record_fill(make_fill(other, 5, "0009.01"))
    wrong = {
        "an unknown order": replace(make_fill(child, 1, "0001.01"), order_ref="AF1.NOBODY.1"),
        "other figures": make_fill(other, 6, "0009.01"),
        "no reference": replace(make_fill(child, 1, "0001.01"), order_ref=None),
        "another contract": replace(make_fill(child, 1, "0001.01"), contract_id="MSFT"),
        "no price": make_fill(child, 1, "0001.01", price="0"),
    }[broken]
    moment = [make_fill(child, 10, "0002.01"), wrong, make_fill(child, 20, "0003.01")]
    changes = [
        StatusChange(child.order_ref, S.WORKING, ""),
        StatusChange(other.order_ref, S.CANCELLED, "no arrow"),
    ]
    with pytest.raises(
        InvariantError, match=wrong.execution_id if broken != "an unknown order" else "AF1.NOBODY"
    ):
        store.record(moment, changes, later(3700))
    assert (store.child(child.order_ref).filled, store.child(child.order_ref).status) == (D(30), S.WORKING)
    assert (store.child(other.order_ref).filled, store.child(other.order_ref).status) == (D(5), S.SENDING)


def test_correction_and_late_commission_come_in_one_moment_with_their_execution(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    uncharged = make_fill(child, 40, "0001.01", commission=None)
    moment = [uncharged, make_fill(child, 40, "0001.01"), make_fill(child, 30, "0001.02"), uncharged]
    store.record(moment, [], later(3700))
    store.record(moment, [], later(3701))
    assert [(fill.execution_id, fill.quantity, fill.commission) for fill in store.fills()] == [
        ("0001.02", 30, 1)
    ]
    assert store.child(child.order_ref).filled == 30
    portfolio = LedgerStore(database).portfolio(ACCOUNT, later(9999))
    # 30 bought at 190, and 1 of commission.
    assert (portfolio.quantity("AAPL"), portfolio.cash["USD"]) == (D(30), D(-5701))


def expected_commission(database: Database, store: OrderStore, amount: str) -> None:
    """What the open execution is expected to cost, booked as a day books it before its NAV."""
    [fill] = store.fills()
    entry = commission(replace(fill, commission=D(amount), commission_currency="USD"), later(3600))
    name = f"commission-expected:{fill.execution_id}"
    LedgerStore(database).post(ACCOUNT, [replace(entry, entry_id=name)])


def test_commission_that_comes_takes_the_place_of_what_was_expected(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    store.record_fill(make_fill(child, 40, "0001.01", commission=None))
    expected_commission(database, store, "1.75")
    ledger = LedgerStore(database)
    # 40 at 190 are 7,600
    assert ledger.portfolio(ACCOUNT, later(9999)).cash["USD"] == D("-7601.75")
    store.record_fill(make_fill(child, 40, "0001.01"), later(7200))
    store.record_fill(make_fill(child, 40, "0001.01"), later(7300))
    assert ledger.portfolio(ACCOUNT, later(9999)).cash["USD"] == D(-7601)
    assert {entry.entry_id for entry in ledger.entries(ACCOUNT) if "commission" in entry.entry_id} == {
        "commission-expected:0001.01",
        "reversal:commission-expected:0001.01",
        "commission:0001.01",
    }
    assert uncharged_orders(database, ACCOUNT) == ()


@pytest.mark.parametrize("is_told", [False, True])
def test_correction_takes_back_what_was_expected_of_the_version_before_it_once(
    database: Database, is_told: bool
) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    store.record_fill(make_fill(child, 40, "0001.01", commission=None))
    expected_commission(database, store, "1.75")
    if is_told:
        store.record_fill(make_fill(child, 40, "0001.01"), later(7200))
    store.record_fill(make_fill(child, 30, "0001.02"), later(7300))
    # 30 at 190 are 5,700, and 1 of commission
    assert LedgerStore(database).portfolio(ACCOUNT, later(9999)).cash["USD"] == D(-5701)


def test_executions_of_an_order_with_an_open_commission_are_listed_and_no_others(database: Database) -> None:
    store = open_orders(database)
    child, other = claimed(store, intent=make_intent("one")), claimed(store, intent=make_intent("two"))
    store.record_fill(make_fill(child, 10, "0001.01"))
    store.record_fill(make_fill(child, 20, "0002.01", commission=None))
    store.record_fill(make_fill(other, 5, "0003.01"))
    assert [fill.execution_id for fill in uncharged_orders(database, ACCOUNT)] == ["0001.01", "0002.01"]


def test_crash_before_the_commit_of_a_moment_leaves_nothing_of_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_orders(database)
    child = claimed(store)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    moment = ([make_fill(child, 40)], [StatusChange(child.order_ref, S.WORKING, "")], NOW)
    with monkeypatch.context() as patched:
        patched.setattr("state.order_writes.append_events", crash)
        with pytest.raises(KeyboardInterrupt):
            store.record(*moment)
    assert (store.fills(), store.child(child.order_ref).status) == ((), S.SENDING)
    store.record(*moment)
    assert (len(store.fills()), store.child(child.order_ref).status) == (1, S.WORKING)


# ---------------------------------------------------------------- children


def test_child_that_was_never_claimed_may_come_with_a_new_price(database: Database) -> None:
    store = open_orders(database)
    planned(store)
    repriced = make_child(make_intent(), price="191")
    assert store.claim(repriced, D(19_000), NOW) is GateOutcome.CLAIMED
    assert [record.child for record in store.children("parent")] == [repriced]


def test_claimed_child_never_becomes_another_order(database: Database) -> None:
    store = open_orders(database)
    claimed(store)
    with pytest.raises(InvariantError, match="was claimed already"):
        store.claim(make_child(make_intent(), price="191"), D(1), NOW)


def test_child_without_a_parent_or_of_another_side_is_refused(database: Database) -> None:
    store = open_orders(database)
    with pytest.raises(InvariantError, match="save its job first"):
        store.claim(make_child(make_intent("orphan")), D(1), NOW)
    store.save_intents(DAY, (make_intent(),))
    with pytest.raises(InvariantError, match="contract or side"):
        store.claim(make_child(make_intent(side=Side.SELL)), D(1), NOW)


PATHS = {
    S.PLANNED: (),
    S.SENDING: (),
    S.WORKING: (S.WORKING,),
    S.CANCEL_PENDING: (S.WORKING, S.CANCEL_PENDING),
    S.FILLED: (S.FILLED,),
    S.CANCELLED: (S.WORKING, S.CANCEL_PENDING, S.CANCELLED),
    S.REJECTED: (S.REJECTED,),
    S.EXPIRED: (S.WORKING, S.EXPIRED),
    S.ABANDONED: (S.ABANDONED,),
    S.UNKNOWN: (S.UNKNOWN,),
    S.ABSENT: (S.UNKNOWN, S.ABSENT),
}


def reach(store: OrderStore, child: ChildOrder, status: ChildStatus) -> None:
    """Take a child to its next state; to ABSENT only evidence leads."""
    if status is S.ABSENT:
        store.prove_absent(word_that_it_is_absent(child))
    else:
        store.record_status(child.order_ref, status, NOW, "")


def test_child_moves_only_along_the_arrows_of_the_table(database: Database) -> None:
    store = open_orders(
        database, OrderLimits(max_orders=1000, max_order_usd=D(10**9), max_turnover_usd=D(10**9))
    )
    for number, (current, wanted) in enumerate(product(S, S)):
        intent = make_intent(f"parent {number}")
        unsent = current in (S.PLANNED, S.ABANDONED)
        child = planned(store, intent) if unsent else claimed(store, intent=intent)
        for status in PATHS[current]:
            reach(store, child, status)
        if wanted is S.SENDING and current is S.PLANNED:
            with pytest.raises(InvariantError, match="only the send gate"):
                store.record_status(child.order_ref, wanted, NOW, "")
        elif wanted in CHILD_TRANSITIONS[current] or wanted is current is not S.ABSENT:
            reach(store, child, wanted)
            assert store.children(intent.intent_id)[0].status is wanted
        else:
            with pytest.raises(InvariantError):
                store.record_status(child.order_ref, wanted, NOW, "")


def test_nothing_leads_back_to_planned_or_sending() -> None:
    assert [s for s in S if S.PLANNED in CHILD_TRANSITIONS[s]] == []
    assert [s for s in S if S.SENDING in CHILD_TRANSITIONS[s]] == [S.PLANNED]


def test_unresolved_are_those_that_may_still_trade(database: Database) -> None:
    store = open_orders(database)
    for number, path in enumerate([(), (S.WORKING,), (S.FILLED,), (S.UNKNOWN,), (S.REJECTED,)]):
        claimed(store, *path, intent=make_intent(f"parent {number}"))
    planned(store, make_intent("unsent"))
    assert sorted(record.status.value for record in store.unresolved()) == [
        "PLANNED",
        "SENDING",
        "UNKNOWN",
        "WORKING",
    ]


# ---------------------------------------------------------------- fills


def test_fill_is_booked_once_into_fills_and_ledger(database: Database) -> None:
    store, ledger = open_orders(database), LedgerStore(database)
    child = claimed(store, S.WORKING)
    fill = make_fill(child, 40)
    assert store.record_fill(fill)
    assert not store.record_fill(fill)
    assert store.fills() == (fill,)
    assert store.children("parent")[0].filled == 40
    held = ledger.portfolio(ACCOUNT, later(9999))
    assert held.cash == {"USD": D(-40 * 190 - 1)}
    assert held.positions["AAPL"].sleeves == {Sleeve.CORE: D(40)}
    assert [entry.kind for entry in ledger.entries(ACCOUNT)] == [EntryKind.TRADE, EntryKind.COMMISSION]


def test_racing_bookings_of_one_execution_book_once(database: Database) -> None:
    store = open_orders(database)
    child, results = claimed(store, S.WORKING), list[bool]()
    threads = [
        threading.Thread(target=lambda: results.append(store.record_fill(make_fill(child, 10))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]
    assert LedgerStore(database).portfolio(ACCOUNT, later(9999)).quantity("AAPL") == 10


@pytest.mark.parametrize(
    ("first", "currency"), [(None, None), ("0", "")], ids=["none", "nothing of no currency"]
)
def test_later_commission_is_booked_when_it_comes(
    database: Database, first: str | None, currency: str | None
) -> None:
    store, ledger = open_orders(database), LedgerStore(database)
    child = claimed(store, S.WORKING)
    blank = replace(make_fill(child, 10, commission=first), commission_currency=currency)
    assert store.record_fill(blank)
    assert store.fills()[0].commission is None
    assert ledger.portfolio(ACCOUNT, later(9999)).cash == {"USD": D(-1900)}
    for _ in range(2):
        assert not store.record_fill(make_fill(child, 10, commission="2.5"))
    assert ledger.portfolio(ACCOUNT, later(9999)).cash == {"USD": D("-1902.5")}
    assert store.fills()[0].commission == D("2.5")


def test_correction_replaces_the_execution_and_a_late_original_is_ignored(database: Database) -> None:
    store, ledger = open_orders(database), LedgerStore(database)
    child = claimed(store, S.WORKING)
    store.record_fill(make_fill(child, 40))
    corrected = make_fill(child, 30, "0001.02", price="191", commission="0.75")
    assert store.record_fill(corrected)
    assert not store.record_fill(make_fill(child, 40))
    assert store.fills() == (corrected,)
    (record,) = store.children("parent")
    assert (record.filled, record.fills) == (30, (corrected,))
    assert [fill.quantity for fill in record.corrected] == [40]
    held = ledger.portfolio(ACCOUNT, later(9999))
    assert held.cash == {"USD": D("-5730.75")}
    assert (held.quantity("AAPL"), held.positions["AAPL"].cost) == (30, 5730)


def test_tax_on_a_share_is_booked_with_its_trade_and_taken_back_with_it(database: Database) -> None:
    store, ledger = open_orders(database, taxes=(STAMP,)), LedgerStore(database)
    child = claimed(store, S.WORKING)
    store.record_fill(make_fill(child, 40))
    # 40 x 190 = 7,600; 0.5 % of it is 38; commission 1.
    assert ledger.portfolio(ACCOUNT, later(9999)).cash == {"USD": D(-7639)}
    store.record_fill(make_fill(child, 30, "0001.02", price="191", commission="0.75"))
    # 30 x 191 = 5,730; 0.5 % of it is 28.65; commission 0.75.
    assert ledger.portfolio(ACCOUNT, later(9999)).cash == {"USD": D("-5759.40")}
    assert [e.entry_id for e in ledger.entries(ACCOUNT) if e.kind is EntryKind.TAX] == [
        "tax:0001.01",
        "reversal:tax:0001.01",
        "tax:0001.02",
    ]


def test_execution_taken_back_by_the_broker_leaves_nothing(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    store.record_fill(make_fill(child, 40))
    store.record_fill(make_fill(child, 0, "0001.02", commission=None))
    held = LedgerStore(database).portfolio(ACCOUNT, later(9999))
    assert (held.positions, held.cash) == ({}, {"USD": D(0)})
    assert store.children("parent")[0].filled == 0


def test_execution_with_other_figures_under_the_same_id_is_refused(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    store.record_fill(make_fill(child, 40))
    with pytest.raises(InvariantError, match="other figures"):
        store.record_fill(make_fill(child, 41))


@pytest.mark.parametrize("price", ["0", "-0.01", "-37.63"])
def test_execution_without_a_positive_price_is_refused_and_leaves_nothing(
    database: Database, price: str
) -> None:
    """Every contract of the fund has a price above 0: none of its futures is of a good that costs money to keep."""
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    with pytest.raises(InvariantError, match=rf"0001\.01: expected a price above 0, found {price}"):
        store.record_fill(make_fill(child, 40, price=price))
    store.record_fill(make_fill(child, 40, "0002.01"))
    with pytest.raises(InvariantError, match="price above 0"):  # nor in place of what is booked
        store.record_fill(make_fill(child, 40, "0002.02", price=price))
    held = LedgerStore(database).portfolio(ACCOUNT, later(9999))
    # 40 bought once at 190, and 1 of commission.
    assert (held.quantity("AAPL"), held.cash["USD"]) == (D(40), D(-7601))
    assert [fill.execution_id for fill in store.fills()] == ["0002.01"]


def test_late_fill_of_a_cancelled_child_is_booked(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING, S.CANCEL_PENDING, S.CANCELLED)
    assert store.record_fill(make_fill(child, 5))
    record = store.children("parent")[0]
    assert (record.status, record.filled) == (S.CANCELLED, 5)


def test_parent_of_which_more_is_filled_than_ordered_is_found_from_its_date_on(database: Database) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)
    store.record_fill(make_fill(child, 100))
    assert overfilled_parents(database, ACCOUNT, DAY) == ()
    store.record_fill(make_fill(child, 1, "E2.01"))
    (found,) = overfilled_parents(database, ACCOUNT, DAY)
    assert (found.intent_id, found.quantity, found.filled) == (child.intent_id, 100, 101)
    assert overfilled_parents(database, ACCOUNT, DAY + timedelta(days=1)) == ()


def test_execution_of_nobody_is_refused(database: Database) -> None:
    store = open_orders(database)
    child = make_child(make_intent())
    with pytest.raises(InvariantError, match="order of ours"):
        store.record_fill(make_fill(child, 1))


def test_crash_inside_a_booking_leaves_neither_fill_nor_entry(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_orders(database)
    child = claimed(store, S.WORKING)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("state.order_writes._write", crash)
        with pytest.raises(KeyboardInterrupt):
            store.record_fill(make_fill(child, 40))
    assert store.fills() == ()
    assert LedgerStore(database).entries(ACCOUNT) == ()
    assert store.record_fill(make_fill(child, 40))


@settings(max_examples=25)
@given(pieces=st.lists(st.integers(1, 30), min_size=1, max_size=6), wanted=st.integers(-40, 40))
def test_fills_in_any_pieces_end_at_the_wanted_split(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], wanted: int
) -> None:
    database = open_database(None, tmp_path_factory.mktemp("split"))
    store, total = open_orders(database), sum(pieces)
    sleeves = {"core_index_rv": str(total - wanted), "sector_rv": str(wanted)}
    child = claimed(
        store, S.WORKING, intent=make_intent(quantity=str(total), sleeves=sleeves), quantity=str(total)
    )
    for number, piece in enumerate(pieces):
        store.record_fill(make_fill(child, piece, f"{number:04d}.01"))
        held = LedgerStore(database).portfolio(ACCOUNT, later(9999)).positions["AAPL"]
        assert all(quantity == int(quantity) for quantity in held.sleeves.values())
    expected = {Sleeve.CORE: D(total - wanted), Sleeve.SECTOR: D(wanted)}
    assert held.sleeves == {sleeve: quantity for sleeve, quantity in expected.items() if quantity}
    database.close()


# ---------------------------------------------------------------- jobs and parents


def test_parent_is_frozen_by_its_first_commit(database: Database) -> None:
    store = open_orders(database)
    first = make_intent(quantity="100")
    assert store.save_intents(DAY, (first,)) == (first,)
    assert store.save_intents(DAY, (make_intent(quantity="120"),)) == (first,)
    assert store.intents(DAY) == (first,)


def test_pending_job_is_superseded_with_its_frozen_parents(database: Database) -> None:
    store = open_orders(database)
    store.save_jobs((make_job("job", make_intent(quantity="100")),))
    again = make_job("job", make_intent(quantity="120"), make_intent("new"), content="second")
    (record,) = store.save_jobs((again,))
    assert (record.version, [intent.quantity for intent in record.job.intents]) == (2, [100, 100])
    assert store.jobs(DAY) == (record,)
    assert store.save_jobs((again,)) == (record,)


@pytest.mark.parametrize(
    "path", [(JobStatus.CLAIMED,), (JobStatus.CLAIMED, JobStatus.RUNNING), (JobStatus.SKIPPED,)]
)
def test_job_that_was_begun_or_given_up_is_kept(database: Database, path: tuple[JobStatus, ...]) -> None:
    store = open_orders(database)
    store.save_jobs((make_job("job", make_intent()),))
    for status in path:
        store.set_job_status("job", status, NOW)
    (kept,) = store.save_jobs((make_job("job", make_intent("other"), content="second"),))
    assert (kept.version, kept.status, kept.job.content_digest) == (1, path[-1], "first")


JOB_PATHS = {
    JobStatus.PENDING: (),
    JobStatus.CLAIMED: (JobStatus.CLAIMED,),
    JobStatus.RUNNING: (JobStatus.CLAIMED, JobStatus.RUNNING),
    JobStatus.DONE: (JobStatus.CLAIMED, JobStatus.RUNNING, JobStatus.DONE),
    JobStatus.FAILED: (JobStatus.CLAIMED, JobStatus.RUNNING, JobStatus.FAILED),
    JobStatus.CANCELED: (JobStatus.CANCELED,),
    JobStatus.SKIPPED: (JobStatus.SKIPPED,),
    JobStatus.EXPIRED: (JobStatus.EXPIRED,),
    JobStatus.RECOVERING: (JobStatus.CLAIMED, JobStatus.RECOVERING),
    JobStatus.UNKNOWN: (JobStatus.CLAIMED, JobStatus.RECOVERING, JobStatus.UNKNOWN),
}


def _job_in(store: OrderStore, name: str, path: tuple[JobStatus, ...]) -> ExecutionJob:
    job = make_job(name, make_intent(f"parent of {name}"))
    store.save_jobs((job,))
    for status in path:
        store.set_job_status(name, status, NOW)
    return job


def test_job_moves_only_along_the_arrows_of_the_table(database: Database) -> None:
    store = open_orders(database)
    for current, wanted in product(JobStatus, JobStatus):
        name = f"job {current.value} {wanted.value}"
        _job_in(store, name, JOB_PATHS[current])
        if wanted in JOB_TRANSITIONS[current] or wanted is current:
            store.set_job_status(name, wanted, NOW, "noted")
        else:
            with pytest.raises(IllegalTransition, match=f"from {current.value} to {wanted.value}"):
                store.set_job_status(name, wanted, NOW)
    assert [status for status in JobStatus if JobStatus.PENDING in JOB_TRANSITIONS[status]] == []


def test_job_is_not_done_while_a_child_may_trade(database: Database) -> None:
    store = open_orders(database)
    intent = make_intent()
    store.save_jobs((make_job("job", intent),))
    for status in (JobStatus.CLAIMED, JobStatus.RUNNING):
        store.set_job_status("job", status, NOW)
    child = claimed(store, S.WORKING, intent=intent)
    with pytest.raises(InvariantError, match="1 of its child orders"):
        store.set_job_status("job", JobStatus.DONE, NOW)
    store.record_status(child.order_ref, S.EXPIRED, NOW, "")
    store.set_job_status("job", JobStatus.DONE, NOW)
    assert store.jobs(DAY)[0].status is JobStatus.DONE


def test_unknown_job_is_named(database: Database) -> None:
    with pytest.raises(InvariantError, match="none called nothing"):
        open_orders(database).set_job_status("nothing", JobStatus.CLAIMED, NOW)


def test_name_of_an_order_that_the_database_lost_is_never_given_again(database: Database) -> None:
    orders = open_orders(database)
    orders.save_intents(DAY, [make_intent("kept"), make_intent("lost")])
    kept, lost = make_child(make_intent("kept")), make_child(make_intent("lost"), attempt=2)
    plan(orders, kept)
    shown = [kept.order_ref, lost.order_ref, "MANUAL.7", lost.order_ref]
    assert orders.spend(shown) == {lost.order_ref}
    assert orders.spend(shown) == {lost.order_ref}  # also when it is shown again
    assert orders.spend(["MANUAL.7"]) == frozenset()
    assert (orders.spent_attempts("kept"), orders.spent_attempts("lost")) == (0, 2)
    with pytest.raises(InvariantError, match="that this database has lost"):
        orders.claim(lost, D(1), NOW)
    plan(orders, make_child(make_intent("lost"), attempt=3))
    assert open_orders(database).spent_attempts("lost") == 2
