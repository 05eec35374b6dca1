"""A sleeve of a line whose history a broker did not tell keeps its book, and the others decide as ever."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.model.orders import TargetBook
from engine.model.portfolio import Sleeve
from engine.sleeves.targets import TargetInputs, TargetMemory, decide_targets
from engine.sleeves.untold import sleeve_names
from tests.engine.fund_factory import risk_policy, sleeve_policy
from tests.engine.sleeves.target_world import portfolio, target_inputs

WHY = "the broker refused: 162 pacing violation"


def decide(inputs: TargetInputs, *untold: str) -> TargetBook:
    return decide_targets(
        replace(inputs, untold=dict.fromkeys(untold, WHY)), sleeve_policy(), risk_policy(), TargetMemory()
    )[0]


def quantities(book: TargetBook, sleeve: str) -> dict[str, Decimal]:
    return {line.instrument_id: line.quantity for line in book.lines if line.sleeve == sleeve}


def test_sleeve_of_an_untold_line_keeps_every_quantity_and_the_others_decide_as_ever() -> None:
    name = next(iter(sleeve_policy().credit_weights))
    held = replace(target_inputs(), portfolio=portfolio(credit={name: 7}))
    plain, frozen = decide(held), decide(held, name)
    assert frozen.held == {"credit_carry": f"the broker told no history of {name}: {WHY}"}
    assert quantities(frozen, "credit_carry") == {name: Decimal(7)}
    assert quantities(plain, "credit_carry") != {name: Decimal(7)}
    for sleeve in ("core_index_rv", "sector_rv"):
        assert quantities(frozen, sleeve) == quantities(plain, sleeve) != {}


def test_line_that_no_sleeve_would_use_freezes_nothing() -> None:
    assert decide(target_inputs(), "NOBODYS").held == decide(target_inputs()).held


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [({"CSPX", "ES"}, ("CSPX",)), ({"ES"}, ("CSPX", "ES")), (set(), ("CSPX", "ES"))],
)
def test_line_behind_the_first_priced_one_of_a_core_leg_does_not_count(
    listed: set[str], wanted: tuple[str, ...]
) -> None:
    policy = sleeve_policy(core_long=("CSPX", "ES"), core_short=())
    assert sleeve_names(policy, {}, frozenset(listed))[Sleeve.CORE] == wanted


def test_all_lines_untold_leave_every_sleeve_as_it_is() -> None:
    inputs = target_inputs()
    names = inputs.prices.contracts.universe.ids
    book = decide(inputs, *names)
    assert {sleeve for sleeve in book.held} >= {"core_index_rv", "sector_rv", "credit_carry"}
    assert not [line for line in book.lines if line.sleeve in book.held]
