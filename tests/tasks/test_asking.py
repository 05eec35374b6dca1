"""Days at a broker that is late: it is asked again, on virtual time, until it agrees or was asked often enough."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest

from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.halts import HaltKind
from engine.model.portfolio import BrokerSnapshot
from engine.report import BreakRow
from engine.simulation.account import FaultKind
from engine.simulation.broker import SimulatedBroker
from engine.simulation.faults import clear, shift_net_liquidation
from engine.simulation.interventions import distort_report
from flows.replaying import replay_recorded
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.factories import recorded_inputs, run, run_id_of
from tests.halted_days import DAY_BEFORE, HALTED_DAY, home_after_a_day, open_halt, undisturbed_home

LATE = "late"
ASKED = (0, 5, 60, 120)
"""Seconds after the first comparison, as the fund is configured."""


@contextmanager
def at_decision(folder: Path, *overrides: str) -> Iterator[World]:
    """A fund with a day behind it, at 06:00 of the next."""
    with opened(home_after_a_day(), folder, *overrides) as world:
        world.broker.advance(world.decision_time(HALTED_DAY))
        yield world


@contextmanager
def opened(home: Path, folder: Path, *overrides: str) -> Iterator[World]:
    shutil.copytree(home, folder / "home")
    options = WorldOptions(
        profile="fund", first=DAY_BEFORE, last=HALTED_DAY, home=folder / "home", overrides=overrides
    )
    world = World(options)
    try:
        yield world
    finally:
        world.close()


def held_share(world: World) -> str:
    """The largest holding of shares, of which a list that lacks it says too little."""
    held = world.broker.state.positions.items()
    return max((row.quantity, name) for name, row in held if name in world.broker.terms.universe)[1]


def lag_positions(world: World) -> None:
    """A position that the broker does not list yet."""
    distort_report(world.broker, LATE, FaultKind.UNLISTED_HOLDING, held_share(world))


def lag_worth(world: World) -> None:
    """A net liquidation value of before, 0.5 % off."""
    shift_net_liquidation(world.broker, LATE, D("0.005"))


def leave_out_a_currency(world: World) -> None:
    distort_report(world.broker, LATE, FaultKind.UNLISTED_CASH, "EUR")


def withhold_positions(world: World) -> None:
    distort_report(world.broker, LATE, FaultKind.WITHHELD_ANSWER, "positions")


def late_from(
    world: World, start: datetime, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> list[datetime]:
    """Let what is distorted be told right from some seconds on; the times at which the account is told."""
    told, snapshot = list[datetime](), SimulatedBroker.snapshot

    def tell(broker: SimulatedBroker, as_of: datetime) -> BrokerSnapshot:
        if broker.now >= start + timedelta(seconds=seconds):
            clear(broker, LATE)
        told.append(broker.now)
        return snapshot(broker, as_of)

    monkeypatch.setattr(SimulatedBroker, "snapshot", tell)
    return told


def kept(world: World, kind: RunKind) -> list[tuple[object, object]]:
    """Time and outcome of every comparison that a run made."""
    rows = world.records.rows("reconciliations", run_id=run_id_of(world, HALTED_DAY, kind))
    return [(row["at"], row["outcome"]) for row in rows]


def after(start: datetime, *seconds: int) -> list[datetime]:
    return [start + timedelta(seconds=count) for count in seconds]


@pytest.mark.parametrize(
    ("seconds", "lag"),
    [(1, lag_positions), (5, lag_worth), (30, leave_out_a_currency), (119, lag_positions)],
)
def test_decision_at_a_broker_that_is_late_by_up_to_two_minutes_goes_on_when_it_agrees(
    seconds: int, lag: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late by 1 and 5 seconds it agrees at the second question, by 30 at the third, by 119 at the fourth."""
    with at_decision(tmp_path) as world:
        start = world.broker.now
        lag(world)  # type: ignore[operator]
        told = late_from(world, start, seconds, monkeypatch)

        outcome = run(world, HALTED_DAY, RunKind.DECISION)

        times = after(start, *[count for count in ASKED if count < seconds])
        times.append(after(start, *[count for count in ASKED if count >= seconds])[0])
        assert outcome.status is RunStatus.COMPLETED
        assert told == times
        assert [at for at, _ in kept(world, RunKind.DECISION)] == times
        assert kept(world, RunKind.DECISION)[-1][1] == "PASS"
        assert recorded_inputs(world, HALTED_DAY).broker.as_of == times[-1], "it decided on a stale account"
        assert not world.halts.halts(world.account)
        (alert,) = [
            row["message"] for row in world.records.rows("alerts") if "was late" in str(row["message"])
        ]
        assert f"agreed after {(times[-1] - start).total_seconds():.0f} seconds" in str(alert)
        replayed = replay_recorded(world.runs, run_id_of(world, HALTED_DAY, RunKind.DECISION))
        assert replayed.is_identical


def test_decision_at_a_broker_that_is_late_by_more_stops_after_its_last_question_with_all_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_decision(tmp_path) as world:
        start, orders, name = world.broker.now, world.broker.state.head.orders, held_share(world)
        lag_positions(world)
        late_from(world, start, 121, monkeypatch)

        outcome = run(world, HALTED_DAY, RunKind.DECISION)

        halt = open_halt(world)
        assert outcome.is_halted
        assert kept(world, RunKind.DECISION) == [(at, "UNKNOWN") for at in after(start, *ASKED)]
        assert halt.kind == HaltKind.UNANSWERED.value
        assert "; the broker was asked 4 times in 120 seconds; wait until the broker answers" in halt.message
        assert halt.evidence is not None
        (row,) = [row for row in decode(tuple[BreakRow, ...], halt.evidence) if row.subject == name]
        assert row.explanation.endswith(
            "ask again; asked 4 times from 06:00:00Z to 06:02:00Z, always not listed"
        )
        assert world.broker.state.head.orders == orders
        assert replay_recorded(world.runs, run_id_of(world, HALTED_DAY, RunKind.DECISION)).is_identical


