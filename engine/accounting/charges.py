"""What trades and dividends cost beyond the commission: transaction tax, other fees, withholding (R-114).

Rates come from configuration, by the venue that lists a share and the side of the trade. A tax is a posting of its own
beside the trade, so that it can be compared with the broker's statement and shown in the bridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

from engine.accounting.corporate_actions import DIVIDEND_ACCOUNT, paid
from engine.accounting.ledger import CASH, EntryKind, LedgerEntry, LedgerLine, pair, taken_back
from engine.errors import ConfigurationError, InvariantError
from engine.model.carry import WithholdingTax
from engine.model.instruments import Instrument, InstrumentType
from engine.model.money import ZERO, Money, round_money
from engine.model.orders import Fill, Side
from engine.model.policy import TransactionTax

TAX_ACCOUNT = "expense:transaction_tax"
FEE_ACCOUNT = "expense:fee"
WITHHOLDING_ACCOUNT = "expense:withholding"
_WITHHELD_PREFIX = "withheld:"
_WITHHOLDING_PREFIX = "withholding:"


def tax_rate(instrument: Instrument, side: Side, day: date, taxes: Sequence[TransactionTax]) -> Decimal:
    """Fraction of the traded value that the listing's country takes on a day; funds and derivatives pay none.

    Raises `InvariantError` when two rules hold at once.
    """
    if instrument.kind is not InstrumentType.STK:
        return ZERO
    found = [tax for tax in taxes if tax.applies(instrument.venue, side, day)]
    if len(found) > 1:
        raise InvariantError(
            f"{instrument.instrument_id}: expected one transaction tax of {instrument.venue} on {day}, found {found}"
        )
    return found[0].rate if found else ZERO


def tax_due(
    instrument: Instrument, quantity: Decimal, price: Decimal, day: date, taxes: Sequence[TransactionTax]
) -> Decimal:
    """What a trade of a signed quantity is taxed: the same for the gate, the books and the analysis of costs."""
    if quantity == 0:
        return ZERO
    rate = tax_rate(instrument, Side.of(quantity), day, taxes)
    return round_money(abs(instrument.notional(quantity, price)) * rate)


def tax_of(fill: Fill, instrument: Instrument, taxes: Sequence[TransactionTax]) -> Decimal:
    """What an execution is taxed, in the instrument's currency, rounded once; positive, 0 where none is due."""
    return tax_due(instrument, fill.signed_quantity, fill.price, fill.executed_at.date(), taxes)


def transaction_tax(
    fill: Fill, instrument: Instrument, taxes: Sequence[TransactionTax], booked_at: datetime
) -> LedgerEntry | None:
    """Tax on an execution in the instrument's currency; ``None`` where none is due."""
    amount = tax_of(fill, instrument, taxes)
    if amount == 0:
        return None
    lines = pair(TAX_ACCOUNT, CASH, instrument.currency, amount)
    return charge(fill, f"tax:{fill.execution_id}", EntryKind.TAX, lines, booked_at)


def charge(
    fill: Fill, entry_id: str, kind: EntryKind, lines: tuple[LedgerLine, ...], booked_at: datetime
) -> LedgerEntry:
    """What an execution costs beside its price: an entry of its own, without quantity and price."""
    return LedgerEntry(
        entry_id=entry_id,
        kind=kind,
        booked_at=booked_at,
        value_date=fill.executed_at.date(),
        contract_id=fill.contract_id,
        reference=fill.order_ref or "",
        price=None,
        quantity=None,
        lines=lines,
    )


def fee(cost: Money, booked_at: datetime, value_date: date, reference: str) -> LedgerEntry:
    """A charge that belongs to no execution (market data, custody); positive is a cost, negative gives it back.

    ``reference`` names the broker's own transaction, so that booking it twice is seen.
    """
    return LedgerEntry(
        entry_id=f"fee:{reference}",
        kind=EntryKind.FEE,
        booked_at=booked_at,
        value_date=value_date,
        contract_id=None,
        reference=reference,
        price=None,
        quantity=None,
        lines=pair(FEE_ACCOUNT, CASH, cost.currency, round_money(cost.amount)),
    )


def withholding_rate(instrument: Instrument, day: date, taxes: Sequence[WithholdingTax]) -> Decimal:
    """Fraction of a dividend that the country of a share's issuer keeps back when it goes ex on a day.

    Raises `ConfigurationError` for a share without a country, or a country without exactly one rate on the day.
    """
    country = instrument.issuer_country
    found = [] if country is None else [tax for tax in taxes if tax.applies(country, instrument.kind, day)]
    if len(found) != 1:
        raise ConfigurationError(
            f"expected one rate of withholding on dividends of {instrument.instrument_id} ({instrument.kind.value} of "
            f"{country or 'no country'}) on {day}, found {[tax.source for tax in found]}; mend the withholding settings"
        )
    return found[0].rate


def withholding(accrual: LedgerEntry, rate: Decimal, booked_at: datetime) -> LedgerEntry | None:
    """Tax kept back from an accrued dividend; ``None`` on a short, which pays the gross amount in lieu.

    ``rate`` is a fraction from 0 to 1. Raises `InvariantError` outside it.
    """
    if not 0 <= rate <= 1:
        raise InvariantError(f"{accrual.entry_id}: expected a rate from 0 to 1, found {rate}")
    owed = next(line for line in accrual.lines if line.account == DIVIDEND_ACCOUNT)
    amount = round_money(owed.amount * rate)
    if owed.amount < 0 or amount == 0:
        return None
    return LedgerEntry(
        entry_id=_WITHHOLDING_PREFIX + accrual.entry_id,
        kind=EntryKind.WITHHOLDING,
        booked_at=booked_at,
        value_date=accrual.value_date,
        contract_id=accrual.contract_id,
        reference=accrual.entry_id,
        price=None,
        quantity=None,
        lines=pair(WITHHOLDING_ACCOUNT, DIVIDEND_ACCOUNT, owed.unit, amount),
    )


def withholding_payment(withheld: LedgerEntry, booked_at: datetime) -> LedgerEntry:
    """Pay date: what was withheld leaves the cash that the gross dividend brought."""
    return paid(withheld, withheld.entry_id.replace(_WITHHOLDING_PREFIX, _WITHHELD_PREFIX, 1), booked_at)


def unpaid_withholding(entries: Iterable[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """Tax kept back from accrued dividends that was not taken back and has not left the cash yet."""
    taxes = [entry for entry in entries if entry.kind is EntryKind.WITHHOLDING]
    settled = {entry.reference for entry in taxes if entry.entry_id.startswith(_WITHHELD_PREFIX)}
    gone = taken_back(taxes)
    return tuple(
        entry
        for entry in taxes
        if entry.entry_id.startswith(_WITHHOLDING_PREFIX) and entry.entry_id not in settled | gone
    )
