"""Read the world: settle what the calendar brought, recover open orders, take the broker's snapshot and the market.

Everything that a decision looks at is read here, once, and recorded before the first stage decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.accounting.ledger import EntryKind, LedgerEntry, deposit, tax_ids
from engine.accounting.sides import KnownOrders, OwnOrder
from engine.carry.borrow import unsettled_shares, unsettled_trades
from engine.carry.calendar import DAY_START, DayFacts, calendar_entries
from engine.carry.postings import posted_month, unpaid_accruals
from engine.composition.stages import DayInputs, DayMemory, PreviousDay
from engine.errors import UnknownContract
from engine.execution.recovery import RecoveryReport
from engine.model.carry import CarryPolicy
from engine.model.context import RunKind
from engine.model.impossible import require_possible
from engine.model.instruments import Contract
from engine.model.market import MarketInputs, Quote
from engine.model.orders import ChildStatus, Fill
from engine.model.portfolio import BrokerSnapshot, Portfolio
from engine.ports import ChildRecord
from tasks.adopting import explained_entries
from tasks.day import INPUTS, TradingDay
from tasks.investors import money_entries
from tasks.open_orders import find_orders
from tasks.runtime import World
from tasks.step import step
from tasks.tables import ask_about

TRADE_PREFIX = "trade:"
BROKER = "broker"
"""Name of the broker's account where one of its figures is no number."""
LISTED_DAYS = timedelta(days=1)
"""A broker lists the executions of today and of yesterday."""
ACKNOWLEDGED = (ChildStatus.WORKING, ChildStatus.CANCEL_PENDING)
"""States in which the broker has an order, by what it told us last."""
CALENDAR_KINDS = frozenset(
    {
        EntryKind.VARIATION,
        EntryKind.INTEREST,
        EntryKind.BORROW_FEE,
        EntryKind.DIVIDEND,
        EntryKind.SPLIT,
        EntryKind.CASH_IN_LIEU,
        EntryKind.SYMBOL_CHANGE,
        EntryKind.EXPIRY,
    }
)


@step("advance the market")
def advance_market(day: TradingDay) -> datetime:
    """Let the simulated exchange live until the decision; a fault that was asked for strikes now."""
    world = day.world
    broker = world.broker
    open_book(world)
    if broker.now < day.context.as_of:
        broker.advance(day.context.as_of)
    world.strike_fault()
    return broker.now


@step("recover open orders", read_retries=2)
def recover_orders(day: TradingDay) -> RecoveryReport:
    """Find at the broker what became of orders that our book still holds open; nothing is sent."""
    return find_orders(day)


@step("sync positions", read_retries=2)
def sync_positions(day: TradingDay, recovery: RecoveryReport) -> DayInputs:
    """Book the calendar's entries, read broker and market; raises `NonFiniteValue` on a figure that is no number."""
    world, as_of = day.world, day.context.as_of
    settle_calendar(world, as_of)
    book = world.ledger.portfolio(world.account, as_of)
    broker, previous = world.broker.snapshot(as_of), day.previous()
    require_possible(broker, BROKER)
    manual_marks = day.manual_marks()
    market = _read_market(day, manual_marks, quoted_contracts(world, day.trade_date, book, broker, previous))
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
        blocked=tuple(sorted({*recovery.blocked, *(r.child.contract_id for r in working)})),
        previous=previous,
        memory=day.memory("day", DayMemory) or DayMemory(),
        trading_enabled=not world.control.control(world.account).kill_switch,
        answers=day.answers(),
        manual_marks=manual_marks,
    )
    inputs = _with_explained(day, _with_investors(day, inputs))
    world.observer("sync", f"{len(book.positions)} positions, {len(market.marks)} prices")
    return day.read(INPUTS, inputs)


def _with_investors(day: TradingDay, inputs: DayInputs) -> DayInputs:
    """Book the money of investors' orders that has come or gone; the day then reads the book with it."""
    entries = money_entries(day.world, day.setup, inputs)
    return _with_booked(day, inputs, entries, "INFO", "booked the money of investors") if entries else inputs


def _with_explained(day: TradingDay, inputs: DayInputs) -> DayInputs:
    """Book what known facts explain, where it is configured; the day then reads the book with it."""
    entries = explained_entries(day.world, day.setup, inputs)
    told = "booked what explains the differences with the broker"
    return _with_booked(day, inputs, entries, "WARNING", told) if entries else inputs


def _with_booked(
    day: TradingDay, inputs: DayInputs, entries: Sequence[LedgerEntry], level: str, told: str
) -> DayInputs:
    world, as_of = day.world, day.context.as_of
    world.ledger.post(world.account, entries)
    book, previous = world.ledger.portfolio(world.account, as_of), day.previous()
    day.alert(level, f"{told}: {'; '.join(entry.entry_id for entry in entries)}")
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
    return tuple(world.market.contract(name) for name in sorted(names))


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
        opening = deposit(policy.initial_capital, policy.initial_units, world.broker.now, "opening deposit")
        world.ledger.post(world.account, [opening])


