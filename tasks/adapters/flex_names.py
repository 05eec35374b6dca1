"""How a Flex statement names what we trade: asset class, symbol, currency, expiry, strike; and back to our ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.errors import UnknownContract
from engine.model.instruments import (
    Contract,
    Instrument,
    InstrumentType,
    OptionRight,
    future_contract_id,
    option_contract_id,
)
from engine.model.universe import ContractBook, Universe

_CLASSES = {
    InstrumentType.STK: "STK",
    InstrumentType.ETF: "STK",
    InstrumentType.FUT: "FUT",
    InstrumentType.OPT: "OPT",
    InstrumentType.CASH: "CASH",
    InstrumentType.FX_SPOT: "CASH",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexName:
    """A contract as a Flex row names it. ``symbol`` is that of the underlying for futures and options."""

    asset_class: str
    symbol: str
    currency: str
    expiry: date | None = None
    strike: Decimal | None = None
    right: str = ""

    @property
    def text(self) -> str:
        """The name of a contract that none of our instruments is."""
        dated = () if self.expiry is None else (f"{self.expiry:%Y%m%d}",)
        struck = () if self.strike is None else (f"{self.strike.normalize():f}",)
        return ":".join((self.asset_class, self.symbol, self.currency, *dated, self.right, *struck)).strip(
            ":"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedContract:
    """Our contract behind a Flex name; an id of the statement's own and a magnifier of 1 when we trade no such."""

    contract_id: str
    price_magnifier: Decimal


class FlexNames:
    """Both directions of naming for one universe."""

    def __init__(self, universe: Universe) -> None:
        self._instruments = {
            (_CLASSES[line.kind], _symbol(line), line.currency): line
            for line in universe
            if line.kind in _CLASSES
        }

    def ours(self, name: FlexName) -> NamedContract:
        """The contract of ours that a row names."""
        line = self._instruments.get((name.asset_class, name.symbol, name.currency))
        if line is None:
            return NamedContract(contract_id=name.text, price_magnifier=Decimal(1))
        contract_id = line.instrument_id
        if line.is_future and name.expiry is not None:
            contract_id = future_contract_id(line.instrument_id, name.expiry)
        if line.is_option and name.expiry is not None and name.strike is not None and name.right:
            right = OptionRight(name.right)
            contract_id = option_contract_id(line.instrument_id, name.expiry, right, name.strike)
        return NamedContract(contract_id=contract_id, price_magnifier=line.price_magnifier)


def flex_name(contracts: ContractBook, contract_id: str) -> FlexName:
    """How the broker names a contract of ours; raises `UnknownContract` for a kind that no statement lists."""
    line, contract = contracts.instrument(contract_id), contracts.contract(contract_id)
    if line.kind not in _CLASSES:
        raise UnknownContract(f"expected a share, future, option or currency, found {contract_id}")
    return _derivative(line, contract) if line.is_future or line.is_option else _plain(line)


def _plain(line: Instrument) -> FlexName:
    return FlexName(asset_class=_CLASSES[line.kind], symbol=_symbol(line), currency=line.currency)


def _derivative(line: Instrument, contract: Contract) -> FlexName:
    return FlexName(
        asset_class=_CLASSES[line.kind],
        symbol=line.ib_symbol,
        currency=line.currency,
        expiry=contract.last_trade_date,
        strike=contract.strike,
        right="" if contract.right is None else contract.right.value,
    )


def _symbol(line: Instrument) -> str:
    """A currency pair is named by both its currencies, as our id is."""
    return line.instrument_id if _CLASSES[line.kind] == "CASH" else line.ib_symbol
