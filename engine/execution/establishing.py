"""What is still being built: goals that the gate let through and that the fund has not reached yet (R-108).

Caps and windows spread a large change over days. Its last part is small, so the gate would judge it as drift and
leave the line short for good; what was let through once therefore stays exempt until its goal was reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from engine.errors import InvariantError
from engine.execution.gating import GateCandidate, GatingDecision, GatingOverrides
from engine.model.money import ZERO, decimal_from_float, round_money
from engine.model.orders import Reason, Trade
from engine.model.policy import GatePolicy

_NEVER_BUILDS = frozenset({GatingOverrides.LOWERS_RISK, GatingOverrides.DISABLED})
"""Exemptions that hold on every day anyway: nothing has to be remembered for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildGoal:
    """Wanted quantity of an instrument, signed, and what one unit of it was worth in USD when it was wanted."""

    quantity: Decimal
    unit_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class GateMemory:
    """``goals``: what is wanted of every instrument, by the unit (see `gate_unit`) that is being built."""

    goals: Mapping[str, Mapping[str, BuildGoal]] = field(default_factory=dict)


def gate_unit(trade: Trade) -> str:
    """Name under which a trade is remembered: its group, or its instrument, which a roll does not change."""
    return f"group:{trade.group}" if trade.group else trade.instrument_id


def unfinished_units(memory: GateMemory, held: Mapping[str, Decimal], policy: GatePolicy) -> frozenset[str]:
    """Units that lack more than ``established_within_fraction`` of the value of their goal; ``held`` is by instrument.

    The legs of a unit are measured together: of a leg of few lots one lot more or less is much.
    """
    within = decimal_from_float(policy.established_within_fraction)
    found = set()
    for unit, goals in memory.goals.items():
        whole = sum((abs(goal.quantity) * goal.unit_usd for goal in goals.values()), ZERO)
        lacking = sum(
            (abs(goal.quantity - held.get(name, ZERO)) * goal.unit_usd for name, goal in goals.items()), ZERO
        )
        if lacking > within * whole:
            found.add(unit)
    return frozenset(found)


def next_goals(
    memory: GateMemory,
    candidates: Sequence[GateCandidate],
    decisions: Sequence[GatingDecision],
    held: Mapping[str, Decimal],
    policy: GatePolicy,
) -> GateMemory:
    """Goals after today's verdicts; ``candidates`` are what was judged, before the caps.

    A unit that passed to be built has today's target as its goal; one that was judged otherwise is done. A unit that
    was not judged (its venue is closed, its price is old) keeps its goal until it is reached.
    """
    verdicts = {decision.contract_id: decision for decision in decisions}
    trades = {candidate.trade.contract_id: candidate.trade for candidate in candidates}
    if verdicts.keys() != trades.keys():
        raise InvariantError("expected one verdict of the gate for every trade that it judged")
    judged = {gate_unit(trade) for trade in trades.values()}
    building = {
        gate_unit(trade)
        for name, trade in trades.items()
        if trade.reason is Reason.REBALANCE and _builds(verdicts[name])
    }
    goals: dict[str, dict[str, BuildGoal]] = {}
    for candidate in candidates:
        unit, name = gate_unit(candidate.trade), candidate.trade.instrument_id
        if unit in building:
            legs, quantity = goals.setdefault(unit, {}), candidate.trade.quantity
            before = legs[name].quantity if name in legs else held.get(name, ZERO)
            legs[name] = BuildGoal(
                quantity=before + quantity, unit_usd=round_money(abs(candidate.notional_usd / quantity))
            )
    open_units = unfinished_units(memory, held, policy) - judged
    kept = {unit: memory.goals[unit] for unit in open_units}
    return GateMemory(goals=dict(sorted({**kept, **goals}.items())))


def _builds(decision: GatingDecision) -> bool:
    return decision.should_trade and decision.override not in _NEVER_BUILDS
