"""How is a short made? What can not be borrowed is shorted through a future of equal value instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from engine.carry.borrow import BorrowService
from engine.model.instruments import Instrument
from engine.sleeves.sizing import PriceList


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortRoute:
    """Signed quantity shorted in the stock, the future for the rest, and a note when something was changed.

    ``blocked_usd`` is the short value (positive) for which neither a locate nor a proxy exists.
    """

    stock_quantity: Decimal
    proxy_contract: str | None
    proxy_quantity: Decimal
    blocked_usd: Decimal
    note: str | None


def route_short(
    instrument: Instrument,
    wanted: Decimal,
    held: Decimal,
    prices: PriceList,
    borrow: BorrowService,
    proxies: Mapping[str, str],
) -> ShortRoute:
    """Split a wanted short (negative quantity) into what can be borrowed and a proxy future of equal USD value."""
    allowed = borrow.allowed_short(instrument, wanted, held)
    missing = -wanted - allowed
    if missing <= 0:
        return ShortRoute(
            stock_quantity=wanted,
            proxy_contract=None,
            proxy_quantity=Decimal(0),
            blocked_usd=Decimal(0),
            note=None,
        )
    name = instrument.instrument_id
    value = missing * prices.unit_value_usd(name)
    proxy = proxies.get(name)
    contract = prices.contract_id(proxy) if proxy is not None else None
    if contract is None:
        note = f"{name}: no shares to borrow and no proxy with a price; {missing} not shorted"
        return ShortRoute(
            stock_quantity=-allowed,
            proxy_contract=None,
            proxy_quantity=Decimal(0),
            blocked_usd=value,
            note=note,
        )
    quantity = prices.quantity(contract, -value)
    note = f"{name}: no shares to borrow for {missing}; {-quantity} {contract} shorted instead"
    return ShortRoute(
        stock_quantity=-allowed,
        proxy_contract=contract,
        proxy_quantity=quantity,
        blocked_usd=Decimal(0),
        note=note,
    )
