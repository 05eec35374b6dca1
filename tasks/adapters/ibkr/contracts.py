"""The broker's contracts behind the fund's: built from the universe, qualified once, pinned by number.

What the broker answers has to be one contract and the one that is meant: kind, currency, multiplier, magnifier and
expiry as the universe has them. Ambiguous, missing or other: refused by name. A number is never guessed, and one that
was pinned never changes quietly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from ib_insync import IB
from ib_insync.contract import ComboLeg, ContractDetails
from ib_insync.contract import Contract as WireContract

from engine.errors import BrokerUnavailable, ConfigurationError, UnknownContract
from engine.model.instruments import (
    Contract,
    Instrument,
    InstrumentType,
    OptionRight,
    future_contract_id,
    option_contract_id,
)
from engine.model.universe import ContractBook
from tasks.adapters.ibkr.errors import RequestRefused
from tasks.adapters.ibkr.pins import Pin
from tasks.adapters.ibkr.records import ContractShown, contract_expiry, exact
from tasks.adapters.ibkr.session import IbkrSession

SMART = "SMART"
_MISSING = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualified:
    """A contract of ours and the broker's number of it, with what the broker calls it on the wire."""

    contract: Contract
    instrument: Instrument
    pin: Pin
    wire: WireContract


class ContractDesk:
    """Qualifies contracts once a session; `pins` is what was qualified before, and what was is added to it."""

    def __init__(
        self, session: IbkrSession, book: Callable[[], ContractBook], pins: Mapping[str, Pin]
    ) -> None:
        self._session, self._book = session, book
        self._pins = dict(pins)
        self._by_name: dict[str, Qualified] = {}
        self._by_number: dict[int, str] = {pin.con_id: name for name, pin in pins.items()}

    @property
    def pins(self) -> Mapping[str, Pin]:
        """Every contract that was ever qualified, by our id."""
        return dict(sorted(self._pins.items()))

    def qualified(self, contract_id: str) -> Qualified:
        """The broker's contract of an id.

        Raises `UnknownContract` when it is missing or ambiguous at the broker, `ConfigurationError` when its facts or
        its number are not those that are known, `BrokerUnavailable` without an answer.
        """
        known = self._by_name.get(contract_id)
        return self.adopt(self._book().contract(contract_id)) if known is None else known

    def adopt(self, contract: Contract) -> Qualified:
        """The broker's contract of one that no book lists yet, such as an option of a chain; errors as `qualified`."""
        known = self._by_name.get(contract.contract_id)
        if known is None:
            known = self._qualify(contract)
            self._keep(known)
        return known

    def qualify(self, contract_ids: Iterable[str]) -> Mapping[str, str]:
        """Qualify many; answers, for each that is refused, why."""
        refused = {}
        for contract_id in contract_ids:
            try:
                self.qualified(contract_id)
            except (UnknownContract, ConfigurationError) as error:
                refused[contract_id] = str(error)
        return refused

    def name_of(self, shown: ContractShown) -> str:
        """Our id of a contract that the broker names; ``#number local symbol`` for one that we do not know.

        Raises `BrokerUnavailable` when the broker would not say which contract a candidate is: it may be ours.
        """
        known = self._by_number.get(shown.con_id)
        if known is not None:
            return known
        for name in self._candidates(shown):
            try:
                if self.qualified(name).pin.con_id == shown.con_id:
                    return name
            except (UnknownContract, ConfigurationError):
                continue
            except RequestRefused as error:
                raise BrokerUnavailable(
                    f"{name}: expected the broker's contract, to know {shown.con_id} {shown.local_symbol} by, found "
                    f"{error.code} {error}"
                ) from error
        return f"#{shown.con_id} {shown.local_symbol or shown.symbol}"

    def name_of_number(self, con_id: int) -> str:
        """Our id of a number of the broker's; ``#number`` for one that we do not know."""
        return self._by_number.get(con_id, f"#{con_id}")

    def instrument(self, contract_id: str) -> Instrument | None:
        """Instrument behind one of our ids, ``None`` for what is not ours."""
        try:
            return self._book().instrument(contract_id)
        except UnknownContract:
            return None

    def spread(self, far_id: str, near_id: str) -> WireContract:
        """The combination that buys the far contract and sells the near one."""
        far, near = self.qualified(far_id), self.qualified(near_id)
        legs = [
            ComboLeg(conId=leg.pin.con_id, ratio=1, action=action, exchange=leg.wire.exchange)
            for leg, action in ((far, "BUY"), (near, "SELL"))
        ]
        return WireContract(
            secType="BAG",
            symbol=far.wire.symbol,
            currency=far.wire.currency,
            exchange=far.wire.exchange,
            comboLegs=legs,
        )

    def details(self, wire: WireContract) -> tuple[ContractDetails, ...]:
        """Everything that fits a description at the broker, nothing when nothing does."""

        async def ask(ib: IB) -> list[ContractDetails]:
            found: list[ContractDetails] = await ib.reqContractDetailsAsync(wire)
            return found

        try:
            return tuple(self._session.call(ask))
        except RequestRefused as error:
            if error.code == _MISSING:
                return ()
            raise

    def _qualify(self, contract: Contract) -> Qualified:
        contract_id, instrument = contract.contract_id, self._book().universe[contract.instrument_id]
        asked = wire_contract(instrument, contract)
        found = [row for row in self.details(asked) if _is_meant(row, instrument, contract)]
        if instrument.is_option:
            found = of_own_class(found, instrument)
        if len(found) != 1:
            raise UnknownContract(
                f"{contract_id}: expected one contract at the broker for {_described(asked)}, found "
                f"{_listed(found) if found else 'none'}; correct its line in instruments.yaml",
                subject=contract_id,
            )
        pin = pin_of(found[0])
        self._check(contract_id, instrument, pin)
        wire = found[0].contract
        if wire is None:
            raise UnknownContract(f"{contract_id}: expected a contract in its details", subject=contract_id)
        if asked.exchange == SMART:
            wire.exchange = SMART
        wire.lastTradeDateOrContractMonth = contract_expiry(wire.lastTradeDateOrContractMonth)
        return Qualified(contract=contract, instrument=instrument, pin=pin, wire=wire)

    def _check(self, contract_id: str, instrument: Instrument, pin: Pin) -> None:
        wanted = (instrument.currency, instrument.price_magnifier)
        if (pin.currency, Decimal(pin.price_magnifier)) != wanted:
            raise ConfigurationError(
                f"{contract_id}: expected a quote in {wanted[0]} with magnifier {wanted[1]}, found {pin.currency} with "
                f"{pin.price_magnifier} at the broker; correct its line in instruments.yaml"
            )
        before = self._pins.get(contract_id)
        if before is not None and before.facts != pin.facts:
            raise ConfigurationError(
                f"{contract_id}: expected the broker's contract that was pinned ({before.con_id} {before.local_symbol}, "
                f"multiplier {before.multiplier}), found {pin.con_id} {pin.local_symbol}, multiplier {pin.multiplier}; "
                "if that is right, take its line out of the file of pins and pin it again"
            )
        owner = self._by_number.get(pin.con_id, contract_id)
        if owner != contract_id:
            raise ConfigurationError(
                f"{contract_id}: expected a contract of its own at the broker, found {pin.con_id}, which is {owner}"
            )

    def _keep(self, known: Qualified) -> None:
        name = known.contract.contract_id
        self._by_name[name] = known
        self._by_number[known.pin.con_id] = name
        self._pins.setdefault(name, known.pin)

    def _candidates(self, shown: ContractShown) -> Iterable[str]:
        """Our ids of contracts that look like one that the broker names."""
        for instrument in self._book().universe:
            if instrument.ib_symbol != shown.symbol or instrument.kind.broker_name != shown.security_type:
                continue
            if instrument.currency == shown.currency and _same_multiplier(instrument, shown.multiplier):
                yield from _ids(instrument, shown)


