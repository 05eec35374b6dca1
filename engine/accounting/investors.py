"""Money of the investors: units are issued and cancelled at the NAV per unit, so that a flow is no return (R-15).

An order of an investor has two halves that may come in either order. The money moves between broker and investor and
until both halves are there the fund owes it, or is owed it: the account ``investors``. The units are dealt at the
official NAV per unit of the close of a dealing day, ``units = amount in USD / NAV per unit``, rounded half-even to six
decimals: a subscription once its money is there, a redemption on its value date. What the rounding leaves is at most
half a millionth of a unit, far below a cent, and belongs to all holders.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from itertools import combinations

from engine.accounting.ledger import CASH, EQUITY, FUND_UNIT, INVESTORS, UNITS, EntryKind, LedgerEntry, pair
from engine.errors import InvariantError
from engine.model.market import FxRates
from engine.model.money import ZERO, Money, round_money
from engine.model.portfolio import Valuation

PRICE_STEP = Decimal("0.000000000001")
_CASH_PREFIX = "investor-cash:"
_UNITS_PREFIX = "investor-units:"
CENT = Decimal("0.01")
_MOST_AT_ONCE = 12
"""Orders of one currency among which the sum that came is looked for."""


class FlowKind(Enum):
    """Which way the money goes."""

    SUBSCRIPTION = "SUBSCRIPTION"
    REDEMPTION = "REDEMPTION"


class FlowState(Enum):
    """How far an order has come."""

    PENDING = "waits for its money"
    RECEIVED = "money is there, waits for its dealing day"
    DEALT = "units are cancelled, waits for its payment"
    PAID = "paid before its dealing day"
    DONE = "done"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvestorOrder:
    """An investor's order: a positive amount, the first day at whose close it may be dealt, and what proves it."""

    order_id: str
    kind: FlowKind
    investor: str
    money: Money
    value_date: date
    evidence: str

    def __post_init__(self) -> None:
        if self.money.amount <= 0:
            raise InvariantError(f"{self.order_id}: expected a positive amount, found {self.money.amount}")

    @property
    def cash(self) -> Decimal:
        """What the order moves in the fund's cash: in (positive) or out."""
        return self.money.amount if self.kind is FlowKind.SUBSCRIPTION else -self.money.amount


def cash_entry_id(order: InvestorOrder) -> str:
    """Id of the entry that says that the money moved."""
    return _CASH_PREFIX + order.order_id


def units_entry_id(order: InvestorOrder) -> str:
    """Id of the entry that says that the units were dealt."""
    return _UNITS_PREFIX + order.order_id


def flow_state(order: InvestorOrder, booked: Collection[str]) -> FlowState:
    """How far an order has come, by the ids of the entries that the ledger holds."""
    moved, dealt = cash_entry_id(order) in booked, units_entry_id(order) in booked
    if moved and dealt:
        return FlowState.DONE
    if dealt:
        return FlowState.DEALT
    if not moved:
        return FlowState.PENDING
    return FlowState.RECEIVED if order.kind is FlowKind.SUBSCRIPTION else FlowState.PAID


def candidates(
    orders: Sequence[InvestorOrder], more: Mapping[str, Decimal], tolerance: Decimal = ZERO
) -> Iterator[tuple[InvestorOrder, ...]]:
    """Orders of one currency whose money makes what the broker has more (or less) of it, the likeliest first.

    ``orders`` are those whose money has not moved, the oldest first: of several that would do, the fewest and oldest
    come first. ``tolerance`` is the fraction of the money by which interest may move the sum; without it, it is exact
    to the cent.
    """
    for currency, amount in sorted(more.items()):
        waiting = [order for order in orders if order.money.currency == currency][:_MOST_AT_ONCE]
        if abs(amount) <= CENT:
            continue
        for count in range(1, len(waiting) + 1):
            for some in combinations(waiting, count):
                moved = sum((order.money.amount for order in some), ZERO)
                if abs(sum((order.cash for order in some), ZERO) - amount) <= CENT + tolerance * moved:
                    yield some


def money_moved(order: InvestorOrder, booked_at: datetime) -> LedgerEntry:
    """The money of an order came to the broker, or left it; NAV stays what it was."""
    return LedgerEntry(
        entry_id=cash_entry_id(order),
        kind=EntryKind(order.kind.value),
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=None,
        reference=order.order_id,
        price=None,
        quantity=None,
        lines=pair(CASH, INVESTORS, order.money.currency, round_money(order.cash)),
    )


def may_be_dealt(order: InvestorOrder, booked: Collection[str], day: date) -> bool:
    """Whether an order's units are dealt at the close of a day."""
    state = flow_state(order, booked)
    if order.kind is FlowKind.SUBSCRIPTION:
        return state is FlowState.RECEIVED and order.value_date <= day
    return state in (FlowState.PENDING, FlowState.PAID) and order.value_date <= day


def units_dealt(
    order: InvestorOrder, valuation: Valuation, fx: FxRates, booked_at: datetime, outstanding: Decimal
) -> LedgerEntry | None:
    """Units issued or cancelled at the NAV per unit of a valuation; ``None`` when there are not so many to cancel.

    ``fx`` are the rates of that valuation, ``outstanding`` its units after the orders that were dealt at it before;
    the last unit stays, for a fund without units has no price at which to go on. Raises `InvariantError` for a fund without units or value, and
    `MissingFxRate` for a currency without a rate.
    """
    price = _unit_price(valuation)
    amount = round_money(order.cash)
    units = round_money(fx.to_base(amount, order.money.currency) / price)
    if units < 0 and outstanding + units <= 0:
        return None
    return LedgerEntry(
        entry_id=units_entry_id(order),
        kind=EntryKind(order.kind.value),
        booked_at=booked_at,
        value_date=valuation.trade_date,
        contract_id=None,
        reference=order.order_id,
        price=price,
        quantity=units,
        lines=(
            *pair(INVESTORS, EQUITY, order.money.currency, amount),
            *pair(UNITS, EQUITY, FUND_UNIT, units),
        ),
    )


def _unit_price(valuation: Valuation) -> Decimal:
    if valuation.units <= 0 or valuation.nav <= 0:
        raise InvariantError(
            f"expected a fund with units and a positive value, found {valuation.units} units worth {valuation.nav} USD"
        )
    return valuation.unit_price.quantize(PRICE_STEP)
