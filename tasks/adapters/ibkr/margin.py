"""What an order would take in margin and cost, asked of the broker without placing it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from ib_insync import IB
from ib_insync.contract import Contract as WireContract
from ib_insync.order import Order, OrderState

from engine.errors import NonFiniteValue
from engine.model.orders import ChildOrder
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.order_writing import written_order
from tasks.adapters.ibkr.records import exact_if_set
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.units import WireUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginChange:
    """What an order adds to the margins (negative: frees), in the account's base currency, and its commission."""

    initial: Decimal
    maintenance: Decimal
    commission: Decimal
    commission_currency: str


class MarginDesk:
    """Asks what an order would take. An order that only asks carries the mark that keeps it from being placed."""

    def __init__(self, session: IbkrSession, contracts: ContractDesk, units: WireUnits) -> None:
        self._session, self._contracts, self._units = session, contracts, units

    def margin(self, child: ChildOrder) -> MarginChange:
        """Margins and commission of an order.

        Raises `RequestRefused` when the broker would reject it, `BrokerUnavailable` when it does not answer or never
        sets the margins, `NonFiniteValue` when it leaves something out.
        """
        wire, order = written_order(child, self._contracts, self._units, self._session.policy.account)
        order.orderRef = ""  # a reference names an order that is placed, and nothing else

        state = self._session.call(partial(_asked, wire=wire, order=order))
        return _margins(child.order_ref, state)


async def _asked(ib: IB, wire: WireContract, order: Order) -> OrderState:
    return await ib.whatIfOrderAsync(wire, order)


def _margins(order_ref: str, state: OrderState) -> MarginChange:
    """The figures of an answer. Where the broker names only a range of commissions, its upper end is the cost."""
    initial = _figure(state.initMarginChange)
    maintenance = _figure(state.maintMarginChange)
    commission = _figure(state.commission)
    if commission is None:
        commission = _figure(state.maxCommission)
    if initial is None or maintenance is None or commission is None or not state.commissionCurrency:
        raise NonFiniteValue(
            f"{order_ref}: expected margins and a commission with its currency, found initial "
            f"{state.initMarginChange!r}, maintenance {state.maintMarginChange!r}, commission {state.commission!r} "
            f"{state.commissionCurrency!r}; the broker does not say what this order takes",
            subject=order_ref,
        )
    return MarginChange(
        initial=initial,
        maintenance=maintenance,
        commission=commission,
        commission_currency=state.commissionCurrency,
    )


def _figure(told: object) -> Decimal | None:
    """A number that may come as text, empty or as the mark of what is not set."""
    return exact_if_set(told) if told not in (None, "") else None
