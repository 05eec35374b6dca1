"""What a broker can have meant: every message about an order, an execution or a commission is judged where it enters.

A message that says what can not be is as little to be trusted as one that can not be read: its connection ends, and
everything is read anew over the next one. Nothing of it is booked; it is told by its order, the field and the value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from engine.errors import BrokerError, InvariantError
from engine.model.money import ZERO, to_micros
from tasks.adapters.ibkr.records import COMBINATION, CommissionShown, ExecutionShown, OrderShown, StatusShown

CLOCK_TOLERANCE = timedelta(days=1)
"""How far an execution may lie ahead of our clock: clocks differ, zones are taken for others, virtual time is told
late. What is later never happened."""

LARGEST_COMMISSION = Decimal(100_000)
"""Units of its currency, as a cost or as a rebate: the most that one execution is believed to have."""

PRICE_DECIMALS = 12
"""As many as the book holds of a price."""

_LARGEST_VALUE = Decimal("9e12")
"""Units of a currency: the most that the book holds of one posting."""

_PENCE = 100
"""The most that a quote's unit is smaller than its currency: which of them a price is in is not known here."""


class ImpossibleNews(BrokerError):
    """The broker said what can not be."""


class Judge:
    """Raises `ImpossibleNews` for what can not be; ``account`` is the session's own, ``now`` its clock.

    Quantities of orders are known as the open connection told them.
    """

    def __init__(self, account: str, now: Callable[[], datetime]) -> None:
        self._account, self._now = account, now
        self._quantities: dict[tuple[int, ...], Decimal] = {}

    def forget(self) -> None:
        """Numbers mean nothing over another connection."""
        self._quantities.clear()

    def order(self, shown: OrderShown) -> OrderShown:
        """An open or completed order; one that completed may come without its quantity."""
        who = _order_name(shown.order_ref, shown.perm_id, shown.client_id, shown.order_id)
        _expect(shown.account == self._account, who, "account", shown.account, self._account)
        _expect(shown.action in ("BUY", "SELL"), who, "action", shown.action, "BUY or SELL")
        _expect(
            _is_held(shown.quantity) and shown.quantity >= 0, who, "quantity", shown.quantity, "0 or more"
        )
        if shown.filled is not None:
            self._filled(shown.filled, shown.quantity, who)
        if not shown.is_completed:
            for key in _keys(shown):
                self._quantities[key] = shown.quantity
        return shown

    def status(self, shown: StatusShown) -> StatusShown:
        """The state of an order, whose quantity was told before or is not known."""
        who = _order_name("", shown.perm_id, shown.client_id, shown.order_id)
        known = [self._quantities[key] for key in _keys(shown) if key in self._quantities]
        self._filled(shown.filled, known[0] if known else ZERO, who)
        return shown

    def execution(self, shown: ExecutionShown) -> ExecutionShown:
        """One execution; only a correction may be of nothing, which takes it back. A combination may cost nothing."""
        number = _order_name(shown.order_ref, shown.perm_id, shown.client_id, shown.order_id)
        who = f"{number}, execution {shown.execution_id!r}"
        _expect(shown.execution_id.strip() != "", who, "execution id", shown.execution_id, "a name")
        _expect(shown.account == self._account, who, "account", shown.account, self._account)
        _expect(shown.side in ("BOT", "SLD"), who, "side", shown.side, "BOT or SLD")
        latest = self._now() + CLOCK_TOLERANCE
        _expect(shown.at <= latest, who, "time", shown.at, f"at most {latest:%Y-%m-%d %H:%M}Z")
        taken_back = shown.quantity == 0 and _is_correction(shown.execution_id)
        sized = _is_held(shown.quantity) and (shown.quantity > 0 or taken_back)
        _expect(sized, who, "quantity", shown.quantity, "more than 0")
        if shown.contract.security_type != COMBINATION:
            _expect(shown.price > 0, who, "price", shown.price, "more than 0")
            _expect(_is_bookable(shown), who, "price", shown.price, "what the book can hold")
        return shown

    def commission(self, shown: CommissionShown) -> CommissionShown:
        """What an execution cost, or was paid for."""
        who = f"execution {shown.execution_id!r}"
        _expect(shown.execution_id.strip() != "", who, "execution id", shown.execution_id, "a name")
        believed = _is_finite(shown.commission) and abs(shown.commission) <= LARGEST_COMMISSION
        _expect(believed, who, "commission", shown.commission, f"at most {LARGEST_COMMISSION:f}")
        return shown

    def _filled(self, filled: Decimal, quantity: Decimal, who: str) -> None:
        """Traded quantity; ``quantity`` 0 is not known."""
        _expect(_is_held(filled) and filled >= 0, who, "filled", filled, "0 or more")
        _expect(quantity == 0 or filled <= quantity, who, "filled", filled, f"at most {quantity:f}")


def _expect(holds: bool, who: str, field: str, found: object, wanted: str) -> None:
    if not holds:
        raise ImpossibleNews(f"{who}: expected {field} {wanted}, found {found!s}")


def _order_name(ref: str, perm_id: int, client_id: int, order_id: int) -> str:
    return f"order {ref or '-'} (permanent number {perm_id}, client {client_id}, number {order_id})"


def _keys(shown: OrderShown | StatusShown) -> list[tuple[int, ...]]:
    """Numbers by which an order is known over one connection, the permanent one first."""
    permanent = [(shown.perm_id,)] if shown.perm_id > 0 else []
    return [*permanent, *([(shown.client_id, shown.order_id)] if shown.order_id > 0 else [])]


def _is_finite(number: Decimal) -> bool:
    return number.is_finite()


def _is_held(quantity: Decimal) -> bool:
    """Whether the book can hold a quantity: whole millionths within its range."""
    try:
        to_micros(quantity)
    except InvariantError:
        return False
    return True


def _is_bookable(shown: ExecutionShown) -> bool:
    """Whether the book can hold a price and what was paid, in whichever unit it is told."""
    exponent = shown.price.normalize().as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -PRICE_DECIMALS or shown.price > _LARGEST_VALUE:
        return False
    multiplier = Decimal(shown.contract.multiplier or 1)
    return shown.price * _PENCE * shown.quantity * max(multiplier, Decimal(1)) <= _LARGEST_VALUE


def _is_correction(execution_id: str) -> bool:
    """Whether an execution stands in place of an earlier one: its suffix counts from 01."""
    suffix = execution_id.rpartition(".")[2]
    return suffix.isdecimal() and int(suffix) > 1
