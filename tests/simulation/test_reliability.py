"""The page of reliability is what its recorded results make of it, and a campaign goes on where it was ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared_data import REPOSITORY
from tests.simulation import reliability
from tests.simulation.order_days import whole
from tests.simulation.order_days.drawing import Fault


def test_committed_page_is_made_of_the_committed_results() -> None:
    made = reliability.page(reliability.read(reliability.CAMPAIGN), reliability.read(reliability.REAL_KILLS))
    assert reliability.PAGE.read_text(encoding="utf-8") == made, "python -m tests.simulation.reliability"


def test_every_fault_that_is_drawn_stands_in_the_catalogue() -> None:
    named = " ".join(text for _, text in reliability.CATALOGUE)
    assert [fault.name for fault in Fault if fault.name not in named] == []


def test_campaign_lives_what_is_missing_and_gathers_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [whole.Chunk("filled at once", 170, 171), whole.Chunk("", 0, 2), whole.Chunk("", 2, 4)]
    monkeypatch.setattr(whole, "chunks", lambda *_: parts)
    whole.live(parts[0], tmp_path)
    whole.live(parts[1], tmp_path)
    first = (tmp_path / parts[1].name).stat().st_mtime_ns
    with pytest.raises(ValueError, match="missed 1: seeds-000002"):
        whole.gather(parts, tmp_path)
    found = whole.run(tmp_path, seeds=4)
    assert (tmp_path / parts[1].name).stat().st_mtime_ns == first
    assert (found["seeds"]["days"], found["seeds"]["violations"]) == (4, 0)
    killed = found["kills"]["filled at once"]
    # One kill late in the day, and each kill that may still follow it.
    assert (killed["singles"], killed["violations"]) == (1, 0)
    assert killed["pairs"] > 0
    assert reliability.page(found, None).count("4 faulted days") == 1


KILLED = """
import sys
from pathlib import Path
from tests.simulation.order_days import whole

whole.chunks = lambda *_: [whole.Chunk("", 10 * n, 10 * n + 10) for n in range(40)]
whole.run(Path(sys.argv[1]), 400)
"""
"""A campaign that nobody waits for to end."""


def test_campaign_that_is_killed_takes_its_workers_along_and_keeps_others_out_while_it_lives(
    tmp_path: Path,
) -> None:
    parts = tmp_path / "parts"
    command = [sys.executable, "-c", KILLED, str(parts)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=quiet, text=True) as one:
        assert one.stdout is not None
        try:
            assert "0 of them lived already" in one.stdout.readline()
            assert "1 of 40" in one.stdout.readline()
            with pytest.raises(ValueError, match="another campaign at work"):
                whole.run(parts, seeds=1, scenarios=())
        finally:
            one.kill()
        # Its workers hold the other end of its output: the end is read once all of them are gone.
        assert one.stdout.read().count("\n") < 39
    assert one.returncode == -signal.SIGKILL


def test_part_of_other_sources_is_lived_anew(tmp_path: Path) -> None:
    part = whole.Chunk("", 0, 1)
    whole.live(part, tmp_path)
    found = json.loads((tmp_path / part.name).read_text())
    assert whole.read(part, tmp_path) == found
    (tmp_path / part.name).write_text(json.dumps({**found, "sources": "another"}))
    assert whole.read(part, tmp_path) is None