def wire_contract(instrument: Instrument, contract: Contract) -> WireContract:
    """What is asked of the broker for a contract of ours."""
    wire = WireContract(
        secType=instrument.kind.broker_name,
        symbol=instrument.ib_symbol,
        exchange=instrument.exchange,
        currency=instrument.currency,
    )
    if instrument.kind in (InstrumentType.STK, InstrumentType.ETF):
        wire.primaryExchange = instrument.primary_exchange or ""
    if instrument.is_future or instrument.is_option:
        wire.multiplier = f"{instrument.multiplier:f}"
        wire.lastTradeDateOrContractMonth = (
            "" if contract.last_trade_date is None else f"{contract.last_trade_date:%Y%m%d}"
        )
    if contract.strike is not None and contract.right is not None:
        wire.strike, wire.right = float(contract.strike), contract.right.value
    return wire


def of_own_class(found: list[ContractDetails], instrument: Instrument) -> list[ContractDetails]:
    """Of options that differ in their trading class, those of the symbol's own (SPX settles otherwise than SPXW)."""
    own = [
        row for row in found if row.contract is not None and row.contract.tradingClass == instrument.ib_symbol
    ]
    return own or found


def pin_of(details: ContractDetails) -> Pin:
    """What is kept of a contract's details."""
    wire = details.contract
    if wire is None or wire.conId <= 0:
        raise UnknownContract(f"expected a contract with a number in its details, found {wire}")
    return Pin(
        con_id=wire.conId,
        local_symbol=wire.localSymbol,
        exchange=wire.exchange,
        primary_exchange=wire.primaryExchange or "",
        currency=wire.currency,
        multiplier=wire.multiplier,
        price_magnifier=details.priceMagnifier,
        long_name=details.longName,
    )


