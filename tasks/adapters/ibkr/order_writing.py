"""How a child order is written: its contract, its terms, exact numbers, and its end (GTD) written on it."""

from __future__ import annotations

from ib_insync.contract import Contract as WireContract
from ib_insync.order import Order
from ib_insync.util import formatIBDatetime

from engine.errors import BrokerError, ConfigurationError, InvariantError, UnknownContract
from engine.model.orders import ChildOrder, OrderType
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.errors import NotWritten
from tasks.adapters.ibkr.units import WireUnits, plain


def written_order(
    child: ChildOrder, contracts: ContractDesk, units: WireUnits, account: str
) -> tuple[WireContract, Order]:
    """Contract and order of a child.

    Raises `NotWritten` for a contract that is not known at the broker, or that it would not name.
    """
    try:
        known = contracts.qualified(child.contract_id)
        near = child.near
        wire = known.wire if near is None else contracts.spread(child.contract_id, near.contract_id)
    except (UnknownContract, ConfigurationError, BrokerError) as error:
        raise NotWritten(f"{child.order_ref} was not written: {error}") from error
    if not child.quantity.is_finite() or child.quantity <= 0:
        raise InvariantError(f"{child.order_ref}: expected a positive quantity, found {child.quantity}")
    price = units.limit_text(known.instrument, child.limit_price, child.side)
    kind, time_in_force, ends = _terms(child)
    order = Order(
        action=child.side.value,
        orderType=kind,
        tif=time_in_force,
        goodTillDate=ends,
        account=account,
        orderRef=child.order_ref,
        transmit=True,
    )
    # Texts go to the wire as they are: no float rounds them.
    order.totalQuantity = plain(child.quantity)  # type: ignore[assignment]
    order.lmtPrice = price  # type: ignore[assignment]
    return wire, order


def _terms(child: ChildOrder) -> tuple[str, str, str]:
    """Order type, time in force and end on the wire."""
    match child.order_type:
        case OrderType.LIMIT if child.time_in_force == "DAY":
            return "LMT", "GTD", formatIBDatetime(child.good_till)
        case OrderType.LIMIT:
            return "LMT", child.time_in_force, ""
        case OrderType.LIMIT_ON_CLOSE:
            return "LOC", "DAY", ""
        case OrderType.LIMIT_ON_OPEN:
            return "LMT", "OPG", ""
        case OrderType.MARKET:
            raise InvariantError(f"{child.order_ref}: market orders never leave")
