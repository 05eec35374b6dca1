"""An order as a client places it, in the broker's words; what the protocol refuses by a code is refused here.

MIDPRICE and REL orders work as limits at their cap, algorithms as plain limits. A day order lives until its session
ends; so does one without an end, for this broker carries no order over the night.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.errors import DataError
from engine.model.instruments import Contract
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, OrderType, Side
from engine.model.spreads import NearLeg
from engine.simulation.terms import BrokerTerms
from tasks.adapters.simulated_gateway.forms import Record, integer, many, number, text
from tasks.adapters.simulated_gateway.listing import Listing

LONGEST_WAY = timedelta(milliseconds=41)
"""Longer than an order needs to the exchange: an order that does not rest ends before the exchange looks again."""

_TYPES: Mapping[str, OrderType] = {
    "LMT": OrderType.LIMIT,
    "MIDPRICE": OrderType.LIMIT,
    "REL": OrderType.LIMIT,
    "MKT": OrderType.MARKET,
    "MOC": OrderType.MARKET,
    "LOC": OrderType.LIMIT_ON_CLOSE,
    "LOO": OrderType.LIMIT_ON_OPEN,
}
_TIMES = ("DAY", "GTC", "IOC", "GTD", "OPG")
_GOOD_TILL = re.compile(r"(\d{8})(?: |-)(\d{2}:\d{2}:\d{2})(?: (\S+))?")


class OrderRefused(DataError):
    """An order that the gateway does not pass on: the code and text that its client gets."""

    def __init__(self, code: int, told: str) -> None:
        super().__init__(f"{code}: {told}")
        self.code, self.told = code, told


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReader:
    """Reads orders against the listing."""

    listing: Listing
    terms: BrokerTerms
    account: str

    def read(self, record: Record, reference: str, now: datetime) -> ChildOrder:
        """The order that a record places; raises `OrderRefused`."""
        if text(record, "account") not in ("", self.account):
            raise OrderRefused(
                321,
                f"Error validating request.-'bP' : cause - Invalid account code '{text(record, 'account')}'.",
            )
        action, quantity = text(record, "action"), number(record, "quantity")
        if action not in ("BUY", "SELL") or quantity is None or quantity <= 0:
            raise OrderRefused(
                321, "Error validating request.-'bP' : cause - Invalid side or size of the order."
            )
        kind, order_type = text(record, "order_type"), _order_type(record)
        limit = number(record, "limit_price")
        if limit is None and order_type is not OrderType.MARKET:
            raise OrderRefused(321, f"Error validating request.-'bP' : cause - {kind} needs a limit price.")
        contract, near, side = self._legs(record, Side(action), now)
        if near is not None and side is not Side(action):
            limit = None if limit is None else -limit
        price = limit or ZERO
        if order_type is not OrderType.MARKET:
            self._require_tick(contract, price)
        return ChildOrder(
            order_ref=reference,
            intent_id="",
            attempt=0,
            contract_id=contract.contract_id,
            side=side,
            quantity=quantity,
            order_type=order_type,
            limit_price=price,
            time_in_force=text(record, "tif") or "DAY",
            good_till=_good_till(record, order_type, now),
            arrival_mid=None if near is None else self._mid(contract, now),
            near=near,
        )

    def contract(self, record: Record, now: datetime) -> Contract:
        """The one contract that a record names; raises `OrderRefused`."""
        found = self.listing.find(record, now.date())
        if len(found) != 1:
            raise OrderRefused(200, "No security definition has been found for the request")
        return found[0]

    def _legs(self, record: Record, side: Side, now: datetime) -> tuple[Contract, NearLeg | None, Side]:
        """Contract and side to trade; of a spread those of the leg that expires later, and the other leg."""
        if text(record, "security_type") != "BAG":
            return self.contract(record, now), None, side
        legs = [(self.contract({"con_id": text(leg, "con_id")}, now), leg) for leg in many(record, "legs")]
        plain = len(legs) == 2 and all(integer(leg, "ratio", 1) == 1 for _, leg in legs)
        if not plain or {text(leg, "action") for _, leg in legs} != {"BUY", "SELL"}:
            raise OrderRefused(
                321, "Error validating request.-'bP' : cause - Only calendar spreads of two legs are taken."
            )
        if any(contract.last_trade_date is None for contract, _ in legs):
            raise OrderRefused(
                321, "Error validating request.-'bP' : cause - Only legs that expire make a spread."
            )
        (near, _), (far, leg) = sorted(legs, key=lambda item: str(item[0].last_trade_date))
        far_side = side if text(leg, "action") == "BUY" else side.opposite
        mid = self._mid(near, now)
        return far, NearLeg(intent_id="", contract_id=near.contract_id, arrival_mid=mid), far_side

    def _mid(self, contract: Contract, now: datetime) -> Decimal:
        quote = self.terms.facts.quote(contract.contract_id, now)
        if quote is not None and quote.is_two_sided:
            return quote.mid
        return self.terms.required_closing(contract.contract_id, now)

    def _require_tick(self, contract: Contract, price: Decimal) -> None:
        tick = self.listing.instrument(contract).tick_at(price)
        if price % tick != 0:
            raise OrderRefused(
                110, "The price does not conform to the minimum price variation for this contract."
            )


def _order_type(record: Record) -> OrderType:
    kind, tif = text(record, "order_type"), text(record, "tif") or "DAY"
    if kind not in _TYPES or tif not in _TIMES:
        raise OrderRefused(387, "Unsupported order type for this exchange and security type.")
    if kind in ("LOC", "MOC") and tif != "DAY":
        raise OrderRefused(
            113,
            "The Time-In-Force should be set to DAY if the order type is market-on-close or limit-on-close.",
        )
    if tif == "OPG":
        return OrderType.LIMIT_ON_OPEN if kind == "LMT" else OrderType.MARKET
    return _TYPES[kind]


def _good_till(record: Record, order_type: OrderType, now: datetime) -> datetime:
    tif = text(record, "tif") or "DAY"
    if tif == "IOC":
        return now + LONGEST_WAY
    if tif == "GTD":
        return parse_time(text(record, "good_till"))
    return now + timedelta(days=1 if order_type is OrderType.LIMIT else 7)


def parse_time(told: str) -> datetime:
    """``20261121 16:30:00 US/Eastern`` or ``20261121-16:30:00`` (UTC); raises `OrderRefused`."""
    found = _GOOD_TILL.fullmatch(told)
    try:
        zone = ZoneInfo(found[3]) if found is not None and found[3] else UTC
        if found is not None:
            local = datetime.strptime(f"{found[1]} {found[2]}", "%Y%m%d %H:%M:%S").replace(tzinfo=zone)
            return local.astimezone(UTC)
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        pass  # no such day, one before the first or after the last, or a zone that is a folder
    raise OrderRefused(
        391, "The time specified for the Good-Til-Date is not valid: expected a date, time and time zone."
    )
