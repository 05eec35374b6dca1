"""What an operator types: status, resolve, halt, kill, report, and the reset of the simulated account."""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest

from engine.model.context import Mode, RunKey, RunKind
from flows.commands.__main__ import main
from state.control import ControlStore
from state.database import open_database
from state.halts import HaltStatus
from state.marks import MARKS_FOLDER, FileMarks
from state.runs import RunStore
from tasks.day import wall_clock
from tests.factories import new_world, row_counts
from tests.halted_days import DAY_BEFORE, HALTED_DAY, home_after_a_day, home_halted_by
from tests.latch_holder import holding_process

ACCOUNT = "SIM-fund-1"
HALT = "cash-break"


@pytest.fixture
def halted_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    shutil.copytree(home_halted_by(HALT), home)
    monkeypatch.setenv("FUND_HOME", str(home))
    return home


@pytest.fixture
def calm_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    shutil.copytree(home_after_a_day(), home)
    monkeypatch.setenv("FUND_HOME", str(home))
    return home


def halt_of(home: Path) -> tuple[str, HaltStatus]:
    world = new_world(home, HALTED_DAY)
    halt = world.halts.halts(world.account)[-1]
    world.close()
    return halt.halt_id, halt.status


def rows(home: Path) -> dict[str, int]:
    world = new_world(home, HALTED_DAY)
    counted = row_counts(world)
    world.close()
    return counted


