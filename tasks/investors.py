"""Money of investors in the day: booked when it is at the broker, dealt in units at the official close."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.accounting.book import apply
from engine.accounting.differences import cash_differences, quantity_differences
from engine.accounting.fx_rates import FxState
from engine.accounting.investors import (
    CENT,
    FlowKind,
    FlowState,
    InvestorOrder,
    candidates,
    cash_entry_id,
    flow_state,
    may_be_dealt,
    money_moved,
    units_dealt,
    units_entry_id,
)
from engine.accounting.ledger import LedgerEntry
from engine.accounting.sides import KnownOrders, OurPrices, Sides
from engine.carry.calendar import DAY_END
from engine.composition.stages import DayInputs, ValuedFund, judge_rates
from engine.errors import ConfigurationError, DataError
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import digest_bytes
from engine.model.impossible import require_possible
from engine.model.market import FxRates
from engine.model.money import ZERO, Money
from engine.model.portfolio import BrokerSnapshot
from state.database import Database
from state.investors import InvestorStore
from state.ledger import LedgerStore
from state.runs import RunStore
from tasks.day import TradingDay
from tasks.doubtful import doubtful_prices
from tasks.known import BROKER, known_orders
from tasks.runtime import World
from tasks.settling import closed_until, due_calendar
from tasks.step import step

_INSTANT = timedelta(microseconds=1)
_INTEREST_MOST = Decimal("0.02")
"""Fraction of the money that interest of a few days stays far below."""


def book_money(day: TradingDay) -> None:
    """Book the money of investors' orders that has come to the broker, or left it, since the book was settled."""
    entries = money_entries(day.world, day.context.as_of)
    if entries:
        day.world.ledger.post(day.world.account, entries)
        told = "; ".join(entry.entry_id for entry in entries)
        day.alert("INFO", f"booked the money of investors: {told}")


def money_entries(world: World, as_of: datetime) -> tuple[LedgerEntry, ...]:
    """Entries of orders whose money explains, to the cent, what the broker has more or less than our book.

    The money earns interest at the broker from the day it came: each day since the last one that our book settled is
    tried, the latest first, and the book that then agrees with the broker is the one.
    """
    waiting = [
        order
        for order, booked in _standing(world)
        if flow_state(order, booked) in (FlowState.PENDING, FlowState.DEALT)
    ]
    if not waiting:
        return ()
    broker = world.outside.snapshot(as_of)
    require_possible(broker, BROKER)
    known = known_orders(world, broker, ())
    try:
        for moment in _moments(world, as_of):
            for some in candidates(waiting, _more(world, broker, known, ()), _INTEREST_MOST):
                entries = tuple(money_moved(order, moment) for order in some)
                left = _more(world, broker, known, entries)
                if all(abs(left.get(order.money.currency, ZERO)) <= CENT for order in some):
                    return entries
    except DataError:  # the comparison that needs the missing figure says so with its evidence
        return ()
    return ()


def _moments(world: World, as_of: datetime) -> Iterator[datetime]:
    """Now, and just before each settlement since the book was settled: what came between two counts the same."""
    yield as_of
    settled = closed_until(world)
    day = as_of.date()
    while day >= settled.date():
        moment = datetime.combine(day, DAY_END) - _INSTANT
        if settled < moment < as_of:
            yield moment
        day -= timedelta(days=1)


def _more(
    world: World, broker: BrokerSnapshot, known: KnownOrders, supposed: tuple[LedgerEntry, ...]
) -> dict[str, Decimal]:
    """What the broker's cash has more than our book by currency, with entries that are only supposed."""
    at = broker.as_of
    made = (*supposed, *due_calendar(world, at, supposed))
    book = world.ledger.portfolio(world.account, at)
    sides = Sides(
        portfolio=apply(book, *sorted(made, key=lambda entry: entry.booked_at)) if made else book,
        broker=broker,
        prices=OurPrices(marks={}, fx=FxRates(as_of=at, rates={}), live={}),
        contracts=world.contracts,
    )
    differences = cash_differences(sides, quantity_differences(sides, known))
    return {row.currency: -row.unexplained for row in differences}


