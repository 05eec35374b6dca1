"""How many shares or contracts is a wish worth? Currency-correct, in whole lots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from engine.errors import DataError
from engine.model.instruments import Instrument
from engine.model.market import BASE_CURRENCY, FxRates, Mark
from engine.model.money import round_lots
from engine.model.universe import ContractBook


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedLine:
    """A leg of a sleeve at scale 1: signed ``weight`` as a fraction of NAV, traded as one with its ``group``."""

    instrument_id: str
    weight: float
    group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SleeveWish:
    """What a sleeve would hold at scale 1, or the ``gap`` in its data for which it keeps its book."""

    lines: tuple[WantedLine, ...]
    gap: str | None
    notes: tuple[str, ...]


def no_data(reason: str) -> SleeveWish:
    """A sleeve that can not be built: its book is kept."""
    return SleeveWish(lines=(), gap=reason, notes=())


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices of the decision: which contract stands for an instrument, and what one unit of it is worth.

    ``front_contracts`` maps futures to the contract to hold; shares and funds stand for themselves.
    """

    contracts: ContractBook
    marks: Mapping[str, Mark]
    fx: FxRates
    front_contracts: Mapping[str, str]

    def contract_id(self, instrument_id: str) -> str | None:
        """Contract to trade, ``None`` while it has no price."""
        if instrument_id not in self.contracts.universe:
            return None
        future = self.contracts.universe[instrument_id].is_future
        found = self.front_contracts.get(instrument_id) if future else instrument_id
        return found if found in self.marks else None

    def instrument(self, contract_id: str) -> Instrument:
        """Instrument behind a contract."""
        return self.contracts.instrument(contract_id)

    def unit_value_usd(self, contract_id: str) -> Decimal:
        """USD value of one share or contract; raises `DataError` without a positive price."""
        mark = self.marks.get(contract_id)
        if mark is None or mark.price <= 0:
            raise DataError(f"expected a positive price to size {contract_id}, found {mark and mark.price}")
        instrument = self.instrument(contract_id)
        return self.fx.to_base(instrument.notional(Decimal(1), mark.price), instrument.currency)

    def quantity(self, contract_id: str, notional_usd: Decimal) -> Decimal:
        """Whole lots nearest to a signed USD notional, halves away from zero."""
        mark = self.marks[contract_id]
        return quantity_for(notional_usd, self.instrument(contract_id), mark.price, self.fx)


def quantity_for(notional_usd: Decimal, instrument: Instrument, price: Decimal, fx: FxRates) -> Decimal:
    """``round_lots(fx(notional_usd → currency) / (price · multiplier / magnifier))``, sign kept.

    Raises
    ------
    MissingFxRate
        When the instrument's currency has no rate.
    DataError
        When the price is not positive.
    """
    if price <= 0:
        raise DataError(f"expected a positive price to size {instrument.instrument_id}, found {price}")
    local = fx.convert(notional_usd, BASE_CURRENCY, instrument.currency)
    return round_lots(local / instrument.notional(Decimal(1), price), instrument.lot)