def test_answers_that_differ_are_told_one_by_one_in_the_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the positions do not answer at all, then the worth is 0.5 % off and stays so."""
    with at_decision(tmp_path) as world:
        start = world.broker.now
        withhold_positions(world)
        shift_net_liquidation(world.broker, "off", D("0.005"))
        late_from(world, start, 30, monkeypatch)

        run(world, HALTED_DAY, RunKind.DECISION)

        halt = open_halt(world)
        assert halt.evidence is not None
        worth, positions = decode(tuple[BreakRow, ...], halt.evidence)
        assert halt.kind == HaltKind.NLV_DRIFT.value
        assert f"asked 4 times: the same as our book at 06:00:00Z, the same as our book at 06:00:05Z, {worth.broker} at" in (
            worth.explanation
        )  # fmt: skip
        assert positions.subject == "positions"
        assert positions.explanation == (
            "asked 4 times: no answer at 06:00:00Z, no answer at 06:00:05Z, the same as our book at 06:01:00Z, "
            "the same as our book at 06:02:00Z"
        )


@pytest.mark.parametrize(("guard", "asked"), [("06:01", ASKED[:2]), ("06:02", ASKED[:3])])
def test_decision_does_not_wait_up_to_the_guard_time_of_its_start(
    guard: str, asked: tuple[int, ...], tmp_path: Path
) -> None:
    setting = f'execution_phase2.session_scheduler.guard_until_utc="{guard}"'
    with at_decision(tmp_path, setting) as world:
        start = world.broker.now
        lag_worth(world)
        assert run(world, HALTED_DAY, RunKind.DECISION).is_halted
        assert [at for at, _ in kept(world, RunKind.DECISION)] == after(start, *asked)
        assert world.now == after(start, *asked)[-1]


def test_kill_switch_ends_the_wait_within_a_poll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_decision(tmp_path) as world:
        start, advance = world.broker.now, SimulatedBroker.advance
        lag_worth(world)

        def kill(broker: SimulatedBroker, until: datetime) -> None:
            advance(broker, until)
            if broker.now >= start + timedelta(seconds=20):
                world.control.engage_kill_switch(world.account, "Ann", "stop", broker.now)

        monkeypatch.setattr(SimulatedBroker, "advance", kill)

        assert run(world, HALTED_DAY, RunKind.DECISION).is_halted
        assert start + timedelta(seconds=20) <= world.now <= start + timedelta(seconds=25)
        assert [at for at, _ in kept(world, RunKind.DECISION)] == after(start, 0, 5)


def test_run_under_an_open_halt_waits_for_nobody(tmp_path: Path) -> None:
    with at_decision(tmp_path) as world:
        lag_worth(world)
        assert run(world, HALTED_DAY, RunKind.DECISION).is_halted
        stopped = world.now
        assert run(world, HALTED_DAY, RunKind.DECISION).is_halted
        assert world.now == stopped
        assert len(kept(world, RunKind.DECISION)) == len(ASKED) + 1


def test_fund_without_times_stops_at_the_first_difference(tmp_path: Path) -> None:
    with at_decision(tmp_path, "reconciliation.ask_again_after_seconds=[]") as world:
        lag_worth(world)
        assert run(world, HALTED_DAY, RunKind.DECISION).is_halted
        assert len(kept(world, RunKind.DECISION)) == 1
        assert "the broker was asked" not in open_halt(world).message


@pytest.mark.parametrize(("seconds", "is_stopped"), [(119, False), (121, True)])
def test_window_at_a_late_broker_is_worked_once_it_agrees_and_not_before(
    seconds: int, is_stopped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(undisturbed_home(), tmp_path) as world:
        decided, opens = world.broker.state.head.orders, list[datetime]()
        lag_positions(world)
        submit, snapshot = SimulatedBroker.submit, SimulatedBroker.snapshot

        def tell(broker: SimulatedBroker, as_of: datetime) -> BrokerSnapshot:
            opens.append(broker.now)
            if broker.now >= opens[0] + timedelta(seconds=seconds):
                clear(broker, LATE)
            return snapshot(broker, as_of)

        def accept(broker: SimulatedBroker, child: object) -> object:
            assert kept(world, RunKind.EXECUTION)[-1][1] == "PASS", "an order left on a stale book"
            return submit(broker, child)  # type: ignore[arg-type]

        monkeypatch.setattr(SimulatedBroker, "snapshot", tell)
        monkeypatch.setattr(SimulatedBroker, "submit", accept)

        outcome = run(world, HALTED_DAY, RunKind.EXECUTION)

        assert outcome.is_halted is is_stopped
        assert (world.broker.state.head.orders > decided) is not is_stopped
        if is_stopped:
            assert opens == after(opens[0], *ASKED)
            halt = open_halt(world)
            assert halt.message.startswith(f"before the window of {opens[0]:%H:%M}Z: expected")
            assert "the broker was asked 4 times in 120 seconds" in halt.message
            assert len(kept(world, RunKind.EXECUTION)) == len(ASKED)
            assert halt.evidence is not None
            assert "asked 4 times from" in decode(tuple[BreakRow, ...], halt.evidence)[0].explanation
