"""The day's benchmark measures what a day really does."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.day import _probe


@pytest.mark.slow
def test_probe_of_two_days_gives_a_figure_for_every_part(tmp_path: Path) -> None:
    found = _probe(tmp_path, days=2)
    wanted = {
        "imports",
        "sessions",
        "generate market",
        "first day",
        "further day",
        "report",
        "memory",
        "step nav",
    }
    assert wanted <= set(found)
    assert all(value >= 0 for value in found.values())
