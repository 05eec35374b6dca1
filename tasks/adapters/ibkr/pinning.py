"""Pinning every contract of the fund once, for a person to review: lines without expiry, and each listed expiry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from engine.errors import ConfigurationError, UnknownContract
from engine.model.instruments import Contract, spot_contract
from engine.model.universe import ContractBook, Universe
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.futures_chain import listed_futures
from tasks.adapters.ibkr.pins import Pin
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
                listed_futures(desk, instrument, today)
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
