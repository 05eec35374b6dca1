"""./fund makes its environment once, whole, and heals one that was killed half-way.

The installers are replaced by a bare `python -m venv` and a line in a journal: what is tested is the order,
the stamps and the lock, with nothing downloaded.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.source_tree import imported_roots
from tests.fund_script import load_fund
from tests.shared_data import REPOSITORY

PROBE = """
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "home": os.environ["FUND_HOME"], "file": __file__}))
"""

SET_UP_IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from tests.architecture.test_fund_script import with_made_up_installer
from tests.fund_script import load_fund
fund = with_made_up_installer(load_fund(Path(sys.argv[1]) / "fund"))
print("started", flush=True)
sys.stdin.readline()
fund.set_up(fund.RUN_LOCK)
"""


def with_made_up_installer(fund: ModuleType) -> ModuleType:
    """Let the script make a bare environment, and write a line to a journal where it would install."""
    journal = Path(fund.ROOT) / "journal"

    def fill(lock_name: str) -> list[str]:
        write = f"open({str(journal)!r}, 'a').write({lock_name!r} + '\\n')"
        return [sys.executable, "-c", write]

    make = [sys.executable, "-m", "venv", "--without-pip", fund.VENV]
    fund.python_candidates = lambda: [sys.executable]
    fund.ways_to_make = lambda python, lock_name: [("made up", make, fill(lock_name))]
    fund.ways_to_add = lambda lock_name: [("made up", None, fill(lock_name))]
    return fund


