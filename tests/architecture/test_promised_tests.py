"""Every test that the source documents promise by class and name is really collected."""

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.shared_data import REPOSITORY

PROMISED: dict[str, list[str]] = tomllib.loads(
    (REPOSITORY / "tests/architecture/promised_tests.toml").read_text(encoding="utf-8")
)


@cache
def collected() -> frozenset[str]:
    """``Class::name`` of every test that pytest finds in the files that define one of the promised classes."""
    opening = re.compile(rf"^class ({'|'.join(PROMISED)})\b", re.MULTILINE)
    files = [
        str(path)
        for path in sorted((REPOSITORY / "tests").rglob("test_*.py"))
        if opening.search(path.read_text(encoding="utf-8"))
    ]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return collected_names(answer.stdout)


def collected_names(listing: str) -> frozenset[str]:
    """Names in pytest's listing, without file and parameters."""
    found = re.findall(r"::(\w+)::test_(\w+)", listing)
    return frozenset(f"{group}::{name}" for group, name in found)


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, names in PROMISED.items() for name in names]
)
def test_promised_test_is_collected(group: str, name: str) -> None:
    assert f"{group}::{name}" in collected()


def test_listing_is_read_without_files_and_parameters() -> None:
    listing = "tests/a.py::TestB::test_c[1-2]\ntests/a.py::TestB::test_c[3-4]\ntests/a.py::test_d\n\n3 tests collected\n"
    assert collected_names(listing) == {"TestB::c"}


@pytest.mark.shared
def test_table_holds_the_tests_of_the_requirement(shared: Path) -> None:
    text = (shared / "spec/requirements.md").read_text(encoding="utf-8")
    block = text.partition("002 (tests/test_engine_fixes.py)")[2].partition("\n003:")[0]
    listed = {
        f"Test{group}": re.findall(r"[a-z]\w*_\w+", names)
        for group, names in re.findall(r"^ - (\w+): (.*)$", block, re.MULTILINE)
    }
    assert listed == PROMISED
