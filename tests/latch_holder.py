"""A process in the middle of sending an order: it holds the latch of an account until it is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOLDER = """
import sys
from pathlib import Path
from state.database import open_database
with open_database(sys.argv[2] or None, Path(sys.argv[1])).latch(sys.argv[3]).shared() as is_held:
    print(is_held(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding_process(home: Path, address: str | None, account: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, in the middle of sending an order."""
    command = [sys.executable, "-c", HOLDER, str(home), address or "", account]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        try:
            yield process
        finally:
            process.kill()
