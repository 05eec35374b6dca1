"""``fund resolve`` at a real terminal: the effect is shown, a person is asked, and only a yes changes anything."""

import getpass
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from state.halts import HaltRecord, HaltStatus
from tests.factories import new_world, row_counts
from tests.halted_days import HALTED_DAY, home_halted_by
from tests.shared_data import REPOSITORY

SECONDS = 60
QUESTION = b"Make this choice?"


def at_terminal(home: Path, answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command with a terminal of its own, answer its question; its status and all that it wrote."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "flows.commands", *arguments]
    environment = {**os.environ, "FUND_HOME": str(home), "COLUMNS": "100", "TERM": "dumb"}
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written, asked, until = b"", False, time.monotonic() + SECONDS
    try:
        while time.monotonic() < until:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not piece:
                break
            written += piece
            if QUESTION in written and not asked:
                asked = True
                os.write(ours, f"{answer}\n".encode())
        return process.wait(timeout=SECONDS), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    finally:
        process.kill()
        os.close(ours)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    copied = tmp_path / "home"
    shutil.copytree(home_halted_by("cash-break"), copied)
    return copied


def look(home: Path) -> tuple[HaltRecord, dict[str, int], object]:
    world = new_world(home, HALTED_DAY)
    found = world.halts.halts(world.account)[-1], row_counts(world), world.broker.state.head
    world.close()
    return found


def resolve(home: Path, answer: str) -> tuple[int, str]:
    halt, _, _ = look(home)
    return at_terminal(
        home, answer, "resolve", halt.halt_id, "--choice", "adopt-broker", "--reason", "the wire is confirmed"
    )


@pytest.mark.parametrize("answer", ["n", ""])
def test_a_no_or_nothing_changes_nothing(home: Path, answer: str) -> None:
    before = look(home)

    status, told = resolve(home, answer)

    assert "Effect of adopt-broker" in told
    assert "-30,000.00" in told
    assert QUESTION.decode() in told
    assert status != 0
    assert look(home) == before
    assert before[0].status is HaltStatus.OPEN


def test_a_yes_resolves_the_halt_in_the_name_of_the_user(home: Path) -> None:
    before = look(home)

    status, told = resolve(home, "y")

    assert status == 0
    assert "is resolved with adopt-broker" in told
    halt, rows, _ = look(home)
    assert (halt.halt_id, halt.status) == (before[0].halt_id, HaltStatus.RESOLVED)
    assert halt.operator == getpass.getuser()
    assert rows != before[1], "the adopted cash is booked"
