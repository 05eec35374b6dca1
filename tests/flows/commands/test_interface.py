import socket
from pathlib import Path

import pytest
import yaml

from flows.commands.__main__ import main
from flows.commands.interface import DEPLOYMENTS
from flows.interface import LOOPBACK, WORK_POOL
from tests.shared_data import REPOSITORY


def test_port_in_use_ends_with_status_2_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        status = main(["ui", "--port", str(taken.getsockname()[1])])

    assert status == 2
    assert "give another --port" in capsys.readouterr().err.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_deployments_that_are_told_are_those_of_prefect_yaml() -> None:
    project = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text(encoding="utf-8"))

    assert tuple(row["name"] for row in project["deployments"]) == DEPLOYMENTS
    assert {row["work_pool"]["name"] for row in project["deployments"]} == {WORK_POOL}
