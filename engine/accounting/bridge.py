"""From the last NAV to this one: what earned or cost how much, to the cent.

Every component is computed from its own causes, none as a remainder:

- price: opening quantity × (mark now − mark then) + Σ traded quantity × (mark now − trade price), × multiplier, at
  the rate of now; settlements, splits and expiries need no component of their own;
- fx: opening net value of each currency × change of its rate, and currency trades at their price against the rate;
- interest, borrow, dividends, fees, taxes: their postings at the rate of now; flows: deposits and redemptions;
- adjustments: adopted differences and write-downs.

Each item belongs to one instrument, one sleeve and one currency: the sleeves' results sum to the fund's. The residual is the actual change of NAV less all of these. Beyond 0.01 USD the ledger and the valuation disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import TypeVar, assert_never

from engine.accounting.attribution import CASH_ALONE, Holders, entry_sleeves, split_exactly
from engine.accounting.ledger import ACCRUAL_PREFIX, CASH, INVESTORS, EntryKind, LedgerEntry, LedgerLine
from engine.errors import InvariantError
from engine.model.market import BASE_CURRENCY, FxRates
from engine.model.money import ZERO, round_money
from engine.model.portfolio import CashBasis, Portfolio, Sleeve, Valuation
from engine.model.universe import ContractBook

RESIDUAL_LIMIT_USD = Decimal("0.01")
_Key = TypeVar("_Key")


class BridgeComponent(Enum):
    """Cause of a change of NAV."""

    PRICE = "price"
    FX = "fx"
    INTEREST = "interest"
    BORROW = "borrow"
    DIVIDENDS = "dividends"
    TAXES = "taxes"
    FEES = "fees"
    FLOWS = "flows"
    ADJUSTMENTS = "adjustments"


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeItem:
    """One cause in USD; ``instrument_id`` is ``None`` for cash."""

    component: BridgeComponent
    instrument_id: str | None
    sleeve: Sleeve
    currency: str
    amount_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class NavBridge:
    """All causes between two valuations, in USD."""

    opening_date: date
    closing_date: date
    opening_nav: Decimal
    closing_nav: Decimal
    opening_units: Decimal
    closing_units: Decimal
    items: tuple[BridgeItem, ...]

    @property
    def residual(self) -> Decimal:
        """Change of NAV that no cause explains."""
        return self.closing_nav - self.opening_nav - sum((item.amount_usd for item in self.items), ZERO)

    @property
    def closes(self) -> bool:
        """Whether the causes explain the change to the cent."""
        return abs(self.residual) <= RESIDUAL_LIMIT_USD

    @property
    def unit_return(self) -> Decimal | None:
        """Change of NAV per unit as a fraction: what investors earned, subscriptions and redemptions apart.

        ``None`` for a fund that had no units or no value to begin with, or has no units left.
        """
        if self.opening_units <= 0 or self.closing_units <= 0 or self.opening_nav <= 0:
            return None
        return (self.closing_nav / self.closing_units) / (self.opening_nav / self.opening_units) - 1

    @property
    def by_component(self) -> Mapping[BridgeComponent, Decimal]:
        """Sum of each cause that occurs."""
        return _totals((item.component, item.amount_usd) for item in self.items)

    @property
    def by_instrument(self) -> Mapping[str, Decimal]:
        """Sum of each instrument; cash stands under ``cash``."""
        return _totals((item.instrument_id or "cash", item.amount_usd) for item in self.items)

    @property
    def by_sleeve(self) -> Mapping[Sleeve, Decimal]:
        """Sum of each sleeve: what it held and traded, and its share of what its contracts brought and cost."""
        return _totals((item.sleeve, item.amount_usd) for item in self.items)

    @property
    def by_sleeve_and_component(self) -> Mapping[Sleeve, Mapping[BridgeComponent, Decimal]]:
        """Causes of each sleeve's result."""
        return {
            sleeve: _totals((item.component, item.amount_usd) for item in self.items if item.sleeve is sleeve)
            for sleeve in self.by_sleeve
        }

    @property
    def by_currency(self) -> Mapping[str, Decimal]:
        """Sum of each currency."""
        return _totals((item.currency, item.amount_usd) for item in self.items)


def _totals(rows: Iterable[tuple[_Key, Decimal]]) -> dict[_Key, Decimal]:
    totals: dict[_Key, Decimal] = {}
    for key, amount in rows:
        totals[key] = totals.get(key, ZERO) + amount
    return dict(sorted(totals.items(), key=lambda row: str(row[0])))