def _is_meant(details: ContractDetails, instrument: Instrument, contract: Contract) -> bool:
    """Whether details are of the contract that was asked for, to the facts that make it another one."""
    wire = details.contract
    if wire is None or wire.secType != instrument.kind.broker_name or wire.currency != instrument.currency:
        return False
    primary = instrument.primary_exchange
    if primary is not None and wire.primaryExchange not in ("", primary):
        return False
    expiry = contract.last_trade_date
    if expiry is not None and contract_expiry(wire.lastTradeDateOrContractMonth) != f"{expiry:%Y%m%d}":
        return False
    return _same_multiplier(instrument, wire.multiplier)


def _same_multiplier(instrument: Instrument, told: str) -> bool:
    if not instrument.is_future and not instrument.is_option:
        return True
    return bool(told) and exact(told) == instrument.multiplier


def _ids(instrument: Instrument, shown: ContractShown) -> Iterable[str]:
    if not shown.expiry:
        return () if instrument.is_future or instrument.is_option else (instrument.instrument_id,)
    expiry: date = datetime.strptime(shown.expiry, "%Y%m%d").date()  # noqa: DTZ007 - a date alone
    if instrument.is_future:
        return (future_contract_id(instrument.instrument_id, expiry),)
    right, strike = shown.right[:1], Decimal(shown.strike)
    if right not in ("C", "P"):
        return ()
    return (option_contract_id(instrument.instrument_id, expiry, OptionRight(right), strike),)


def _described(wire: WireContract) -> str:
    parts = (
        wire.secType,
        wire.symbol,
        wire.primaryExchange or wire.exchange,
        wire.currency,
        wire.lastTradeDateOrContractMonth,
    )
    return " ".join(part for part in parts if part)


def _listed(found: Iterable[ContractDetails]) -> str:
    rows = [row.contract for row in found if row.contract is not None]
    return ", ".join(f"{row.conId} {row.localSymbol} {row.primaryExchange or row.exchange}" for row in rows)
