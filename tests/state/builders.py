"""Small things that state tests write: keys, runs, jobs, intents, children and fills."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from engine.accounting.ledger import EntryKind, LedgerEntry, LedgerLine, deposit
from engine.model.context import Mode, RunKey, RunKind

D = Decimal
ACCOUNT = "SIM-fund-42"
DAY = date(2025, 12, 1)
NOW = datetime(2025, 12, 1, 6, 0, tzinfo=UTC)


def later(seconds: float = 0, days: int = 0) -> datetime:
    return NOW + timedelta(days=days, seconds=seconds)


def make_key(kind: RunKind = RunKind.DECISION, trade_date: date = DAY, account: str = ACCOUNT) -> RunKey:
    return RunKey(account=account, mode=Mode.SIMULATED, trade_date=trade_date, kind=kind)


def make_deposit(
    amount: str = "10000000", reference: str = "opening", booked_at: datetime = NOW
) -> LedgerEntry:
    return deposit(D(amount), D(amount) / 100, booked_at, reference)


def make_interest(name: str, amount: str = "1.5", booked_at: datetime = NOW) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"interest:{name}",
        kind=EntryKind.INTEREST,
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=None,
        reference="",
        price=None,
        quantity=None,
        lines=(
            LedgerLine(account="cash", unit="USD", amount=D(amount)),
            LedgerLine(account="income:interest", unit="USD", amount=-D(amount)),
        ),
    )
