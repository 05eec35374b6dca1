"""Read the world: settle what the calendar brought, recover open orders, take the broker's snapshot and the market.

Everything that a decision looks at is read here, once, and recorded before the first stage decides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from engine.accounting.ledger import deposit
from engine.composition.stages import DayInputs, DayMemory, PreviousDay
from engine.errors import UnknownContract
from engine.execution.recovery import RecoveryReport
from engine.model.context import RunKind
from engine.model.impossible import require_possible
from engine.model.instruments import Contract
from engine.model.market import MarketInputs, Quote
from engine.model.orders import ChildStatus
from engine.model.portfolio import BrokerSnapshot, Portfolio
from tasks.adopting import explained_entries
from tasks.asking import Asking, trading_is_stopped
from tasks.day import INPUTS, TradingDay
from tasks.investors import book_money
from tasks.known import BROKER, known_orders, own_orders
from tasks.last_good import with_last_good_marks
from tasks.open_orders import find_orders
from tasks.runtime import World
from tasks.settling import settle_calendar
from tasks.step import step
from tasks.tables import ask_about
from tasks.uncharged import expect_commissions


@step("advance the market")
def advance_market(day: TradingDay) -> datetime:
    """Let the market come to the time of the decision; a fault that was asked for strikes now."""
    world = day.world
    open_book(world)
    now = world.outside.advance(day.context.as_of)
    if world.options.fault is not None:
        world.outside.strike(world.options.fault)
    return now


@step("recover open orders", read_retries=2)
def recover_orders(day: TradingDay) -> RecoveryReport:
    """Find at the broker what became of orders that our book still holds open; nothing new is sent."""
    return find_orders(day)


@step("sync positions", read_retries=2)
def sync_positions(day: TradingDay, recovery: RecoveryReport) -> DayInputs:
    """Book the calendar's entries, read broker and market; raises `NonFiniteValue` on a figure that is no number."""
    world, as_of = day.world, day.context.as_of
    book_money(day)
    expect_commissions(world, day.policy.costs, as_of)
    settle_calendar(world, as_of)
    book = world.ledger.portfolio(world.account, as_of)
    broker, previous = world.outside.snapshot(as_of), day.previous()
    require_possible(broker, BROKER)
    manual_marks = day.manual_marks()
    market = _read_market(day, manual_marks, quoted_contracts(world, day.trade_date, book, broker, previous))
    market = with_last_good_marks(world, market, book, previous)
    if (
        day.key.kind is RunKind.CLOSE
    ):  # it values and compares; a year of returns would double what a day records
        market = replace(market, history=market.history.without_days)
    else:
        ask_about(market, world.universe)
    working = tuple(r for r in day.orders.unresolved() if r.status.holds_reservation)
    inputs = DayInputs(
        context=day.context,
        market=market,
        contracts=named_contracts(world, book, previous),
        portfolio=book,
        broker=broker,
        quotes=live_quotes(world, broker),
        known=known_orders(world, broker, own_orders(working, recovery)),
        # An order of unknown fate blocks its own contract; one that still works at the broker stops the whole day.
        unresolved=tuple(sorted(r.child.order_ref for r in working if r.status is not ChildStatus.UNKNOWN)),
        blocked=tuple(sorted({*recovery.blocked, *(name for r in working for name in r.child.contract_ids)})),
        previous=previous,
        memory=day.memory("day", DayMemory) or DayMemory(),
        trading_enabled=not world.control.control(world.account).kill_switch,
        answers=day.answers(),
        manual_marks=manual_marks,
    )
    inputs = _with_explained(day, inputs)
    world.observer("sync", f"{len(book.positions)} positions, {len(market.marks)} prices")
    return day.read(INPUTS, inputs)


@step("ask the broker again")
def ask_again(day: TradingDay, inputs: DayInputs, asking: Asking) -> DayInputs:
    """Wait for the next question, and read the account anew; raises `HaltError` where trading stops meanwhile."""
    world, again = day.world, asking.again
    if again is None:
        return inputs
    poll = timedelta(seconds=float(world.configuration.settings.execution.poll_interval_seconds))
    while (now := world.now) < again.at:
        if trading_is_stopped(day):
            raise again.otherwise
        world.outside.advance(min(now + poll, again.at))
    asking.asked_at = world.now
    return _account_again(day, inputs, asking.asked_at)


