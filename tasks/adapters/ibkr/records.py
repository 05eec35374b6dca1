"""What the broker's messages say, as values of our own: nothing of the client library goes past this package."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.errors import NonFiniteValue

COMBINATION = "BAG"
_LARGEST = Decimal("1e300")
"""What is larger stands for "not set" on this wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractShown:
    """A contract as a message names it; ``expiry`` is ``YYYYMMDD`` or empty."""

    con_id: int
    symbol: str
    security_type: str
    expiry: str
    strike: Decimal
    right: str
    multiplier: str
    currency: str
    local_symbol: str
    trading_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LegShown:
    """One leg of a combination."""

    con_id: int
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderShown:
    """An open or completed order. Completed ones carry no numbers but ``perm_id``; ``filled`` where it is told.

    ``is_listed`` says that it was shown while a list was asked for.
    """

    order_id: int
    client_id: int
    perm_id: int
    order_ref: str
    account: str
    contract: ContractShown
    legs: tuple[LegShown, ...]
    action: str
    quantity: Decimal
    limit_price: Decimal | None
    status: str
    filled: Decimal | None
    is_completed: bool
    text: str = ""
    is_listed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusShown:
    """The state of an order and what it traded in all."""

    order_id: int
    client_id: int
    perm_id: int
    status: str
    filled: Decimal
    why_held: str
    is_listed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionShown:
    """One execution; ``side`` is BOT or SLD, the time UTC."""

    execution_id: str
    order_id: int
    client_id: int
    perm_id: int
    order_ref: str
    account: str
    contract: ContractShown
    side: str
    quantity: Decimal
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionShown:
    """What an execution cost."""

    execution_id: str
    commission: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShown:
    """A code with its text; ``request_id`` is that of a request or order, −1 for none."""

    request_id: int
    code: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionShown:
    """A holding: signed quantity and the broker's average cost, with multiplier and commission in it."""

    account: str
    contract: ContractShown
    quantity: Decimal
    average_cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioShown:
    """A holding with the broker's own mark and value."""

    account: str
    contract: ContractShown
    quantity: Decimal
    price: Decimal
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountValueShown:
    """One value of the account as text."""

    account: str
    key: str
    value: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged:
    """The connection was lost (``is_up`` false) or stands again with everything read anew."""

    at: datetime
    is_up: bool
    text: str


Shown = (
    OrderShown
    | StatusShown
    | ExecutionShown
    | CommissionShown
    | ErrorShown
    | PositionShown
    | PortfolioShown
    | AccountValueShown
)
News = OrderShown | StatusShown | ExecutionShown | CommissionShown | ErrorShown | LinkChanged


def exact(value: object) -> Decimal:
    """A number of the wire as it was written: ``40.0`` is 40. Raises `NonFiniteValue` for NaN and what is not set."""
    found = Decimal(str(value))
    if not found.is_finite() or abs(found) >= _LARGEST:
        raise NonFiniteValue(f"expected a number from the broker, found {value}")
    whole = found.to_integral_value()
    return whole if whole == found else found


def is_unset(value: object) -> bool:
    """Whether a number stands for "not set" rather than for itself."""
    found = Decimal(str(value))
    return found.is_finite() and found >= _LARGEST


def exact_if_set(value: object) -> Decimal | None:
    """The same, ``None`` for what is not set."""
    try:
        return exact(value)
    except NonFiniteValue:
        return None


def contract_expiry(told: str) -> str:
    """``YYYYMMDD`` of an expiry, which may come with a time and a zone."""
    return told.partition(" ")[0]
