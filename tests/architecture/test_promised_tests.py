"""Every test that the source documents promise by class and name is really collected."""

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.shared_data import REPOSITORY

TABLE = tomllib.loads((REPOSITORY / "tests/architecture/promised_tests.toml").read_text(encoding="utf-8"))
CLASSES: dict[str, list[str]] = TABLE["classes"]
FUNCTIONS: list[str] = TABLE["functions"]["built"]
NOT_YET: dict[str, str] = TABLE["not_yet"]


@cache
def collected() -> frozenset[str]:
    """Names of every test that pytest finds in the files that define a promised class or function."""
    classes = {*CLASSES, *(name.partition("::")[0] for name in NOT_YET if "::" in name)}
    functions = {*FUNCTIONS, *(name for name in NOT_YET if "::" not in name)}
    opening = re.compile(
        rf"^class ({'|'.join(classes)})\b|^\s*(?:async )?def test_({'|'.join(functions)})\b", re.MULTILINE
    )
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
    """Names in pytest's listing, without file and parameters: with their class, and by themselves."""
    found = re.findall(r"::(?:(\w+)::)?test_(\w+)", listing)
    return frozenset(
        name for group, test in found for name in ((f"{group}::{test}", test) if group else (test,))
    )


@pytest.mark.parametrize(
    "name", [*(f"{group}::{name}" for group, names in CLASSES.items() for name in names), *FUNCTIONS]
)
def test_promised_test_is_collected(name: str) -> None:
    assert name in collected()


@pytest.mark.parametrize("name", NOT_YET)
def test_test_that_is_listed_as_not_yet_there_is_nowhere(name: str) -> None:
    assert name not in collected(), f"{name} is there: take it off the table of what is not there yet"


def test_listing_is_read_without_files_and_parameters() -> None:
    listing = "tests/a.py::TestB::test_c[1-2]\ntests/a.py::TestB::test_c[3-4]\ntests/a.py::test_d\n\n3 tests collected\n"
    assert collected_names(listing) == {"TestB::c", "c", "d"}


@pytest.mark.shared
def test_table_holds_the_tests_of_the_requirement(shared: Path) -> None:
    text = (shared / "spec/requirements.md").read_text(encoding="utf-8")
    block = text.partition("## TEST")[2].partition("\n## ")[0]
    first, rest = block.split("\n001 (", 1)
    second, rest = rest.split("\n002 (", 1)
    third, fourth = rest.split("\n003:", 1)
    names = {
        f"{group}::{name.strip()}"
        for group, row in re.findall(r"(Test\w+)\{([^}]*)\}", second)
        for name in row.split(",")
    }
    for group, row in re.findall(r"^ - (\w+): (.*)$", third, re.MULTILINE):
        names |= {f"Test{group}::{name}" for name in re.findall(r"[a-z]\w*_\w+", row)}
    names |= set(re.findall(r"\d+ ([a-z]\w+)", first))
    names |= set(re.findall(r"[a-z]+_\w+", fourth.partition(" (003")[0]))
    classes = {f"{group}::{name}" for group, tests in CLASSES.items() for name in tests}
    assert names == classes | {*FUNCTIONS, *NOT_YET}
    assert len(names) == 14 + 25 + 39 + 3
