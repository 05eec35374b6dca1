"""The whole campaign: many seeds, and every single kill and ordered pair of kills of every scenario, in chunks.

Each chunk is one file, written at once when it is done, so the campaign may be killed at any time and goes on where it
was. A chunk names the digest of the sources that it judged and the Python that ran it; those of other sources are lived
anew, never mixed. Two processes work; a chunk is lived by one of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import connection
from pathlib import Path

from tests.simulation.order_days.campaign import simulate
from tests.simulation.order_days.drawing import Fault, draw
from tests.simulation.order_days.exploring import SHOWN, Tally, explore
from tests.simulation.order_days.killing import effects
from tests.simulation.order_days.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[3]
RESULT = ROOT / "docs" / "campaign.json"
JUDGED = ("engine", "state", "tests/simulation/order_days", "tests/engine/simulation", "tests/engine/execution/market.py", "tasks/execute.py")  # fmt: skip
"""What a finding is about: the shipped code that lives the days, and the days."""

SEEDS, PROCESSES = 200_000, 2
KILLED = tuple(name for name in SCENARIOS if name != "each job after the last")
"""Scenarios of which every pair of kills is lived; the one left out differs in its windows alone."""

SEEDS_A_CHUNK, FIRSTS_A_CHUNK = 500, 3


@dataclass(frozen=True, slots=True, order=True)
class Chunk:
    """A part of the campaign: seeds, or first kills of a scenario, from a number up to another."""

    scenario: str
    first: int
    last: int

    @property
    def name(self) -> str:
        """Name of its file; the empty scenario stands for seeds."""
        return f"{self.scenario.replace(' ', '-') or 'seeds'}-{self.first:06d}.json"


@cache
def source_digest() -> str:
    """Digest of every source file that a finding is about."""
    paths: list[Path] = []
    for place in JUDGED:
        paths += sorted((ROOT / place).rglob("*.py")) if (ROOT / place).is_dir() else [ROOT / place]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def chunks(seeds: int, scenarios: Iterable[str]) -> Iterator[Chunk]:
    """Everything that there is to live: kills first, whose chunks are of more different sizes."""
    for name in scenarios:
        count = effects(SCENARIOS[name])
        for first in range(1, count + 1, FIRSTS_A_CHUNK):
            yield Chunk(name, first, min(first + FIRSTS_A_CHUNK, count + 1))
    for first in range(0, seeds, SEEDS_A_CHUNK):
        yield Chunk("", first, min(first + SEEDS_A_CHUNK, seeds))


def live(chunk: Chunk, folder: Path) -> None:
    """Live one chunk and write its file, whole or not at all."""
    began, wall = _processor_seconds(), time.monotonic()
    if chunk.scenario:
        tally = explore(SCENARIOS[chunk.scenario], range(chunk.first, chunk.last))
        found: dict[str, object] = dict(vars(tally))
    else:
        seeds = range(chunk.first, chunk.last)
        found = simulate(draw(seed) for seed in seeds).to_json(f"{chunk.first}..{chunk.last}")
    found |= {
        "sources": source_digest(),
        "python": platform.python_version(),
        "cpu_seconds": round(_processor_seconds() - began, 2),
        "wall_seconds": round(time.monotonic() - wall, 2),
    }
    path = folder / chunk.name
    written = path.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps(found), encoding="utf-8")
    written.replace(path)


def _processor_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def read(chunk: Chunk, folder: Path) -> Mapping[str, object] | None:
    """What a chunk showed, ``None`` when it was not lived yet, or with other sources or another Python."""
    try:
        found = json.loads((folder / chunk.name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    is_ours = (found["sources"], found["python"]) == (source_digest(), platform.python_version())
    return found if is_ours else None


def run(folder: Path, seeds: int = SEEDS, scenarios: Sequence[str] = KILLED) -> dict[str, object]:
    """Live what is not lived yet, then gather all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(chunks(seeds, scenarios))
    left = [chunk for chunk in wanted if read(chunk, folder) is None]
    print(
        f"{len(wanted)} chunks, {len(wanted) - len(left)} of them lived already, sources {source_digest()[:12]}"
    )
    began, context = time.monotonic(), multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(PROCESSES, context, initializer=_end_with_the_parent)
    with _alone(folder), pool as workers:
        broken = sum(_broken_of(chunk, folder) for chunk in wanted)
        lived = {workers.submit(live, chunk, folder): chunk for chunk in left}
        for number, future in enumerate(as_completed(lived), start=1):
            if (error := future.exception()) is not None:
                print(f"{lived[future].name} was not lived: {error!r}", file=sys.stderr, flush=True)
            broken += _broken_of(lived[future], folder)
            rest = (time.monotonic() - began) / number * (len(left) - number) / 60
            print(
                f"{number} of {len(left)}: {lived[future].name}, {broken} violations in all, about {rest:.0f} min left",
                flush=True,
            )
    return gather(wanted, folder)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder; raises `ValueError` while another campaign lives in it."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"expected a folder of its own, found another campaign at work in {folder}"
            ) from None
        yield


