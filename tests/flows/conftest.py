"""Command lines in a FUND_HOME of their own: an empty one, and one in which a day was run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.commands.__main__ import main
from tests.flows.command_line import FIRST, PLAIN, CommandLine, at_home, copied


@pytest.fixture
def fund(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    """Return the command line in an empty FUND_HOME."""
    home = tmp_path / "home"
    home.mkdir()
    with at_home(home):
        yield CommandLine(home=home, capture=capsys)


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a FUND_HOME in which one day was run; copy it before changing anything."""
    home = tmp_path_factory.mktemp("finished")
    with at_home(home):
        assert main(["run", "--date", FIRST, PLAIN, "--json", str(home / "result.json")]) == 0
    return home


@pytest.fixture
def after_a_day(
    finished_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    """Return the command line in a copy of a FUND_HOME in which one day was run."""
    home = copied(finished_home, tmp_path / "after")
    with at_home(home):
        yield CommandLine(home=home, capture=capsys)
