"""The gateway's contracts: numbers, the search by what a client knows of one, and details as the wire tells them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from config.universe import VenueBook
from engine.errors import ConfigurationError, UnknownContract
from engine.model.instruments import (
    Contract,
    Instrument,
    InstrumentType,
    OptionRight,
    TickBand,
    option_contract_id,
    spot_contract,
)
from engine.model.universe import Universe
from engine.sessions import Session, SessionTable
from engine.simulation.terms import BrokerFacts
from tasks.adapters.simulated_gateway.forms import Record, integer, number, text
from tasks.adapters.simulated_gateway.references import References

SMART = "SMART"
_NUMBERS = (100_000_000, 800_000_000)
"""First number of a contract, and how many there are."""

_ORDER_TYPES = "LMT,LOC,LOO,MIDPRICE,REL,IOC,GTD,WHATIF,ADAPTIVE"
_HOURS_TOLD = 6
"""Calendar days of trading hours in a contract's details."""


def contract_number(contract_id: str) -> int:
    """The number of a contract in the simulated world: a function of its id alone."""
    digest = int.from_bytes(hashlib.sha256(f"contract|{contract_id}".encode()).digest()[:8], "big")
    first, count = _NUMBERS
    return first + digest % count


def expiry_text(contract: Contract) -> str:
    """``YYYYMMDD`` of what expires, empty for everything else."""
    return "" if contract.last_trade_date is None else f"{contract.last_trade_date:%Y%m%d}"