def _account_again(day: TradingDay, inputs: DayInputs, at: datetime) -> DayInputs:
    """The account as the broker tells it at a later time, beside the same book and market, in the place of what was read."""
    broker = day.world.outside.snapshot(at)
    require_possible(broker, BROKER)
    inputs = replace(
        inputs,
        broker=broker,
        quotes=live_quotes(day.world, broker),
        known=known_orders(day.world, broker, inputs.known.working),
    )
    return day.read_again(INPUTS, _with_explained(day, inputs))


def _with_explained(day: TradingDay, inputs: DayInputs) -> DayInputs:
    """Book what known facts explain, where it is configured; the day then reads the book with it."""
    world, as_of = day.world, day.context.as_of
    entries = explained_entries(world, day.setup, inputs)
    if not entries:
        return inputs
    world.ledger.post(world.account, entries)
    book, previous = world.ledger.portfolio(world.account, as_of), day.previous()
    told = "; ".join(entry.entry_id for entry in entries)
    day.alert("WARNING", f"booked what explains the differences with the broker: {told}")
    return replace(
        inputs,
        portfolio=book,
        contracts=named_contracts(world, book, previous),
        known=known_orders(world, inputs.broker, inputs.known.working),
        previous=previous,
    )


def named_contracts(world: World, book: Portfolio, previous: PreviousDay | None) -> tuple[Contract, ...]:
    """Contracts that the day must know although no chain may list them any more: held now, held then, traded since."""
    names = set(book.positions)
    if previous is not None:
        names |= set(previous.portfolio.positions)
        names |= {entry.contract_id for entry in previous.entries if entry.contract_id is not None}
    return tuple(world.outside.contract(name) for name in sorted(names))


def quoted_contracts(
    world: World,
    trade_date: date,
    book: Portfolio,
    broker: BrokerSnapshot,
    previous: PreviousDay | None,
) -> tuple[str, ...]:
    """Contracts whose prices the day needs: what is held, and living options that somebody else names.

    Named is what the broker, an order, an execution, the last valued day or a posting since then has.
    """
    named = set(broker.positions)
    named |= {order.contract_id for order in (*broker.open_orders, *broker.completed_orders)}
    named |= {fill.contract_id for fill in broker.executions}
    if previous is not None:
        named |= {*previous.portfolio.positions, *previous.marks}
        named |= {entry.contract_id for entry in previous.entries if entry.contract_id is not None}
    options = {name for name in named - set(book.positions) if _is_living_option(world, name, trade_date)}
    return tuple(sorted({*book.positions, *options}))


def _is_living_option(world: World, contract_id: str, trade_date: date) -> bool:
    try:
        if not world.contracts.instrument(contract_id).is_option:
            return False
        expiry = world.contracts.contract(contract_id).last_trade_date
    except UnknownContract:  # somebody else's: the comparison with the broker will say so
        return False
    return expiry is not None and expiry >= trade_date


def open_book(world: World) -> None:
    """The first entry of a new fund: its capital, as the broker's new account has it."""
    if not world.ledger.entries(world.account):
        policy = world.policy(world.options.first)
        opening = deposit(policy.initial_capital, policy.initial_units, world.now, "opening deposit")
        world.ledger.post(world.account, [opening])


def _read_market(day: TradingDay, given: Collection[str], quoted: Sequence[str]) -> MarketInputs:
    wanted = day.world.wanted_options(day.trade_date, day.key.kind)
    return day.world.inputs(day.trade_date, day.context.as_of, quoted, wanted, given)


def live_quotes(world: World, broker: BrokerSnapshot) -> dict[str, Quote]:
    """Quotes of held contracts whose venue is in session: what the broker's live marks are compared with."""
    live: Sequence[str] = sorted(name for name, held in broker.positions.items() if held.in_session)
    quotes = {name: world.outside.quote(name, broker.as_of) for name in live}
    return {name: quote for name, quote in quotes.items() if quote is not None}
