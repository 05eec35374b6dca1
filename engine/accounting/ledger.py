"""The ledger: what happened to the fund, as double entry, and the only source of its portfolio.

In come events (deposits, executions, settlements, carry); out come entries whose lines sum to zero in every
unit, where a unit is a currency, a contract, or fund units. `engine.accounting.book` folds entries into a
`Portfolio`. Accounts: ``cash``, ``position:<sleeve>``, ``cost:<contract>``, ``clearing:<contract>``,
``market:<contract>``, ``accrual:<kind>``, ``units``, ``equity``, ``income:<kind>``, ``expense:<kind>``,
``adoption``, ``investors``. Money is rounded once, when its line is made.

Postings need no state except settlement: a purchase of shares moves ``quantity × price × multiplier`` from cash
to cost; a future moves it from clearing to cost and touches cash only when it is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum

from engine.errors import InvariantError
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO, round_money, to_micros
from engine.model.orders import Fill
from engine.model.portfolio import Position

CASH = "cash"
EQUITY = "equity"
ADOPTED = "adoption"
INVESTORS = "investors"
UNITS = "units"
FUND_UNIT = "UNITS"
POSITION_PREFIX = "position:"
COST_PREFIX = "cost:"
CLEARING_PREFIX = "clearing:"
MARKET_PREFIX = "market:"
ACCRUAL_PREFIX = "accrual:"
INTEREST_ACCRUAL = f"{ACCRUAL_PREFIX}interest"
REVERSAL_PREFIX = "reversal:"
CORRECTION_MARK, EXPECTED_COMMISSION_PREFIX = "#", "commission-expected:"


class EntryKind(Enum):
    """What happened."""

    DEPOSIT = "DEPOSIT"
    SUBSCRIPTION = "SUBSCRIPTION"
    REDEMPTION = "REDEMPTION"
    TRADE = "TRADE"
    COMMISSION = "COMMISSION"
    FEE = "FEE"
    TAX = "TAX"
    WITHHOLDING = "WITHHOLDING"
    VARIATION = "VARIATION"
    FX_CONVERSION = "FX_CONVERSION"
    DIVIDEND = "DIVIDEND"
    BORROW_FEE = "BORROW_FEE"
    INTEREST = "INTEREST"
    SPLIT = "SPLIT"
    CASH_IN_LIEU = "CASH_IN_LIEU"
    SYMBOL_CHANGE = "SYMBOL_CHANGE"
    TRANSFER = "TRANSFER"
    ADOPTION = "ADOPTION"
    EXPIRY = "EXPIRY"
    WRITE_DOWN = "WRITE_DOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """A change of one account in one unit, exact to six decimals."""

    account: str
    unit: str
    amount: Decimal

    def __post_init__(self) -> None:
        if not self.unit:
            raise InvariantError(f"expected a unit of the {self.amount} in {self.account}, found none")
        to_micros(self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One event. ``entry_id`` follows from the event, so that booking it twice is seen.

    ``booked_at`` is when we learned of it (UTC), ``value_date`` when it counts; ``price`` in quote units;
    ``quantity`` is the signed change of the contract. ``reference`` names the source: an order, a reason.
    """

    entry_id: str
    kind: EntryKind
    booked_at: datetime
    value_date: date
    contract_id: str | None
    reference: str
    price: Decimal | None
    quantity: Decimal | None
    lines: tuple[LedgerLine, ...]

    def __post_init__(self) -> None:
        if self.booked_at.tzinfo is None or self.booked_at.utcoffset() != UTC.utcoffset(None):
            raise InvariantError(f"{self.entry_id}: expected a booking time in UTC, found {self.booked_at!r}")
        if not self.lines:
            raise InvariantError(f"{self.entry_id}: expected lines, found none")
        totals: dict[str, Decimal] = {}
        for line in self.lines:
            totals[line.unit] = totals.get(line.unit, ZERO) + line.amount
        open_units = {unit: total for unit, total in totals.items() if total != 0}
        if open_units:
            raise InvariantError(f"{self.entry_id}: expected lines that sum to zero, found {open_units}")

    @property
    def is_reversal(self) -> bool:
        """Whether the entry takes back an earlier one."""
        return self.entry_id.startswith(REVERSAL_PREFIX)

    @property
    def cash(self) -> Mapping[str, Decimal]:
        """What the entry moved in cash, by currency."""
        moved: dict[str, Decimal] = {}
        for line in self.lines:
            if line.account == CASH:
                moved[line.unit] = moved.get(line.unit, ZERO) + line.amount
        return moved


