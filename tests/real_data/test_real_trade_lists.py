"""The trade list on recorded days: what the gate and the caps leave undone, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from engine.model.money import ZERO
from engine.model.portfolio import Portfolio, Valuation
from tests.real_data.store_fixture import real_store
from tests.real_data.test_real_days import STARTS, DecidedDay, RealRun, real_run

__all__ = ["real_store"]

pytestmark = pytest.mark.shared

FAR, LONGEST = Decimal("0.25"), 10
NEAR = Decimal("0.05")


@pytest.fixture(params=STARTS, ids=str)
def recorded(request: pytest.FixtureRequest, real_store: Path) -> RealRun:
    """27 days of records."""
    return real_run(real_store, request.param)


def _distances(day: DecidedDay, portfolio: Portfolio, valuation: Valuation) -> Mapping[str, Decimal]:
    """|held| / |wanted| − 1 of every sleeve that has a target."""
    wanted: dict[str, Decimal] = {}
    for line in day.targets.book.lines:
        wanted[line.sleeve] = wanted.get(line.sleeve, ZERO) + abs(line.notional_usd)
    values = {line.contract_id: line for line in valuation.lines}
    held = dict.fromkeys(wanted, ZERO)
    for name, position in portfolio.positions.items():
        for sleeve, quantity in position.sleeves.items():
            if sleeve.value in held and position.quantity != 0:
                held[sleeve.value] += abs(values[name].exposure_usd * quantity / position.quantity)
    return {sleeve: held[sleeve] / usd - 1 for sleeve, usd in wanted.items() if usd != 0}


def test_the_gate_keeps_no_sleeve_far_from_its_target_for_long(recorded: RealRun) -> None:
    """R-108: no sleeve is more than 25 % off its target for more than 10 days while the gate holds trades back."""
    far: dict[str, int] = {}
    for day in recorded.days.values():
        gated = {d.contract_id for d in day.trades.gate.decisions if not d.should_trade}
        sleeves = {line.sleeve for line in day.targets.book.lines if line.contract_id in gated}
        distances = _distances(day, day.inputs.portfolio, day.fund.valuation)
        for sleeve in sleeves | far.keys():
            is_far = sleeve in sleeves and abs(distances.get(sleeve, ZERO)) > FAR
            far[sleeve] = far.get(sleeve, 0) + 1 if is_far else 0
        assert max(far.values(), default=0) <= LONGEST, far


def test_cut_of_a_crisis_completes_in_the_first_day_s_windows(real_store: Path) -> None:
    """R-108, on 2020-03-02: the scale falls to 0.3 while the core's future is rolled; what is cut is cut that day."""
    run = real_run(real_store, date(2020, 2, 24))
    (first,) = run.entered_crisis()
    assert first == date(2020, 3, 2)
    dates = list(run.days)
    before, after = run.days[first], run.days[dates[dates.index(first) + 1]]
    assert all(d > 1 for d in _distances(before, before.inputs.portfolio, before.fund.valuation).values())
    assert before.risk.decision.scaling_factor == 0.3
    held = _held_by_line(after)
    wanted = {sleeve: ZERO for sleeve, _ in held}
    excess = dict(wanted)
    for line in before.targets.book.lines:
        unit = abs(line.notional_usd / line.quantity) if line.quantity else ZERO
        wanted[line.sleeve] += abs(line.quantity) * unit
        more = abs(held.get((line.sleeve, line.instrument_id), ZERO)) - abs(line.quantity)
        excess[line.sleeve] += max(more, ZERO) * unit
    assert {"core_index_rv", "sector_rv", "single_name", "credit_carry"} <= wanted.keys()
    assert all(usd <= NEAR * wanted[sleeve] for sleeve, usd in excess.items()), excess
    assert all(d.stage != "caps" for d in before.trades.decisions if not d.done)


def _held_by_line(day: DecidedDay) -> Mapping[tuple[str, str], Decimal]:
    """Quantity by sleeve and instrument in the morning of a day."""
    names = {line.contract_id: line.instrument_id for line in day.fund.valuation.lines}
    held: dict[tuple[str, str], Decimal] = {}
    for name, position in day.inputs.portfolio.positions.items():
        for sleeve, quantity in position.sleeves.items():
            if quantity != 0:
                key = (sleeve.value, names[name])
                held[key] = held.get(key, ZERO) + quantity
    return held


def test_spread_that_is_closed_by_two_planners_is_closed_whole(real_store: Path) -> None:
    """On 2015-09-02 the roll plan ended one leg and the tail plan the other; both went on that day."""
    day = real_run(real_store, date(2015, 8, 24)).days[date(2015, 9, 2)]
    closing = {trade.contract_id: trade.quantity for trade in day.trades.trades if trade.reduce_only}
    legs = {
        name: position.quantity
        for name, position in day.inputs.portfolio.positions.items()
        if name.startswith(("FGBL_", "FOAT_")) and position.quantity != 0
    }
    assert len(legs) == 2
    assert {name: -quantity for name, quantity in legs.items()}.items() <= closing.items()


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_legs_of_the_sovereign_spread_are_never_torn_by_the_caps(start: date, real_store: Path) -> None:
    """What the caps leave of a leg is at most one contract more than the same share of the other."""
    for date_, day in real_run(real_store, start).days.items():
        granted = {trade.contract_id: abs(trade.quantity) for trade in day.trades.trades}
        wanted: dict[str, Decimal] = dict(granted)
        for decision in day.trades.decisions:
            if decision.stage == "caps":
                wanted[decision.contract_id] = wanted.get(decision.contract_id, ZERO) + abs(decision.quantity)
        spread = [t.contract_id for t in day.trades.trades if t.group == "sovereign_spread"]
        for one in spread:
            for other in spread:
                gap = granted[one] / wanted[one] - granted[other] / wanted[other]
                assert gap <= 1 / wanted[one] + 1 / wanted[other], (date_, one, other)
