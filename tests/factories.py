"""The fund's world, small and whole, for tests of days: a generated market, its own FUND_HOME, days that were run."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from sqlalchemy import func, select

from engine.composition.stages import DayInputs, ValuedFund
from engine.model.context import RunKind
from engine.model.encoding import decode
from engine.model.orders import ChildOrder, Fill
from engine.model.portfolio import Portfolio
from engine.simulation.account import BrokerOrder
from engine.simulation.broker import SimulatedBroker
from engine.simulation.journal import RecordKind
from flows.engine import BODIES
from flows.outcome import Outcome
from state.gate import OrderLimits
from state.order_reading import account_orders
from state.orders import OrderStore
from state.runs import run_identifier
from state.tables import metadata
from tasks.adapters.simulated_account import SqliteJournal, account_path
from tasks.day import INPUTS, run_key
from tasks.opening import begin
from tasks.options import WorldOptions
from tasks.runtime import World

DAYS = (
    date(2026, 11, 12),
    date(2026, 11, 13),
    date(2026, 11, 16),
    date(2026, 11, 17),
    date(2026, 11, 18),
)
"""Five trading days over a weekend; every venue is open, and the first builds the book from nothing."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookAtClose:
    """Our book and the broker's account after a day's close: cash by currency, quantities, variation base."""

    ours: Mapping[str, Mapping[str, Decimal]]
    broker: Mapping[str, Mapping[str, Decimal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysRun:
    """A FUND_HOME in which `DAYS` were run without a fault; copy it before changing anything in it."""

    home: Path
    outcomes: Mapping[tuple[date, RunKind], Outcome]
    closes: Mapping[date, BookAtClose]


def new_world(home: Path, last: date = DAYS[-1], fault: str | None = None, first: date = DAYS[0]) -> World:
    """The world of the profile ``fund``, from the first of `DAYS` on where nothing else is said; close it."""
    return World(WorldOptions(profile="fund", first=first, last=last, home=home, fault=fault))


def run(world: World, day: date, kind: RunKind) -> Outcome:
    """One run of a date, as the command line does it without Prefect."""
    return BODIES[kind](begin(world, day, kind))


def run_day(world: World, day: date) -> dict[RunKind, Outcome]:
    """Decision, execution and close; stops at a halt."""
    outcomes: dict[RunKind, Outcome] = {}
    for kind in BODIES:
        outcomes[kind] = run(world, day, kind)
        if outcomes[kind].is_halted:
            break
    return outcomes


@cache
def days_run() -> DaysRun:
    """`DAYS`, run once for all tests that only read them."""
    home = Path(tempfile.mkdtemp(prefix="fund-days-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    outcomes: dict[tuple[date, RunKind], Outcome] = {}
    closes = {}
    world = new_world(home)
    for day in DAYS:
        outcomes |= {(day, kind): outcome for kind, outcome in run_day(world, day).items()}
        closes[day] = book_at_close(world)
    world.close()
    return DaysRun(home=home, outcomes=outcomes, closes=closes)


# ---------------------------------------------------------------- looking at a world


def run_id_of(world: World, day: date, kind: RunKind) -> str:
    """Id of a run of this world."""
    return run_identifier(run_key(world, day, kind))


def step_outputs(world: World, day: date, kind: RunKind = RunKind.DECISION) -> dict[str, bytes]:
    """Recorded bytes of every step of a run."""
    return {row.step: row.output for row in world.runs.steps(run_id_of(world, day, kind))}


def recorded_inputs(world: World, day: date, kind: RunKind = RunKind.DECISION) -> DayInputs:
    """What a run read."""
    return decode(DayInputs, world.runs.inputs(run_id_of(world, day, kind))[INPUTS].payload)


def valued(world: World, day: date, kind: RunKind) -> ValuedFund:
    """The valuation of a run."""
    return decode(ValuedFund, step_outputs(world, day, kind)["nav"])


def book_at_close(world: World) -> BookAtClose:
    """Both books now, computed by different code from different files."""
    ours = world.ledger.portfolio(world.account, world.broker.now)
    return BookAtClose(ours=our_side(world, ours), broker=broker_side(world.broker))


def our_side(world: World, book: Portfolio) -> dict[str, dict[str, Decimal]]:
    """Cash, quantities, and what open futures variation is measured from, by our ledger."""
    futures = {k: p for k, p in book.positions.items() if world.contracts.instrument(k).is_future}
    return {
        "cash": _nonzero(book.cash),
        "positions": _nonzero({k: p.quantity for k, p in book.positions.items()}),
        "futures": _nonzero({k: p.cost for k, p in futures.items()}),
        "accruals": _nonzero(book.accruals),
    }


def broker_side(broker: SimulatedBroker) -> dict[str, dict[str, Decimal]]:
    """The same by the broker's own account."""
    lines = broker.state.positions.items()
    return {
        "cash": _nonzero(dict(broker.state.cash.items())),
        "positions": _nonzero({k: line.quantity for k, line in lines}),
        "futures": _nonzero({k: line.futures_cost for k, line in lines}),
        "accruals": _nonzero(broker.snapshot(broker.now).accrued),
    }


def accepted_orders(home: Path, account: str) -> tuple[ChildOrder, ...]:
    """Every order that the broker's own file says it ever accepted, in the order of acceptance."""
    journal = SqliteJournal(account_path(home, account))
    try:
        records = journal.history(RecordKind.ORDER)
    finally:
        journal.close()
    return tuple(decode(BrokerOrder, record.body).child for record in records)


def executions_at_broker(home: Path, account: str) -> tuple[str, ...]:
    """Ids of every execution in the broker's own file, listed ones and those of earlier days."""
    journal = SqliteJournal(account_path(home, account))
    try:
        records = journal.history(RecordKind.EXECUTION)
    finally:
        journal.close()
    return tuple(decode(Fill, record.body).execution_id for record in records)


def parent_quantities(world: World, day: date) -> dict[str, dict[str, Decimal]]:
    """Ordered and executed quantity of every parent of a date, by intent."""
    filled: dict[str, Decimal] = {}
    for view in account_orders(world.database, world.account, day):
        near = view.record.child.near
        for intent in (view.intent.intent_id, *(() if near is None else (near.intent_id,))):
            filled[intent] = filled.get(intent, ZERO) + view.record.filled_of(intent)
    jobs = order_store(world).jobs(trade_date=day)
    return {
        intent.intent_id: {"ordered": intent.quantity, "filled": filled.get(intent.intent_id, ZERO)}
        for record in jobs
        for intent in record.job.intents
    }


def order_store(world: World) -> OrderStore:
    """The account's order book, for reading: no run stands behind it, so its gate lets nothing through."""
    return OrderStore(
        world.database,
        world.account,
        "",
        None,
        OrderLimits(max_orders=0, max_order_usd=ZERO, max_turnover_usd=ZERO),
        world.contracts,
    )


def row_counts(world: World) -> dict[str, int]:
    """Rows of every table of the fund's database."""
    with world.database.read() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }


def _nonzero(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: amount for name, amount in sorted(amounts.items()) if amount != ZERO}
