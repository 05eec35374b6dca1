"""Every name that the source documents promise is where the table says, or is listed as not yet built (ARCH-04)."""

import ast
import importlib
import inspect
import re
import textwrap
import tomllib
from functools import cache
from pathlib import Path
from types import FunctionType

import pytest

from tests.architecture.source_tree import LAYERS, dotted_name, modules
from tests.shared_data import REPOSITORY

TABLE = tomllib.loads((REPOSITORY / "tests/architecture/names.toml").read_text(encoding="utf-8"))
PROMISED = [name for names in TABLE["table"].values() for name in names]
BUILT: dict[str, str] = TABLE["built"]
NOT_YET_BUILT: list[str] = TABLE["not_yet_built"]["names"]


@cache
def public_names() -> dict[str, str]:
    """Return every name that a module of ours defines or imports under another name, with that module."""
    found: dict[str, str] = {}
    for path in modules(*LAYERS):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            found |= dict.fromkeys(defined_names(node), dotted_name(path))
    return found


def defined_names(node: ast.stmt) -> list[str]:
    """Return the names that one statement of a module makes."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname for alias in node.names if alias.asname is not None]
    return []


def is_stub(source: str) -> bool:
    """Whether a class or function consists of nothing but a docstring, ``...``, ``pass`` or NotImplementedError."""
    definition = ast.parse(textwrap.dedent(source)).body[0]
    assert isinstance(definition, ast.ClassDef | ast.FunctionDef)
    return all(is_empty(node) for node in definition.body)


def is_empty(node: ast.stmt) -> bool:
    """Whether a statement does nothing."""
    if isinstance(node, ast.Raise):
        return "NotImplementedError" in ast.unparse(node)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def test_each_promised_name_is_built_or_listed_as_not_yet_built() -> None:
    assert sorted(set(PROMISED)) == sorted([*BUILT, *NOT_YET_BUILT])
    assert len(set(NOT_YET_BUILT)) == len(NOT_YET_BUILT)


@pytest.mark.parametrize(("name", "module"), BUILT.items())
def test_built_name_is_imported_and_is_no_stub(name: str, module: str) -> None:
    found = getattr(importlib.import_module(module), name)

    assert isinstance(found, type | FunctionType)
    assert found.__module__.partition(".")[0] in LAYERS, "the name stands for something that is not ours"
    assert not is_stub(inspect.getsource(found)), "a name without anything behind it"


@pytest.mark.parametrize(
    ("source", "stub"),
    [
        ('class A:\n    """Only words."""\n', True),
        ("class A:\n    pass\n", True),
        ("def f() -> int: ...\n", True),
        ("def f() -> int:\n    raise NotImplementedError\n", True),
        ("def f() -> int:\n    raise NotImplementedError('later')\n", True),
        ("class A:\n    price: int\n", False),
        ("def f() -> int:\n    return 1\n", False),
    ],
)
def test_stub_is_told_from_what_does_something(source: str, stub: bool) -> None:
    assert is_stub(source) is stub


@pytest.mark.parametrize("name", NOT_YET_BUILT)
def test_name_listed_as_not_yet_built_exists_nowhere(name: str) -> None:
    assert public_names().get(name) is None, "it exists: move it to [built] in names.toml"


def test_search_for_names_sees_classes_functions_constants_and_aliases() -> None:
    source = "class A: ...\ndef b(): ...\nC = 1\nd: int = 2\nfrom e import f as G\nfrom h import i\n"

    found = [name for node in ast.parse(source).body for name in defined_names(node)]

    assert found == ["A", "b", "C", "d", "G"]
    assert public_names()["TradingDay"] == "tasks.day"


@pytest.mark.shared
def test_table_holds_the_names_of_the_requirement(shared: Path) -> None:
    text = (shared / "spec/requirements.md").read_text(encoding="utf-8")
    line = next(row for row in text.splitlines() if row.startswith("- **ARCH-04**"))
    listed = line.partition("must not):")[2].partition("*Src*")[0]

    promised = {
        module: [name.strip() for name in names.split(",")]
        for module, names in re.findall(r"([\w.]+)\(([^)]*)\)", listed)
    }

    assert TABLE["table"] == promised
