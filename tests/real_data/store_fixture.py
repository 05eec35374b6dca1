"""The store of the shared market data, built once per test run. Use: ``from tests.real_data.store_fixture import real_store``."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.real_data.build import build_store


@cache
def built_store(source: Path) -> Path:
    """Store of a source folder, in the test run's own home (removed at its end)."""
    folder = Path(tempfile.mkdtemp(prefix="real-store-", dir=os.environ.get("FUND_HOME")))
    build_store(source, folder / "store")
    return folder / "store"


@pytest.fixture(scope="session")
def real_store(shared: Path) -> Path:
    """Return the store of the shared market data; skips where the shared folder is not there. Do not change it."""
    return built_store(shared / "market_data")
