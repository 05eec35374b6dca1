"""What ``fund run`` says of a day that halts: the result as JSON, a line on the terminal, the exit status."""

import getpass
import json
import shutil
from pathlib import Path

import pytest

from flows.commands.__main__ import main
from tests.factories import new_world
from tests.halted_days import HALTED_DAY, home_after_a_day, home_halted_by


@pytest.fixture
def calm_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    shutil.copytree(home_after_a_day(), home)
    monkeypatch.setenv("FUND_HOME", str(home))
    return home


def halted_home(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the home of a day that a fault stopped, and tell the halt's id."""
    home = tmp_path / "home"
    shutil.copytree(home_halted_by(fault), home)
    monkeypatch.setenv("FUND_HOME", str(home))
    world = new_world(home, HALTED_DAY)
    halt_id = world.halts.open_halts(world.account)[0].halt_id
    world.close()
    return halt_id


def resolver(tmp_path: Path) -> str | None:
    world = new_world(tmp_path / "home", HALTED_DAY)
    operator = world.halts.halts(world.account)[-1].operator
    world.close()
    return operator


@pytest.mark.parametrize(("fault", "status"), [("stale-fx", 3), ("cash-break:emergency", 4)])
def test_result_as_json_holds_the_halt_and_the_terminal_names_it_in_a_line(
    fault: str, status: int, calm_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    arguments = ["--date", HALTED_DAY.isoformat(), "--fault", fault, "--json", str(file)]

    assert main(["run", "--without-prefect", *arguments]) == status
    told = capsys.readouterr().err.strip().splitlines()

    (halt,) = json.loads(file.read_text())["halts"]
    severity = "HALT" if status == 3 else "EMERGENCY"
    assert (halt["severity"], halt["status"]) == (severity, "OPEN")
    assert len(halt["evidence"]) > 0
    (line,) = [line for line in told if halt["halt_id"] in line]
    assert halt["kind"] in line
    assert f"choices {', '.join(halt['choices'])}" in line
    assert f"--choice {halt['choices'][0]}" in line


def test_result_on_standard_output_stays_json_when_the_day_halts(
    calm_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--date", HALTED_DAY.isoformat(), "--fault", "nlv-drift", "--json", "-"]

    assert main(["run", "--without-prefect", *arguments]) == 3
    told = capsys.readouterr()

    assert json.loads(told.out)["status"] == "HALTED"
    assert "nlv-drift" in told.err


def test_halt_is_resolved_in_the_name_of_the_computer_s_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halt_id = halted_home("cash-break", tmp_path, monkeypatch)

    assert main(["resolve", halt_id, "--choice", "adopt-broker", "--reason", "wire", "--yes"]) == 0

    assert resolver(tmp_path) == getpass.getuser()


def test_emergency_is_not_resolved_in_the_name_of_whoever_sits_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    halt_id = halted_home("cash-break:emergency", tmp_path, monkeypatch)
    arguments = ["resolve", halt_id, "--choice", "adopt-broker", "--reason", "wire", "--yes"]

    assert main(arguments) == 2
    assert "expected the operator's name" in capsys.readouterr().err.replace("\n", " ")
    assert resolver(tmp_path) is None

    assert main([*arguments, "--operator", "Ada"]) == 0
    assert resolver(tmp_path) == "Ada"
