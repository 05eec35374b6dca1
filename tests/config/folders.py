"""A copy of the product's configuration folder in which a test may change one line."""

from __future__ import annotations

import shutil
from pathlib import Path

from config.settings import CONFIG_ROOT


def copied_configuration(folder: Path) -> Path:
    """Copy the YAML files and answer the new root."""
    root = folder / "config"
    (root / "profiles").mkdir(parents=True)
    for path in [*CONFIG_ROOT.glob("*.yaml"), *CONFIG_ROOT.glob("profiles/*.yaml")]:
        shutil.copy(path, root / path.relative_to(CONFIG_ROOT))
    return root


def edit(path: Path, old: str, new: str) -> int:
    """Replace the one occurrence of a text and answer its line number."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path.name}"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1