def _end_with_the_parent() -> None:
    """Nobody collects what a worker lives once its campaign was killed, and it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _broken_of(chunk: Chunk, folder: Path) -> int:
    """Violations of a chunk that was lived."""
    found = read(chunk, folder)
    if found is None:
        return 0
    told = found["violations"]
    return len(told) if isinstance(told, list) else int(str(told))


def gather(wanted: Sequence[Chunk], folder: Path) -> dict[str, object]:
    """The result of all chunks as one document; raises `ValueError` while one of them is missing."""
    found = {chunk: read(chunk, folder) for chunk in wanted}
    missing = [chunk.name for chunk, one in found.items() if one is None]
    if missing:
        raise ValueError(
            f"expected every chunk of these sources in {folder}, missed {len(missing)}: {missing[0]}"
        )
    lived = {chunk: one for chunk, one in found.items() if one is not None}
    return {
        "commit": _commit(),
        "sources": source_digest(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {PROCESSES} processes",
        "seeds": _gather_seeds([one for chunk, one in lived.items() if not chunk.scenario]),
        "kills": {
            name: _gather_kills([one for chunk, one in lived.items() if chunk.scenario == name])
            for name in dict.fromkeys(chunk.scenario for chunk in wanted if chunk.scenario)
        },
    }


def _gather_seeds(found: Sequence[Mapping[str, object]]) -> dict[str, object]:
    counters: dict[str, Counter[str]] = {}
    for name in ("faults_fired", "transitions_visited", "size"):
        counters[name] = Counter()
        for one in found:
            counters[name].update(one[name])  # type: ignore[arg-type]
    digest = hashlib.sha256("".join(str(one["log_digest"]) for one in found).encode()).hexdigest()
    violations = [broken for one in found for broken in one["violations"]]  # type: ignore[attr-defined]
    unvisited = set.intersection(*(set(one["transitions_unvisited"]) for one in found)) if found else set()  # type: ignore[call-overload]
    return {
        "days": sum(int(str(one["days"])) for one in found),
        "violations": len(violations),
        "shown": violations[:SHOWN],
        **{name: dict(sorted(counter.items())) for name, counter in counters.items()},
        "faults_never_fired": [fault.name for fault in Fault if not counters["faults_fired"][fault.name]],
        "transitions_unvisited": sorted(unvisited),
        "log_digest": digest,
        **_seconds(found),
    }


def _gather_kills(found: Sequence[Mapping[str, object]]) -> dict[str, object]:
    total = Tally()
    for one in found:
        total.add(Tally(**{name: one[name] for name in vars(total)}))  # type: ignore[arg-type]
    return {**vars(total), **_seconds(found)}


def _seconds(found: Sequence[Mapping[str, object]]) -> dict[str, object]:
    return {
        name: round(sum(float(str(one[name])) for one in found), 1)
        for name in ("cpu_seconds", "wall_seconds")
    }


def _commit() -> str:
    """The commit that was judged; with a mark when the sources that count are not those of it."""
    git = ("git", "-C", str(ROOT))
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", *JUDGED], capture_output=True, text=True, check=True
    )
    return head.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def campaign(folder: Path, seeds: int, result: Path) -> int:
    """Live the whole campaign and write its result; 1 when an invariant broke."""
    try:
        found = run(folder, seeds)
    except ValueError as error:
        print(f"fund: {error}", file=sys.stderr)
        return 1
    result.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    parts = [found["seeds"], *found["kills"].values()]  # type: ignore[attr-defined]
    broken = sum(part["violations"] for part in parts)  # type: ignore[index]
    for part in parts:
        for shown in part["shown"]:  # type: ignore[index]
            print(shown)
    if result == RESULT:
        from tests.simulation import reliability  # the page of the results, this one's among them

        reliability.main()
    print(f"{broken} violations; the result is in {result}", file=sys.stderr if broken else sys.stdout)
    return 1 if broken else 0
