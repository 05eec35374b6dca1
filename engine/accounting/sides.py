"""Book and broker next to each other: what a comparison reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from engine.accounting.ledger import LedgerEntry
from engine.errors import MissingFxRate, UnknownContract
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import BASE_CURRENCY, Dividend, FxRates, Mark, Quote, Split
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, Fill
from engine.model.policy import TransactionTax
from engine.model.portfolio import BrokerSnapshot, Portfolio
from engine.model.universe import ContractBook

CASH_KINDS = (InstrumentType.CASH, InstrumentType.FX_SPOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOrder:
    """An order of ours that may still trade; ``is_acknowledged``: the broker had it when we last heard of it."""

    child: ChildOrder
    status: ChildStatus
    is_acknowledged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrders:
    """Our side of the order traffic: references of all our orders, and the executions that the ledger holds.

    ``taxed`` are ids of those executions for which the ledger holds a tax as well; ``working`` are our orders that may
    still trade.
    """

    order_refs: frozenset[str]
    booked: tuple[Fill, ...]
    taxed: frozenset[str] = frozenset()
    working: tuple[OwnOrder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OurPrices:
    """Marks and rates behind the official valuation, and live quotes where a venue is in session."""

    marks: Mapping[str, Mark]
    fx: FxRates
    live: Mapping[str, Quote]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Facts that may explain a difference; what is not known is left empty and explains nothing.

    ``recent`` are our postings since the last valued day, ``last_liquidation`` the broker's figure of that day (USD).
    ``dividends`` and ``splits`` are those that the market knows; ``taxes`` are the configured ones on trades.
    """

    account: str | None = None
    dividends: tuple[Dividend, ...] = ()
    splits: tuple[Split, ...] = ()
    recent: tuple[LedgerEntry, ...] = ()
    last_liquidation: Decimal | None = None
    taxes: tuple[TransactionTax, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Book and broker next to each other."""

    portfolio: Portfolio
    broker: BrokerSnapshot
    prices: OurPrices
    contracts: ContractBook

    def instrument(self, contract_id: str) -> Instrument | None:
        """Instrument of a contract, ``None`` when the universe does not list it."""
        try:
            return self.contracts.instrument(contract_id)
        except UnknownContract:
            return None

    def broker_rate(self, currency: str) -> Decimal:
        """USD per unit at the broker's rate; ours where the broker names none."""
        if currency == BASE_CURRENCY:
            return Decimal(1)
        theirs = self.broker.fx.get(currency)
        return self.prices.fx.get_rate(currency, BASE_CURRENCY) if theirs is None else theirs

    def has_rate(self, currency: str) -> bool:
        """Whether anybody names a rate of a currency."""
        try:
            self.broker_rate(currency)
        except MissingFxRate:
            return False
        return True

    def broker_mark(self, contract_id: str) -> Decimal | None:
        """The broker's mark, ours where it has none."""
        held = self.broker.positions.get(contract_id)
        if held is not None and held.mark is not None:
            return held.mark
        mark = self.prices.marks.get(contract_id)
        return None if mark is None else mark.price

    def mark_difference_usd(self, contract_id: str) -> Decimal:
        """Our quantity at our mark less the same at the broker's, at the broker's rate."""
        instrument, mark = self.contracts.instrument(contract_id), self.prices.marks.get(contract_id)
        theirs = self.broker_mark(contract_id)
        if mark is None or theirs is None or instrument.kind in CASH_KINDS:
            return ZERO
        change = instrument.notional(self.portfolio.quantity(contract_id), mark.price - theirs)
        return change * self.broker_rate(instrument.currency)

    def comparable_prices(self, contract_id: str) -> tuple[Decimal, Decimal, bool] | None:
        """Our price, the broker's, and whether both are live; ``None`` when they say different moments."""
        held, mark = self.broker.positions.get(contract_id), self.prices.marks.get(contract_id)
        if held is None or held.mark is None or mark is None:
            return None
        if not held.in_session:
            return (mark.price, held.mark, False) if mark.age_sessions == 0 else None
        quote = self.prices.live.get(contract_id)
        return None if quote is None or not quote.is_two_sided else (quote.mid, held.mark, True)
