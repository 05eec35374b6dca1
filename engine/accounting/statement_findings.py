"""What each row of a statement is to our book, and what of it may be booked without asking.

A finding is explained when the row itself says what happened and to which of our lines; only explained findings carry
a booking, and only those that the policy names are booked. Everything else is left to a person, with its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum

from engine.accounting.ledger import REVERSAL_PREFIX, LedgerEntry
from engine.accounting.statement import Statement
from engine.model.orders import Fill, OrderIntent
from engine.model.universe import ContractBook


class Finding(Enum):
    """What a row is. Those up to OTHER_FEE can be explained; the later ones never book anything."""

    MATCHED = "matched"
    LATE_FILL = "late_fill"
    LOST_ORDER = "lost_order"
    FOREIGN_TRADE = "foreign_trade"
    CORRECTION = "correction"
    BUST = "bust"
    COMMISSION = "commission"
    TRANSACTION_TAX = "transaction_tax"
    DIVIDEND = "dividend"
    WITHHOLDING_TAX = "withholding_tax"
    INTEREST = "interest"
    BORROW_FEE = "borrow_fee"
    EXPIRY = "expiry"
    OTHER_FEE = "fee"
    UNLISTED_CONTRACT = "unlisted_contract"
    OTHER_ORDER = "other_order"
    OTHER_FIGURES = "other_figures"
    EVENT = "event"
    FLOW = "flow"
    ADOPTED = "adopted"
    UNNAMED_CASH = "unnamed_cash"
    NOT_IN_STATEMENT = "not_in_statement"
    POSITION = "position"
    CASH = "cash"
    SETTLEMENT_LATER = "settlement_later"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One row, or one figure of the book that no row has.

    ``fill`` is booked through its own order, ``takes_back`` names the execution that is taken back there; ``entries``
    go to the ledger directly. ``amount`` is the cash that the booking moves, in ``currency``.
    """

    row_id: str
    finding: Finding
    text: str
    currency: str = ""
    amount: Decimal = Decimal(0)
    fill: Fill | None = None
    takes_back: str | None = None
    entries: tuple[LedgerEntry, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether nobody has to do anything."""
        return self.finding in (Finding.MATCHED, Finding.SETTLEMENT_LATER)

    @property
    def is_explained(self) -> bool:
        """Whether the row says which booking resolves it."""
        return bool(self.entries) or self.fill is not None or self.takes_back is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementPolicy:
    """Findings that are booked without asking, and the largest cash row that is, in USD."""

    booked: frozenset[Finding]
    cash_limit_usd: Decimal

    def books(self, line: StatementLine, rates: Mapping[str, Decimal]) -> bool:
        """Whether a line is explained, configured and small enough; an unknown rate is not small."""
        if not line.is_explained or line.finding not in self.booked:
            return False
        if line.amount == 0:
            return True
        rate = rates.get(line.currency)
        return rate is not None and abs(line.amount * rate) <= self.cash_limit_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class BookSide:
    """Our side: the ledger, executions booked through our orders by id, and the parents of order references.

    ``closed_until`` is the last time that was valued or settled, ``now`` when the statement is read; ``cash_at`` is
    when its cash rows are booked.
    """

    entries: tuple[LedgerEntry, ...]
    fills: Mapping[str, Fill]
    parents: Mapping[str, OrderIntent]
    contracts: ContractBook
    closed_until: datetime
    now: datetime
    cash_at: datetime

    def live_entries(self) -> Mapping[str, LedgerEntry]:
        """Entries that nothing has taken back, by id."""
        found = {entry.entry_id: entry for entry in self.entries}
        return {
            name: entry
            for name, entry in found.items()
            if not entry.is_reversal and REVERSAL_PREFIX + name not in found
        }

    def booking_time(self, fill: Fill) -> datetime:
        """Its own time while that is still open, else now: what was valued does not change any more."""
        return fill.executed_at if fill.executed_at > self.closed_until else self.now


def is_covered(statement: Statement, value_date: date) -> bool:
    """Whether the whole UTC day of an entry lies inside the statement's period."""
    begins = datetime.combine(value_date, time(), UTC)
    return statement.begins <= begins and begins + timedelta(days=1) <= statement.ends