def nav_bridge(
    previous: Valuation,
    current: Valuation,
    opening: Portfolio,
    entries: Sequence[LedgerEntry],
    fx: FxRates,
    contracts: ContractBook,
) -> NavBridge:
    """Explain the change between two valuations.

    ``opening`` is the portfolio of ``previous``, ``entries`` all that was booked since, in order; ``fx`` the rates of
    ``current``, for currencies that came and went in between.
    """
    if not previous.basis is current.basis is CashBasis.SETTLED:
        raise InvariantError(
            f"expected two SETTLED valuations, found {previous.basis.value} and {current.basis.value}"
        )
    view = _View(
        contracts=contracts,
        rates={
            currency: current.fx[currency] if currency in current.fx else fx.get_rate(currency, BASE_CURRENCY)
            for currency in _currencies(previous, current, entries, contracts)
        },
        marks=_closing_marks(previous, current, entries),
    )
    holders = Holders.of(opening, entries)
    items = list(_opening_items(view, previous, opening, holders))
    for entry in entries:
        items.extend(_entry_items(view, entry, holders.weights(entry)))
        holders.follow(entry)
    return NavBridge(
        opening_date=previous.trade_date,
        closing_date=current.trade_date,
        opening_nav=previous.nav,
        closing_nav=current.nav,
        opening_units=previous.units,
        closing_units=current.units,
        items=tuple(item for item in items if item.amount_usd != 0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What every item needs: rates and marks of now, and what a contract is."""

    contracts: ContractBook
    rates: Mapping[str, Decimal]
    marks: Mapping[str, Decimal]

    def spread(
        self,
        component: BridgeComponent,
        contract_id: str | None,
        currency: str,
        amount_usd: Decimal,
        weights: Mapping[Sleeve, Decimal],
    ) -> Iterator[BridgeItem]:
        """One item a sleeve, by its weight."""
        name = None if contract_id is None else self.contracts.contract(contract_id).instrument_id
        for sleeve, amount in split_exactly(amount_usd, weights).items():
            yield BridgeItem(
                component=component,
                instrument_id=name,
                sleeve=sleeve,
                currency=currency,
                amount_usd=amount,
            )

    def moved(
        self, contract_id: str, quantities: Mapping[Sleeve, Decimal], price: Decimal
    ) -> Iterator[BridgeItem]:
        """Result of quantities from a price to the mark of now."""
        instrument = self.contracts.instrument(contract_id)
        for sleeve, quantity in quantities.items():
            gain = instrument.notional(quantity, self.marks[contract_id] - price)
            yield BridgeItem(
                component=BridgeComponent.PRICE,
                instrument_id=instrument.instrument_id,
                sleeve=sleeve,
                currency=instrument.currency,
                amount_usd=round_money(gain * self.rates[instrument.currency]),
            )


def _currencies(
    previous: Valuation, current: Valuation, entries: Sequence[LedgerEntry], contracts: ContractBook
) -> list[str]:
    names = {*previous.currency_values, *current.currency_values}
    for entry in entries:
        names |= {line.unit for line in entry.lines if _is_money(line)}
        if entry.contract_id is not None:
            names.add(contracts.instrument(entry.contract_id).currency)
    return sorted(names)


def _is_money(line: LedgerLine) -> bool:
    return line.account in (CASH, INVESTORS) or line.account.startswith(ACCRUAL_PREFIX)


def _closing_marks(
    previous: Valuation, current: Valuation, entries: Sequence[LedgerEntry]
) -> dict[str, Decimal]:
    """Mark of every contract now; of one that is gone, its last price (it cancels in the sum of its trades).

    What one sleeve holds and another owes is a line of quantity 0: its mark, where there is one, parts their results.
    """
    marks = {line.contract_id: line.mark for line in previous.lines}
    for entry in entries:
        if entry.contract_id is not None and entry.price is not None and entry.kind is not EntryKind.SPLIT:
            marks[entry.contract_id] = entry.price
    marks.update(
        {line.contract_id: line.mark for line in current.lines if line.quantity != 0 or line.mark != 0}
    )
    return marks


def _opening_items(
    view: _View, previous: Valuation, opening: Portfolio, holders: Holders
) -> Iterator[BridgeItem]:
    for line in previous.lines:
        held = opening.positions[line.contract_id]
        change = view.rates[line.currency] - previous.fx[line.currency]
        yield from view.moved(line.contract_id, held.sleeves, line.mark)
        weights = holders.held_weights(line.contract_id)
        yield from view.spread(
            BridgeComponent.FX, line.contract_id, line.currency, line.value * change, weights
        )
    for money in (opening.cash, opening.accruals, opening.investors):
        for currency, amount in money.items():
            if amount != 0:
                change = view.rates[currency] - previous.fx[currency]
                yield from view.spread(BridgeComponent.FX, None, currency, amount * change, CASH_ALONE)


def _entry_items(view: _View, entry: LedgerEntry, weights: Mapping[Sleeve, Decimal]) -> Iterator[BridgeItem]:
    component = _cash_component(entry)
    if component is not None:
        is_conversion = entry.kind is EntryKind.FX_CONVERSION
        contract_id, owners = (None, CASH_ALONE) if is_conversion else (entry.contract_id, weights)
        for unit, amount in _totals((x.unit, x.amount) for x in entry.lines if _is_money(x)).items():
            yield from view.spread(component, contract_id, unit, amount * view.rates[unit], owners)
        return
    if entry.contract_id is not None and entry.price is not None:
        yield from view.moved(entry.contract_id, entry_sleeves(entry), entry.price)


def _cash_component(entry: LedgerEntry) -> BridgeComponent | None:
    """Component of an entry's money, ``None`` where money and holding are exchanged at a price."""
    match entry.kind:
        case (
            EntryKind.TRADE
            | EntryKind.VARIATION
            | EntryKind.EXPIRY
            | EntryKind.SPLIT
            | EntryKind.CASH_IN_LIEU
            | EntryKind.SYMBOL_CHANGE
            | EntryKind.TRANSFER
        ):
            return None
        case EntryKind.ADOPTION | EntryKind.WRITE_DOWN:
            traded = entry.kind is EntryKind.ADOPTION and entry.contract_id is not None
            return None if traded else BridgeComponent.ADJUSTMENTS
        case EntryKind.COMMISSION | EntryKind.FEE:
            return BridgeComponent.FEES
        case EntryKind.TAX | EntryKind.WITHHOLDING:
            return BridgeComponent.TAXES
        case EntryKind.DIVIDEND:
            return BridgeComponent.DIVIDENDS
        case EntryKind.BORROW_FEE:
            return BridgeComponent.BORROW
        case EntryKind.INTEREST:
            return BridgeComponent.INTEREST
        case EntryKind.FX_CONVERSION:
            return BridgeComponent.FX
        case EntryKind.DEPOSIT | EntryKind.SUBSCRIPTION | EntryKind.REDEMPTION:
            return BridgeComponent.FLOWS
        case _:
            assert_never(entry.kind)
