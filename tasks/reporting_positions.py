"""What each sleeve holds beside what it should hold, and the exposure that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.composition.stages import DayInputs, ValuedFund
from engine.model.encoding import significant
from engine.model.money import ZERO, round_money
from engine.model.portfolio import Portfolio, Sleeve
from engine.report import ExposureRow, PositionRow
from tasks.run_view import RunView
from tasks.runtime import World

_MANAGED = {
    Sleeve.FX_HEDGE.value: "set by the currency hedge",
    Sleeve.CRISIS_ALPHA.value: "set by the tail hedges",
}
"""Sleeves that no weight decides: their plan is in contracts."""

_UNWANTED = "no target: being closed, or waiting for an operator"

Key = tuple[str, str]
"""A sleeve and a contract."""


def position_rows(
    world: World, decision: RunView, fund: ValuedFund | None, inputs: DayInputs | None
) -> tuple[PositionRow, ...]:
    """What each sleeve holds beside what it should hold."""
    if fund is None or inputs is None:
        return ()
    nav = fund.valuation.nav
    weights = (
        {}
        if decision.targets is None
        else {(row.sleeve, row.contract_id): row.weight for row in decision.targets.book.lines}
    )
    wanted = wanted_quantities(decision)
    values = {line.contract_id: line for line in fund.valuation.lines}
    held = _held(inputs.portfolio)
    rows = []
    for key in sorted({*held, *wanted}, key=lambda key: (_sleeve_rank(key[0]), key[1])):
        sleeve, name = key
        instrument = world.contracts.instrument(name)
        line, target = values.get(name), wanted.get(key)
        quantity = held.get(key, ZERO)
        total = inputs.portfolio.quantity(name)
        exposure = ZERO if line is None or total == 0 else round_money(line.exposure_usd * quantity / total)
        mark = inputs.market.marks.get(name)
        rows.append(
            PositionRow(
                sleeve=sleeve,
                instrument_id=instrument.instrument_id,
                contract_id=name,
                name=instrument.long_name,
                quantity=quantity,
                target_quantity=target,
                price=None if mark is None else mark.price,
                price_unit=instrument.price_unit,
                exposure_usd=exposure,
                weight=significant(float(exposure / nav)),
                target_weight=weights.get(key, _planned_weight(target, quantity, exposure, nav)),
                stale_sessions=0 if line is None else line.stale_sessions,
                note="" if decision.targets is None or key in weights else _MANAGED.get(sleeve, _UNWANTED),
            )
        )
    return tuple(rows)


def wanted_quantities(decision: RunView) -> Mapping[Key, Decimal]:
    """Quantity that the decision wants of each sleeve's contract: by weight, else what was held and what is planned."""
    wanted: dict[Key, Decimal] = {}
    if decision.targets is not None:
        wanted = {(row.sleeve, row.contract_id): row.quantity for row in decision.targets.book.lines}
    if decision.inputs is None or decision.wishes is None or decision.hedge is None:
        return wanted
    planned = {key: held for key, held in _held(decision.inputs.portfolio).items() if key[0] in _MANAGED}
    for proposal in (*decision.wishes.proposals, *decision.hedge.proposals):
        if proposal.sleeve in _MANAGED:
            key = (proposal.sleeve, proposal.contract_id)
            planned[key] = planned.get(key, ZERO) + proposal.quantity
    return {**planned, **wanted}


def exposure_rows(
    world: World, decision: RunView, fund: ValuedFund | None, inputs: DayInputs | None
) -> tuple[ExposureRow, ...]:
    """Long and short exposure of each sleeve, split by its share of the quantity, beside its target."""
    long: dict[str, Decimal] = {}
    short: dict[str, Decimal] = {}
    if fund is not None and inputs is not None:
        for line in fund.valuation.lines:
            position = inputs.portfolio.positions[line.contract_id]
            if position.quantity == 0:
                continue
            for sleeve, quantity in position.sleeves.items():
                part = round_money(line.exposure_usd * quantity / position.quantity)
                side = long if part > 0 else short
                side[sleeve.value] = side.get(sleeve.value, ZERO) + abs(part)
    targets: dict[str, Decimal] = {}
    if decision.targets is not None:
        for row in decision.targets.book.lines:
            targets[row.sleeve] = targets.get(row.sleeve, ZERO) + abs(row.notional_usd)
    names = [s.value for s in Sleeve if s.value in {*long, *short, *targets}]
    return tuple(
        ExposureRow(
            name=name,
            long_usd=long.get(name, ZERO),
            short_usd=short.get(name, ZERO),
            target_gross_usd=targets.get(name),
        )
        for name in names
    )


def _held(portfolio: Portfolio) -> dict[Key, Decimal]:
    return {
        (sleeve.value, name): quantity
        for name, position in portfolio.positions.items()
        for sleeve, quantity in position.sleeves.items()
        if quantity != 0
    }


def _planned_weight(
    target: Decimal | None, quantity: Decimal, exposure: Decimal, nav: Decimal
) -> float | None:
    """Weight of a plan in contracts at the exposure of what is held; unknown while nothing is held."""
    if target is None:
        return None
    if target == 0:
        return 0.0
    return None if quantity == 0 else significant(float(exposure * target / quantity / nav))


def _sleeve_rank(name: str) -> int:
    order = [sleeve.value for sleeve in Sleeve]
    return order.index(name) if name in order else len(order)
