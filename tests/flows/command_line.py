"""The command line in this process, as `./fund` starts it, and what a refusal has to look like."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from flows.commands.__main__ import main
from tasks.options import WorldOptions
from tasks.runtime import World

FIRST, SECOND, THIRD = "2024-03-12", "2024-03-13", "2024-03-14"
"""Three trading days, Tuesday to Thursday; every venue is open."""

PLAIN = "--without-prefect"
ACCOUNT = "SIM-fund-1"
NO_RESULTS = ("cache", "prefect")
"""Folders of FUND_HOME whose content is no result: calendars, and Prefect's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Exit status and both streams of one command."""

    status: int
    out: str
    err: str

    @property
    def paragraph(self) -> str:
        """What was said on stderr, as one line."""
        return " ".join(self.err.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """Runs commands in one FUND_HOME."""

    home: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Answer:
        """One command."""
        self.capture.readouterr()
        status = main(list(arguments))
        told = self.capture.readouterr()
        return Answer(status=status, out=told.out, err=told.err)

    def refuse(self, *arguments: str, status: int = 2) -> str:
        """Run a command that must be refused; answers its paragraph, with nothing left behind."""
        before = results(self.home)
        answer = self(*arguments)
        assert answer.status == status, answer
        assert_one_paragraph(answer.err)
        assert results(self.home) == before, "something was left behind"
        return answer.paragraph


def assert_one_paragraph(text: str) -> None:
    """Assert that a failure was told in one readable paragraph."""
    assert text.startswith("fund: "), text
    assert len(text) > 40, "too short to say what was expected, found and to do"
    assert "" not in text.strip().split("\n"), "more than one paragraph"
    assert "Traceback" not in text
    assert not text.startswith("fund: unexpected"), text


def results(home: Path) -> dict[str, bytes]:
    """Every file that runs made, with its content; databases row by row, for their pages may move."""
    return {
        str(path.relative_to(home)): _rows(path) if path.suffix == ".sqlite" else path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file()
        and path.relative_to(home).parts[0] not in NO_RESULTS
        and path.suffix not in (".sqlite-wal", ".sqlite-shm")
    }


def _rows(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()).encode()


def result(path: Path) -> dict[str, object]:
    """The JSON that ``--json FILE`` wrote of one day."""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@contextmanager
def at_home(home: Path) -> Iterator[None]:
    """Let commands use this FUND_HOME, with the embedded database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUND_HOME", str(home))
        patch.delenv("FUND_DATABASE_URL", raising=False)
        yield


def copied(home: Path, place: Path) -> Path:
    """A FUND_HOME of its own with what another holds."""
    return Path(shutil.copytree(home, place))


@contextmanager
def open_world(home: Path) -> Iterator[World]:
    """The world of the generated market's account in a FUND_HOME."""
    first, last = date.fromisoformat(FIRST), date.fromisoformat(THIRD)
    world = World(WorldOptions(profile="fund", first=first, last=last, home=home))
    try:
        yield world
    finally:
        world.close()
