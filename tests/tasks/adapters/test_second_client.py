"""Where the second client library can not be installed, a test says so in the installer's words, or fails."""

from __future__ import annotations

import pytest
from _pytest.outcomes import Failed, Skipped

from tests.second_client import _refuse

TOLD = "Collecting ib_async==2.1.0\nERROR: Could not find a version that satisfies the requirement ib_async==2.1.0\n"
WRONG = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n"


@pytest.mark.parametrize(
    ("required", "told", "outcome", "words"),
    [
        ("", TOLD, Skipped, "Could not find a version"),
        ("0", TOLD, Skipped, "Could not find a version"),
        ("1", TOLD, Failed, "Could not find a version .*FUND_REQUIRE_IB_ASYNC=1"),
        ("", WRONG, Failed, "DO NOT MATCH THE HASHES"),
    ],
)
def test_library_that_can_not_be_installed_is_skipped_or_required(
    monkeypatch: pytest.MonkeyPatch, required: str, told: str, outcome: type[BaseException], words: str
) -> None:
    monkeypatch.setenv("FUND_REQUIRE_IB_ASYNC", required)
    with pytest.raises(outcome, match=words):
        _refuse(told)