@step("deal units")
def deal_units(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> None:
    """Issue and cancel units at the NAV per unit of the close, an instant after it: the close itself stays as it is.

    Raises nothing for an order that asks for as many units as there are, or more: it waits, and an alert says so. All
    of them wait for the next close where this one stands on doubtful prices or rates: its NAV is nobody's price.
    """
    standing, dealt_at = _standing(day.world), day.context.as_of + _INSTANT
    doubt = _doubt(day, inputs, fund) if standing else None
    for order, booked in standing:
        if not may_be_dealt(order, booked, day.trade_date):
            continue
        if doubt is not None:
            day.alert("WARNING", f"{_told(order)}: it waits for the next close; {doubt}")
            continue
        # Two orders may ask for more than there is although each alone does not.
        outstanding = day.world.ledger.portfolio(day.world.account, dealt_at).units
        entry = units_dealt(order, fund.valuation, inputs.market.fx, dealt_at, outstanding)
        if entry is None:
            day.alert(
                "WARNING", f"{_told(order)}: expected less than {outstanding} units to cancel; it waits"
            )
            continue
        day.world.ledger.post(day.world.account, [entry])
        day.alert("INFO", f"{_told(order)}: {entry.quantity:+f} units at {entry.price:f} USD")


def _doubt(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> str | None:
    """Why nobody should pay or be paid the NAV of a close, ``None`` for a good one."""
    prices = doubtful_prices(fund, day.policy.marks, day.world.contracts, abandoned=False)
    if prices is not None:
        return str(prices)
    findings = judge_rates(day.setup, inputs).findings
    return next((found.text for found in findings if found.state is FxState.INVALID), None)


def _standing(world: World) -> list[tuple[InvestorOrder, frozenset[str]]]:
    """Standing orders with the entries of each that the ledger holds."""
    orders = InvestorStore(world.database).standing(world.account)
    if not orders:
        return []
    names = {name for order in orders for name in (cash_entry_id(order), units_entry_id(order))}
    booked = frozenset(
        entry.entry_id for entry in world.ledger.entries(world.account) if entry.entry_id in names
    )
    return [(order, booked) for order in orders]


def _told(order: InvestorOrder) -> str:
    return (
        f"{order.kind.value.lower()} {order.order_id} of {order.money.amount:,.2f} {order.money.currency} by "
        f"{order.investor}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """An order with how far it has come; units and price once it is dealt."""

    order: InvestorOrder
    state: FlowState
    units: Decimal | None
    unit_price: Decimal | None


def order_states(database: Database, ledger: LedgerStore, account: str) -> tuple[OrderState, ...]:
    """Every order of an account, the oldest value date first."""
    given = InvestorStore(database).orders(account)
    booked = {entry.entry_id: entry for entry in ledger.entries(account)} if given else {}
    states = []
    for row in given:
        dealt = booked.get(units_entry_id(row.order))
        states.append(
            OrderState(
                order=row.order,
                state=FlowState.WITHDRAWN if row.withdrawn_because else flow_state(row.order, booked.keys()),
                units=None if dealt is None else dealt.quantity,
                unit_price=None if dealt is None else dealt.price,
            )
        )
    return tuple(states)


def order_id(
    account: str, kind: FlowKind, investor: str, money: Money, value_date: date, evidence: str
) -> str:
    """Id of an order: the same order given twice has the same."""
    facts = (account, kind.value, investor.strip(), f"{money.amount:f}", money.currency, str(value_date))
    return f"{kind.value[0]}-{digest_bytes('|'.join((*facts, evidence.strip())).encode())[:10]}"


def require_open_day(runs: RunStore, account: str, day: date) -> None:
    """Refuse a value date whose close is made: an order deals at a NAV that nobody knows yet."""
    closed = [
        run.key.trade_date
        for run in runs.runs(account)
        if run.key.kind is RunKind.CLOSE and run.status is RunStatus.COMPLETED
    ]
    if closed and day <= max(closed):
        raise ConfigurationError(
            f"expected a value date after {max(closed)}, whose NAV per unit is known, found {day}; take a later one"
        )
