"""The tutorial's five commands and the next day's are executed as they stand, but for the ports."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flows.commands.__main__ import main
from tests.shared_data import REPOSITORY

LONGEST_END = 300
"""Seconds in which a gateway ends at the latest, on a machine that does ten other things: it is no measurement."""

TUTORIAL = REPOSITORY / "docs" / "tutorials" / "paper-without-a-broker.md"


def commands() -> list[str]:
    """Every command of the tutorial's blocks, in order."""
    blocks = re.findall(r"```\n(.*?)```", TUTORIAL.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


def free_ports() -> tuple[int, int]:
    with closing(socket.socket()) as first, closing(socket.socket()) as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


@contextmanager
def serving(command: str, home: Path) -> Iterator[None]:
    """The gateway's command in a process of its own, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.commands", *shlex.split(command)[1:]],
        cwd=REPOSITORY,
        env={**os.environ, "FUND_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            assert "clients: 127.0.0.1:" in process.stdout.readline()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(LONGEST_END) == 0


def test_five_commands_trade_a_day_on_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, control = free_ports()
    lines = [line.replace("4002", str(port)).replace("4003", str(control)) for line in commands()]
    assert len(lines) == 5
    gateway, settings, *rest = lines
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    for pair in shlex.split(settings)[1:]:
        name, _, value = pair.partition("=")
        monkeypatch.setenv(name, value)
    with serving(gateway, tmp_path):
        for line in rest:
            assert main(shlex.split(line)[1:]) == 0, line
        [dry_run] = re.findall(r"`\./fund (run --profile paper --mode dry-run [^`]*)`", TUTORIAL.read_text())
        assert main(shlex.split(dry_run)) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(
        r"\d\d instruments have a contract, \d+ contracts are pinned, \d+ of them new, 0 refused", told
    )
    assert "DU1234567: ACTIVE" in told
    assert len(re.findall("COMPLETED", told)) >= 4
    assert (tmp_path / "contracts" / "DU1234567.json").exists()
    assert (tmp_path / "reports" / "DU1234567" / "2026-11-19.html").exists()
    assert (tmp_path / "dry-run" / "reports" / "DU1234567" / "2026-11-20.html").exists()


def test_tutorial_names_only_what_the_command_line_has() -> None:
    shown = re.findall(r"`\./fund ([a-z]+)", TUTORIAL.read_text())
    assert set(shown) <= {"run", "arm", "status", "contracts", "gateway"}