def settle_calendar(world: World, until: datetime) -> int:
    """Book settlements, carry and corporate actions of every calendar moment since the last one booked."""
    entries = world.ledger.entries(world.account)
    after = max(
        (entry.booked_at for entry in entries if entry.kind in CALENDAR_KINDS),
        default=entries[0].booked_at,
    )
    if after >= until:
        return 0
    traded = {e.contract_id for e in entries if e.booked_at > after and e.contract_id is not None}
    days = [after.date() + timedelta(days=ahead) for ahead in range((until.date() - after.date()).days + 1)]
    carry = world.policy(until.date()).carry
    unsettled = _unsettled(world, entries, days, carry)
    delivered = {name for rows in unsettled.values() for name in rows}
    names = tuple(sorted({*world.ledger.portfolio(world.account, until).positions, *traded, *delivered}))
    facts = {day: world.market.day_facts(day, names) for day in days}
    renamed = {row.new_instrument_id for known in facts.values() for row in known.symbol_changes}
    if renamed:
        names = tuple(sorted({*names, *renamed}))
        facts = {day: world.market.day_facts(day, names) for day in days}
    for day, known in facts.items():
        require_possible(known, f"facts of {day}")
    facts = {
        day: replace(
            known,
            unsettled=unsettled[day],
            posted_month=posted_month(day, carry.financing, world.sessions),
        )
        for day, known in facts.items()
    }
    posted = 0
    # What was bought in the meantime was not there at 00:00, and earns no dividend of that day.
    for moment in (*_share_moments(facts, names, after, until), until):
        made = calendar_entries(
            world.ledger.portfolio(world.account, moment),
            after,
            moment,
            facts,
            world.contracts,
            carry,
            unpaid_accruals(world.ledger.entries(world.account)),
        )
        posted += world.ledger.post(world.account, made)
        after = moment
    return posted


def _unsettled(
    world: World, entries: Sequence[LedgerEntry], days: Sequence[date], carry: CarryPolicy
) -> dict[date, Mapping[str, Decimal]]:
    """Shares that were traded by the end of each day and are delivered later, by contract."""
    trades = unsettled_trades(entries, days[0], world.contracts, world.sessions, carry.settlement)
    if not trades:
        return {day: {} for day in days}
    begun = min(trade.trade_date for trade in trades)
    passed = [begun + timedelta(days=ahead) for ahead in range((days[-1] - begun).days + 1)]
    splits = [split for day in passed for split in world.facts.splits(day)]
    return {day: unsettled_shares(trades, splits, day) for day in days}


def _share_moments(
    facts: Mapping[date, DayFacts], names: Sequence[str], after: datetime, until: datetime
) -> list[datetime]:
    """Starts of days on which a share that the book names went ex, was split or took a new symbol."""
    starts = [
        datetime.combine(day, DAY_START)
        for day, known in sorted(facts.items())
        if any(row.instrument_id in names for row in known.dividends)
        or any(row.instrument_id in names for row in known.splits)
        or any(row.instrument_id in names for row in known.symbol_changes)
    ]
    return [start for start in starts if after < start < until]


def own_orders(
    records: Sequence[ChildRecord], recovery: RecoveryReport | None = None
) -> tuple[OwnOrder, ...]:
    """Our orders that may still trade. One that a recovery has just lost was there when we last heard of it."""
    lost = {
        row.order_ref
        for row in (() if recovery is None else recovery.children)
        if row.before in ACKNOWLEDGED and row.after is ChildStatus.UNKNOWN
    }
    return tuple(
        OwnOrder(
            child=record.child,
            status=record.status,
            is_acknowledged=record.status in ACKNOWLEDGED or record.child.order_ref in lost,
        )
        for record in sorted(records, key=lambda record: record.child.order_ref)
        if record.status.holds_reservation
    )


def known_orders(world: World, broker: BrokerSnapshot, working: tuple[OwnOrder, ...]) -> KnownOrders:
    """Of the orders and executions that the broker lists, those that are ours and those that our ledger holds.

    An older version of a listed execution counts too: the ledger may still hold what the broker has corrected. So does
    one of these days that the broker lists no longer: the venue may have taken it back.
    """
    entries = world.ledger.entries(world.account)
    listed = {fill.root for fill in broker.executions}
    asked = listed | _no_longer_listed(entries, listed, broker.as_of.date() - LISTED_DAYS)
    fills: dict[str, Fill] = {fill.execution_id: fill for fill in world.fills(asked)}
    booked = {entry.entry_id for entry in entries} if listed or fills else set()
    for fill in broker.executions:
        if f"trade:{fill.execution_id}" in booked:
            fills.setdefault(fill.execution_id, fill)
    open_refs = {order.order_ref for order in broker.open_orders if order.order_ref is not None}
    return KnownOrders(
        order_refs=world.order_refs(open_refs),
        working=working,
        booked=tuple(fills[name] for name in sorted(fills)),
        taxed=frozenset(name for name in fills if booked.intersection(tax_ids(name))),
    )


def _no_longer_listed(entries: Sequence[LedgerEntry], listed: Collection[str], since: date) -> set[str]:
    """Roots of executions that we booked lately and that the broker should list, and does not."""
    roots = set()
    for entry in reversed(entries):
        if entry.booked_at.date() < since:
            break
        root = entry.entry_id.removeprefix(TRADE_PREFIX).rpartition(".")[0]
        is_trade = entry.kind is EntryKind.TRADE and not entry.is_reversal
        if is_trade and entry.value_date >= since and root not in listed:
            roots.add(root)
    return roots


def _read_market(day: TradingDay, given: Collection[str], quoted: Sequence[str]) -> MarketInputs:
    wanted = day.world.wanted_options(day.trade_date, day.key.kind)
    return day.world.inputs(day.trade_date, day.context.as_of, quoted, wanted, given)


def live_quotes(world: World, broker: BrokerSnapshot) -> dict[str, Quote]:
    """Quotes of held contracts whose venue is in session: what the broker's live marks are compared with."""
    live: Sequence[str] = sorted(name for name, held in broker.positions.items() if held.in_session)
    quotes = {name: world.facts.quote(name, broker.as_of) for name in live}
    return {name: quote for name, quote in quotes.items() if quote is not None}