def installed(fund: ModuleType) -> list[str]:
    journal = Path(fund.ROOT) / "journal"
    return journal.read_text().split() if journal.exists() else []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a folder with a space in its name that holds the script, two small locks and a command line."""
    root = tmp_path / "my fund"
    (root / "flows" / "commands").mkdir(parents=True)
    (root / "fund").write_bytes((REPOSITORY / "fund").read_bytes())
    (root / "fund").chmod(0o755)
    (root / "requirements.lock").write_text("numpy==2.4.6 \\\n    --hash=sha256:00\n")
    (root / "requirements-dev.lock").write_text("numpy==2.4.6 \\\n    --hash=sha256:00\nruff==0.17.5\n")
    (root / "flows" / "__init__.py").touch()
    (root / "flows" / "commands" / "__init__.py").touch()
    (root / "flows" / "commands" / "__main__.py").write_text(PROBE)
    return root


@pytest.fixture
def fund(repository: Path) -> ModuleType:
    return with_made_up_installer(load_fund(repository / "fund"))


def test_script_parses_as_python_3_6_and_imports_the_standard_library_only() -> None:
    tree = ast.parse((REPOSITORY / "fund").read_text(), feature_version=(3, 6))
    assert set(imported_roots(tree)) - set(sys.stdlib_module_names) == set()


def test_first_use_installs_the_lock_and_later_use_nothing(fund: ModuleType) -> None:
    assert not fund.is_ready(fund.RUN_LOCK)
    fund.set_up(fund.RUN_LOCK)
    assert fund.is_ready(fund.RUN_LOCK)
    fund.set_up(fund.RUN_LOCK)
    assert installed(fund) == ["requirements.lock"]


def test_development_lock_is_added_to_the_same_environment(fund: ModuleType) -> None:
    fund.set_up(fund.RUN_LOCK)
    made = Path(fund.VENV, "pyvenv.cfg").stat().st_ino
    assert not fund.is_ready(fund.DEVELOPMENT_LOCK)
    fund.set_up(fund.DEVELOPMENT_LOCK)
    assert installed(fund) == ["requirements.lock", "requirements-dev.lock"]
    assert Path(fund.VENV, "pyvenv.cfg").stat().st_ino == made
    assert fund.is_ready(fund.RUN_LOCK)


def test_development_lock_alone_serves_the_run_too(fund: ModuleType) -> None:
    fund.set_up(fund.DEVELOPMENT_LOCK)
    assert installed(fund) == ["requirements-dev.lock"]
    assert fund.is_ready(fund.RUN_LOCK)
    assert fund.is_ready(fund.DEVELOPMENT_LOCK)


def test_set_up_killed_before_its_stamp_is_made_anew(fund: ModuleType) -> None:
    fund.set_up(fund.RUN_LOCK)
    Path(fund.stamp_path(fund.RUN_LOCK)).unlink()
    leftover = Path(fund.VENV, "half_written")
    leftover.touch()
    fund.set_up(fund.RUN_LOCK)
    assert not leftover.exists()
    assert fund.is_ready(fund.RUN_LOCK)


def test_linked_environment_is_left_to_its_owner_and_replaced_by_an_own_one(
    fund: ModuleType, tmp_path: Path
) -> None:
    fund.set_up(fund.RUN_LOCK)
    owner = Path(fund.VENV).rename(tmp_path / "owner")
    files = sorted(path.relative_to(owner) for path in owner.rglob("*"))
    Path(fund.VENV).symlink_to(owner)
    Path(fund.ROOT, fund.RUN_LOCK).write_text("numpy==2.4.7\n")
    fund.set_up(fund.RUN_LOCK)
    assert not Path(fund.VENV).is_symlink()
    assert fund.is_ready(fund.RUN_LOCK)
    assert sorted(path.relative_to(owner) for path in owner.rglob("*")) == files


@pytest.mark.parametrize("damage", ["lock", "version", "place", "interpreter", "stamp"])
def test_environment_no_longer_counts_after_a_change_of(damage: str, fund: ModuleType) -> None:
    fund.set_up(fund.RUN_LOCK)
    match damage:
        case "lock":
            Path(fund.ROOT, fund.RUN_LOCK).write_text("numpy==2.4.7\n")
        case "version":
            Path(fund.VENV, "pyvenv.cfg").write_text("version = 3.12.99\n")
        case "place":
            moved = Path(fund.ROOT).rename(Path(fund.ROOT).with_name("moved"))
            fund = load_fund(moved / "fund")
        case "interpreter":
            Path(fund.VENV_PYTHON).unlink()
        case _:
            Path(fund.stamp_path(fund.RUN_LOCK)).write_bytes(b"\xff")
    assert not fund.is_ready(fund.RUN_LOCK)


def test_two_set_ups_at_the_same_time_install_once(repository: Path, fund: ModuleType) -> None:
    command = [sys.executable, "-c", SET_UP_IN_ANOTHER_PROCESS, str(repository)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=REPOSITORY, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "started\n"
    outcomes = [process.communicate("go\n", timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outcomes
    assert installed(fund) == ["requirements.lock"]


def test_installer_inherits_the_lock_so_that_an_orphan_is_waited_for(fund: ModuleType) -> None:
    descriptor = fund.take_setup_lock(fund.Progress())
    status, _ = fund.run_step(
        [sys.executable, "-c", f"import os; os.fstat({descriptor})"], fund.Progress(), descriptor
    )
    os.close(descriptor)
    assert status == 0


def test_second_way_is_taken_when_the_first_fails(
    fund: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = ("broken", [sys.executable, "-c", "raise SystemExit('no ensurepip')"], [])
    works = fund.ways_to_make("", fund.RUN_LOCK)
    fund.ways_to_make = lambda python, lock_name: [broken, *works]
    fund.set_up(fund.RUN_LOCK)
    assert fund.is_ready(fund.RUN_LOCK)
    assert "broken did not work, status 1" in capsys.readouterr().err


def test_failure_of_every_way_names_the_packages_and_what_was_tried(fund: ModuleType) -> None:
    broken = ("broken", [sys.executable, "-c", "raise SystemExit('no ensurepip')"], [])
    missing = ("missing", ["/nowhere/uv"], [])
    fund.ways_to_make = lambda python, lock_name: [broken, missing]
    with pytest.raises(
        fund.SetupError, match=r"(?s)python3-venv.*broken:\nno ensurepip.*missing:\n.*/nowhere/uv"
    ):
        fund.set_up(fund.RUN_LOCK)
    assert not fund.is_ready(fund.RUN_LOCK)


def test_ways_are_uv_then_venv_then_venv_filled_by_the_systems_pip(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund = load_fund(repository / "fund")
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    ways = fund.ways_to_make("/bin/python3.12", fund.RUN_LOCK)
    assert [name for name, _, _ in ways[:3]] == [
        "uv",
        "python -m venv",
        "python -m venv --without-pip, filled by /bin/python3.12 -m pip",
    ]
    assert all({"--no-deps", "--require-hashes"} <= set(fill) for _, _, fill in ways)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert fund.ways_to_make("/bin/python3.12", fund.RUN_LOCK)[0][0] == "python -m venv"


def test_missing_python_is_said_with_what_was_found(fund: ModuleType, tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nprintf '3.6.15\\n/opt/python-old\\n'\n")
    old.chmod(0o755)
    with pytest.raises(
        fund.SetupError, match=r"3\.11 or 3\.12 or 3\.13 is needed.*found 3\.6\.15 \(/opt/python-old\)"
    ):
        fund.find_python(fund.Progress(), ["no-such-python", str(old)])


def test_newest_supported_python_is_looked_for_first(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund = load_fund(repository / "fund")
    monkeypatch.delenv("FUND_PYTHON", raising=False)
    assert fund.python_candidates() == ["python3.13", "python3.12", "python3.11", sys.executable]
    monkeypatch.setenv("FUND_PYTHON", "/opt/python3.11")
    assert fund.python_candidates() == ["/opt/python3.11"]


def test_command_starts_from_any_folder_with_its_arguments_and_our_packages(
    repository: Path, fund: ModuleType, tmp_path: Path
) -> None:
    fund.set_up(fund.RUN_LOCK)
    decoy = tmp_path / "elsewhere" / "flows" / "commands"
    decoy.mkdir(parents=True)
    (decoy.parent / "__init__.py").touch()
    (decoy / "__init__.py").write_text("raise SystemExit('a stranger')")
    environment = {name: value for name, value in os.environ.items() if name != "FUND_HOME"}
    answer = subprocess.run(
        [sys.executable, str(repository / "fund"), "why", "a b", "--json"],
        cwd=decoy.parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said = ast.literal_eval(answer.stdout)
    assert said["arguments"] == ["why", "a b", "--json"]
    assert said["home"] == str(repository / "var")
    assert said["file"] == str(repository / "flows" / "commands" / "__main__.py")
    assert answer.stderr == ""


def test_environment_has_no_telemetry_and_one_blas_thread(
    fund: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"PREFECT_SERVER_ANALYTICS_ENABLED": "true", "PREFECT_HOME": "/mine", "FUND_HOME": "here"}
    environment = fund.run_environment(given)
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["GX_ANALYTICS_ENABLED"] == "false"
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
    assert environment["PREFECT_HOME"] == "/mine"
    assert environment["FUND_HOME"] == str(tmp_path / "here")


def test_checks_fail_when_one_of_them_fails(fund: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    fund.set_up(fund.RUN_LOCK)
    fund.CHECKS = (("good", ["-c", "pass"]), ("bad", ["-c", "raise SystemExit('three errors')"]))
    assert fund.run_checks(dict(os.environ)) == 1
    output = capsys.readouterr().out
    assert "good    ok" in output
    assert "bad     failed" in output
    assert "three errors" in output
    fund.CHECKS = (("good", ["-c", "pass"]),)
    assert fund.run_checks(dict(os.environ)) == 0
