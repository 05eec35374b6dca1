"""Every fault of the broker's wire has a row in docs/wire-faults.md, and every row a test that is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.shared_data import REPOSITORY

TABLE = REPOSITORY / "docs/wire-faults.md"
HOME = "tests/tasks/adapters/ibkr"
ROWS: dict[str, list[str]] = {
    cells[1]: re.findall(r"`([\w/]+::\w+)`", cells[4])
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if len(cells := [cell.strip() for cell in line.split("|")]) == 6 and re.search(r"\d", cells[1])
}
GROUPS = {"2.1": 12, "2.2": 1, "2.3": 5, "2.4": 12, "2.5": 7}
"""Rows of each section of the notes on the protocol."""


@cache
def functions_of(file: str) -> frozenset[str]:
    """Names of the test functions of a file."""
    path = REPOSITORY / (file if "/" in file else f"{HOME}/{file}")
    tree = ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_fault_has_its_row() -> None:
    wanted = [f"L{number}" for number in range(1, 6)] + [f"A{number}" for number in range(1, 29)]
    wanted += [f"{group}/{number}" for group, count in GROUPS.items() for number in range(1, count + 1)]
    assert sorted(ROWS) == sorted(wanted)


@pytest.mark.parametrize("row", ROWS)
def test_row_names_tests_that_are_there(row: str) -> None:
    assert ROWS[row], "a row without a test shows nothing"
    for promised in ROWS[row]:
        file, _, name = promised.partition("::")
        assert name in functions_of(file), f"{promised} is not there"


@pytest.mark.shared
def test_rows_are_as_many_as_the_notes_have(shared: Path) -> None:
    notes = (shared / "reference/tws_protocol.md").read_text(encoding="utf-8")
    for group in ("2.1", "2.3", "2.4"):
        block = notes.partition(f"### {group} ")[2].partition("\n### ")[0]
        rows = [line for line in block.splitlines() if line.startswith("| ")]
        assert len(rows) - 1 == GROUPS[group], group  # the first is the heading
    bullets = notes.partition("### 2.5 ")[2].partition("\n## ")[0].splitlines()
    assert sum(line.startswith("- ") for line in bullets) == GROUPS["2.5"]
    catalogue = (shared / "reference/reliability.md").read_text(encoding="utf-8")
    faults = catalogue.partition("### A. ")[2].partition("### B. ")[0]
    assert len(re.findall(r"^\| A\d+", faults, re.MULTILINE)) == 28
