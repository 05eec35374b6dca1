"""One leg of a roll that stays behind the other."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from engine.execution.executor import execute
from engine.execution.outcome import Progress, ProgressKind
from engine.model.orders import ChildOrder, OrderIntent, Reason, Side
from tests import fakes
from tests.engine.execution.market import ES_JUN, ES_SEP, NOON, intent, job, world
from tests.fakes import ScriptedTransport

ROLL = "roll:ES"


def leg(contract_id: str, side: Side, quantity: int = 8, reason: Reason = Reason.ROLL) -> OrderIntent:
    plain = intent(quantity, side, contract_id, name=contract_id, reason=reason)
    return replace(plain, group=ROLL)


CLOSING, OPENING = leg(ES_JUN, Side.SELL), leg(ES_SEP, Side.BUY)


def alarms(fills: dict[str, list[tuple[float, int]]], *legs: OrderIntent) -> list[tuple[float, str]]:
    """Alarms of a roll whose first children trade quantities some seconds after they were sent."""
    legs = legs or (CLOSING, OPENING)
    made, broker, _ = world(*legs)
    heard: list[tuple[float, str]] = []

    def trade(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        for number, (after, quantity) in enumerate(
            fills.get(child.contract_id, []) if child.attempt == 1 else []
        ):
            b.execute(child, D(quantity), after=after, number=number + 1)

    def note(progress: Progress) -> None:
        if progress.kind is ProgressKind.ALARM:
            heard.append(((progress.at - NOON).total_seconds(), progress.text))

    broker.on_send = trade
    # No price is better than the first: the children stay where they are.
    patient = replace(made.execution, replace_interval_seconds=3000.0, order_ttl_seconds=3000.0)
    execute([job(*legs, group=f"strategy/{ROLL}")], replace(made, execution=patient, observer=note))
    return heard


def test_roll_on_one_leg_for_a_minute_is_an_alarm_that_names_what_is_done() -> None:
    assert alarms({ES_JUN: [(5, 8)]}) == [
        (
            pytest.approx(65.0),
            f"{ROLL} has stood on one leg for 60 s: {ES_JUN} 8 of 8, {ES_SEP} 0 of 8",
        )
    ]


@pytest.mark.parametrize(
    ("opening", "why"),
    [
        ([(64, 8)], "it followed within the minute"),
        ([(10, 4), (50, 4)], "in two parts"),
    ],
)
def test_leg_that_follows_in_time_is_no_alarm(opening: list[tuple[float, int]], why: str) -> None:
    assert alarms({ES_JUN: [(5, 8)], ES_SEP: opening}) == [], why


def test_legs_that_differ_by_a_lot_go_together() -> None:
    assert alarms({ES_JUN: [(5, 5)], ES_SEP: [(6, 4)]}) == []


def test_last_lot_counts_once_the_other_leg_is_done() -> None:
    found = alarms({ES_JUN: [(5, 8)], ES_SEP: [(6, 7)]})
    assert [at for at, _ in found] == [pytest.approx(65.0)]
    assert found[0][1].endswith(f"{ES_JUN} 8 of 8, {ES_SEP} 7 of 8")


def test_each_time_that_one_leg_goes_ahead_has_its_own_minute() -> None:
    # Apart from 5 s to 50 s and from 70 s on: the alarm comes at 130 s, not at 65 s.
    found = alarms({ES_JUN: [(5, 4), (70, 4)], ES_SEP: [(50, 4)]})
    assert [at for at, _ in found] == [pytest.approx(130.0)]


@pytest.mark.parametrize(
    ("legs", "why"),
    [
        ((CLOSING,), "the future is closed for good"),
        (
            (leg(ES_JUN, Side.SELL, reason=Reason.REBALANCE), leg(ES_SEP, Side.BUY, reason=Reason.REBALANCE)),
            "no roll",
        ),
    ],
)
def test_only_a_roll_of_two_legs_is_watched(legs: tuple[OrderIntent, ...], why: str) -> None:
    assert alarms({ES_JUN: [(5, 8)]}, *legs) == [], why


def test_smaller_opening_leg_is_measured_by_its_own_size() -> None:
    # A cut came with the roll: 8 are closed and 4 opened.
    fills = {ES_JUN: [(5, 8)], ES_SEP: [(6, 4)]}
    assert alarms(fills, CLOSING, leg(ES_SEP, Side.BUY, 4)) == []
