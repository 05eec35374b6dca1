"""Money of investors in the day: booked when it is at the broker, dealt in units at the official close."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from engine.accounting.differences import cash_differences, quantity_differences
from engine.accounting.investors import (
    FlowKind,
    FlowState,
    InvestorOrder,
    arrived,
    cash_entry_id,
    flow_state,
    may_be_dealt,
    money_moved,
    units_dealt,
    units_entry_id,
)
from engine.accounting.ledger import LedgerEntry
from engine.composition.comparison import book_and_broker
from engine.composition.stages import DayInputs, DaySetup, ValuedFund
from engine.errors import ConfigurationError, DataError
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import digest_bytes
from engine.model.money import Money
from state.database import Database
from state.investors import InvestorStore
from state.ledger import LedgerStore
from state.runs import RunStore
from tasks.day import TradingDay
from tasks.runtime import World
from tasks.step import step

_INSTANT = timedelta(microseconds=1)


def money_entries(world: World, setup: DaySetup, inputs: DayInputs) -> tuple[LedgerEntry, ...]:
    """Entries of orders whose money explains, to the cent, what the broker has more or less than our book."""
    waiting = [
        order
        for order, booked in _standing(world)
        if flow_state(order, booked) in (FlowState.PENDING, FlowState.DEALT)
    ]
    if not waiting:
        return ()
    try:
        sides = book_and_broker(setup, inputs)
        differences = cash_differences(sides, quantity_differences(sides, inputs.known))
    except DataError:  # the comparison that needs the missing figure says so with its evidence
        return ()
    more = {row.currency: -row.unexplained for row in differences}
    return tuple(money_moved(order, inputs.context.as_of) for order in arrived(waiting, more))


@step("deal units")
def deal_units(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> None:
    """Issue and cancel units at the NAV per unit of the close, an instant after it: the close itself stays as it is.

    Raises nothing for an order that asks for more units than there are: it waits, and an alert says so.
    """
    for order, booked in _standing(day.world):
        if not may_be_dealt(order, booked, day.trade_date):
            continue
        entry = units_dealt(order, fund.valuation, inputs.market.fx, day.context.as_of + _INSTANT)
        if entry is None:
            day.alert(
                "WARNING",
                f"{_told(order)}: expected at most {fund.valuation.units} units to cancel; it waits",
            )
            continue
        day.world.ledger.post(day.world.account, [entry])
        day.alert("INFO", f"{_told(order)}: {entry.quantity:+f} units at {entry.price:f} USD")


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
