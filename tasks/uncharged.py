"""A NAV while commissions are outstanding: what is expected is booked before it is struck, and the day says so."""

from __future__ import annotations

from datetime import datetime

from engine.accounting.ledger import EXPECTED_COMMISSION_PREFIX, REVERSAL_PREFIX, LedgerEntry
from engine.accounting.uncharged import expected_commissions, nav_estimate
from engine.composition.stages import DayInputs
from engine.model.encoding import encode
from engine.model.policy import CostPolicy
from state.order_reading import uncharged_orders
from tasks.adapters.report_text import estimate_text
from tasks.day import TradingDay
from tasks.runtime import World
from tasks.settling import closed_until

STEP_NAME = "estimate"
"""Name under which a run's journal keeps why its NAV is an estimate."""


def expect_commissions(world: World, costs: CostPolicy, now: datetime) -> None:
    """Book what executions without a commission are expected to cost, each once."""
    fills = uncharged_orders(world.database, world.account)
    if not fills:
        return
    known = {entry.entry_id for entry in world.ledger.entries(world.account)}
    expected = expected_commissions(fills, world.contracts, costs, closed_until(world), now)
    world.ledger.post(world.account, [entry for entry in expected if entry.entry_id not in known])


def flag_estimate(day: TradingDay, inputs: DayInputs) -> None:
    """Say of a NAV that it is an estimate, and why, in the journal and to the people who watch."""
    world = day.world
    fills = uncharged_orders(world.database, world.account)
    if not fills:
        return
    found = nav_estimate(fills, _booked(world), world.contracts, inputs.market.fx)
    if found is None:
        return
    at = f"{day.context.as_of:%H:%M:%S}"
    world.runs.record_step(day.run_id, STEP_NAME, day.claim.attempt, at, encode(found))
    day.alert("WARNING", estimate_text(f"NAV of the {day.key.kind.value} run", found))


def is_estimate(day: TradingDay) -> bool:
    """Whether the NAV that this attempt struck is one."""
    found = day.world.runs.step(day.run_id, STEP_NAME)
    return found is not None and found.attempt == day.claim.attempt


def _booked(world: World) -> dict[str, LedgerEntry]:
    """Postings of expected commissions that stand, by execution."""
    entries = {entry.entry_id: entry for entry in world.ledger.entries(world.account)}
    return {
        name.removeprefix(EXPECTED_COMMISSION_PREFIX): entry
        for name, entry in entries.items()
        if name.startswith(EXPECTED_COMMISSION_PREFIX) and REVERSAL_PREFIX + name not in entries
    }
