"""Five runs that waited out an outage, at a real server with a real worker: the latest is worked, the others skipped.

Asked for by ``FUND_CAMPAIGN=1``; what it showed is in docs/measured.md.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.interface import free_port, running_interface
from tests.flows.prefect_client import PrefectClient

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("FUND_CAMPAIGN") != "1", reason="the campaign is asked for by FUND_CAMPAIGN=1"
    ),
]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectClient]:
    monkeypatch.setenv("FUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
    with running_interface(free_port(), lambda text: None) as interface:
        yield PrefectClient(interface.api)


def test_of_five_queued_decisions_only_the_latest_runs(client: PrefectClient) -> None:
    now = datetime.now(UTC)
    due = [now - timedelta(days=back) for back in (4, 3, 2, 1)] + [now - timedelta(minutes=5)]
    runs = [client.start("daily-decision", {"profile": "fund"}, planned=at) for at in due]

    ends = [client.await_end(run) for run in runs]

    assert [end.name for end in ends] == ["Skipped"] * 4 + ["Completed"]
    assert all("was skipped: it was due at" in end.message for end in ends[:4])
