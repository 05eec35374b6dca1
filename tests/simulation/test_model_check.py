"""The order protocol has no state in which it breaks its promises, and rules with a known mistake have one.

Explored are all orders of steps of two writers with any number of deaths, cut lines and lost messages, orders that are
accepted and not yet visible, cancels that race with fills, midnight, a halt, and the broker's statement.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from engine.execution import recovery
from engine.model.order_states import CHILD_TRANSITIONS
from engine.model.orders import ChildStatus, Fill, OpenOrder
from engine.ports import ChildRecord
from tests.simulation.model_check.__main__ import LARGE, WORLDS, broken_world, told
from tests.simulation.model_check.exploring import Bounds, explore
from tests.simulation.model_check.policies import BROKEN, SAFE, Policy, Proof
from tests.simulation.model_check.shipped import arrows_taken, concluded

ON_REQUEST = pytest.mark.skipif(
    os.environ.get("FUND_CAMPAIGN") != "1", reason="minutes: FUND_CAMPAIGN=1 asks for it"
)

NOT_WALKED = {
    (
        ChildStatus.CANCELLED,
        ChildStatus.CANCELLED,
    ): "an end waits for its executions, so no fill comes after it",
}
"""Arrows that no step of the model takes, and why."""


def test_shipped_protocol_has_no_violation_and_every_state_comes_to_its_end() -> None:
    found = [explore(bounds=bounds) for bounds in WORLDS]
    assert [(told(one), one.violation, one.stuck) for one in found if not one.is_good] == []
    assert WORLDS[0].writers == 2
    assert found[0].states > 100_000  # two writers alone; the other worlds add halts and partial fills
    arrows = {(before, after) for before, targets in CHILD_TRANSITIONS.items() for after in targets}
    assert arrows - arrows_taken() == set(NOT_WALKED)


@pytest.mark.parametrize(("policy", "sought"), BROKEN, ids=lambda given: getattr(given, "name", ""))
def test_rule_with_a_mistake_gives_a_shortest_counterexample(policy: Policy, sought: str) -> None:
    found = explore(policy, broken_world(sought), sought)
    print(told(found))
    assert found.violation.startswith(sought)
    assert found.trace[0] == "P0 starts"
    assert len(found.trace) == found.depth


SINGLE = Bounds(children=2, writers=1, ordered=2, halts=False)
PAIR = Bounds(children=2, writers=2, ordered=1, halts=False)


@pytest.mark.parametrize(
    ("policy", "sought", "bounds"),
    [
        *((policy, sought, SINGLE) for policy, sought in SAFE),
        *(pytest.param(policy, sought, PAIR, marks=ON_REQUEST) for policy, sought in SAFE),
    ],
    ids=lambda given: getattr(given, "name", None) or getattr(given, "writers", ""),
)
def test_one_defence_covers_the_assumption_of_the_other(policy: Policy, sought: str, bounds: Bounds) -> None:
    assert explore(policy, bounds, sought).violation == ""


def test_protocol_that_never_proves_an_absence_is_safe_and_gets_stuck() -> None:
    found = explore(Policy(name="F", proof=Proof.NEVER), SINGLE)
    assert found.violation == ""
    assert found.stuck > 0


@pytest.fixture
def fresh_answers() -> Iterator[None]:
    """Answers of the shipped rules are kept; a test that changes a rule asks anew, and so does who comes after it."""
    concluded.cache_clear()
    yield
    concluded.cache_clear()


@pytest.mark.usefixtures("fresh_answers")
def test_mistake_in_the_shipped_recovery_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = recovery._outcome

    def hasty(record: ChildRecord, order: OpenOrder | None, fills: list[Fill]) -> ChildStatus:
        found = right(record, order, fills)
        return ChildStatus.CANCELLED if found is ChildStatus.UNKNOWN else found

    monkeypatch.setattr(recovery, "_outcome", hasty)
    found = explore(bounds=SINGLE)
    assert found.violation == "I5: order 1 ended as CANCELLED in the book and not at the broker"
    assert "P0 is killed" in found.trace or "the line of P0 is cut" in found.trace


@ON_REQUEST
@pytest.mark.parametrize("bounds", LARGE, ids=str)
def test_larger_world_has_no_violation_either(bounds: Bounds) -> None:
    found = explore(bounds=bounds)
    print(told(found))
    assert found.is_good
