"""Where the time of a day goes: imports, the world, each step, each further day; wall seconds and peak memory.

Every figure is of a fresh process with a fresh FUND_HOME on the generated market, so that nothing is warm that a
user's run would find cold. The whole-command figures include starting Python.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST_DAY = "2026-10-20"
FURTHER_DAYS = 8

PROBE = """
import sys, time
began = time.perf_counter()
from flows.server import begin_slow_starts
begin_slow_starts(with_prefect=False)
from flows.engine import BODIES
from tasks.opening import begin
from tasks.reporting import build_report, save_report
from tasks.options import WorldOptions
from tasks.runtime import World
from engine.model.context import RunKind
from datetime import date
from flows.planning import trading_days
print("imports", time.perf_counter() - began)
first = date.fromisoformat(sys.argv[1])
days = trading_days(first, date(first.year, first.month + 1, 27))[: int(sys.argv[2])]
world = World(WorldOptions(profile="fund", first=days[0], last=days[-1]))
mark = time.perf_counter(); world.sessions; print("sessions", time.perf_counter() - mark)
mark = time.perf_counter(); world.panel; print("generate market", time.perf_counter() - mark)
steps = {}
last = time.perf_counter()
def observe(step, fact):
    global last
    now = time.perf_counter()
    steps[step] = steps.get(step, 0.0) + now - last
    last = now
world.observer = observe
for number, day in enumerate(days):
    began = last = time.perf_counter()
    for kind, body in BODIES.items():
        body(begin(world, day, kind))
        observe("rest of " + kind.value, "")
    print("first day" if number == 0 else "further day", time.perf_counter() - began)
for step, seconds in steps.items():
    print("step " + step, seconds / len(days))
mark = time.perf_counter(); save_report(world, build_report(world, days[-1])); print("report", time.perf_counter() - mark)
import resource
print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure() -> list[dict[str, str | float | bool | None]]:
    """All figures of the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        probe = _probe(Path(folder) / "probe")
        whole = _command(Path(folder) / "plain", "--without-prefect")
        prefect = _command(Path(folder) / "prefect")
    further = probe.pop("further day")
    figures = [
        _figure("fund run, whole command", prefect[0], "s", 20.0),
        _figure("fund run --without-prefect, whole command", whole[0], "s", 8.0),
        _figure("imports", probe.pop("imports"), "s", 5.0),
        _figure("each further day without Prefect", further, "s", 0.25),
        _figure("peak memory of the fund's process", max(whole[1], probe.pop("memory")), "MB", 600.0),
    ]
    return figures + [_figure(name, seconds, "s", None) for name, seconds in probe.items()]


def _figure(
    metric: str, value: float, unit: str, target: float | None
) -> dict[str, str | float | bool | None]:
    met = None if target is None else value <= target
    return {
        "metric": metric,
        "value": round(value, 4),
        "unit": unit,
        "baseline": None,
        "ratio": None,
        "target": target,
        "met": met,
    }


def _environment(home: Path) -> dict[str, str]:
    home.mkdir(parents=True, exist_ok=True)
    return {**os.environ, "FUND_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}


def _probe(home: Path, days: int = 1 + FURTHER_DAYS) -> dict[str, float]:
    """Parts of a day inside one process; the median of the further days."""
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, FIRST_DAY, str(days)],
        env=_environment(home),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise RuntimeError(f"the measured process failed: {answer.stderr.strip().splitlines()[-1]}")
    found: dict[str, list[float]] = {}
    for line in answer.stdout.splitlines():
        name, _, value = line.rpartition(" ")
        found.setdefault(name, []).append(float(value))
    return {name: sorted(values)[len(values) // 2] for name, values in found.items()}


def _command(home: Path, *options: str) -> tuple[float, float]:
    """Wall seconds and peak megabytes of one ``./fund run``."""
    began = time.perf_counter()
    subprocess.run(
        [str(ROOT / "fund"), "run", "--date", FIRST_DAY, *options],
        env=_environment(home),
        capture_output=True,
        check=True,
    )
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, usage.ru_maxrss / 1024