def pair(debit: str, credit: str, unit: str, amount: Decimal) -> tuple[LedgerLine, LedgerLine]:
    """Two lines that move an amount into ``debit`` out of ``credit``."""
    return (
        LedgerLine(account=debit, unit=unit, amount=amount),
        LedgerLine(account=credit, unit=unit, amount=-amount),
    )


def quantity_lines(contract_id: str, sleeves: Mapping[str, Decimal]) -> tuple[LedgerLine, ...]:
    """Lines that change each sleeve's holding against the market."""
    held = tuple(
        LedgerLine(account=POSITION_PREFIX + sleeve, unit=contract_id, amount=quantity)
        for sleeve, quantity in sorted(sleeves.items())
        if quantity != 0
    )
    total = sum((line.amount for line in held), ZERO)
    return (*held, LedgerLine(account=MARKET_PREFIX + contract_id, unit=contract_id, amount=-total))


def deposit(
    amount: Decimal, units: Decimal, booked_at: datetime, reference: str, currency: str = BASE_CURRENCY
) -> LedgerEntry:
    """Opening capital, at a price per unit of the fund's own choosing; later flows are in `accounting.investors`."""
    return LedgerEntry(
        entry_id=f"deposit:{reference}",
        kind=EntryKind.DEPOSIT,
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=None,
        reference=reference,
        price=None,
        quantity=None,
        lines=(*pair(CASH, EQUITY, currency, amount), *pair(UNITS, EQUITY, FUND_UNIT, units)),
    )


def trade(
    fill: Fill, instrument: Instrument, sleeves: Mapping[str, Decimal], booked_at: datetime
) -> LedgerEntry:
    """An execution of our own order, split exactly over its sleeves; spot FX becomes a conversion of cash.

    Raises `InvariantError` when the sleeves do not sum to the signed quantity.
    """
    if sum(sleeves.values(), ZERO) != fill.signed_quantity:
        raise InvariantError(f"{fill.execution_id}: sleeve quantities do not sum to the execution")
    is_conversion = instrument.kind in (InstrumentType.CASH, InstrumentType.FX_SPOT)
    lines = (
        _conversion_lines(fill, instrument)
        if is_conversion
        else acquisition_lines(fill.contract_id, instrument, sleeves, fill.price)
    )
    return LedgerEntry(
        entry_id=f"trade:{fill.execution_id}",
        kind=EntryKind.FX_CONVERSION if is_conversion else EntryKind.TRADE,
        booked_at=booked_at,
        value_date=fill.executed_at.date(),
        contract_id=fill.contract_id,
        reference=fill.order_ref or "",
        price=fill.price,
        quantity=fill.signed_quantity,
        lines=lines,
    )


def acquisition_lines(
    contract_id: str, instrument: Instrument, sleeves: Mapping[str, Decimal], price: Decimal
) -> tuple[LedgerLine, ...]:
    """Lines of a change of holding at a price: paid in cash, or for a future left to settlement."""
    total = sum(sleeves.values(), ZERO)
    notional = round_money(instrument.notional(total, price))
    source = CLEARING_PREFIX + contract_id if instrument.is_future else CASH
    return (
        *quantity_lines(contract_id, sleeves),
        *pair(COST_PREFIX + contract_id, source, instrument.currency, notional),
    )


