"""Two processes on one run, and one whose database goes away: the broker sees no order twice, and one of them stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.scenarios.zombies import AT_ONCE, FEW, SEND
from tests.shared_data import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
Scene = dict[str, Any]
SUPERSEDED = {"end": "SupersededError", "exit": 5}
REFUSALS = ("held by another run", "another process drives this account")
"""What one is told that comes second: to the run, or already to the simulated account that both would open."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """All scenes of both databases; more of them under ``FUND_CAMPAIGN=1``."""
    folder = tmp_path_factory.mktemp("zombies")
    how_many = "all" if os.environ.get("FUND_CAMPAIGN") == "1" else "few"
    with (folder / "told").open("w") as told, (folder / "errors").open("w") as errors:
        command = [sys.executable, "-m", "tests.scenarios.zombies", how_many, str(folder)]
        status = subprocess.run(command, cwd=REPOSITORY, stdout=told, stderr=errors, check=False).returncode
    assert status == 0, (folder / "errors").read_text(encoding="utf-8")[-4000:]
    found: Scene = json.loads((folder / "told").read_text(encoding="utf-8").splitlines()[-1])
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, scenes: Scene) -> Scene:
    found: Scene = scenes[request.param]
    return found


def test_zombie_that_wakes_up_ends_superseded_and_sends_nothing(scene: Scene) -> None:
    fenced = [zombie for zombie in scene["zombies"] if not zombie["is_let_in"]]
    assert len(fenced) >= len(FEW)
    for zombie in fenced:
        assert zombie["stopped"], zombie
        assert zombie["other"]["end"] == "COMPLETED", zombie
        assert {name: zombie["zombie"][name] for name in SUPERSEDED} == SUPERSEDED, zombie
        assert zombie["accepted_after"] == zombie["accepted_before"] > 30, zombie
        assert zombie["judged"]["broken"] == [], zombie


def test_zombie_that_the_broker_still_lets_in_sends_what_it_had_claimed_and_no_more(scene: Scene) -> None:
    let_in = [zombie for zombie in scene["zombies"] if zombie["is_let_in"]]
    assert let_in
    for zombie in let_in:
        assert zombie["moment"].startswith(SEND)
        assert {name: zombie["zombie"][name] for name in SUPERSEDED} == SUPERSEDED, zombie
        # The order that it had claimed arrives late, for the first time: the other run never sent it.
        assert zombie["accepted_after"] == zombie["accepted_before"] + 1, zombie
        assert zombie["judged"]["broken"] == [], zombie


def test_zombie_inside_a_transaction_loses_its_locks_and_ends_superseded(scenes: Scene) -> None:
    zombie = scenes["postgresql"]["inside"]
    assert zombie["other"]["end"] == "COMPLETED"
    assert {name: zombie["zombie"][name] for name in SUPERSEDED} == SUPERSEDED
    assert zombie["accepted_after"] == zombie["accepted_before"] > 30
    assert zombie["judged"]["broken"] == []


def test_one_of_several_that_begin_at_once_works_and_the_others_are_refused(scene: Scene) -> None:
    ends = scene["at_once"]["ends"]
    assert len(ends) == AT_ONCE
    assert sorted(end["exit"] for end in ends) == [0] + [5] * (AT_ONCE - 1)
    for end in ends:
        assert end["exit"] == 0 or any(refusal in end["text"] for refusal in REFUSALS), end
    assert scene["at_once"]["judged"]["broken"] == []
    assert scene["at_once"]["judged"]["accepted"] > 30


def test_connections_that_end_under_a_living_process_repeat_no_order(scenes: Scene) -> None:
    for cut in scenes["postgresql"]["cuts"]:
        # Between two transactions a new connection is made; inside of one the attempt fails, and the next goes on.
        inside = cut["moment"].startswith("commit")
        assert cut["process"]["end"] == ("OperationalError" if inside else "COMPLETED"), cut
        assert cut["judged"]["broken"] == [], cut


def test_server_that_crashes_between_claim_and_sending_loses_no_claim(scenes: Scene) -> None:
    crash = scenes["postgresql"]["crash"]
    assert crash["process"]["end"] == "COMPLETED"
    assert crash["judged"]["broken"] == []
    assert crash["judged"]["accepted"] > 30
