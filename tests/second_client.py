"""A virtual environment with another client library than ours, made once a machine from its own lock."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import pytest

from tests.fund_script import load_fund
from tests.shared_data import REPOSITORY, miss

LOCK = "requirements-ib-async.lock"
FAST_REFUSAL = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "20"}
"""A machine without a package index says so soon."""


def second_client_python() -> Path:
    """Interpreter of that environment; skips with the installer's words where no package index can be reached.

    Under FUND_REQUIRE_IB_ASYNC=1 that is a failure.

    It lies in the user's cache, under the digest of its lock, and is made by the installers of ``./fund``.
    """
    fund = load_fund(REPOSITORY / "fund")
    digest = sha256((REPOSITORY / LOCK).read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "abstractfinance"
    cache.mkdir(parents=True, exist_ok=True)
    fund.VENV = str(cache / f"ib-async-{digest}")
    fund.VENV_PYTHON = str(Path(fund.VENV) / "bin" / "python")
    # One environment for every copy of the repository: the place of a copy is no part of what is installed.
    fund.expected_stamp = lambda lock: digest
    with (cache / f"ib-async-{digest}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not fund.is_installed(LOCK):
            _make(fund, file.fileno())
    return Path(fund.VENV_PYTHON)


def _make(fund: object, descriptor: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in FAST_REFUSAL.items():
            patch.setenv(name, value)
        try:
            ways = fund.ways_to_make(sys.executable, LOCK)  # type: ignore[attr-defined]
            fund.install(ways, LOCK, fund.Progress(io.StringIO()), descriptor)  # type: ignore[attr-defined]
        except fund.SetupError as error:  # type: ignore[attr-defined]
            _refuse(str(error))
    fund.write_stamp(LOCK)  # type: ignore[attr-defined]


def _refuse(told: str) -> NoReturn:
    """A lock that is wrong is a failure; a machine that reaches no package index is not."""
    if "DO NOT MATCH THE HASHES" in told or "Hashes are required" in told:
        pytest.fail(f"{LOCK} can not be installed: {told}")
    last = next((line for line in reversed(told.splitlines()) if "ERROR" in line or "error:" in line), "")
    reason = f"ib_async can not be installed here, no package index has it ({last.strip()[:160]})"
    miss("FUND_REQUIRE_IB_ASYNC", reason)
