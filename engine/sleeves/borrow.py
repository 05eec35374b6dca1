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


@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowService:
    """What may be sold short, by the lenders' quotes of the day; without a quote nothing is lent (CARRY-01)."""

    quotes: Mapping[str, BorrowQuote]
    policy: SleevePolicy

    def needs_locate(self, instrument: Instrument) -> bool:
        """Whether a short of this line must find shares first."""
        return self.policy.deny_short_without_borrow and not instrument.is_future and not instrument.is_option

    def shares_to_borrow(self, instrument: Instrument) -> Decimal:
        """Shares that a new short may borrow: none without a quote or above the highest accepted fee."""
        quote = self.quotes.get(instrument.instrument_id)
        if quote is None or quote.fee_bps_annual > self.policy.max_borrow_fee_bps_annual:
            return Decimal(0)
        return floor_lots(max(Decimal(0), quote.available_shares), instrument.lot)

    def allowed_short(self, instrument: Instrument, wanted: Decimal, held: Decimal) -> Decimal:
        """Unsigned part of a wanted short (negative) that may stand: what is short already stays without a locate."""
        if not self.needs_locate(instrument):
            return -wanted
        already = max(Decimal(0), -held)
        return min(-wanted, already + self.shares_to_borrow(instrument))


def route_short(
    instrument: Instrument, wanted: Decimal, held: Decimal, prices: PriceList, borrow: BorrowService
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
    proxy = borrow.policy.short_proxies.get(name)
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
