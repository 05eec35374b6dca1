"""Pinning every contract of the fund once, for a person to review: lines without expiry, and each listed expiry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from engine.errors import ConfigurationError, UnknownContract
from engine.model.instruments import Contract, Instrument, future_contract_id, spot_contract
from engine.model.universe import ContractBook, Universe
from tasks.adapters.ibkr.contracts import ContractDesk, wire_contract
from tasks.adapters.ibkr.pins import Pin
from tasks.adapters.ibkr.records import contract_expiry
from tasks.adapters.ibkr.session import IbkrSession


@dataclass(frozen=True, slots=True, kw_only=True)
class PinReport:
    """Every pin that is known now, which of them are new, and why lines were refused."""

    pins: Mapping[str, Pin]
    added: tuple[str, ...]
    refused: Mapping[str, str]


def pin_contracts(
    session: IbkrSession, universe: Universe, known: Mapping[str, Pin], today: date
) -> PinReport:
    """Qualify every line that does not need a chain of options, and add what is new to the pins.

    Raises `BrokerUnavailable` when the broker stops answering; then nothing is pinned.
    """
    contracts: dict[str, Contract] = {}
    desk = ContractDesk(session, lambda: ContractBook(universe=universe, contracts=contracts), known)
    refused: dict[str, str] = {}
    for instrument in universe:
        if instrument.is_option:
            continue  # an option is qualified when it is chosen from its chain
        try:
            listed = (
                listed_expiries(desk, instrument, today)
                if instrument.is_future
                else (spot_contract(instrument),)
            )
        except (UnknownContract, ConfigurationError) as error:
            refused[instrument.instrument_id] = str(error)
            continue
        contracts.update((contract.contract_id, contract) for contract in listed)
        refused |= desk.qualify(contract.contract_id for contract in listed)
    added = tuple(name for name in desk.pins if name not in known)
    return PinReport(pins=desk.pins, added=added, refused=refused)


def listed_expiries(desk: ContractDesk, instrument: Instrument, today: date) -> tuple[Contract, ...]:
    """A future's listed contracts that still trade, by their last trade date.

    Raises `UnknownContract` when the broker lists none with the instrument's multiplier, `ConfigurationError` when it
    lists one date twice.
    """
    asked = wire_contract(instrument, Contract(contract_id="", instrument_id=instrument.instrument_id))
    dates = sorted(
        _day(contract_expiry(row.contract.lastTradeDateOrContractMonth))
        for row in desk.details(asked)
        if row.contract is not None and row.contract.currency == instrument.currency
    )
    alive = [day for day in dates if day >= today]
    if not alive:
        raise UnknownContract(
            f"{instrument.instrument_id}: expected listed expiries of {instrument.ib_symbol} on {instrument.exchange} "
            f"with a multiplier of {instrument.multiplier}, found none; correct its line in instruments.yaml",
            subject=instrument.instrument_id,
        )
    if len(set(alive)) != len(alive):
        raise ConfigurationError(
            f"{instrument.instrument_id}: expected one contract for each expiry, found {', '.join(map(str, alive))}"
        )
    return tuple(
        Contract(
            contract_id=future_contract_id(instrument.instrument_id, day),
            instrument_id=instrument.instrument_id,
            last_trade_date=day,
        )
        for day in alive
    )


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date alone
