"""What may be sold short and what the loan costs: locates, collateral, and the fee from the day the sale settles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal

from engine.accounting.corporate_actions import is_share
from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.errors import ConfigurationError, MissingMark, UnknownContract
from engine.model.carry import BorrowConfig, SettlementCycle
from engine.model.instruments import Instrument, floor_lots
from engine.model.market import BorrowInfo, Split
from engine.model.money import ZERO, round_money
from engine.model.portfolio import Portfolio
from engine.model.universe import ContractBook
from engine.sessions import SessionTable

UNSETTLED_DAYS = timedelta(days=21)
"""Calendar days within which every trade has settled, holidays and all."""
_DAY_COUNT = 360
_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowService:
    """What may be sold short, by the lenders' word of the day; without a word nothing is lent (CARRY-01)."""

    infos: Mapping[str, BorrowInfo]
    config: BorrowConfig

    def needs_locate(self, instrument: Instrument) -> bool:
        """Whether a short of this line must find shares first."""
        return self.config.deny_short_without_borrow and not instrument.is_future and not instrument.is_option

    def shares_to_borrow(self, instrument: Instrument) -> Decimal:
        """Shares that a new short may borrow: none without a word or above the highest accepted fee."""
        info = self.infos.get(instrument.instrument_id)
        if info is None or info.fee_bps_annual > self.config.max_fee_bps_annual:
            return ZERO
        return floor_lots(max(ZERO, info.available_shares), instrument.lot)

    def allowed_short(self, instrument: Instrument, wanted: Decimal, held: Decimal) -> Decimal:
        """Unsigned part of a wanted short (negative) that may stand: what is short already stays without a locate."""
        if not self.needs_locate(instrument):
            return -wanted
        already = max(ZERO, -held)
        return min(-wanted, already + self.shares_to_borrow(instrument))


def collateral(quantity: Decimal, price: Decimal, instrument: Instrument, config: BorrowConfig) -> Decimal:
    """Cash that stands against borrowed shares: ``|quantity| × price × multiplier × fraction``, unrounded.

    What stands against one share is rounded up to the currency's step where it has one. Raises `ConfigurationError`
    for a currency without a configured fraction.
    """
    fraction = config.collateral_fraction.get(instrument.currency)
    if fraction is None:
        raise ConfigurationError(
            f"expected a borrow collateral fraction for {instrument.currency}, found none; add it to the carry settings"
        )
    step = config.collateral_price_step.get(instrument.currency)
    share = instrument.notional(Decimal(1), price) * fraction
    if step is not None:
        share = (share / step).to_integral_value(rounding=ROUND_CEILING) * step
    return abs(quantity) * share


def daily_borrow_fee(
    quantity: Decimal, price: Decimal, instrument: Instrument, fee_bps: Decimal, config: BorrowConfig
) -> Decimal:
    """Fee of one calendar day of a share loan: ``collateral × fee / 360``; errors as `collateral`."""
    return round_money(collateral(quantity, price, instrument, config) * fee_bps / _BPS / _DAY_COUNT)


def settlement_date(
    venue: str, trade_date: date, sessions: SessionTable, cycles: Sequence[SettlementCycle]
) -> date:
    """Day on which a trade in shares settles; raises `ConfigurationError` for a venue without a cycle that day."""
    cycle = next((row for row in cycles if row.applies(venue, trade_date)), None)
    if cycle is None:
        raise ConfigurationError(
            f"expected a settlement cycle of {venue} on {trade_date}, found none; add it to the carry settings"
        )
    day = trade_date
    for _ in range(cycle.sessions):
        day = sessions.next(venue, day).session_date
    return day


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledTrade:
    """Signed shares of one day's trade, and the day on which they are delivered."""

    contract_id: str
    quantity: Decimal
    trade_date: date
    settles: date


def unsettled_trades(
    entries: Sequence[LedgerEntry],
    since: date,
    contracts: ContractBook,
    sessions: SessionTable,
    cycles: Sequence[SettlementCycle],
) -> tuple[UnsettledTrade, ...]:
    """Trades in shares that settle after a day; one that was taken back stands there with its reversal.

    ``entries`` are in the order of booking.
    """
    found = []
    for entry in _lately(entries, since):
        name, quantity = entry.contract_id, entry.quantity
        if entry.kind is not EntryKind.TRADE or name is None or quantity is None:
            continue
        if not _is_share(contracts, name):
            continue
        settles = settlement_date(contracts.instrument(name).venue, entry.value_date, sessions, cycles)
        if settles > since:
            found.append(
                UnsettledTrade(
                    contract_id=name, quantity=quantity, trade_date=entry.value_date, settles=settles
                )
            )
    return tuple(found)


def unsettled_shares(
    trades: Iterable[UnsettledTrade], splits: Iterable[Split], day: date
) -> Mapping[str, Decimal]:
    """Signed shares traded by the end of a day that settle after it, counted as on that day, by contract."""
    found: dict[str, Decimal] = {}
    known = sorted(splits, key=lambda split: split.ex_date)
    for trade in trades:
        if not trade.trade_date <= day < trade.settles:
            continue
        quantity = trade.quantity
        for split in known:
            if split.instrument_id == trade.contract_id and trade.trade_date < split.ex_date <= day:
                quantity = round_money(quantity * split.new_shares / split.old_shares)
        found[trade.contract_id] = found.get(trade.contract_id, ZERO) + quantity
    return {name: quantity for name, quantity in found.items() if quantity != 0}


def _lately(entries: Sequence[LedgerEntry], since: date) -> Sequence[LedgerEntry]:
    """Entries whose trades may still be unsettled; the others were booked long before."""
    begun = len(entries)
    while begun > 0 and entries[begun - 1].booked_at.date() >= since - UNSETTLED_DAYS:
        begun -= 1
    return [entry for entry in entries[begun:] if entry.value_date >= since - UNSETTLED_DAYS]


def _is_share(contracts: ContractBook, contract_id: str) -> bool:
    try:
        return is_share(contracts.instrument(contract_id))
    except UnknownContract:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLoan:
    """Shares on loan at the end of a day: positive quantity, close in quote units, fee a year in bps."""

    contract_id: str
    instrument: Instrument
    quantity: Decimal
    price: Decimal
    fee_bps: Decimal


def share_loans(
    portfolio: Portfolio,
    unsettled: Mapping[str, Decimal],
    last_closes: Mapping[str, Decimal],
    fee_bps: Mapping[str, Decimal],
    contracts: ContractBook,
) -> tuple[ShareLoan, ...]:
    """Loans behind the shorts that have settled; a covered short is on loan until its purchase settles.

    Raises `MissingMark` for a loan without a close or a fee.
    """
    loans = []
    for name in sorted({*portfolio.positions, *unsettled}):
        settled = portfolio.quantity(name) - unsettled.get(name, ZERO)
        if settled >= 0 or not is_share(contracts.instrument(name)):
            continue
        instrument = contracts.instrument(name)
        price, fee = last_closes.get(name), fee_bps.get(instrument.instrument_id)
        if price is None or fee is None:
            raise MissingMark(
                f"expected a close and a borrow fee for the short {name}, found {price} and {fee}",
                subject=name,
            )
        loans.append(
            ShareLoan(contract_id=name, instrument=instrument, quantity=-settled, price=price, fee_bps=fee)
        )
    return tuple(loans)
