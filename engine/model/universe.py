"""The instruments of a fund in one fixed order, for arrays aligned to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from engine.errors import InvariantError, UnknownContract
from engine.model.instruments import Contract, Instrument, spot_contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Universe:
    """All instruments, ordered by id; the index of an id is the row of every array of the day."""

    instruments: tuple[Instrument, ...]
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = [instrument.instrument_id for instrument in self.instruments]
        if ids != sorted(set(ids)):
            raise InvariantError("expected instruments in the order of their ids, each once")
        object.__setattr__(self, "_index", {name: row for row, name in enumerate(ids)})

    def __len__(self) -> int:
        return len(self.instruments)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self.instruments)

    def __contains__(self, instrument_id: object) -> bool:
        return instrument_id in self._index

    def __getitem__(self, instrument_id: str) -> Instrument:
        return self.instruments[self.index(instrument_id)]

    def index(self, instrument_id: str) -> int:
        """Row of an instrument; raises `UnknownContract` when the universe does not list it."""
        row = self._index.get(instrument_id)
        if row is None:
            raise UnknownContract(f"expected an instrument of the universe, found {instrument_id!r}")
        return row

    @property
    def ids(self) -> tuple[str, ...]:
        """Instrument ids in row order."""
        return tuple(self._index)

    @property
    def effective_multipliers(self) -> np.ndarray:
        """Currency per quote unit, float64 of shape (instruments,)."""
        return np.array([float(instrument.effective_multiplier) for instrument in self.instruments])

    @property
    def currencies(self) -> tuple[str, ...]:
        """Currencies of cash flows and of exposure, sorted, each once."""
        names = {i.currency for i in self.instruments} | {i.exposure_currency for i in self.instruments}
        return tuple(sorted(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractBook:
    """Every contract that the day may name, and the instrument behind it."""

    universe: Universe
    contracts: Mapping[str, Contract]

    def __post_init__(self) -> None:
        for contract_id, contract in self.contracts.items():
            if contract_id != contract.contract_id or contract.instrument_id not in self.universe:
                raise InvariantError(f"contract {contract_id} does not belong to the universe")

    def contract(self, contract_id: str) -> Contract:
        """Contract of an id; spot lines need no listing. Raises `UnknownContract`."""
        found = self.contracts.get(contract_id)
        if found is not None:
            return found
        if contract_id in self.universe and not self.universe[contract_id].is_future:
            return spot_contract(self.universe[contract_id])
        raise UnknownContract(f"expected a listed contract, found {contract_id!r}; no order may name it")

    def instrument(self, contract_id: str) -> Instrument:
        """Instrument behind a contract id."""
        return self.universe[self.contract(contract_id).instrument_id]

    def notional(self, contract_id: str, quantity: Decimal, price: Decimal) -> Decimal:
        """Signed value in the instrument's currency."""
        return self.instrument(contract_id).notional(quantity, price)
