"""Give an execution of a lost order to its sleeves, as a person says."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.accounting.assignment import assignment, unassigned_quantity
from engine.accounting.ledger import LedgerEntry
from tasks.runtime import World
from tasks.settling import valued_until
from tasks.statement import INSTANT, refuse_while_running


def assign_execution(
    world: World, execution_id: str, shares: Mapping[str, Decimal | None]
) -> tuple[LedgerEntry, ...]:
    """Book the transfers; one sleeve alone may come without a quantity and takes all.

    Raises `RefusedError` as `engine.accounting.assignment`, and while a run is under way.
    """
    refuse_while_running(world)
    ledger = world.ledger.entries(world.account)
    whole = unassigned_quantity(execution_id, ledger)
    wanted = {name: whole if share is None else share for name, share in shares.items()}
    now = max(world.now, valued_until(world) + INSTANT)
    entries = assignment(execution_id, wanted, ledger, now)
    world.ledger.post(world.account, entries)
    return entries
