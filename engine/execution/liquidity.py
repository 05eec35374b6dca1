"""How large an order is against what its market trades in a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from engine.model.money import round_lots


class OrderSize(Enum):
    """Class of an order by its share of the average daily volume (EXEC-40)."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    BLOCK = "block"
    UNKNOWN = "unknown"


_BOUNDS: tuple[tuple[Decimal, OrderSize], ...] = (
    (Decimal("0.001"), OrderSize.SMALL),
    (Decimal("0.01"), OrderSize.MEDIUM),
    (Decimal("0.05"), OrderSize.LARGE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidityEstimator:
    """Average daily volume in contracts or shares, by contract id or else by instrument id."""

    average_daily_volume: Mapping[str, Decimal]

    def volume(self, contract_id: str, instrument_id: str) -> Decimal | None:
        """Volume of a day, ``None`` where none is known."""
        found = self.average_daily_volume.get(contract_id)
        return found if found is not None else self.average_daily_volume.get(instrument_id)

    def size_class(self, quantity: Decimal, contract_id: str, instrument_id: str) -> OrderSize:
        """Class of an order's quantity."""
        volume = self.volume(contract_id, instrument_id)
        if volume is None or volume <= 0:
            return OrderSize.UNKNOWN
        share = abs(quantity) / volume
        return next((size for bound, size in _BOUNDS if share < bound), OrderSize.BLOCK)

    def largest_quantity(
        self, contract_id: str, instrument_id: str, fraction: Decimal, lot: Decimal
    ) -> Decimal | None:
        """Largest whole-lot order within a fraction of the day's volume, ``None`` where no volume is known."""
        volume = self.volume(contract_id, instrument_id)
        if volume is None:
            return None
        allowed = volume * fraction
        rounded = round_lots(allowed, lot)
        return rounded if rounded <= allowed else rounded - lot