def _conversion_lines(fill: Fill, instrument: Instrument) -> tuple[LedgerLine, ...]:
    """Spot FX ``USD.CHF``: the first currency of the pair's id is bought with the instrument's currency."""
    base = fill.contract_id.partition(".")[0]
    contra = CLEARING_PREFIX + fill.contract_id
    bought = round_money(fill.signed_quantity * instrument.multiplier)
    paid = round_money(instrument.notional(fill.signed_quantity, fill.price))
    return (
        *pair(CASH, contra, base, bought),
        *pair(contra, CASH, instrument.currency, paid),
    )


def commission(fill: Fill, booked_at: datetime) -> LedgerEntry:
    """Commission of an execution in its own currency; raises `InvariantError` before it is reported."""
    if fill.commission is None or not fill.commission_currency:
        raise InvariantError(
            f"{fill.execution_id}: expected a reported commission, found none; book it when it arrives"
        )
    amount = round_money(fill.commission)
    return LedgerEntry(
        entry_id=f"commission:{fill.execution_id}",
        kind=EntryKind.COMMISSION,
        booked_at=booked_at,
        value_date=fill.executed_at.date(),
        contract_id=fill.contract_id,
        reference=fill.order_ref or "",
        price=None,
        quantity=None,
        lines=pair("expense:commission", CASH, fill.commission_currency, amount),
    )


def book_execution(
    fill: Fill,
    instrument: Instrument,
    sleeves: Mapping[str, Decimal],
    booked_at: datetime,
    superseded: tuple[LedgerEntry, ...] = (),
) -> tuple[LedgerEntry, ...]:
    """All entries of one execution: reversals of the entries that it corrects, the trade, its commission if known.

    ``superseded`` are the unreversed trade and commission entries of the same execution root.
    """
    reported = fill.is_charged and fill.commission != 0
    return (
        *(reverse(entry, booked_at) for entry in superseded),
        trade(fill, instrument, sleeves, booked_at),
        *((commission(fill, booked_at),) if reported else ()),
    )


def entry_ids(execution_id: str) -> tuple[str, ...]:
    """Ids of all entries that an execution can have; a correction of it takes back those that are booked."""
    kinds = ("trade:", "commission:", EXPECTED_COMMISSION_PREFIX, "tax:")
    return tuple(f"{kind}{execution_id}" for kind in (*kinds, "statement-commission:", "statement-tax:"))


def tax_ids(execution_id: str) -> tuple[str, ...]:
    """Ids under which the tax of an execution may be booked."""
    return tuple(name for name in entry_ids(execution_id) if "tax" in name.partition(":")[0])


def reverse(entry: LedgerEntry, booked_at: datetime) -> LedgerEntry:
    """Take an entry back; with the replacement after it this is how a corrected execution is booked."""
    return LedgerEntry(
        entry_id=REVERSAL_PREFIX + entry.entry_id,
        kind=entry.kind,
        booked_at=booked_at,
        value_date=entry.value_date,
        contract_id=entry.contract_id,
        reference=entry.reference,
        price=entry.price,
        quantity=None if entry.quantity is None else -entry.quantity,
        lines=tuple(LedgerLine(account=x.account, unit=x.unit, amount=-x.amount) for x in entry.lines),
    )


def taken_back(entries: Iterable[LedgerEntry]) -> frozenset[str]:
    """Ids of reversals and of the entries that they take back, where both are among the entries."""
    names = {entry.entry_id for entry in entries}
    pairs = [(name, name.removeprefix(REVERSAL_PREFIX)) for name in names if name.startswith(REVERSAL_PREFIX)]
    return frozenset(name for pair in pairs if pair[1] in names for name in pair)


