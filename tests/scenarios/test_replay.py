"""A finished day is decided again from its records alone, and what was altered is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import update

from engine.composition.day import STEP_TYPES
from engine.errors import ConfigurationError
from engine.model.context import RunKind
from engine.model.encoding import digest_bytes, encode
from flows.replaying import RunReplay, lines, replay_recorded, replay_run
from state.tables import run_inputs, run_steps
from tasks.runtime import World
from tests import factories as fund
from tests.factories import DAYS

DAY = DAYS[3]
Alter = Callable[[bytes], bytes]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    home = tmp_path / "home"
    shutil.copytree(fund.days_run().home, home)
    monkeypatch.setenv("FUND_HOME", str(home))
    return fund.new_world(home)


def alter(world: World, name: str, change: Alter) -> str:
    """Change a recorded input in the database, as a hand in the database would."""
    run_id = fund.run_id_of(world, DAY, RunKind.DECISION)
    payload = change(world.runs.inputs(run_id)[name].payload)
    with world.database.transaction() as connection:
        connection.execute(
            update(run_inputs)
            .where(run_inputs.c.run_id == run_id, run_inputs.c.name == name)
            .values(payload=payload)
        )
    return run_id


def replayed(world: World, run_id: str) -> RunReplay:
    return replay_recorded(world.runs, run_id)


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_every_decision_comes_out_to_the_byte(world: World, day: date) -> None:
    result = replayed(world, fund.run_id_of(world, day, RunKind.DECISION))
    assert result.is_identical
    assert result.replay.identical == tuple(STEP_TYPES)
    assert lines(result)[-1].endswith("13 decisions identical")


def test_close_is_replayed_as_far_as_it_decided(world: World) -> None:
    result = replayed(world, fund.run_id_of(world, DAY, RunKind.CLOSE))
    assert result.replay.identical == ("nav", "reconcile")
    assert result.is_identical


def test_replay_reads_no_configuration_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a replay must not ask for the configuration")

    monkeypatch.setattr("tasks.runtime.load_configuration", refuse)
    assert replayed(world, fund.run_id_of(world, DAY, RunKind.DECISION)).is_identical


def test_command_tells_the_outcome_and_its_status(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = fund.run_id_of(world, DAY, RunKind.DECISION)
    assert replay_run(run_id, as_json=False) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{run_id}: 13 decisions identical"
    assert replay_run(run_id, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["identical"], told["difference"], len(told["identical_steps"])) == (True, None, 13)


def test_row_altered_with_its_digest_is_found_although_it_decides_nothing(world: World) -> None:
    def other_price(payload: bytes) -> bytes:
        tree = json.loads(payload)
        tree["market"]["borrow"]["AAPL"]["available_shares"] = "123456789"
        return encode(tree)

    run_id = alter(world, "inputs", other_price)
    payload = world.runs.inputs(run_id)["inputs"].payload
    with world.database.transaction() as connection:
        connection.execute(
            update(run_inputs)
            .where(run_inputs.c.run_id == run_id, run_inputs.c.name == "inputs")
            .values(digest=digest_bytes(payload))
        )
    result = replayed(world, run_id)
    assert result.replay.difference is None
    assert not result.is_identical
    assert "an input, with its digest, of" in lines(result)[0]


def _other_cash(payload: bytes) -> bytes:
    """A thousandth of a dollar more in our book."""
    tree = json.loads(payload)
    tree["portfolio"]["cash"]["USD"] = str(Decimal(tree["portfolio"]["cash"]["USD"]) + Decimal("0.001"))
    return encode(tree)


def _no_trading(payload: bytes) -> bytes:
    return encode({**json.loads(payload), "trading_enabled": False})


def _other_weight(payload: bytes) -> bytes:
    tree = json.loads(payload)
    tree["sleeves"]["weights"]["credit_carry"] = 0.1
    return encode(tree)


@pytest.mark.parametrize(
    ("name", "change", "step", "field"),
    [
        ("inputs", _other_cash, "nav", "bridge."),
        ("inputs", _no_trading, "safety", ""),
        ("policy", _other_weight, "targets", "book."),
        ("inputs", lambda payload: payload[:-1], "fx", ""),
        ("universe", lambda payload: payload.replace(b'"FESX"', b'"FESY"', 1), "fx", ""),
    ],
    ids=["other cash", "trading disabled", "other weight", "cut off", "other instrument"],
)
def test_altered_row_is_named_with_the_first_step_that_differs(
    world: World, capsys: pytest.CaptureFixture[str], name: str, change: Alter, step: str, field: str
) -> None:
    run_id = alter(world, name, change)
    result = replayed(world, run_id)
    assert result.altered == (f"input {name}",)
    found = result.replay.difference
    assert found is not None
    assert found.step == step
    assert found.field.startswith(field)
    assert found.recorded != found.recomputed
    assert replay_run(run_id, as_json=False) == 1
    told = capsys.readouterr().out
    assert f"input {name} of {run_id} was altered" in told
    assert f"step {step} differs" in told


def test_altered_step_is_named_with_both_values(world: World) -> None:
    run_id = fund.run_id_of(world, DAY, RunKind.DECISION)
    verdict = json.loads(fund.step_outputs(world, DAY)["safety"])
    with world.database.transaction() as connection:
        connection.execute(
            update(run_steps)
            .where(run_steps.c.run_id == run_id, run_steps.c.step == "safety")
            .values(output=encode({**verdict, "passed": not verdict["passed"]}))
        )
    result = replayed(world, run_id)
    assert result.altered == ("step safety",)
    found = result.replay.difference
    assert found is not None
    assert (found.step, found.field, found.recorded, found.recomputed) == (
        "safety",
        "passed",
        "false",
        "true",
    )
    assert len(result.replay.identical) == list(STEP_TYPES).index("safety")


def test_unknown_run_is_one_paragraph_with_the_latest_runs(world: World) -> None:
    with pytest.raises(
        ConfigurationError, match=r"found '2026-11-17-decision-no'.*the latest are 2026-11-18"
    ):
        replayed(world, "2026-11-17-decision-no")


def test_run_that_decides_nothing_is_refused(world: World) -> None:
    with pytest.raises(ConfigurationError, match="replay the decision of 2026-11-17"):
        replayed(world, fund.run_id_of(world, DAY, RunKind.EXECUTION))
