"""``fund simulate`` lives the days of some seeds and says what they showed."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.model.order_states import CHILD_TRANSITIONS
from flows.commands.__main__ import main
from flows.commands.simulate import simulate
from tests.simulation.order_days.campaign import command, narrowed
from tests.simulation.order_days.drawing import Fault


def test_simulate_writes_what_the_seeds_showed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "found.json"
    assert simulate(seeds="3..9", json_file=target) == 0
    found = json.loads(target.read_text())
    assert (found["days"], found["violations"]) == (6, [])
    assert set(found["faults_fired"]) == {fault.name for fault in Fault}
    assert len(found["log_digest"]) == 64
    taken = len(found["transitions_visited"]) - sum(
        arrow.endswith("WORKING->WORKING") for arrow in found["transitions_visited"]
    )
    assert 0 < taken <= sum(len(targets) for targets in CHILD_TRANSITIONS.values())
    assert "6 days, 0 violations" in capfd.readouterr().out


@pytest.mark.parametrize("seeds", ["9..3", "3", "a..b", "3..3"])
def test_simulate_refuses_seeds_that_name_no_range(seeds: str) -> None:
    with pytest.raises(ConfigurationError, match="expected seeds like"):
        simulate(seeds=seeds)


def test_simulate_names_a_fault_that_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    assert simulate(seeds="3..4", without="GREMLIN") == 2
    assert "found GREMLIN" in capfd.readouterr().err


def test_simulate_explores_the_model_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def started(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, returncode=1)

    monkeypatch.setattr(subprocess, "run", started)
    assert simulate(model=True) == 1  # a violation found there is the command's own answer
    ((_, flag, module, *rest),) = asked
    assert (flag, rest) == ("-m", ["--broken"])
    assert importlib.util.find_spec(f"{module}.__main__") is not None


def test_command_that_a_failure_prints_is_understood(capfd: pytest.CaptureFixture[str]) -> None:
    told = command(narrowed(3, ["DEATH", "MESSAGE_LOST"], {0}))
    assert told.startswith("./fund simulate --seeds 3..4 --without ")
    assert main(told.split()[1:]) == 0
    assert "1 days, 0 violations" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--seeds", "9..3"), "expected seeds like 0..200"),
        (("--seeds", "3..4", "--jobs", "first"), "expected numbers of jobs like 0,2, found 'first'"),
        (("--seeds", "3..4", "--jobs", "17"), "expected a day that has one of the jobs 17"),
        (("--campaign", "--seeds", "3..4"), "expected --campaign without --seeds"),
        (("--seeds", "3..4", "--json", "nowhere/found.json"), "nowhere is no folder"),
        (("--folder", "parts"), "expected seeds without --folder"),
        (("--model", "--json", "found.json"), "expected --model without --json"),
    ],
)
def test_simulate_refuses_what_makes_no_sense(
    given: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *given]) == 2
    assert told in " ".join(capfd.readouterr().err.split())
