"""A book that lost its last commits halts before it sends anything, unless the broker still shows what it lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.shared_data import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Two on each database; forty on each under ``FUND_CAMPAIGN=1``."""
    folder = tmp_path_factory.mktemp("lost")
    how_many = "all" if os.environ.get("FUND_CAMPAIGN") == "1" else "few"
    with (folder / "told").open("w") as told, (folder / "errors").open("w") as errors:
        command = [sys.executable, "-m", "tests.scenarios.lost_commits", how_many, str(folder)]
        status = subprocess.run(command, cwd=REPOSITORY, stdout=told, stderr=errors, check=False).returncode
    assert status == 0, (folder / "errors").read_text(encoding="utf-8")[-4000:]
    found: dict[str, list[dict[str, Any]]] = json.loads(
        (folder / "told").read_text(encoding="utf-8").splitlines()[-1]
    )
    return found


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_no_order_is_sent_twice_and_no_fill_is_lost(
    scenes: dict[str, list[dict[str, Any]]], backend: str
) -> None:
    for scene in scenes[backend]:
        assert scene["broken"] == [], scene


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_book_that_differs_is_halted_before_its_first_order(
    scenes: dict[str, list[dict[str, Any]]], backend: str
) -> None:
    stopped = [scene for scene in scenes[backend] if scene["stops"]]
    assert stopped  # two hundred moments are some forty commits: the broker has orders that the book has not
    for scene in stopped:
        assert scene["sent_before_the_stop"] == 0, scene
        assert len(scene["stops"]) == 1, "one statement is enough"
