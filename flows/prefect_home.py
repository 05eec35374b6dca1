"""Prefect's database, migrated once when the fund is set up and copied into every new home.

Prefect makes an empty database by running all migrations that it ever had, which takes half a minute; a copy of one
that is made already takes none. It lies in the environment that holds the Prefect which made it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

TEMPLATE_HOME = Path(sys.prefix) / "prefect"
DATABASE = "prefect.db"


def furnish(home: Path, template_home: Path = TEMPLATE_HOME) -> None:
    """Give a home the made database, where it has none and set-up left one; else Prefect makes it by itself."""
    home.mkdir(parents=True, exist_ok=True)
    template, target = template_home / DATABASE, home / DATABASE
    if target.exists() or not template.is_file():
        return
    descriptor, name = tempfile.mkstemp(dir=home, prefix=DATABASE)
    os.close(descriptor)
    try:
        with (
            contextlib.closing(sqlite3.connect(template)) as made,
            contextlib.closing(sqlite3.connect(name)) as copy,
        ):
            made.backup(copy)
        with contextlib.suppress(FileExistsError):  # another command was faster
            os.link(name, target)
    finally:
        Path(name).unlink()


def prepare(template_home: Path = TEMPLATE_HOME) -> int:
    """Make the database that `furnish` copies; the status of Prefect's own command."""
    template_home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "prefect", "server", "database", "upgrade", "-y"]
    environment = {**os.environ, "PREFECT_HOME": str(template_home)}
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603  this interpreter


if __name__ == "__main__":
    raise SystemExit(prepare())
