"""What the report says should be held: by weight, or, where a plan is in contracts, what was held and what is planned."""

from decimal import Decimal
from pathlib import Path

from engine.model.context import RunKind
from engine.model.portfolio import Sleeve
from state.runs import run_identifier
from tasks.day import run_key
from tasks.reporting_positions import position_rows, wanted_quantities
from tasks.run_view import RunView, run_view
from tasks.runtime import World
from tests.factories import new_world
from tests.halted_days import HALTED_DAY, open_halt, undisturbed_home
from tests.halted_days import halted_world as halted

TAIL = Sleeve.CRISIS_ALPHA.value


def decided(world: World) -> RunView:
    record = world.runs.run(run_identifier(run_key(world, HALTED_DAY, RunKind.DECISION)))
    assert record is not None
    return run_view(world, record)


def test_protection_is_wanted_as_it_is_held_and_as_the_plan_changes_it() -> None:
    world = new_world(undisturbed_home(), HALTED_DAY)
    view = decided(world)
    rows = position_rows(world, view, view.fund, view.inputs)
    world.close()
    assert view.inputs is not None
    assert view.wishes is not None

    wanted = {
        name: quantity for (sleeve, name), quantity in wanted_quantities(view).items() if sleeve == TAIL
    }
    expected: dict[str, Decimal] = {}
    for name, position in view.inputs.portfolio.positions.items():
        if Sleeve.CRISIS_ALPHA in position.sleeves:
            expected[name] = position.sleeves[Sleeve.CRISIS_ALPHA]
    for proposal in view.wishes.proposals:
        if proposal.sleeve == TAIL:
            expected[proposal.contract_id] = (
                expected.get(proposal.contract_id, Decimal(0)) + proposal.quantity
            )
    assert wanted == expected
    assert len(wanted) > 0
    shown = {row.contract_id: row.target_quantity for row in rows if row.sleeve == TAIL}
    assert shown == expected
    assert all(row.target_weight is not None for row in rows if row.sleeve == TAIL and row.quantity != 0)


def test_day_that_stopped_before_its_targets_says_of_none_that_it_is_unwanted(tmp_path: Path) -> None:
    with halted("nlv-drift", tmp_path) as world:
        assert open_halt(world).kind == "nlv-drift"
        view = decided(world)
        rows = position_rows(world, view, view.fund, view.inputs)

    assert len(rows) > 0
    assert {(row.target_quantity, row.target_weight, row.note) for row in rows} == {(None, None, "")}
