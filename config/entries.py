"""The lines of instruments.yaml and venues.yaml as strict models."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Annotated, Literal, TypeAlias
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from config.sections import CollarName, Country, Currency, InstrumentId, Section, refuse
from config.units import Clock, Count, Positive

Category: TypeAlias = Literal[
    "equity_index",
    "us_sector_etf",
    "eu_sector_etf",
    "credit_carry",
    "fx_futures",
    "fx_spot",
    "volatility",
    "sovereign_bonds",
    "us_single_name",
    "eu_single_name",
    "index_options",
    "vol_options",
    "credit_options",
    "bank_options",
    "reference",
]
SecurityType: TypeAlias = Literal["STK", "FUT", "OPT", "CASH", "IND"]
Expiry: TypeAlias = Literal[
    "none", "third_friday", "third_wednesday_less_2", "vix_wednesday", "eurex_bond", "treasury_note"
]
Weekday: TypeAlias = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


def _tick(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value <= 0:
        raise PydanticCustomError(
            "number",
            "expected a tick size above 0 or the name of a tick table, found {found}",
            {"found": str(value)},
        )
    return Decimal(value)


@cache
def _timezones() -> frozenset[str]:
    """Names that this machine knows: asked once, for each answer reads the whole folder of zones."""
    return frozenset(available_timezones())


def _timezone(name: str) -> str:
    if name not in _timezones():
        raise refuse(f"expected a time zone such as Europe/Berlin, found {name}")
    return name


def _prices_ascend(table: dict[str, Decimal]) -> dict[str, Decimal]:
    try:
        starts = [Decimal(start) for start in table]
    except ArithmeticError:
        raise refuse(f"expected prices as the keys of a tick table, found {', '.join(table)}") from None
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        raise refuse("expected a tick table to begin at a price of 0 and to ascend")
    return table


Tick: TypeAlias = Annotated[
    Decimal | str, BeforeValidator(_tick), WithJsonSchema({"type": ["number", "string"]})
]
Timezone: TypeAlias = Annotated[str, AfterValidator(_timezone)]
TickTable: TypeAlias = Annotated[dict[str, Positive], AfterValidator(_prices_ascend)]
Month: TypeAlias = Annotated[int, Field(ge=1, le=12)]


class InstrumentEntry(Section):
    """One instrument as the file describes it."""

    name: str
    category: Category
    sec_type: SecurityType
    ib_symbol: str
    exchange: str
    primary_exchange: str | None
    venue: str
    currency: Currency
    price_unit: str
    price_magnifier: Literal[1, 100]
    exposure_currency: Currency
    multiplier: Positive
    tick: Tick
    lot: Positive
    collar_class: CollarName
    expiry_rule: Expiry
    months: tuple[Month, ...]
    underlying: InstrumentId | None
    yahoo: str | None
    issuer: Country | None = None
    calendar_spread: bool = False
    auction_orders: tuple[Literal["LOC", "LOO"], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> InstrumentEntry:
        if self.auction_orders and self.sec_type != "STK":
            raise refuse("expected auction_orders for shares and funds only")
        if (self.price_unit == "GBX") != (self.price_magnifier == 100):
            raise refuse("expected price_magnifier 100 for quotes in pence (GBX), and only for them")
        if (self.sec_type == "FUT") != bool(self.months):
            raise refuse("expected delivery months for futures, and only for them")
        if self.calendar_spread and self.sec_type != "FUT":
            raise refuse("expected calendar_spread for futures only")
        if self.sec_type in ("FUT", "OPT") and self.expiry_rule == "none":
            raise refuse("expected an expiry_rule for futures and options")
        if (self.sec_type == "STK") != (self.issuer is not None):
            raise refuse("expected the country of the issuer for shares and funds, and only for them")
        return self


class SharedFacts(Section):
    """What all names of a list share."""

    category: Category
    sec_type: Literal["STK"]
    exchange: str
    primary_exchange: str | None
    venue: str
    currency: Currency
    price_unit: str
    price_magnifier: Literal[1, 100]
    exposure_currency: Currency
    multiplier: Positive
    tick: Tick
    lot: Positive
    collar_class: CollarName
    suffix: str
    issuer: Country


class NameList(Section):
    """Many names that share all facts but their symbol."""

    shared: SharedFacts
    renames: dict[str, InstrumentId]
    issuers: dict[InstrumentId, Country] = Field(default_factory=dict)
    symbols: tuple[InstrumentId, ...]

    @model_validator(mode="after")
    def _once(self) -> NameList:
        twice = sorted({name for name in self.symbols if self.symbols.count(name) > 1})
        if twice:
            raise refuse(f"expected each symbol once, found {', '.join(twice)} again")
        return self

    def instrument_id(self, symbol: str) -> str:
        """Id of a symbol as the source of its history writes it."""
        return self.renames.get(symbol, symbol)

    def entry(self, symbol: str) -> InstrumentEntry:
        """The facts of one name; the broker writes share classes with a point."""
        facts = {name: value for name, value in self.shared if name not in ("suffix", "issuer")}
        plain = symbol.removesuffix(self.shared.suffix) if self.shared.suffix else symbol
        return InstrumentEntry(
            **facts,
            name=plain,
            ib_symbol=plain.replace("-", "."),
            expiry_rule="none",
            months=(),
            underlying=None,
            yahoo=symbol,
            issuer=self.issuers.get(symbol, self.shared.issuer),
        )


class InstrumentsFile(Section):
    """instruments.yaml."""

    tick_tables: dict[str, TickTable]
    instruments: dict[InstrumentId, InstrumentEntry]
    proxies: dict[InstrumentId, InstrumentEntry]
    reference: dict[InstrumentId, InstrumentEntry]
    name_lists: dict[str, NameList]


class WindowEntry(Section):
    """A venue's liquidity window."""

    open_offset_minutes: Count
    close_offset_minutes: Count
    after_new_york_open_minutes: Count | None
    start_utc: Clock | None
    end_utc: Clock | None


class AuctionEntry(Section):
    """When an auction takes our orders, in minutes from the open or the close; negative before it."""

    first_minutes: int
    cutoff_minutes: int
    result_minutes: Count
    listed_only: bool

    @model_validator(mode="after")
    def _in_order(self) -> AuctionEntry:
        if not self.first_minutes < self.cutoff_minutes < self.result_minutes:
            raise refuse("expected first_minutes before cutoff_minutes before result_minutes")
        return self


class PhasesEntry(Section):
    """Lengths of a venue's phases around its session, in minutes."""

    pre_minutes: Count
    open_auction_minutes: Count
    close_auction_minutes: Count
    post_minutes: Count


class VenueEntry(Section):
    """One venue."""

    calendar: str
    timezone: Timezone
    group: Literal["EU", "US", "FX", "FUT"]
    window: WindowEntry
    open_auction: AuctionEntry | None
    close_auction: AuctionEntry | None
    phases: PhasesEntry


class MaintenanceEntry(Section):
    """One maintenance window of the broker."""

    name: str
    timezone: Timezone
    days: tuple[Weekday, ...]
    start: Clock
    end: Clock


class VenuesFile(Section):
    """venues.yaml."""

    venues: dict[str, VenueEntry]
    broker_day_timezone: Timezone
    maintenance: tuple[MaintenanceEntry, ...]
