"""What the fund holds and what it is worth: our book, the broker's account, and the valuation between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from engine.errors import InvariantError
from engine.model.money import require_finite
from engine.model.orders import Fill, OpenOrder


class Sleeve(Enum):
    """Part of the fund that a position belongs to."""

    CORE = "core_index_rv"
    SECTOR = "sector_rv"
    SINGLE_NAME = "single_name"
    CREDIT = "credit_carry"
    CRISIS_ALPHA = "crisis_alpha"
    CASH = "cash_buffer"
    FX_HEDGE = "fx_hedge"
    UNASSIGNED = "unassigned"


class CashBasis(Enum):
    """Which futures gains the cash balance already holds (R-09)."""

    COST_LEDGER = "COST_LEDGER"
    SETTLED = "SETTLED"
    BROKER_TOTAL = "BROKER_TOTAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One contract of the book.

    ``quantity`` is signed. ``cost`` is in the instrument's currency: for securities what was paid (negative for
    shorts); for futures quantity × last settlement price × multiplier, adjusted by trades since, so that
    ``market value − cost`` is the unrealised result of a security and the unsettled variation of a future.
    ``average_price`` is the per-unit trade cost in quote units, for reporting. ``sleeves`` splits the quantity
    and sums to it exactly.
    """

    contract_id: str
    quantity: Decimal
    cost: Decimal
    average_price: Decimal
    sleeves: Mapping[Sleeve, Decimal]

    def __post_init__(self) -> None:
        require_finite(self.quantity, "the quantity", subject=self.contract_id)
        require_finite(self.cost, "the cost", subject=self.contract_id)
        for sleeve, quantity in self.sleeves.items():
            require_finite(quantity, f"the quantity of {sleeve.value}", subject=self.contract_id)
        if sum(self.sleeves.values(), Decimal(0)) != self.quantity:
            raise InvariantError(f"{self.contract_id}: the sleeves' quantities do not sum to the position")


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """Fold of the ledger at one time: cash by currency (negative = borrowed), positions, accruals by currency.

    ``accruals`` are owed to (positive) or by the fund and not yet in cash. ``units`` counts fund units. ``investors``
    is what the fund owes its investors (negative) or they owe it: money that came before its units were issued, units
    that were cancelled before their money left. No broker knows of it.
    """

    as_of: datetime
    cash: Mapping[str, Decimal]
    positions: Mapping[str, Position]
    accruals: Mapping[str, Decimal]
    units: Decimal
    investors: Mapping[str, Decimal] = field(default_factory=dict)

    def quantity(self, contract_id: str) -> Decimal:
        """Signed quantity held, 0 when none."""
        held = self.positions.get(contract_id)
        return Decimal(0) if held is None else held.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPosition:
    """A position as the broker reports it; ``mark`` in quote units, ``in_session`` whether it is live."""

    contract_id: str
    quantity: Decimal
    average_cost: Decimal
    mark: Decimal | None
    in_session: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSnapshot:
    """The broker's account at one time.

    ``cash`` is TotalCashBalance per currency (futures gains included). ``answered`` names the queries that
    really answered (``positions``, ``cash``, ``open_orders``, ``completed_orders``, ``executions``, ``account``):
    an absent one means unknown, never empty. ``net_liquidation`` in USD; ``fx`` units of USD per unit of currency.
    ``liquidations`` are ids of executions by which the broker itself closed something.
    """

    account: str
    as_of: datetime
    answered: frozenset[str]
    cash: Mapping[str, Decimal]
    accrued: Mapping[str, Decimal]
    positions: Mapping[str, BrokerPosition]
    fx: Mapping[str, Decimal]
    net_liquidation: Decimal | None
    excess_liquidity: Decimal | None
    open_orders: tuple[OpenOrder, ...]
    completed_orders: tuple[OpenOrder, ...]
    executions: tuple[Fill, ...]
    liquidations: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineValue:
    """Value of one position.

    ``value`` is what it adds to NAV (a future: unsettled variation), ``exposure`` the full signed notional
    (an option: delta-adjusted), both in ``currency`` and in USD. ``stale_sessions`` is the age of its mark.
    """

    contract_id: str
    instrument_id: str
    currency: str
    quantity: Decimal
    mark: Decimal
    stale_sessions: int
    value: Decimal
    value_usd: Decimal
    exposure: Decimal
    exposure_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation:
    """The fund at one time, in USD, rounded once to micro-units.

    ``gross = long + short`` and ``net = long − short`` over ``lines`` without FX-hedge futures, whose notional
    is ``fx_hedge_gross``. ``flagged_gross`` is the exposure at stale marks. ``currency_values`` holds each
    currency's net value (cash, accruals, securities, unsettled futures) in its own units.
    """

    as_of: datetime
    trade_date: date
    basis: CashBasis
    nav: Decimal
    cash_usd: Decimal
    accruals_usd: Decimal
    lines: tuple[LineValue, ...]
    currency_values: Mapping[str, Decimal]
    fx: Mapping[str, Decimal]
    long_exposure: Decimal
    short_exposure: Decimal
    fx_hedge_gross: Decimal
    flagged_gross: Decimal
    units: Decimal

    @property
    def gross_exposure(self) -> Decimal:
        """Long plus short exposure in USD, without the FX hedge."""
        return self.long_exposure + self.short_exposure

    @property
    def net_exposure(self) -> Decimal:
        """Long less short exposure in USD, without the FX hedge."""
        return self.long_exposure - self.short_exposure

    @property
    def unit_price(self) -> Decimal:
        """NAV per fund unit in USD."""
        if self.units <= 0:
            raise InvariantError(f"expected fund units to value, found {self.units}")
        return self.nav / self.units
