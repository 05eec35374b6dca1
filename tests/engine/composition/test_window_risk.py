"""Risk judged again before a window: it may become stricter, never looser."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path

import pytest

from engine.composition.stages import DayInputs, DaySetup, RiskStep
from engine.composition.window_risk import (
    WindowReading,
    WindowRisk,
    far_moves,
    fund_futures,
    judge_risk_again,
)
from engine.execution.revalidation import UNCHANGED
from engine.model.encoding import decode, encode
from engine.model.market import Quote, Source
from tasks.runtime import World
from tests.factories import DAYS, days_run, new_world, recorded_inputs, step_outputs

DAY = DAYS[-1]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    opened = new_world(Path(days_run().home))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def day(world: World) -> tuple[DaySetup, DayInputs, RiskStep]:
    return (
        world.setup(DAY),
        recorded_inputs(world, DAY),
        decode(RiskStep, step_outputs(world, DAY)["risk"]),
    )


def reading(setup: DaySetup, inputs: DayInputs, held: str, future: str) -> WindowReading:
    """All that is held moved by a fraction in the direction of its holding, index futures by another."""
    futures = {name for names in fund_futures(setup, inputs).values() for name in names}
    moves = dict.fromkeys(futures, D(future))
    for name, position in inputs.portfolio.positions.items():
        moves[name] = D(held) * (1 if position.quantity > 0 else -1)
    at = inputs.context.as_of
    quotes = {}
    for name, move in moves.items():
        price = inputs.market.mark(name).price * (1 + move)
        quotes[name] = Quote(
            contract_id=name,
            observed_at=at,
            bid=price,
            ask=price,
            bid_size=D(1),
            ask_size=D(1),
            last=None,
            close=None,
            source=Source.SIMULATED,
        )
    return WindowReading(at=at, quotes=quotes)


def judged(day: tuple[DaySetup, DayInputs, RiskStep], held: str, future: str) -> WindowRisk:
    setup, inputs, decided = day
    return judge_risk_again(setup, inputs, decided, reading(setup, inputs, held, future))


@pytest.mark.parametrize(
    ("move", "is_far"), [("0.029", False), ("-0.029", False), ("0.031", True), ("-0.031", True)]
)
def test_future_moved_far_beyond_three_percent(
    day: tuple[DaySetup, DayInputs, RiskStep], move: str, is_far: bool
) -> None:
    setup, inputs, _ = day
    futures = reading(setup, inputs, "0", move).quotes
    held = inputs.portfolio.positions.keys()
    alone = WindowReading(at=inputs.context.as_of, quotes={n: q for n, q in futures.items() if n not in held})
    assert bool(far_moves(setup, inputs, alone)) is is_far


def test_fund_that_lost_five_percent_since_the_decision_enters_nothing(
    day: tuple[DaySetup, DayInputs, RiskStep],
) -> None:
    """Everything held loses 15 %: far beyond the day's limit of 5 % of NAV."""
    found = judged(day, "-0.15", "-0.05")
    assert found.drawdown < -0.05
    assert found.verdict.blocked.endswith("nothing is entered")
    assert "moved by -5.0% since the decision" in found.verdict.blocked
    assert found.verdict.scale <= 1


def test_fund_that_gained_is_given_nothing_beyond_the_decision(
    day: tuple[DaySetup, DayInputs, RiskStep],
) -> None:
    found = judged(day, "0.15", "0.05")
    assert (found.verdict.scale, found.verdict.blocked) == (UNCHANGED.scale, "")


def test_same_reading_comes_out_the_same_and_reads_back(day: tuple[DaySetup, DayInputs, RiskStep]) -> None:
    found = judged(day, "-0.15", "-0.05")
    again = decode(WindowRisk, encode(found))
    setup, inputs, decided = day
    assert encode(judge_risk_again(setup, inputs, decided, again.reading)) == encode(found)
