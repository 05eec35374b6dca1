"""Give an execution whose order was lost to the sleeves that had asked for it, as a person says.

An execution under a reference that no order of ours has is booked to ``unassigned``: the sleeves stood in the order. It
moves at its own price, so that each sleeve bears the result since the execution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from engine.accounting.ledger import POSITION_PREFIX, REVERSAL_PREFIX, LedgerEntry, transfer
from engine.errors import RefusedError
from engine.model.money import ZERO
from engine.model.portfolio import Sleeve

UNASSIGNED = Sleeve.UNASSIGNED.value
SLEEVES = tuple(sleeve.value for sleeve in Sleeve if sleeve is not Sleeve.UNASSIGNED)


def assignment(
    execution_id: str, shares: Mapping[str, Decimal], ledger: Sequence[LedgerEntry], booked_at: datetime
) -> tuple[LedgerEntry, ...]:
    """Transfers that give an unassigned execution to sleeves; ``shares`` are signed and add up to all of it.

    Raises `RefusedError` when nothing of the execution is unassigned, when the shares are not its quantity, or for a
    sleeve that there is not.
    """
    unknown = sorted(set(shares) - set(SLEEVES))
    if unknown:
        raise RefusedError(f"expected sleeves out of {', '.join(SLEEVES)}, found {', '.join(unknown)}")
    booked = {entry.entry_id: entry for entry in ledger}
    trade = booked.get(f"trade:{execution_id}")
    left = ZERO if trade is None else _unassigned(trade)
    if trade is None or trade.contract_id is None or trade.price is None or left == 0:
        raise RefusedError(f"expected an execution that no sleeve has, found none under {execution_id}")
    if REVERSAL_PREFIX + trade.entry_id in booked:
        raise RefusedError(f"expected an execution that stands, found {execution_id} taken back")
    reference = f"assignment of {execution_id}"
    if any(entry.reference == reference for entry in ledger):
        raise RefusedError(f"expected an execution that no sleeve has, found {execution_id} assigned already")
    if sum(shares.values(), ZERO) != left or any(share * left <= 0 for share in shares.values()):
        raise RefusedError(
            f"expected shares of the sign and sum of {left} {trade.contract_id}, found {_words(shares)}"
        )
    return tuple(
        transfer(trade.contract_id, UNASSIGNED, sleeve, shares[sleeve], trade.price, booked_at, reference)
        for sleeve in sorted(shares)
    )


def unassigned_quantity(execution_id: str, ledger: Sequence[LedgerEntry]) -> Decimal:
    """Signed quantity of an execution that was booked to no sleeve, 0 when it is not in the ledger."""
    name = f"trade:{execution_id}"
    return sum((_unassigned(entry) for entry in ledger if entry.entry_id == name), ZERO)


def _unassigned(trade: LedgerEntry) -> Decimal:
    wanted = POSITION_PREFIX + UNASSIGNED
    return sum((line.amount for line in trade.lines if line.account == wanted), ZERO)


def _words(shares: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{name} {quantity:+f}" for name, quantity in sorted(shares.items())) or "none"
