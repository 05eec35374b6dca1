"""Instruments and their contracts: what is traded, in which unit, and what one unit is worth.

``value in currency = quantity × price / price_magnifier × multiplier``. An instrument is what the fund's
policy names (``ES``); a contract is what is bought (``ES_20261218``). For shares and funds they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from enum import Enum

from engine.errors import InvariantError, UnknownContract


class InstrumentType(Enum):
    """Kind of security, with the broker's names."""

    STK = "STK"
    ETF = "ETF"
    FUT = "FUT"
    OPT = "OPT"
    CASH = "CASH"
    FX_SPOT = "FX_SPOT"
    FOP = "FOP"
    BOND = "BOND"
    BAG = "BAG"
    IND = "IND"

    @classmethod
    def of_broker(cls, security_type: str, stock_type: str = "") -> InstrumentType:
        """Kind behind the broker's security type; shares and funds share one and differ in the stock type.

        Raises `UnknownContract` for a type that no line of ours can have.
        """
        if security_type == cls.STK.value:
            return cls.ETF if stock_type == cls.ETF.value else cls.STK
        known = {kind.broker_name: kind for kind in cls if kind not in (cls.ETF, cls.FX_SPOT)}
        if security_type not in known:
            raise UnknownContract(f"expected a security type of {', '.join(known)}, found {security_type!r}")
        return known[security_type]

    @property
    def broker_name(self) -> str:
        """The broker's security type."""
        return {"ETF": "STK", "FX_SPOT": "CASH"}.get(self.value, self.value)


class CollarClass(Enum):
    """Class that decides the price collar, the cost defaults and the slippage model."""

    ETF = "ETF"
    STK = "STK"
    FUT = "FUT"
    FX_FUT = "FX_FUT"
    FX_SPOT = "FX_SPOT"
    BOND_FUT = "BOND_FUT"
    VOL_FUT = "VOL_FUT"
    OPT = "OPT"


class VenueGroup(Enum):
    """Job venue: which liquidity windows apply (EU, US, FX, FUT)."""

    EU = "EU"
    US = "US"
    FX = "FX"
    FUT = "FUT"


class ExpiryRule(Enum):
    """How the last trade date follows from the delivery month."""

    NONE = "none"
    THIRD_FRIDAY = "third_friday"
    THIRD_WEDNESDAY_LESS_2 = "third_wednesday_less_2"
    VIX_WEDNESDAY = "vix_wednesday"
    EUREX_BOND = "eurex_bond"
    TREASURY_NOTE = "treasury_note"


class OptionRight(Enum):
    """Call or put."""

    CALL = "C"
    PUT = "P"


