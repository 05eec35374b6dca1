"""Which wishes of the sleeves meet inside the fund, and what the ledger books for them.

In come the netted wishes and the trades that go to the market; out come internal crosses, and for each the transfers
between sleeves at the price that the decision stated. The fund as a whole does not change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from engine.accounting.ledger import LedgerEntry, transfer
from engine.execution.netting import InternalCross, NettedTrades, PriceBook, internal_cross
from engine.model.orders import Trade


def crosses_of_the_day(
    netted: NettedTrades, traded: Sequence[Trade], prices: PriceBook, doubtful: Collection[str]
) -> tuple[InternalCross, ...]:
    """Crosses of contracts that are not traded today, by contract.

    The sleeves of a traded contract meet in its executions, at their price. ``doubtful`` contracts wait: their price is
    not believed, or an order of theirs has an unknown outcome.
    """
    going = {trade.contract_id for trade in traded}
    staying = [trade for trade in netted.trades if trade.contract_id not in going]
    found = list(netted.crosses)
    for trade in staying:
        found += internal_cross(trade.contract_id, trade.sleeves, prices)
    return tuple(
        sorted(
            (cross for cross in found if cross.contract_id not in doubtful),
            key=lambda cross: cross.contract_id,
        )
    )


def internal_transfers(
    crosses: Sequence[InternalCross], run_id: str, booked_at: datetime
) -> tuple[LedgerEntry, ...]:
    """Transfers that book the crosses; their ids follow from run, contract and sleeves, so that each books once."""
    return tuple(entry for cross in crosses for entry in _transfers(cross, run_id, booked_at))


def _transfers(cross: InternalCross, run_id: str, booked_at: datetime) -> list[LedgerEntry]:
    """Sleeves that give and sleeves that receive, paired by name until nothing is left."""
    giving = {name: -quantity for name, quantity in cross.sleeves.items() if quantity < 0}
    receiving = {name: quantity for name, quantity in cross.sleeves.items() if quantity > 0}
    entries = []
    for target in sorted(receiving):
        for source in sorted(giving):
            moved = min(receiving[target], giving[source])
            if moved == 0:
                continue
            receiving[target] -= moved
            giving[source] -= moved
            entries.append(transfer(cross.contract_id, source, target, moved, cross.price, booked_at, run_id))
    return entries
