"""The engine imports arrays and plain Python, asks no clock and draws no unseeded chance (ARCH-01)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import calls, dotted_name, imported_roots, modules

THIRD_PARTIES = {"engine", "numpy", "pandas", "scipy"}

# Parts of the standard library that reach the world, the clock, chance or another thread.
WORLDLY = {
    "asyncio", "asyncore", "builtins", "concurrent", "ctypes", "dbm", "fcntl", "fileinput", "ftplib", "getpass",
    "glob", "http", "imaplib", "importlib", "io", "logging", "mmap", "multiprocessing", "os", "pathlib", "pickle",
    "platform", "poplib", "queue", "random", "runpy", "sched", "secrets", "select", "selectors", "shelve", "shutil",
    "signal", "smtplib", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "sys", "syslog", "tempfile",
    "threading", "time", "urllib", "webbrowser", "xmlrpc",
}  # fmt: skip

WORLDLY_CALLS = {"open", "print", "input", "eval", "exec", "__import__", "breakpoint"}
CLOCK_CALLS = {"now", "today", "utcnow", "fromtimestamp", "utcfromtimestamp"}

# What the purity test takes away: the outside world, as a machine without it would.
BLOCKED = (
    "alembic", "exchange_calendars", "great_expectations", "httpx", "ib_insync", "plotly", "prefect", "psycopg2",
    "pyarrow", "pydantic", "requests", "rich", "sqlalchemy", "sqlite3", "typer", "yaml", "yfinance",
    "config", "flows", "state", "tasks",
)  # fmt: skip

IMPORT_WITHOUT_THE_WORLD = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError("blocked for this test: " + name)

blocked = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Refuse())
for name in sys.argv[2].split(","):
    importlib.import_module(name)
print(",".join(sorted(blocked & {name.split(".")[0] for name in sys.modules})))
"""


def forbidden_imports(tree: ast.AST) -> set[str]:
    allowed = THIRD_PARTIES | (set(sys.stdlib_module_names) - WORLDLY)
    return set(imported_roots(tree)) - allowed


def impure_calls(tree: ast.AST) -> list[str]:
    found = []
    for name, call in calls(tree):
        receiver, _, method = name.rpartition(".")
        asks_clock = method in CLOCK_CALLS and receiver.split(".")[-1] in {
            "datetime",
            "date",
            "dt",
            "Timestamp",
        }
        unseeded = method in {"default_rng", "SeedSequence"} and not call.args and not call.keywords
        if name in WORLDLY_CALLS or asks_clock or unseeded:
            found.append(f"line {call.lineno}: {name}()")
    return found


@pytest.mark.parametrize("path", modules("engine"), ids=dotted_name)
def test_engine_module_imports_only_the_white_list(path: Path) -> None:
    assert forbidden_imports(ast.parse(path.read_text())) == set()


@pytest.mark.parametrize("path", modules("engine"), ids=dotted_name)
def test_engine_module_calls_no_clock_no_file_no_unseeded_chance(path: Path) -> None:
    assert impure_calls(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy.linalg, math, heapq", set()),
        ("from engine.model import money", set()),
        ("import sqlite3", {"sqlite3"}),
        ("def f():\n    from prefect import task", {"prefect"}),
        ("from os.path import join", {"os"}),
        ("import numba", {"numba"}),
    ],
)
def test_white_list_sees_an_import_wherever_it_stands(source: str, found: set[str]) -> None:
    assert forbidden_imports(ast.parse(source)) == found


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("datetime.now(UTC)", 1),
        ("dt.date.today()", 1),
        ("pd.Timestamp.now('UTC')", 1),
        ("np.random.default_rng()", 1),
        ("open('x')", 1),
        ("np.random.default_rng(7); clock.now(); book.open()", 0),
    ],
)
def test_call_check_tells_clock_file_and_chance_from_arguments(source: str, count: int) -> None:
    assert len(impure_calls(ast.parse(source))) == count


def test_every_engine_module_imports_while_the_outside_world_is_blocked() -> None:
    names = [dotted_name(path) for path in modules("engine")]
    command = [sys.executable, "-c", IMPORT_WITHOUT_THE_WORLD, ",".join(BLOCKED), ",".join(names)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == ""


def test_blocking_finder_refuses_what_it_should() -> None:
    command = [sys.executable, "-c", IMPORT_WITHOUT_THE_WORLD, ",".join(BLOCKED), "sqlalchemy"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "blocked for this test: sqlalchemy" in answer.stderr