def corrected(entry: LedgerEntry, replacement: LedgerEntry, booked_at: datetime) -> tuple[LedgerEntry, ...]:
    """Take an entry back and book what is right in its place; nothing when both say the same.

    The replacement's id gets the number of the correction: ``dividend:AAPL:2014-05-08#2``. Raises `InvariantError`
    on a reversal, which is never corrected.
    """
    if entry.is_reversal:
        raise InvariantError(f"{entry.entry_id}: expected an entry to correct, found a reversal")
    name, _, number = entry.entry_id.partition(CORRECTION_MARK)
    new_id = f"{name}{CORRECTION_MARK}{int(number or 1) + 1}"
    renamed = replace(replacement, entry_id=new_id, booked_at=booked_at)
    if (renamed.kind, renamed.lines) == (entry.kind, entry.lines):
        return ()
    return reverse(entry, booked_at), renamed


def variation(
    position: Position, instrument: Instrument, session_date: date, settlement: Decimal, booked_at: datetime
) -> LedgerEntry:
    """Daily settlement of a future: ``V = quantity × settlement × multiplier − cost`` is paid in cash.

    Afterwards cost = quantity × settlement × multiplier. Raises `InvariantError` for anything but a future.
    """
    if not instrument.is_future:
        raise InvariantError(f"{position.contract_id}: only futures are settled daily")
    contract_id = position.contract_id
    amount = round_money(instrument.notional(position.quantity, settlement)) - position.cost
    return LedgerEntry(
        entry_id=f"variation:{contract_id}:{session_date.isoformat()}",
        kind=EntryKind.VARIATION,
        booked_at=booked_at,
        value_date=session_date,
        contract_id=contract_id,
        reference="settlement",
        price=settlement,
        quantity=None,
        lines=(
            *pair(CASH, "income:variation", instrument.currency, amount),
            *pair(COST_PREFIX + contract_id, CLEARING_PREFIX + contract_id, instrument.currency, amount),
        ),
    )


def expiry(
    position: Position, instrument: Instrument, day: date, price: Decimal, booked_at: datetime
) -> LedgerEntry:
    """End of a contract: a future is finally settled, an option pays its intrinsic value; the line is removed."""
    contract_id, unit = position.contract_id, instrument.currency
    value = round_money(instrument.notional(position.quantity, price))
    closing = {sleeve.value: -quantity for sleeve, quantity in position.sleeves.items()}
    money = (
        (
            *pair(CASH, "income:variation", unit, value - position.cost),
            *pair(CLEARING_PREFIX + contract_id, COST_PREFIX + contract_id, unit, position.cost),
        )
        if instrument.is_future
        else pair(CASH, COST_PREFIX + contract_id, unit, value)
    )
    return LedgerEntry(
        entry_id=f"expiry:{contract_id}:{day.isoformat()}",
        kind=EntryKind.EXPIRY,
        booked_at=booked_at,
        value_date=day,
        contract_id=contract_id,
        reference="expiry",
        price=price,
        quantity=-position.quantity,
        lines=(*quantity_lines(contract_id, closing), *money),
    )


def transfer(
    contract_id: str,
    source: str,
    target: str,
    quantity: Decimal,
    price: Decimal,
    at: datetime,
    reference: str,
) -> LedgerEntry:
    """Move a holding between sleeves at a stated price; nothing changes for the fund as a whole."""
    return LedgerEntry(
        entry_id=f"transfer:{contract_id}:{source}:{target}:{reference}",
        kind=EntryKind.TRANSFER,
        booked_at=at,
        value_date=at.date(),
        contract_id=contract_id,
        reference=reference,
        price=price,
        quantity=ZERO,
        lines=pair(POSITION_PREFIX + target, POSITION_PREFIX + source, contract_id, quantity),
    )


def write_down(
    contract_id: str, currency: str, amount: Decimal, booked_at: datetime, reference: str
) -> LedgerEntry:
    """Lower the fund by an amount for a line whose mark is no longer believed (a negative amount takes it back)."""
    return LedgerEntry(
        entry_id=f"write-down:{contract_id}:{reference}",
        kind=EntryKind.WRITE_DOWN,
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=contract_id,
        reference=reference,
        price=None,
        quantity=None,
        lines=pair("expense:write_down", f"{ACCRUAL_PREFIX}write_down", currency, round_money(amount)),
    )
