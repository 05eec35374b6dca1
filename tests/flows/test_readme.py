"""What the README tells a reader to type, typed in its order: a day, a HALT, its resolution, a replay."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from flows.commands.__main__ import GROUPS, SCRIPT_COMMANDS
from flows.commands.__main__ import main as command_line
from tests.flows.command_line import FIRST, PLAIN
from tests.shared_data import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def lines_of(heading: str) -> list[list[str]]:
    """Words of every command in the blocks under a heading, without remarks."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^(?:\./fund|export) .*$", section, re.MULTILINE)
    assert commands, f"no command under {heading}"
    return [shlex.split(line, comments=True) for line in commands]


def test_every_command_of_the_readme_exists() -> None:
    named = set(re.findall(r"\./fund ([a-z][a-z-]*)", README))

    assert {"run", "resolve", "resume", "replay", "status", "test"} <= named
    assert named <= {*GROUPS, *SCRIPT_COMMANDS}


class Reader:
    """Types commands as the page has them; names that stand for an id are filled with what was told before."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._folder, self._patch, self._capture = folder, patch, capture
        self.at_home("var")

    def at_home(self, home: str) -> None:
        self._patch.setenv("FUND_HOME", str(self._folder / home))

    def told(self, *arguments: str) -> object:
        """What a command answers as JSON."""
        self._capture.readouterr()
        assert command_line([*arguments, "--json"]) == 0
        return json.loads(self._capture.readouterr().out)

    def type(self, words: list[str]) -> int:
        """One line of the page: its exit status."""
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            assert name == "FUND_HOME"
            self.at_home(value)
            return 0
        assert words[0] == "./fund"
        arguments = [self._filled(word) for word in words[1:]]
        if arguments[0] == "run":
            arguments += ["--date", FIRST, PLAIN]
        if arguments[0] == "resume":
            arguments.append(PLAIN)
        if arguments[0] == "resolve":
            arguments.append("--yes")  # nobody sits at this terminal
        return command_line(arguments)

    def _filled(self, word: str) -> str:
        if word not in ("HALT_ID", "RUN_ID"):
            return word
        (found,) = self.told("status")  # type: ignore[misc]
        if word == "HALT_ID":
            return str(found["halts"][0]["halt_id"])
        return str(next(run["run_id"] for run in found["runs"] if run["kind"] == "decision"))


def test_reader_who_types_the_page_from_top_to_bottom_sees_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FUND_DATABASE_URL", raising=False)
    reader = Reader(tmp_path, monkeypatch, capsys)
    first_day = next(words for words in lines_of("Quick start") if words[:2] == ["./fund", "run"])
    assert reader.type(first_day) == 0

    export, fault, *rest = lines_of("When it halts")
    assert reader.type(export) == 0
    assert reader.type(fault) == 3, "the page says: ends HALTED, exit status 3"
    assert reader.type(fault) == 3, "the page says: halts again without a resolution"
    assert [words[1] for words in rest] == ["status", "resolve", "resume"]
    assert [reader.type(words) for words in rest] == [0, 0, 0]

    (replay,) = [words for words in lines_of("Any past day again") if words[0] == "./fund"]
    assert reader.type(replay) == 0
