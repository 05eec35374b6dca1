"""Things that a test needs from outside the repository: the shared market data, a browser, a second client library.

A test without them is skipped and says why. Where they must be there (FUND_REQUIRE_SHARED=1,
FUND_REQUIRE_BROWSER=1, FUND_REQUIRE_IB_ASYNC=1) it fails instead.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def shared_folder() -> Path | None:
    """Return the shared folder named by FUND_SHARED, or the one beside the repository, if it is there."""
    folder = _shared_candidate()
    return folder if (folder / "market_data").is_dir() else None


def require_shared_folder() -> Path:
    """Return the shared folder, or skip (fail under FUND_REQUIRE_SHARED=1) and name the place looked at."""
    folder = shared_folder()
    if folder is None:
        miss("FUND_REQUIRE_SHARED", f"no market_data folder in {_shared_candidate()} (FUND_SHARED)")
    return folder


def browser_path() -> Path | None:
    """Return the system's chromium: FUND_CHROMIUM, or the first known name on PATH."""
    names = (os.environ.get("FUND_CHROMIUM") or "", *BROWSERS)
    return next((Path(found) for name in names if name and (found := shutil.which(name))), None)


def require_browser() -> Path:
    """Return the system's chromium, or skip (fail under FUND_REQUIRE_BROWSER=1)."""
    path = browser_path()
    if path is None:
        miss("FUND_REQUIRE_BROWSER", f"no browser on PATH ({', '.join(BROWSERS)})")
    return path


def _shared_candidate() -> Path:
    return Path(os.environ.get("FUND_SHARED") or REPOSITORY.parent / "shared").resolve()


def miss(variable: str, reason: str) -> NoReturn:
    """Skip a test for want of something, or fail it where a variable says that it must be there."""
    if os.environ.get(variable) == "1":
        pytest.fail(f"{reason}, and {variable}=1 says that it must be there")
    pytest.skip(reason)