@dataclass(slots=True, kw_only=True)
class Listing:
    """Every contract that the gateway knows, by its number.

    ``references`` are listed and shown, and can not be traded.
    ``pence_ticks``: ticks of lines that quote in pence are told in pence, as their prices are (else in pounds).
    """

    universe: Universe
    facts: BrokerFacts
    venues: VenueBook
    chains: Mapping[str, tuple[Contract, ...]]
    references: References | None = None
    pence_ticks: bool = True
    _by_number: dict[int, Contract] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for instrument in self.instruments():
            if instrument.is_future:
                for contract in self.chains.get(instrument.instrument_id, ()):
                    self._register(contract)
            elif not instrument.is_option:
                self._register(spot_contract(instrument))

    def number(self, contract_id: str) -> int:
        """Number of a contract; an option becomes known by being asked for. Raises `UnknownContract`."""
        if not self.is_reference(contract_id):
            self._register(self.facts.contract(contract_id))
        return contract_number(contract_id)

    def contract(self, number_: int) -> Contract:
        """Contract of a number; raises `UnknownContract`."""
        found = self._by_number.get(number_)
        if found is None:
            raise UnknownContract(f"expected the number of a listed contract, found {number_}")
        return found

    def instrument(self, contract: Contract) -> Instrument:
        """Instrument behind a contract."""
        if self.references is not None and contract.instrument_id in self.references.universe:
            return self.references.universe[contract.instrument_id]
        return self.universe[contract.instrument_id]

    def instrument_of(self, contract_id: str) -> Instrument:
        """Instrument behind a contract's id; raises `UnknownContract`."""
        return self.instrument(self.contract(self.number(contract_id)))

    def is_reference(self, contract_id: str) -> bool:
        """Whether a contract is only shown, as the underlying of options."""
        return self.references is not None and contract_id in self.references.universe

    def underlying(self, instrument: Instrument) -> str | None:
        """Id of what a line is written on: of options a listed contract."""
        if self.references is not None and instrument.instrument_id in self.references.underlyings:
            return self.references.underlyings[instrument.instrument_id]
        return instrument.underlying

    def zone(self, instrument: Instrument) -> ZoneInfo:
        """Time zone of an instrument's venue."""
        return ZoneInfo(self.venues.venue(instrument.venue).timezone)

    def instruments(self) -> Iterable[Instrument]:
        """Every line that is listed: what the fund may trade, and what is only shown."""
        yield from self.universe
        if self.references is not None:
            yield from self.references.universe

    def find(self, asked: Record, today: date) -> tuple[Contract, ...]:
        """Contracts that fit what a client knows: a number alone, or symbol, type and whatever else is given.

        An option whose number nobody has asked for yet is found by its other fields, if these give that number. What has expired by ``today`` is left out unless the client asks for it.
        """
        wanted = integer(asked, "con_id")
        if wanted:
            known = self._by_number.get(wanted)
            if known is not None:
                return (known,)
        expired = text(asked, "include_expired") == "1"
        fitting = [
            contract
            for instrument in self.instruments()
            if _fits(instrument, asked)
            for contract in self._contracts(instrument, asked)
            if (expired or contract.last_trade_date is None or contract.last_trade_date >= today)
            and wanted in (0, contract_number(contract.contract_id))
        ]
        return tuple(sorted(fitting, key=lambda contract: contract.contract_id))

    def shown(self, contract: Contract, exchange: str = "") -> dict[str, str]:
        """A contract as the wire names it."""
        instrument = self.instrument(contract)
        return {
            "con_id": str(contract_number(contract.contract_id)),
            "symbol": instrument.ib_symbol,
            "security_type": instrument.kind.broker_name,
            "last_trade_date": expiry_text(contract),
            "strike": _plain(contract.strike or Decimal(0)),
            "right": "" if contract.right is None else contract.right.value,
            "multiplier": _plain(instrument.multiplier) if _has_multiplier(instrument) else "",
            "exchange": exchange or instrument.exchange,
            "currency": instrument.currency,
            "local_symbol": local_symbol(instrument, contract),
            "trading_class": instrument.ib_symbol,
        }

    def details(
        self, contract: Contract, at: datetime, sessions: SessionTable
    ) -> dict[str, str | tuple[Record, ...]]:
        """Everything that a client may know of a contract."""
        instrument, shown = self.instrument(contract), self.shown(contract)
        exchanges = list(
            dict.fromkeys([instrument.exchange, instrument.primary_exchange or instrument.exchange])
        )
        zone, underlying = self.zone(instrument), self.underlying(instrument)
        hours = trading_hours(sessions.venues[instrument.venue], at, zone)
        kind = "ETF" if instrument.kind is InstrumentType.ETF else "COMMON"
        record: dict[str, str | tuple[Record, ...]] = {
            name: value for name, value in shown.items() if name not in ("last_trade_date",)
        }
        return record | {
            "last_trade": shown["last_trade_date"],
            "market_name": instrument.ib_symbol,
            "least_tick": self.least_tick(instrument),
            "order_types": _ORDER_TYPES,
            "valid_exchanges": ",".join(exchanges),
            "price_magnifier": _plain(instrument.price_magnifier),
            "under_con_id": "0" if underlying is None else str(contract_number(underlying)),
            "long_name": instrument.long_name,
            "primary_exchange": instrument.primary_exchange or "",
            "contract_month": shown["last_trade_date"][:6],
            "time_zone": zone.key,
            "trading_hours": hours,
            "liquid_hours": hours,
            "under_symbol": instrument.underlying or "",
            "market_rule_ids": ",".join(str(self.market_rule(instrument)) for _ in exchanges),
            "expiry_date": shown["last_trade_date"],
            "stock_type": kind if instrument.kind.broker_name == "STK" else "",
            "least_size": _plain(instrument.lot),
            "size_step": _plain(instrument.lot),
            "suggested_size_step": _plain(instrument.lot),
        }

    def least_tick(self, instrument: Instrument) -> str:
        """Smallest tick, in the unit in which ticks are told."""
        return _plain(min(band.tick for band in instrument.tick_bands) / self._tick_unit(instrument))

    def market_rule(self, instrument: Instrument) -> int:
        """Number of the instrument's table of ticks: one for each different table, in the order of the ids."""
        return 1 + self._tables().index((instrument.tick_bands, self._tick_unit(instrument)))

    def increments(self, rule: int) -> tuple[Record, ...]:
        """Lower edges and ticks of a rule; empty for a number that no rule has."""
        tables = self._tables()
        if not 1 <= rule <= len(tables):
            return ()
        bands, unit = tables[rule - 1]
        return tuple(
            {"from": _plain(band.from_price / unit), "increment": _plain(band.tick / unit)} for band in bands
        )

    def _tables(self) -> list[tuple[tuple[TickBand, ...], Decimal]]:
        return list(dict.fromkeys((other.tick_bands, self._tick_unit(other)) for other in self.instruments()))

    def _tick_unit(self, instrument: Instrument) -> Decimal:
        """What a tick is divided by before it is told."""
        return Decimal(1) if self.pence_ticks else instrument.price_magnifier

    def _contracts(self, instrument: Instrument, asked: Record) -> Iterable[Contract]:
        if instrument.is_option:
            return self._option(instrument, asked)
        if not instrument.is_future:
            return (spot_contract(instrument),)
        month = text(asked, "last_trade_date").split(" ")[0]
        local = text(asked, "local_symbol")
        return [
            contract
            for contract in self.chains.get(instrument.instrument_id, ())
            if expiry_text(contract).startswith(month) and local in ("", local_symbol(instrument, contract))
        ]

    def _option(self, instrument: Instrument, asked: Record) -> Iterable[Contract]:
        """An option is listed by being named in full."""
        expiry, right, strike = (
            text(asked, "last_trade_date"),
            text(asked, "right")[:1],
            number(asked, "strike"),
        )
        if len(expiry) != 8 or right not in ("C", "P") or not strike:
            return ()
        try:
            day = date(int(expiry[:4]), int(expiry[4:6]), int(expiry[6:]))
        except ValueError:
            return ()
        name = option_contract_id(instrument.instrument_id, day, OptionRight(right), strike)
        try:
            contract = self.facts.contract(name)
        except UnknownContract:
            return ()
        if text(asked, "local_symbol") not in ("", local_symbol(instrument, contract)):
            return ()
        self._register(contract)
        return (contract,)

    def _register(self, contract: Contract) -> None:
        number_ = contract_number(contract.contract_id)
        known = self._by_number.setdefault(number_, contract)
        if known.contract_id != contract.contract_id:
            raise ConfigurationError(
                f"expected one number for each contract, found {number_} for {known.contract_id} and "
                f"{contract.contract_id}; rename one of them"
            )


