"""Bring our book to a time: settlements, carry and corporate actions of every calendar moment since the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.accounting.book import apply
from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.carry.borrow import unsettled_shares, unsettled_trades
from engine.carry.calendar import DAY_START, DayFacts, calendar_entries
from engine.carry.postings import posted_month, unpaid_accruals
from engine.composition.stages import PreviousDay
from engine.model.carry import CarryPolicy
from engine.model.encoding import decode
from engine.model.impossible import require_possible
from engine.model.portfolio import Portfolio
from tasks.day import CLOSED, VALUED
from tasks.runtime import World

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


def settle_calendar(world: World, until: datetime) -> int:
    """Book settlements, carry and corporate actions of every calendar moment since the last one booked."""
    return world.ledger.post(world.account, due_calendar(world, until))


def due_calendar(
    world: World, until: datetime, supposed: Sequence[LedgerEntry] = ()
) -> tuple[LedgerEntry, ...]:
    """Entries of every calendar moment since the last one booked, on our book with what is supposed in it."""
    entries = world.ledger.entries(world.account)
    after = max(
        (entry.booked_at for entry in entries if entry.kind in CALENDAR_KINDS),
        default=entries[0].booked_at,
    )
    if after >= until:
        return ()
    traded = {e.contract_id for e in entries if e.booked_at > after and e.contract_id is not None}
    days = [after.date() + timedelta(days=ahead) for ahead in range((until.date() - after.date()).days + 1)]
    carry = world.policy(until.date()).carry
    unsettled = _unsettled(world, entries, days, carry)
    delivered = {name for rows in unsettled.values() for name in rows}
    names = tuple(sorted({*world.ledger.portfolio(world.account, until).positions, *traded, *delivered}))
    facts = {day: world.outside.day_facts(day, names) for day in days}
    renamed = {row.new_instrument_id for known in facts.values() for row in known.symbol_changes}
    if renamed:
        names = tuple(sorted({*names, *renamed}))
        facts = {day: world.outside.day_facts(day, names) for day in days}
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
    found: list[LedgerEntry] = []
    # What was bought in the meantime was not there at 00:00, and earns no dividend of that day.
    for moment in (*_share_moments(facts, names, after, until), until):
        made = calendar_entries(
            _book_at(world, moment, (*supposed, *found)),
            after,
            moment,
            facts,
            world.contracts,
            carry,
            unpaid_accruals((*entries, *found)),
        )
        found += made
        after = moment
    return tuple(found)


def _book_at(world: World, moment: datetime, more: Sequence[LedgerEntry]) -> Portfolio:
    """Our book at a time, with entries that it does not hold yet."""
    book = world.ledger.portfolio(world.account, moment)
    booked = [entry for entry in more if entry.booked_at <= moment]
    return replace(apply(book, *booked), as_of=moment) if booked else book


def _unsettled(
    world: World, entries: Sequence[LedgerEntry], days: Sequence[date], carry: CarryPolicy
) -> dict[date, Mapping[str, Decimal]]:
    """Shares that were traded by the end of each day and are delivered later, by contract."""
    trades = unsettled_trades(entries, days[0], world.contracts, world.sessions, carry.settlement)
    if not trades:
        return {day: {} for day in days}
    begun = min(trade.trade_date for trade in trades)
    passed = [begun + timedelta(days=ahead) for ahead in range((days[-1] - begun).days + 1)]
    splits = [split for day in passed for split in world.outside.splits(day)]
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


def valued_until(world: World) -> datetime:
    """The last time at which the fund was valued; before all time when it never was."""
    found = [
        decode(PreviousDay, payload).valuation.as_of
        for name in (VALUED, CLOSED)
        if (payload := world.runs.memory(world.account, name, date.max - timedelta(days=1))) is not None
    ]
    return max(found, default=world.ledger.entries(world.account)[0].booked_at)


def closed_until(world: World) -> datetime:
    """Up to when the book is valued or settled: nothing is booked into the time before."""
    settled = [e.booked_at for e in world.ledger.entries(world.account) if e.kind in CALENDAR_KINDS]
    return max((valued_until(world), *settled))