@dataclass(frozen=True, slots=True, kw_only=True)
class TickBand:
    """Tick size that holds for quoted prices at or above ``from_price``."""

    from_price: Decimal
    tick: Decimal

    def __post_init__(self) -> None:
        if self.tick <= 0 or self.from_price < 0:
            raise InvariantError(f"expected a positive tick from a price of 0 or more, found {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One line of instruments.yaml.

    ``currency`` is the currency of cash flows (GBP also where the quote is in pence), ``price_unit`` the unit of
    the quote, ``price_magnifier`` how many quote units make one unit of currency (100 for pence).
    ``exposure_currency`` is the currency whose moves the holder bears. ``venue`` is an id of venues.yaml.
    ``months`` are the delivery months of a future's listed cycle (1-12); empty for everything else.
    ``issuer_country`` (ISO 3166, two letters) is where the company or fund behind a share is resident for tax.
    ``calendar_spread`` says that its venue lists the spread of two expiries as an instrument of its own.
    ``auction_orders`` are the order types for auctions (``LOC``, ``LOO``) that the contract was seen to list.
    """

    instrument_id: str
    category: str
    kind: InstrumentType
    ib_symbol: str
    exchange: str
    primary_exchange: str | None
    currency: str
    price_unit: str
    exposure_currency: str
    multiplier: Decimal
    price_magnifier: Decimal
    tick_bands: tuple[TickBand, ...]
    lot: Decimal
    collar_class: CollarClass
    venue: str
    venue_group: VenueGroup
    expiry_rule: ExpiryRule
    months: tuple[int, ...]
    roll_days_before: int
    underlying: str | None
    counted: bool
    tradeable: bool
    long_name: str
    yahoo: str | None
    issuer_country: str | None = None
    calendar_spread: bool = False
    auction_orders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.multiplier <= 0 or self.price_magnifier <= 0 or self.lot <= 0:
            raise InvariantError(f"{self.instrument_id}: expected positive multiplier, magnifier and lot")
        if not self.tick_bands or self.tick_bands[0].from_price != 0:
            raise InvariantError(f"{self.instrument_id}: expected tick bands that begin at a price of 0")
        if (self.kind is InstrumentType.FUT) != bool(self.months):
            raise InvariantError(f"{self.instrument_id}: delivery months belong to futures and only to them")

    @property
    def effective_multiplier(self) -> Decimal:
        """Currency per quote unit: multiplier / price magnifier (R-07)."""
        return self.multiplier / self.price_magnifier

    @property
    def is_future(self) -> bool:
        """Whether gains are settled daily in cash instead of being held as value."""
        return self.kind is InstrumentType.FUT

    @property
    def quantity_unit(self) -> str:
        """What one of a quantity is called, in the plural: shares, contracts, or units of a currency or bond."""
        if self.kind in (InstrumentType.STK, InstrumentType.ETF):
            return "shares"
        if self.kind in (InstrumentType.FUT, InstrumentType.OPT, InstrumentType.FOP, InstrumentType.BAG):
            return "contracts"
        return "units"

    @property
    def is_option(self) -> bool:
        """Whether the line is an option, valued at its premium."""
        return self.kind is InstrumentType.OPT

    def tick_at(self, price: Decimal) -> Decimal:
        """Tick size at a quoted price (negative futures prices use the first band)."""
        tick = self.tick_bands[0].tick
        for band in self.tick_bands:
            if price >= band.from_price:
                tick = band.tick
        return tick

    def floor_to_tick(self, price: Decimal) -> Decimal:
        """Largest valid price not above ``price``."""
        tick = self.tick_at(price)
        return (price / tick).to_integral_value(rounding=ROUND_FLOOR) * tick

    def ceil_to_tick(self, price: Decimal) -> Decimal:
        """Smallest valid price not below ``price``."""
        tick = self.tick_at(price)
        return (price / tick).to_integral_value(rounding=ROUND_CEILING) * tick

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Signed value of a quantity at a quoted price, in ``currency``, unrounded."""
        return quantity * price * self.multiplier / self.price_magnifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What an order names: a share or fund itself, or one expiry of a future or option.

    ``first_notice_date`` is set only where physical delivery can be assigned before the last trade date.
    """

    contract_id: str
    instrument_id: str
    last_trade_date: date | None = None
    first_notice_date: date | None = None
    strike: Decimal | None = None
    right: OptionRight | None = None

    @property
    def roll_deadline(self) -> date | None:
        """The earlier of last trade and first notice: nothing is held past it."""
        dates = [d for d in (self.last_trade_date, self.first_notice_date) if d is not None]
        return min(dates) if dates else None


def spot_contract(instrument: Instrument) -> Contract:
    """The contract of an instrument that has no expiry."""
    return Contract(contract_id=instrument.instrument_id, instrument_id=instrument.instrument_id)


def future_contract_id(instrument_id: str, last_trade_date: date) -> str:
    """``{root}_{YYYYMMDD}`` (ROLL-04)."""
    return f"{instrument_id}_{last_trade_date:%Y%m%d}"


def option_contract_id(instrument_id: str, expiry: date, right: OptionRight, strike: Decimal) -> str:
    """``{root}_{YYYYMMDD}_{C|P}_{strike}``."""
    return f"{instrument_id}_{expiry:%Y%m%d}_{right.value}_{strike.normalize():f}"


def floor_lots(quantity: Decimal, lot: Decimal) -> Decimal:
    """Whole lots towards zero: how a cap rounds."""
    return (quantity / lot).quantize(Decimal(1), rounding=ROUND_DOWN) * lot
