"""A broker's statement as values, and whether it contradicts itself.

In comes what the broker wrote about a period of an account: executions, cash transactions, the positions at its end
and a cash report per currency. Out come its contradictions; a statement with one is refused whole. Money is in the
row's currency, positive when the account receives it; every figure stands as the broker wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from engine.model.money import ZERO
from engine.model.orders import Fill

CENT = Decimal("0.01")
"""Brokers round the figures of a statement; what differs by more contradicts."""

_MARK_ROUNDING = Decimal("0.0001")


class TradeKind(Enum):
    """What a row of the trades section says."""

    EXECUTION = "execution"
    CORRECTION = "correction"
    CANCEL = "cancel"
    EVENT = "event"


class CashKind(Enum):
    """Why cash moved outside of a trade."""

    DIVIDEND = "dividend"
    WITHHOLDING = "withholding_tax"
    INTEREST = "interest"
    BORROW_FEE = "borrow_fee"
    FEE = "fee"
    COMMISSION = "commission"
    CASH_IN_LIEU = "cash_in_lieu"
    FLOW = "flow"
    OTHER = "other"


class CashComponent(Enum):
    """A line of the cash report. SETTLEMENT is the variation of futures; no row of the statement lists it."""

    TRADES = "trades"
    COMMISSIONS = "commissions"
    TAXES = "transaction taxes"
    SETTLEMENT = "settlement of futures"
    DIVIDENDS = "dividends"
    WITHHOLDING = "withholding tax"
    INTEREST = "interest"
    FEES = "fees"
    FLOWS = "deposits and withdrawals"
    OTHER = "other"


COMPONENT_OF: Mapping[CashKind, CashComponent] = {
    CashKind.DIVIDEND: CashComponent.DIVIDENDS,
    CashKind.WITHHOLDING: CashComponent.WITHHOLDING,
    CashKind.INTEREST: CashComponent.INTEREST,
    CashKind.BORROW_FEE: CashComponent.INTEREST,
    CashKind.FEE: CashComponent.FEES,
    CashKind.COMMISSION: CashComponent.OTHER,
    CashKind.CASH_IN_LIEU: CashComponent.OTHER,
    CashKind.FLOW: CashComponent.FLOWS,
    CashKind.OTHER: CashComponent.OTHER,
}
"""Line of the cash report that each cash transaction belongs to; brokers report borrow fees as interest."""

_UNLISTED = (CashComponent.SETTLEMENT, CashComponent.OTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementTrade:
    """One execution, its correction, its cancellation, or a change of position by an event such as an expiry.

    ``fill`` has its price in quote units; of a cancellation it is the execution that was taken back, of an event its
    id is the broker's transaction. ``quantity`` is what the row changes the position by. ``unit_price`` is in
    ``currency`` per unit, ``proceeds``, ``commission`` and ``taxes`` are signed; ``settled_daily`` marks a future,
    whose trade moves no cash; ``bought_currency`` is the first currency of a currency trade, else ``None``.
    """

    kind: TradeKind
    transaction_id: str
    fill: Fill
    quantity: Decimal
    trade_date: date
    currency: str
    unit_price: Decimal
    multiplier: Decimal
    proceeds: Decimal
    commission: Decimal
    commission_currency: str
    taxes: Decimal
    settled_daily: bool
    bought_currency: str | None

    @property
    def row_id(self) -> str:
        """Identity of the row over all statements."""
        return f"{self.kind.value}:{self.fill.execution_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementCash:
    """One cash transaction; ``contract_id`` where the broker names a security."""

    transaction_id: str
    kind: CashKind
    currency: str
    amount: Decimal
    contract_id: str | None
    value_date: date
    text: str

    @property
    def row_id(self) -> str:
        """Identity of the row over all statements."""
        return f"cash:{self.transaction_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementPosition:
    """A position at the end of the period; ``unit_mark`` in ``currency`` per unit."""

    contract_id: str
    quantity: Decimal
    currency: str
    multiplier: Decimal
    unit_mark: Decimal
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CashReport:
    """Cash of one currency from the beginning of the period to its end."""

    currency: str
    starting: Decimal
    ending: Decimal
    components: Mapping[CashComponent, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a broker states of an account and a period of whole days, first and last included.

    ``begins`` and ``ends`` bound the same period in UTC, the end exclusive; ``generated_at`` is when it was written.
    """

    account: str
    first: date
    last: date
    begins: datetime
    ends: datetime
    generated_at: datetime
    trades: tuple[StatementTrade, ...]
    cash: tuple[StatementCash, ...]
    positions: tuple[StatementPosition, ...]
    reports: tuple[CashReport, ...]

    def covers(self, day: date) -> bool:
        """Whether a date lies in the period."""
        return self.first <= day <= self.last