def _fits(instrument: Instrument, asked: Record) -> bool:
    """Whether an instrument is what the given texts describe; what is not given fits everything."""
    exchange = text(asked, "exchange")
    exchanges = ("", SMART, instrument.exchange, instrument.primary_exchange)
    multiplier = number(asked, "multiplier")
    symbols = {text(asked, "symbol"), text(asked, "trading_class")} - {""}
    if not symbols and not text(asked, "local_symbol"):
        return False
    local = text(asked, "local_symbol")
    return (
        text(asked, "security_type") in ("", instrument.kind.broker_name)
        and all(symbol == instrument.ib_symbol for symbol in symbols)
        and (
            not local
            or instrument.is_future
            or instrument.is_option
            or local == local_symbol(instrument, spot_contract(instrument))
        )
        and text(asked, "currency") in ("", instrument.currency)
        and exchange in exchanges
        and text(asked, "primary_exchange") in ("", instrument.primary_exchange, instrument.exchange)
        and multiplier in (None, instrument.multiplier)
    )


def _has_multiplier(instrument: Instrument) -> bool:
    return instrument.is_future or instrument.is_option


_MONTH_LETTERS = "FGHJKMNQUVXZ"


def local_symbol(instrument: Instrument, contract: Contract) -> str:
    """The venue's own name: ``ESZ6`` for a future of December 2026, the pair with a point for currencies."""
    if contract.last_trade_date is not None and instrument.is_future:
        day = contract.last_trade_date
        return f"{instrument.ib_symbol}{_MONTH_LETTERS[day.month - 1]}{day.year % 10}"
    if contract.last_trade_date is not None:
        right = "" if contract.right is None else contract.right.value
        return f"{instrument.ib_symbol} {contract.last_trade_date:%y%m%d}{right}{contract.strike}"
    if instrument.kind.broker_name == "CASH":
        return f"{instrument.ib_symbol}.{instrument.currency}"
    return instrument.ib_symbol


def trading_hours(sessions: Iterable[Session], at: datetime, zone: ZoneInfo) -> str:
    """``20261120:0930-20261120:1600;20261121:CLOSED``: the days around a time, in the venue's zone."""
    today = at.astimezone(zone).date()
    by_date = {
        session.session_date: session for session in sessions if abs((session.session_date - today).days) < 12
    }
    days = []
    for ahead in range(_HOURS_TOLD):
        day = today + timedelta(days=ahead)
        session = by_date.get(day)
        if session is None:
            days.append(f"{day:%Y%m%d}:CLOSED")
            continue
        opening, closing = session.open.astimezone(zone), session.close.astimezone(zone)
        days.append(f"{opening:%Y%m%d}:{opening:%H%M}-{closing:%Y%m%d}:{closing:%H%M}")
    return ";".join(days)


def _plain(value: Decimal) -> str:
    """A number without exponent and without zeros at its end."""
    shown = f"{value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
