"""One fund, three ways to count its cash: NAV must not depend on which (R-09, R-107).

The official book is settled daily: cash holds each future's gains up to its last settlement. Seen as a COST_LEDGER,
cash holds a future's gains only once it is closed; this view is folded anew from trades alone and knows no
settlement, so that a settlement that was wrong, missing or booked twice shows. Seen as BROKER_TOTAL, cash already
holds every gain up to a mark, as a broker's account does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from engine.accounting.book import fold
from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.accounting.nav import OptionRisk, ValuationContext, compute_nav
from engine.errors import MissingMark
from engine.model.market import FxRates, Mark
from engine.model.money import ZERO, round_money
from engine.model.portfolio import CashBasis, Portfolio
from engine.model.universe import ContractBook


@dataclass(frozen=True, slots=True, kw_only=True)
class BasisNavs:
    """NAV in USD of one book under each basis of its cash."""

    cost_ledger: Decimal
    settled: Decimal
    broker_total: Decimal

    @property
    def spread(self) -> Decimal:
        """Largest less smallest: zero but for rounding where every settlement is right."""
        values = (self.cost_ledger, self.settled, self.broker_total)
        return max(values) - min(values)


def cost_ledger(entries: Iterable[LedgerEntry], as_of: datetime, contracts: ContractBook) -> Portfolio:
    """The book as if nothing were settled daily: a future's gain reaches cash when the future is closed.

    Settlements are not read. Cash is that of all other entries, less what futures were traded at, plus the average
    trade price of what is still held.
    """
    known = [entry for entry in entries if entry.booked_at <= as_of]
    book = fold(known, as_of)
    cash: dict[str, Decimal] = {}
    for entry in known:
        for currency, amount in _cash_of(entry, contracts).items():
            cash[currency] = cash.get(currency, ZERO) + amount
    for contract_id, held in book.positions.items():
        instrument = contracts.instrument(contract_id)
        if instrument.is_future:
            open_cost = instrument.notional(held.quantity, held.average_price)
            cash[instrument.currency] = cash.get(instrument.currency, ZERO) + round_money(open_cost)
    return replace(book, cash=cash)


def _cash_of(entry: LedgerEntry, contracts: ContractBook) -> Mapping[str, Decimal]:
    """What an entry moves before open futures are put back at their cost; a traded future moves its whole value."""
    instrument = None if entry.contract_id is None else contracts.instrument(entry.contract_id)
    if instrument is not None and instrument.is_future:
        if entry.kind is EntryKind.VARIATION:
            return {}
        if entry.quantity is not None and entry.price is not None:
            return {instrument.currency: -round_money(instrument.notional(entry.quantity, entry.price))}
    return entry.cash


def broker_total(book: Portfolio, marks: Mapping[str, Mark], contracts: ContractBook) -> Portfolio:
    """The settled book as a broker's account shows it: every future's gain up to its mark is in cash.

    Raises `MissingMark` for a held future without mark.
    """

    def price_of(contract_id: str) -> Decimal | None:
        mark = marks.get(contract_id)
        return None if mark is None else mark.price

    return replace(book, cash=cash_with_gains(book, price_of, contracts))


def cash_with_gains(
    book: Portfolio, price_of: Callable[[str], Decimal | None], contracts: ContractBook
) -> dict[str, Decimal]:
    """Settled cash and, of every future, quantity × price × multiplier − what it was settled at, by currency.

    Raises `MissingMark` for a held future without price.
    """
    cash = dict(book.cash)
    for contract_id, held in book.positions.items():
        instrument = contracts.instrument(contract_id)
        if not instrument.is_future:
            continue
        price = price_of(contract_id)
        if price is None and held.quantity != 0:
            raise MissingMark(
                f"expected a price for {contract_id}, of which {held.quantity} are held, found none"
            )
        value = ZERO if price is None else round_money(instrument.notional(held.quantity, price))
        cash[instrument.currency] = cash.get(instrument.currency, ZERO) + value - held.cost
    return cash


def basis_navs(
    entries: Iterable[LedgerEntry],
    marks: Mapping[str, Mark],
    fx: FxRates,
    contracts: ContractBook,
    context: ValuationContext,
    options: Mapping[str, OptionRisk] | None = None,
) -> BasisNavs:
    """NAV at ``context.as_of`` under each basis, from the ledger's entries in the order of their booking."""
    known = [entry for entry in entries if entry.booked_at <= context.as_of]
    settled = fold(known, context.as_of)

    def nav(book: Portfolio, basis: CashBasis) -> Decimal:
        return compute_nav(book, marks, fx, contracts, replace(context, basis=basis), options)

    return BasisNavs(
        cost_ledger=nav(cost_ledger(known, context.as_of, contracts), CashBasis.COST_LEDGER),
        settled=nav(settled, CashBasis.SETTLED),
        broker_total=nav(broker_total(settled, marks, contracts), CashBasis.BROKER_TOTAL),
    )