def contradictions(statement: Statement) -> tuple[str, ...]:
    """Everything in a statement that can not be true together, in words; empty for a sound one."""
    return tuple(
        text
        for part in (
            _period(statement),
            _repeated(statement),
            _trade_figures(statement.trades),
            _position_values(statement.positions),
            _report_sums(statement.reports),
            _report_rows(statement),
        )
        for text in part
    )


def _period(statement: Statement) -> Iterator[str]:
    first, last = statement.first, statement.last
    if first > last:
        yield f"the period ends on {last}, before it begins on {first}"
    if statement.generated_at < statement.begins:
        yield f"it was written at {statement.generated_at:%Y-%m-%d %H:%M} UTC, before its period began"
    for trade in statement.trades:
        if not statement.covers(trade.trade_date):
            yield f"{trade.row_id} is of {trade.trade_date}, outside {first} to {last}"
    for row in statement.cash:
        if not statement.covers(row.value_date):
            yield f"{row.row_id} is of {row.value_date}, outside {first} to {last}"


def _repeated(statement: Statement) -> Iterator[str]:
    names = (
        *(trade.row_id for trade in statement.trades),
        *(row.row_id for row in statement.cash),
        *(f"position {position.contract_id}" for position in statement.positions),
        *(f"cash report {report.currency}" for report in statement.reports),
    )
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{name} stands there twice"
        seen.add(name)


def _trade_figures(trades: Iterable[StatementTrade]) -> Iterator[str]:
    """``proceeds = −quantity × price × multiplier``; a future's may be left at zero, for it moves no cash."""
    for trade in trades:
        expected = -trade.quantity * trade.unit_price * trade.multiplier
        if trade.settled_daily and trade.proceeds == 0:
            continue
        if abs(trade.proceeds - expected) > CENT:
            yield f"{trade.row_id}: {trade.quantity} at {trade.unit_price} is {expected:.2f}, found {trade.proceeds}"


def _position_values(positions: Iterable[StatementPosition]) -> Iterator[str]:
    """``value = quantity × mark × multiplier``, within the rounding of the mark."""
    for held in positions:
        scale = abs(held.quantity * held.multiplier)
        expected = held.quantity * held.multiplier * held.unit_mark
        if abs(held.value - expected) > CENT + scale * _MARK_ROUNDING:
            yield f"{held.contract_id}: {held.quantity} at {held.unit_mark} is {expected:.2f}, found {held.value}"


def _report_sums(reports: Iterable[CashReport]) -> Iterator[str]:
    for report in reports:
        ending = report.starting + sum(report.components.values(), ZERO)
        if abs(ending - report.ending) > CENT:
            yield f"cash of {report.currency} adds up to {ending:.2f}, found {report.ending}"


def _report_rows(statement: Statement) -> Iterator[str]:
    """Each line of the cash report is the sum of its rows."""
    rows = row_sums(statement)
    reports = {report.currency: report for report in statement.reports}
    for currency in sorted({currency for currency, _ in rows} - set(reports)):
        yield f"there are rows in {currency} and no cash report of it"
    for currency, report in sorted(reports.items()):
        for component in CashComponent:
            if component in _UNLISTED:
                continue
            listed, told = rows.get((currency, component), ZERO), report.components.get(component, ZERO)
            if abs(listed - told) > CENT:
                yield f"{component.value} in {currency}: the rows sum to {listed:.2f}, the cash report says {told}"


def row_sums(statement: Statement) -> Mapping[tuple[str, CashComponent], Decimal]:
    """What the rows moved, by currency and line of the cash report."""
    sums: dict[tuple[str, CashComponent], Decimal] = {}

    def add(currency: str, component: CashComponent, amount: Decimal) -> None:
        if amount != 0:
            sums[currency, component] = sums.get((currency, component), ZERO) + amount

    for trade in statement.trades:
        if not trade.settled_daily:
            add(trade.currency, CashComponent.TRADES, trade.proceeds)
        if trade.bought_currency is not None:
            add(trade.bought_currency, CashComponent.TRADES, trade.quantity * trade.multiplier)
        add(trade.commission_currency, CashComponent.COMMISSIONS, trade.commission)
        add(trade.currency, CashComponent.TAXES, trade.taxes)
    for row in statement.cash:
        add(row.currency, COMPONENT_OF[row.kind], row.amount)
    return sums
