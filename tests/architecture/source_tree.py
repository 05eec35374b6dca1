"""The project's own source files, parsed."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.shared_data import REPOSITORY

LAYERS = ("flows", "tasks", "state", "config", "engine")


def modules(*packages: str) -> list[Path]:
    """Return every Python file of these top-level packages, in order."""
    return sorted(path for package in packages for path in (REPOSITORY / package).rglob("*.py"))


def dotted_name(path: Path) -> str:
    """Return the name under which a file of the repository is imported."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_roots(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level package of every import, also of those inside functions and TYPE_CHECKING blocks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the dotted text of what is called, as far as it is names and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node