def test_status_lists_the_halt_its_choices_and_what_to_do(
    halted_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halt_id, _ = halt_of(halted_home)

    assert main(["status"]) == 0
    told = " ".join(capsys.readouterr().out.split())

    assert f"{ACCOUNT}: HALTED" in told
    assert "choices: adopt-broker, retry" in told
    assert f"./fund resolve {halt_id} --choice adopt-broker" in told
    assert f"next: resolve {halt_id}, then ./fund resume" in told
    assert "NAV 9,9" in told or "NAV 10,0" in told


def test_status_as_json_holds_runs_nav_and_positions(
    halted_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)

    assert (found["account"], found["control"], found["kill_switch"]) == (ACCOUNT, "HALTED", False)
    assert [(run["kind"], run["status"]) for run in found["runs"]] == [
        ("decision", "COMPLETED"),
        ("execution", "COMPLETED"),
        ("close", "COMPLETED"),
        ("decision", "HALTED"),
    ]
    assert found["halts"][0]["choices"] == ["adopt-broker", "retry"]
    assert all(isinstance(line["quantity"], str) for line in found["holdings"])
    assert found["nav_date"] == HALTED_DAY.isoformat()


def test_status_of_a_finished_day_names_the_next_decision(
    calm_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert f"next: decision of {HALTED_DAY}, 06:00 UTC" in told
    compared = [line.split()[1:4] for line in told.splitlines() if line.startswith(f"  {DAY_BEFORE} ")]
    assert ["06:00Z", "decision", "PASS"] in compared
    assert ["22:30Z", "close", "PASS"] in compared
    assert sum(kind == ["execution", "PASS"] for kind in (row[1:] for row in compared)) >= 2


def test_status_where_nothing_ran_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FUND_HOME", str(tmp_path))

    assert main(["status"]) == 5
    assert "start one with ./fund run" in capsys.readouterr().err.replace("\n", " ")
    assert list(tmp_path.iterdir()) == [], "asking leaves nothing behind"


def test_resolve_without_a_terminal_shows_the_effect_and_changes_nothing(
    halted_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halt_id, _ = halt_of(halted_home)
    before = rows(halted_home)

    status = main(["resolve", halt_id, "--choice", "adopt-broker", "--reason", "wire"])
    told = capsys.readouterr()

    assert status == 2
    assert "expected --yes" in told.err.replace("\n", " ")
    assert "-30,000.00" in told.out
    assert halt_of(halted_home) == (halt_id, HaltStatus.OPEN)
    assert rows(halted_home) == before


def test_resolve_with_yes_resolves_and_a_second_one_is_refused(
    halted_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halt_id, _ = halt_of(halted_home)
    command = [
        "resolve",
        halt_id,
        "--choice",
        "adopt-broker",
        "--reason",
        "wire",
        "--operator",
        "Ada",
        "--yes",
    ]

    assert main(command) == 0
    assert "./fund resume" in capsys.readouterr().out
    assert halt_of(halted_home) == (halt_id, HaltStatus.RESOLVED)
    assert main(command) == 5
    assert "resolved already" in capsys.readouterr().err.replace("\n", " ")


def test_resolve_as_json_holds_the_effect_with_money_as_text(
    halted_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halt_id, _ = halt_of(halted_home)

    arguments = ["--choice", "adopt-broker", "--reason", "wire", "--yes", "--json"]
    assert main(["resolve", halt_id, *arguments]) == 0
    effect = json.loads(capsys.readouterr().out)

    assert (effect["halt_id"], effect["status"]) == (halt_id, "RESOLVED")
    assert isinstance(effect["nav_before"], str)
    assert effect["entries"][0]["entry_id"] == f"adoption:cash:USD:{halt_id}"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["halt-nobody", "--choice", "retry"], "open are halt-"),
        (["{halt}", "--choice", "flatten"], "offers adopt-broker, retry; found flatten"),
        (["{halt}", "--choice", "retry", "--mark", "AAPL"], "expected --mark CONTRACT=PRICE"),
        (["{halt}", "--choice", "retry", "--mark", "AAPL=5"], "with mark-manually or write-down only"),
    ],
)
def test_wrong_answer_ends_with_status_2_and_one_paragraph(
    arguments: list[str], text: str, halted_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halt_id, _ = halt_of(halted_home)
    filled = [argument.replace("{halt}", halt_id) for argument in arguments]

    assert main(["resolve", *filled, "--reason", "why", "--yes"]) == 2
    assert text in capsys.readouterr().err.replace("\n", " ")
    assert halt_of(halted_home) == (halt_id, HaltStatus.OPEN)


def test_halt_stops_the_account_until_it_is_resolved(
    calm_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["halt", "--reason", "odd prices", "--operator", "Ada", "--json"]) == 0
    halt_id = json.loads(capsys.readouterr().out)[ACCOUNT]
    world = new_world(calm_home, HALTED_DAY)
    assert world.control.state(ACCOUNT).value == "HALTED"
    world.close()

    assert main(["resolve", halt_id, "--choice", "retry", "--reason", "looked", "--yes"]) == 0
    assert halt_of(calm_home) == (halt_id, HaltStatus.RESOLVED)


def test_kill_switch_is_released_only_by_a_named_operator(
    calm_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kill", "--reason", "fire in the building"]) == 0
    assert main(["status"]) == 0
    assert "kill switch SET: fire in the building" in " ".join(capsys.readouterr().out.split())

    assert main(["kill", "--release", "--reason", "all clear"]) == 2
    assert main(["kill", "--release", "--reason", "all clear", "--operator", "Ada"]) == 0
    assert "kill switch released, ACTIVE" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["halt", "kill"])
def test_stop_says_when_it_was_requested_and_became_effective(
    command: str, calm_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--reason", "odd prices"]) == 0
    told = capsys.readouterr().out
    requested, effective = re.findall(r"requested at \S+ (\S+)Z, effective at (\S+)Z", told)[0]
    assert requested <= effective


@pytest.mark.parametrize("command", ["halt", "kill"])
def test_stop_is_not_effective_while_another_process_is_about_to_write_an_order(
    command: str, calm_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with holding_process(calm_home, None, ACCOUNT) as process:
        process.send_signal(signal.SIGSTOP)
        assert main([command, "--reason", "odd prices"]) == 1
        assert "not effective yet: an order claimed before may still leave" in capsys.readouterr().err
        assert main(["status"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert f"{ACCOUNT}: HALTED" in told
        assert "not effective yet" in told
    assert main([command, "--reason", "odd prices"]) == 0, (
        "the process has ended: asked again, it is effective"
    )
    assert main(["status"]) == 0
    assert "not effective yet" not in " ".join(capsys.readouterr().out.split())


def test_report_prints_a_day_again(calm_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["status"] == "COMPLETED"
    assert main(["report", "--date", "2019-01-01"]) == 2
    assert "`fund status` lists runs" in capsys.readouterr().err.replace("\n", " ")


def test_reset_is_refused_while_positions_are_held(
    calm_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = calm_home / "simulated" / f"{ACCOUNT}.sqlite"

    assert main(["simulated", "reset"]) == 2
    assert main(["simulated", "reset", "--yes"]) == 5
    assert "expected a flat account" in capsys.readouterr().err.replace("\n", " ")
    assert file.exists()


def test_reset_with_positions_deletes_the_broker_and_leaves_the_book(
    calm_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (calm_home / "fund.sqlite").read_bytes()

    assert main(["simulated", "reset", "--yes", "--even-with-positions"]) == 0
    assert "set FUND_HOME to another folder" in capsys.readouterr().out
    assert not (calm_home / "simulated" / f"{ACCOUNT}.sqlite").exists()
    assert (calm_home / "fund.sqlite").read_bytes() == before


@pytest.mark.parametrize("spoiled", ["DUA1111111", "DUB2222222"])
def test_stop_reaches_every_account_though_the_mark_of_one_can_not_be_read(
    spoiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    names = ("DUA1111111", "DUB2222222")
    book = open_database(None, tmp_path)
    for name in names:
        key = RunKey(account=name, mode=Mode.SIMULATED, trade_date=DAY_BEFORE, kind=RunKind.DECISION)
        RunStore(book).claim(key, wall_clock(), "code", "config")
    FileMarks(tmp_path / MARKS_FOLDER).path(spoiled).write_text("garbage")

    for command in ("halt", "kill"):
        assert main([command, "--reason", "a rumour", "--operator", "Ann"]) == 0
    told = capsys.readouterr().out
    for name in names:
        control = ControlStore(book).control(name)
        assert control.kill_switch
        assert control.open_halts == 1
        assert f"{name}: HALT" in told
        assert f"{name}: kill switch set" in told
    book.close()
