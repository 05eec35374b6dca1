"""May this be sold short? What can not be borrowed is shorted through a future of equal value instead.

Only new or increased shorts need a locate; a short that is held may stay or shrink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from engine.model.instruments import Instrument
from engine.model.market import BorrowQuote
from engine.model.policy import SleevePolicy
from engine.sleeves.sizing import PriceList, floor_lots


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


def needs_locate(instrument: Instrument, policy: SleevePolicy) -> bool:
    """Whether a short of this line must find shares first."""
    return policy.deny_short_without_borrow and not instrument.is_future and not instrument.is_option


def shares_to_borrow(
    instrument: Instrument, borrow: Mapping[str, BorrowQuote], policy: SleevePolicy
) -> Decimal:
    """Shares that a new short may borrow: none without a quote or above the highest accepted fee."""
    quote = borrow.get(instrument.instrument_id)
    if quote is None or quote.fee_bps_annual > policy.max_borrow_fee_bps_annual:
        return Decimal(0)
    return floor_lots(max(Decimal(0), quote.available_shares), instrument.lot)


def route_short(
    instrument: Instrument,
    wanted: Decimal,
    held: Decimal,
    prices: PriceList,
    borrow: Mapping[str, BorrowQuote],
    policy: SleevePolicy,
) -> ShortRoute:
    """Split a wanted short (negative quantity) into what can be borrowed and a proxy future of equal USD value."""
    allowed = -wanted
    if needs_locate(instrument, policy):
        already = max(Decimal(0), -held)
        allowed = min(-wanted, already + shares_to_borrow(instrument, borrow, policy))
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
    proxy = policy.short_proxies.get(name)
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
