"""The account at the broker: positions, cash by currency, orders and executions, each only where it really answered.

Cash is TotalCashBalance of each currency, never that of the broker's own sum ``BASE``. The average cost stays as the
broker tells it, with multiplier and commission in it: `engine.accounting.average_cost` reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from engine.errors import BrokerUnavailable
from engine.model.instruments import Instrument
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO
from engine.model.orders import Fill, OpenOrder
from engine.model.portfolio import BrokerPosition, BrokerSnapshot
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.policy import AccountAnswer
from tasks.adapters.ibkr.records import AccountValueShown, PortfolioShown, PositionShown, exact_if_set
from tasks.adapters.ibkr.session import IbkrSession

T = TypeVar("T")
_SUM = "BASE"
_CASH, _RATE = "TotalCashBalance", "ExchangeRate"
_ACCRUED = ("AccruedCash", "NetDividend")
_WORTH, _EXCESS = "NetLiquidation", "ExcessLiquidity"


class IbkrAccount:
    """A `BrokerAccount`. ``listed`` and ``executed`` read orders and executions; ``in_session`` asks the calendar."""

    def __init__(
        self,
        session: IbkrSession,
        contracts: ContractDesk,
        listed: Callable[[], tuple[OpenOrder, ...]],
        executed: Callable[[], tuple[Fill, ...]],
        in_session: Callable[[str, datetime], bool],
    ) -> None:
        self._session, self._contracts = session, contracts
        self._listed, self._executed, self._in_session = listed, executed, in_session

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """The account now; what did not answer is missing from ``answered`` and unknown, not empty.

        Raises `BrokerUnavailable` when nothing answered.
        """
        answered: set[str] = set()
        account = _read(self._session.account, ("account", "cash"), answered)
        held = _read(self._held, ("positions",), answered)
        orders = _read(self._listed, ("open_orders", "completed_orders"), answered)
        executions = _read(self._executed, ("executions",), answered)
        if not answered:
            raise BrokerUnavailable("the broker answered no question about the account")
        values = values_of(() if account is None else account.values)
        if not {key for key, _ in values} >= {_WORTH, _CASH}:
            answered -= {"account", "cash"}
        marks = None if account is None else _read(lambda: self._marks(account), (), answered)
        return BrokerSnapshot(
            account=self._session.policy.account,
            as_of=as_of,
            answered=frozenset(answered),
            cash=by_currency(values, (_CASH,)),
            accrued=_nonzero(by_currency(values, _ACCRUED)),
            positions={
                name: BrokerPosition(
                    contract_id=name,
                    quantity=row.quantity,
                    average_cost=row.average_cost,
                    mark=(marks or {}).get(name),
                    in_session=self._in_session(name, as_of),
                )
                for name, row in held or ()
                if row.quantity != 0
            },
            fx=by_currency(values, (_RATE,)),
            net_liquidation=values.get((_WORTH, BASE_CURRENCY)),
            excess_liquidity=values.get((_EXCESS, BASE_CURRENCY)),
            open_orders=tuple(order for order in orders or () if not order.status.is_terminal),
            completed_orders=tuple(order for order in orders or () if order.status.is_terminal),
            executions=executions or (),
        )

    def _held(self) -> tuple[tuple[str, PositionShown], ...]:
        """Holdings under our ids."""
        return tuple((self._contracts.name_of(row.contract), row) for row in self._session.positions())

    def _marks(self, account: AccountAnswer) -> dict[str, Decimal]:
        marks = {}
        for row in account.portfolio:
            name = self._contracts.name_of(row.contract)
            instrument = self._contracts.instrument(name)
            if instrument is not None and row.quantity != 0:
                marks[name] = mark_of(row, instrument)
        return marks


def mark_of(row: PortfolioShown, instrument: Instrument) -> Decimal:
    """The broker's mark in quote units: of the two readings of its price the one that makes its own value (R-07)."""
    if instrument.price_magnifier == 1:
        return row.price
    readings = (row.price, row.price * instrument.price_magnifier)
    return min(readings, key=lambda price: abs(instrument.notional(row.quantity, price) - row.value))


def values_of(shown: Iterable[AccountValueShown]) -> Mapping[tuple[str, str], Decimal]:
    """Numbers of the account by key and currency; the last one told holds, what is no number is left out."""
    found: dict[tuple[str, str], Decimal] = {}
    for row in shown:
        value = _number(row.value)
        if value is not None:
            found[row.key, row.currency] = value
    return found


def by_currency(values: Mapping[tuple[str, str], Decimal], keys: Iterable[str]) -> dict[str, Decimal]:
    """Sum of some keys in each currency, without the broker's own sum over all."""
    wanted, total = frozenset(keys), dict[str, Decimal]()
    for (key, currency), value in values.items():
        if key in wanted and currency not in ("", _SUM):
            total[currency] = total.get(currency, ZERO) + value
    return total


def _number(text: str) -> Decimal | None:
    try:
        return exact_if_set(text)
    except ArithmeticError:
        return None


def _nonzero(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {currency: amount for currency, amount in amounts.items() if amount != 0}


def _read(ask: Callable[[], T], names: tuple[str, ...], answered: set[str]) -> T | None:
    try:
        answer = ask()
    except BrokerUnavailable:
        return None
    answered.update(names)
    return answer
