"""What every test stands on: the environment that ./fund gives, a home of its own, and named skips."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fund_script import load_fund
from tests.shared_data import REPOSITORY, require_browser, require_shared_folder

# Before numpy and Prefect are imported: one BLAS thread, no telemetry, and nothing written into the user's home.
_HOME = tempfile.mkdtemp(prefix="fund-tests-")
os.environ.pop("PREFECT_HOME", None)
os.environ.update(load_fund(REPOSITORY / "fund").run_environment({**os.environ, "FUND_HOME": _HOME}))

# The same examples on every run: a red build can be repeated.
settings.register_profile("fund", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile("fund")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the shared folder; its market_data holds real history."""
    return require_shared_folder()


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """Return the system's chromium."""
    return require_browser()


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with what was not tested, and why."""
    reasons = Counter(_skip_reason(report) for report in terminalreporter.stats.get("skipped", []))
    terminalreporter.section("not tested" if reasons else "nothing was skipped")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count:4d}  {reason}")


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
