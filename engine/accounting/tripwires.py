"""Is a price in the right unit? Two prices of one contract whose ratio is that of two units.

A broker quotes London in pence and reports positions in pounds; a feed forgets a contract's multiplier. The ratio of
such a price to a right one is a hundred, or the multiplier, give or take what the market did in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from engine.errors import UnknownContract
from engine.model.instruments import Instrument
from engine.model.market import Mark
from engine.model.policy import MarkPolicy
from engine.model.portfolio import BrokerPosition
from engine.model.universe import ContractBook

HUNDRED = Decimal(100)


class UnitMistake(Enum):
    """What may have been taken for another unit."""

    HUNDREDFOLD = "hundredfold"
    MULTIPLIER = "multiplier"

    def told(self, instrument: Instrument) -> str:
        """What the prices look like, as the rest of a sentence."""
        if self is UnitMistake.HUNDREDFOLD:
            return "a hundredfold of one another, as pence and pounds are"
        return f"apart by the contract's multiplier of {instrument.multiplier.normalize():f}"


def unit_mistakes(
    price: Decimal, reference: Decimal, instrument: Instrument, tolerance: Decimal
) -> tuple[UnitMistake, ...]:
    """The units by which two prices of one contract may differ; none where no unit explains their ratio.

    ``tolerance`` is how far the ratio may be from the unit's factor, as a fraction of it: what the market may have
    done between the two.
    """
    if price <= 0 or reference <= 0:
        return ()
    ratio = max(price / reference, reference / price)
    factors = {UnitMistake.MULTIPLIER: instrument.multiplier, UnitMistake.HUNDREDFOLD: HUNDRED}
    return tuple(
        mistake
        for mistake, factor in factors.items()
        # Of a multiplier of 2, a tolerance may reach down to 1: the ratio must be nearer to the factor.
        if factor > 1 and abs(ratio / factor - 1) <= tolerance and abs(ratio - factor) < ratio - 1
    )


def unit_mistake(
    price: Decimal, reference: Decimal, instrument: Instrument, tolerance: Decimal
) -> UnitMistake | None:
    """The first of `unit_mistakes`."""
    return next(iter(unit_mistakes(price, reference, instrument, tolerance)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceGap:
    """The broker's price of a held contract, too far from ours to be the same price a few hours later.

    Both are in quote units; ``gap`` = theirs / ours − 1; ``unit`` what may have been mistaken, ``None`` for a market.
    """

    contract_id: str
    ours: Decimal
    theirs: Decimal
    gap: Decimal
    unit: UnitMistake | None


def price_gaps(
    marks: Mapping[str, Mark],
    broker: Mapping[str, BrokerPosition],
    contracts: ContractBook,
    policy: MarkPolicy,
) -> tuple[PriceGap, ...]:
    """Held contracts whose price at the broker is beyond what their class may move in a day.

    Reconciliation compares prices of the same moment; this asks of those of different moments only whether they can
    be prices of the same thing. A premium may double while nothing is wrong, so of options only units are looked at.
    """
    found = []
    for contract_id, held in sorted(broker.items()):
        mark = marks.get(contract_id)
        if mark is None or held.mark is None or held.mark <= 0 or mark.price <= 0 or held.quantity == 0:
            continue
        try:
            instrument = contracts.instrument(contract_id)
        except UnknownContract:
            continue  # somebody else's: reconciliation names it
        unit = unit_mistake(held.mark, mark.price, instrument, policy.jump_quarantine_fraction)
        gap = held.mark / mark.price - 1
        is_far = abs(gap) > policy.jump_fraction(instrument.collar_class) and not instrument.is_option
        if is_far or unit is not None:
            found.append(
                PriceGap(
                    contract_id=contract_id,
                    ours=mark.price,
                    theirs=held.mark,
                    gap=gap.quantize(Decimal("0.00000001")),
                    unit=unit,
                )
            )
    return tuple(found)
