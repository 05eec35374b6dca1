"""What is still being built: goals that the gate let through and that the fund has not reached yet (R-108).

Caps and windows spread a large change over days. Its last part is small, so the gate would judge it as drift and
leave the line short for good; what was let through once therefore stays exempt until its goal was reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from engine.errors import InvariantError
from engine.execution.gating import GatingDecision, GatingOverrides
from engine.model.money import ZERO, decimal_from_float
from engine.model.orders import Reason, Trade
from engine.model.policy import GatePolicy

_NEVER_BUILDS = frozenset({GatingOverrides.LOWERS_RISK, GatingOverrides.DISABLED})
"""Exemptions that hold on every day anyway: nothing has to be remembered for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateMemory:
    """``goals``: wanted quantity of every instrument, by the unit (see `gate_unit`) that is being built."""

    goals: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)


def gate_unit(trade: Trade) -> str:
    """Name under which a trade is remembered: its group, or its instrument, which a roll does not change."""
    return f"group:{trade.group}" if trade.group else trade.instrument_id


def unfinished_units(memory: GateMemory, held: Mapping[str, Decimal], policy: GatePolicy) -> frozenset[str]:
    """Units with a leg that is not within ``established_within_fraction`` of its goal; ``held`` is by instrument."""
    within = decimal_from_float(policy.established_within_fraction)
    return frozenset(
        unit
        for unit, goals in memory.goals.items()
        if any(abs(goal - held.get(name, ZERO)) > within * abs(goal) for name, goal in goals.items())
    )


def next_goals(
    memory: GateMemory,
    trades: Sequence[Trade],
    decisions: Sequence[GatingDecision],
    held: Mapping[str, Decimal],
    policy: GatePolicy,
) -> GateMemory:
    """Goals after today's verdicts; ``trades`` are what was judged, before the caps.

    A unit that passed to be built has today's target as its goal; one that was judged otherwise is done. A unit that
    was not judged (its venue is closed, its price is old) keeps its goal until it is reached.
    """
    verdicts = {decision.contract_id: decision for decision in decisions}
    if verdicts.keys() != {trade.contract_id for trade in trades}:
        raise InvariantError("expected one verdict of the gate for every trade that it judged")
    judged = {gate_unit(trade) for trade in trades}
    building = {
        gate_unit(trade)
        for trade in trades
        if trade.reason is Reason.REBALANCE and _builds(verdicts[trade.contract_id])
    }
    goals: dict[str, dict[str, Decimal]] = {}
    for trade in trades:
        unit, name = gate_unit(trade), trade.instrument_id
        if unit in building:
            legs = goals.setdefault(unit, {})
            legs[name] = legs.get(name, held.get(name, ZERO)) + trade.quantity
    open_units = unfinished_units(memory, held, policy) - judged
    kept = {unit: memory.goals[unit] for unit in open_units}
    return GateMemory(goals=dict(sorted({**kept, **goals}.items())))


def _builds(decision: GatingDecision) -> bool:
    return decision.should_trade and decision.override not in _NEVER_BUILDS
