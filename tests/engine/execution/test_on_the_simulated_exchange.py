"""The executor on the simulated exchange: the same loop, a broker with a mind of its own."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from engine.execution.executor import execute
from engine.execution.liquidity import LiquidityEstimator
from engine.execution.netting import PriceBook
from engine.execution.outcome import ExecutionReport, ExecutionWorld
from engine.execution.recovery import recover
from engine.model.context import ControlState
from engine.model.instruments import VenueGroup
from engine.model.orders import ChildStatus, ExecutionJob, OrderIntent, Reason, Side, Urgency
from engine.model.universe import ContractBook
from engine.model.windows import ExecutionStyle, LiquidityWindow
from engine.ports import Permission
from engine.simulation.broker import SimulatedBroker
from engine.simulation.exchange import SimulatedTransport
from engine.simulation.journal import MemoryJournal
from tests.engine.execution.market import execution_policy, safety_policy
from tests.engine.simulation.exchange_world import (
    CONTRACTS,
    FUTURE,
    MONDAY,
    UNIVERSE,
    World,
    broker_terms,
    new_broker,
    opening,
    utc,
)
from tests.fakes import MemoryOrderBook

OPEN = utc(MONDAY, 15)


def parent(contract_id: str, quantity: int, side: Side = Side.BUY) -> OrderIntent:
    return OrderIntent(
        intent_id=f"parent-{contract_id}",
        contract_id=contract_id,
        instrument_id=CONTRACTS[contract_id].instrument_id,
        side=side,
        quantity=D(quantity),
        reason=Reason.REBALANCE,
        urgency=Urgency.NORMAL,
        group=None,
        reduce_only=False,
        sleeves={"core_index_rv": D(quantity * side.sign)},
        decision_price=World().closes[contract_id],
    )


def run(broker: SimulatedBroker, book: MemoryOrderBook, intents: tuple[OrderIntent, ...]) -> ExecutionReport:
    facts = World()
    transport = SimulatedTransport(broker)
    recover(book, transport)
    window = LiquidityWindow(
        venue="US", style=ExecutionStyle.MIDDAY, start=OPEN, end=OPEN + timedelta(hours=1)
    )
    job = ExecutionJob(
        job_id="job",
        trade_date=MONDAY,
        venue="US",
        venue_group=VenueGroup.US,
        style=ExecutionStyle.MIDDAY,
        window=window,
        group="strategy/core",
        after=(),
        intents=intents,
        content_digest="d",
    )
    world = ExecutionWorld(
        transport=transport,
        book=book,
        prices=PriceBook(
            contracts=ContractBook(universe=UNIVERSE, contracts=CONTRACTS),
            prices=facts.closes,
            fx=facts.fx(OPEN),
        ),
        execution=execution_policy(),
        safety=safety_policy(),
        liquidity=LiquidityEstimator(average_daily_volume={}),
    )
    return execute([job], world)


INTENTS = (parent("AAA", 100), parent(FUTURE, 3, Side.SELL), parent("PEN", 500))


def book_of(intents: tuple[OrderIntent, ...]) -> MemoryOrderBook:
    return MemoryOrderBook({i.intent_id: (i.quantity, i.reduce_only) for i in intents})


def broker_quantities(broker: SimulatedBroker) -> dict[str, D]:
    totals: dict[str, D] = {}
    for fill in broker.executions():
        totals[fill.contract_id] = totals.get(fill.contract_id, D(0)) + fill.signed_quantity
    return totals


def test_day_is_filled_and_the_books_agree() -> None:
    broker, book = new_broker(World()), book_of(INTENTS)
    report = run(broker, book, INTENTS)
    assert [p.unfilled for p in report.parents] == [0, 0, 0]
    assert broker_quantities(broker) == {"AAA": D(100), FUTURE: D(-3), "PEN": D(500)}
    assert sorted(f.execution_id for f in broker.executions()) == sorted(
        f.execution_id for f in book.fills.values()
    )


def test_order_larger_than_the_depth_is_worked_in_several_children_without_excess() -> None:
    broker = new_broker(World(depth=D(40), drift=1))
    intents = (parent("AAA", 300),)
    book = book_of(intents)
    report = run(broker, book, intents)
    filled = broker_quantities(broker).get("AAA", D(0))
    assert report.parents[0].filled == filled <= 300
    assert book.committed("parent-AAA") == filled
    assert len({r.child.order_ref for r in book.records.values()}) == len(broker.orders())


def test_book_that_lost_the_day_gives_new_orders_names_of_their_own() -> None:
    broker = new_broker(World())
    run(broker, book_of(INTENTS), INTENTS)
    first = {order.order_ref for order in broker.orders()}
    restored = book_of(INTENTS)
    run(broker, restored, INTENTS)
    # Nobody compared the books here, so all is bought again: what counts is that no name means two orders.
    again = {record.child.order_ref for record in restored.records.values()}
    assert restored.spent == first
    assert len(again) == len(INTENTS)
    assert not first & again
    assert {record.child.attempt for record in restored.records.values()} == {2}


class _ChangedBook(MemoryOrderBook):
    """A book whose control changes when it is looked at for the third time, ten seconds into the window."""

    stops = False
    looks = 0
    cancelled_at: datetime | None = None

    def record_status(self, order_ref: str, status: ChildStatus, now: datetime, text: str) -> None:
        super().record_status(order_ref, status, now, text)
        if status is ChildStatus.CANCELLED:
            self.cancelled_at = now

    def permission(self) -> Permission:
        self.looks += 1
        if self.looks == 3:
            self.stopped, self.control = self.stops, ControlState.HALTED
        return super().permission()


@pytest.mark.parametrize(
    ("stops", "end"),
    [(False, ChildStatus.FILLED), (True, ChildStatus.CANCELLED)],
    ids=["halt spares it", "kill switch cancels it"],
)
def test_control_that_changes_in_a_window_decides_over_the_reduction_at_work(
    stops: bool, end: ChildStatus
) -> None:
    # A depth of 40 lets the order of 300 trade in parts over more than ten seconds.
    broker = new_broker(World(depth=D(40), drift=1))
    cut = replace(parent("AAA", 300), reduce_only=True)
    book = _ChangedBook({cut.intent_id: (cut.quantity, True)})
    book.stops = stops
    report = run(broker, book, (cut,))
    (order,), (child,) = broker.orders(), book.records.values()
    assert order.status is child.status is end
    assert child.filled == order.filled == broker_quantities(broker)["AAA"] == report.parents[0].filled
    assert (child.filled < 300) is stops
    assert (book.cancelled_at is not None and book.cancelled_at - OPEN < timedelta(seconds=15)) is stops


@pytest.mark.parametrize("calls", range(1, 10))
def test_death_at_any_call_of_the_book_sends_nothing_twice_and_loses_no_fill(calls: int) -> None:
    broker, book = new_broker(World()), book_of(INTENTS)
    counted = _dying(book, calls)
    with pytest.raises(_Killed):
        run(broker, counted, INTENTS)
    survivor = book_of(INTENTS)
    survivor.records, survivor.fills = book.records, book.fills
    report = run(broker, survivor, INTENTS)
    totals = broker_quantities(broker)
    assert all(
        abs(totals.get(i.contract_id, D(0))) + p.unfilled == i.quantity
        for i, p in zip(INTENTS, report.parents, strict=True)
    )
    references = [order.order_ref for order in broker.orders()]
    assert len(references) == len(set(references))
    assert {f.execution_id for f in broker.executions()} == {f.execution_id for f in survivor.fills.values()}


class _Killed(BaseException):
    """The process died."""


def _dying(book: MemoryOrderBook, calls: int) -> MemoryOrderBook:
    """The same book, whose n-th write is stored and then kills the process."""
    left = [calls]

    class Dying(MemoryOrderBook):
        def __getattribute__(self, name: str) -> object:
            found = super().__getattribute__(name)
            if name not in ("claim", "record"):
                return found

            def once(*arguments: object) -> object:
                result = found(*arguments)
                left[0] -= 1
                if left[0] == 0:
                    raise _Killed
                return result

            return once

    dying = Dying(book.parents)
    dying.records, dying.fills = book.records, book.fills
    return dying


# ---------------------------------------------------------------- auctions

CUTOFF, CLOSED = utc(MONDAY, 20, 45), utc(MONDAY, 21)
CLOSING = LiquidityWindow(
    venue="US",
    style=ExecutionStyle.CLOSE_AUCTION,
    start=utc(MONDAY, 20, 25),
    cutoff=CUTOFF,
    end=utc(MONDAY, 21, 15),
)


def closing(broker: SimulatedBroker, parent_order: OrderIntent) -> ExecutionReport:
    book, facts = book_of((parent_order,)), World()
    transport = SimulatedTransport(broker)
    recover(book, transport)
    job = ExecutionJob(
        job_id="job",
        trade_date=MONDAY,
        venue="US",
        venue_group=VenueGroup.US,
        style=ExecutionStyle.CLOSE_AUCTION,
        window=CLOSING,
        group="strategy/single:AAA",
        after=(),
        intents=(parent_order,),
        content_digest="d",
    )
    world = ExecutionWorld(
        transport=transport,
        book=book,
        prices=PriceBook(
            contracts=ContractBook(universe=UNIVERSE, contracts=CONTRACTS),
            prices=facts.closes,
            fx=facts.fx(OPEN),
        ),
        execution=execution_policy(),
        safety=safety_policy(),
        liquidity=LiquidityEstimator(average_daily_volume={}),
    )
    return execute([job], world)


@pytest.mark.parametrize("moved", [0, 2, 5])
def test_parent_trades_in_the_closing_auction_at_the_official_close(moved: int) -> None:
    # The collar is 12 bps of the mid of 100.00, and the close of 100.05 lies inside 100.12.
    world = World(dated_closes={("AAA", MONDAY): D("100.05")})
    terms = replace(broker_terms(world), auctions_moved=timedelta(minutes=moved))
    broker = SimulatedBroker.create(terms, MemoryJournal(), opening(utc(MONDAY, 15)))
    report = closing(broker, parent("AAA", 100))
    (fill,) = broker.executions()
    assert (fill.price, fill.quantity) == (D("100.05"), 100)
    assert fill.executed_at == CLOSED + timedelta(minutes=moved)
    assert len(broker.orders()) == 1
    assert [p.unfilled for p in report.parents] == [0]


def test_close_outside_the_collar_leaves_the_parent_to_the_next_day() -> None:
    world = World(dated_closes={("AAA", MONDAY): D("100.13")})
    broker = new_broker(world)
    report = closing(broker, parent("AAA", 100))
    assert broker.executions() == ()
    assert [order.status for order in broker.orders()] == [ChildStatus.EXPIRED]
    assert [p.unfilled for p in report.parents] == [100]
