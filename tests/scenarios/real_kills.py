"""Real processes, really killed: days of some forty orders on SQLite and PostgreSQL, until so many kills are counted.

``python -m tests.scenarios.real_kills --kills 100 [--backends sqlite,postgresql] [--seeds 0] [--minutes 30] [--json FILE]``

A seed draws who is killed and when. One in ten is the command line in an interpreter of its own, the others children
that were forked before their day began; half are killed by the parent at a drawn time of the clock, wherever they are
then, half end themselves at a drawn effect; every third is killed again while it recovers or goes on. Afterwards the
day is run to its end and judged by the simulated broker's own file. Recovery counts from the start of the new process
until it knows what became of every order, with book and broker equal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from engine.model.context import RunKind
from engine.model.encoding import Json
from tasks.options import ROOT, code_version
from tasks.step import Step
from tests import factories as fund
from tests.scenarios.fund_process import RECOVERED
from tests.scenarios.kill_judge import look_at_end, violations
from tests.scenarios.kill_moments import Strike, hear_effects
from tests.scenarios.kill_stage import ADDRESS, BACKENDS, Stage, stage
from tests.scenarios.killed_days import Market, in_child

DAY = date(2026, 11, 19)
"""The first day of a fund that owns nothing yet: 48 orders in five windows."""

DECIDED, EMPTY = "decided", "empty"
KINDS = (RunKind.DECISION, RunKind.EXECUTION, RunKind.CLOSE)
SOON = 60
"""Moments within which a second kill strikes: recovery, and the first orders after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One day that was killed, and how it ended; ``recovery`` in seconds, ``None`` where nothing was left to recover.

    ``start`` are those seconds of it in which a process of its own began and imported what it needs.
    """

    backend: str
    seed: int
    process: str
    moments: tuple[str, ...]
    recovery: float | None
    unknown: int
    broken: tuple[str, ...]
    start: float | None = None

    @property
    def command(self) -> str:
        """The line that plays it again; a kill by the clock strikes nearby at best."""
        return f"python -m tests.scenarios.real_kills --backends {self.backend} --seeds {self.seed} --days 1"


@dataclass
class Theatre:
    """One database, the day as it is undisturbed, and the processes that play it."""

    backend: str
    stage: Stage
    market: Market
    answer: Path
    names: list[str] = field(default_factory=list)
    seconds: float = 0.0
    _command_seconds: float | None = None

    @classmethod
    def built(cls, backend: str, scene: Stage, market: Market, folder: Path) -> Theatre:
        """Decide the day once, then play it once undisturbed."""
        theatre = cls(backend, scene, market, folder / "answer.json")
        scene.enter()
        scene.keep(EMPTY)
        in_child(theatre.decide, theatre.answer)
        scene.keep(DECIDED)
        started = time.monotonic()
        told = in_child(lambda: theatre.trade(None), theatre.answer)
        assert isinstance(told, list)
        theatre.seconds, theatre.names = time.monotonic() - started, [str(name) for name in told]
        return theatre

    # ------------------------------------------------------------ what the processes do

    def decide(self) -> Json:
        """The decision, and the calendar's cache for the command line."""
        world = self.market.world(self.stage.home)
        return fund.run(world, DAY, RunKind.DECISION).status.value

    def trade(self, at: int | None) -> Json:
        """Execution and close; the names of the moments where it is not killed at one."""
        names: list[str] = []
        strike = Strike(at)

        def hear(name: str) -> None:
            names.append(name)
            strike(name)

        world = self.market.world(self.stage.home)
        hear_effects(hear)
        for kind in (RunKind.EXECUTION, RunKind.CLOSE):
            fund.run(world, DAY, kind)
        return list(names)

    def finish(self, started: float) -> Json:
        """What a person does after a kill: the same again, until the day is over. Then the judge looks."""
        recovered: list[Json] = []
        world = self.market.world(self.stage.home)
        call = Step.__call__

        def heard(step: Step[..., object], *arguments: object, **named: object) -> object:
            value = call(step, *arguments, **named)
            if step.name == RECOVERED and not recovered:
                recovered.append(time.monotonic() - started)
                book = fund.book_at_close(world)
                # At the close the broker has settled the day already, which the book does a step later.
                recovered.append(kind is RunKind.CLOSE or book.ours == book.broker)
            return value

        Step.__call__ = heard  # type: ignore[method-assign, assignment]
        statuses: list[str] = []
        for kind in KINDS:
            statuses.append(fund.run(world, DAY, kind).status.value)
        end = look_at_end(world, DAY, tuple(statuses))
        broken = violations(end)
        if recovered and not recovered[1]:
            broken.append("book = broker: not when recovery was over")
        return {
            "recovery": recovered[0] if recovered else None,
            "broken": list(broken),
            "unknown": len(end.doubted),
        }

    # ------------------------------------------------------------ kills

    def play(self, seed: int) -> Kill:
        """A seed's day."""
        chance = random.Random(f"{self.backend} {seed}")
        by_command = seed % 10 == 4
        strike = self._strike_command if by_command else self._strike_fork
        self.stage.take(EMPTY if by_command else DECIDED)
        moments = [strike(chance, first=True)]
        if seed % 3 == 0:
            moments.append(strike(chance, first=False))
        try:
            told = self._finish_by_command() if by_command else self._finish_in_fork()
        except RuntimeError as error:
            told = {"recovery": None, "broken": [f"the day ends: {error}"], "unknown": 0}
        assert isinstance(told, dict)
        recovery, broken, start = told["recovery"], told["broken"], told.get("start")
        assert isinstance(broken, list)
        return Kill(
            backend=self.backend,
            seed=seed,
            process="command line" if by_command else "fork",
            moments=tuple(filter(None, moments)),
            recovery=None if recovery is None else float(str(recovery)),
            unknown=int(str(told["unknown"])),
            broken=tuple(str(one) for one in broken),
            start=None if start is None else float(str(start)),
        )

    def _strike_fork(self, chance: random.Random, *, first: bool) -> str:
        """Where a child was killed, empty where it was faster."""
        if chance.random() < 0.5 or not first:
            at = chance.randrange(len(self.names) if first else SOON)
            died = in_child(lambda: self.trade(at), self.answer) is None
            return (self.names[at] if first else "recovering") if died else ""
        after = chance.uniform(0, self.seconds)
        died = in_child(lambda: self.trade(None), self.answer, lambda child: kill_after(child, after)) is None
        return "any time" if died else ""

    def _strike_command(self, chance: random.Random, *, first: bool) -> str:
        plan: dict[str, object] = {}
        after = None
        if chance.random() < 0.5 or not first:
            plan["kill"] = chance.randrange(20, len(self.names)) if first else chance.randrange(SOON)
        else:
            after = chance.uniform(0.3, 1) * self._seconds_of_the_command()
        process = self._start(plan)
        if after is not None:
            kill_after(process.pid, after)
        died = process.wait() == -signal.SIGKILL
        name = "any time" if after is not None else "an effect" if first else "recovering"
        return name if died else ""

    def _seconds_of_the_command(self) -> float:
        """How long the command line takes for the day when nothing disturbs it; the home is as before."""
        if self._command_seconds is None:
            started = time.monotonic()
            status = self._start({}).wait()
            if status != 0:
                raise RuntimeError(f"the command line answered {status}")
            self._command_seconds = time.monotonic() - started
            self.stage.take(EMPTY)
        return self._command_seconds

    def _start(self, plan: dict[str, object]) -> subprocess.Popen[bytes]:
        command = ["run", "--date", DAY.isoformat(), "--without-prefect", "--report", "none"]
        runner = ["tests.scenarios.fund_process", json.dumps(plan)] if plan else ["flows.commands"]
        with self.answer.with_name("command.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *runner, *command],
                cwd=ROOT,
                env=self.stage.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _finish_in_fork(self) -> Json:
        started = time.monotonic()
        return in_child(lambda: self.finish(started), self.answer)

    def _finish_by_command(self) -> Json:
        told = self.answer.with_name("recovered")
        told.unlink(missing_ok=True)
        started = time.monotonic()
        status = self._start({"told": str(told)}).wait()
        if status != 0:
            raise RuntimeError(f"the command line answered {status}")
        times = told.read_text(encoding="utf-8").split() if told.exists() else []
        recovered, up = (float(moment) - started for moment in times) if times else (None, None)
        ended = in_child(lambda: self.finish(started), self.answer)
        assert isinstance(ended, dict)
        return {**ended, "recovery": recovered, "start": up}


def kill_after(process: int, seconds: float) -> None:
    """End a child of ours after a time, unless it ends before."""
    handle = os.pidfd_open(process)
    try:
        ended, _, _ = select.select([handle], [], [], seconds)
        if not ended:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def play(
    seeds: Mapping[str, Sequence[int]], folder: Path, kills: int, until: float
) -> tuple[list[Kill], dict[str, Json]]:
    """Days of each database until so many kills are counted, its seeds are used up, or it is time to end.

    The databases are played side by side, each by a child of its own. What comes back with the kills says what a day is like.
    """
    os.environ.pop(ADDRESS, None)
    market = Market.after_first_day(folder / "market", first=DAY, day=DAY)
    told: dict[str, Json] = {}

    def of_the_rest(backends: Sequence[str]) -> None:
        if not backends:
            return
        backend, *others = backends

        def work() -> Json:
            return play_one(backend, market, folder / backend, seeds[backend], (kills, until))

        answer = folder / f"{backend}.json"
        told[backend] = in_child(work, answer, lambda child: of_the_rest(others))

    of_the_rest(list(seeds))
    parts = {backend: told[backend] for backend in seeds}
    return [
        Kill(**{**one, "moments": tuple(one["moments"]), "broken": tuple(one["broken"])})
        for part in parts.values()
        for one in part["kills"]  # type: ignore[index, call-overload, union-attr]
    ], {backend: part["about"] for backend, part in parts.items()}  # type: ignore[index, call-overload]


def play_one(
    backend: str, market: Market, place: Path, seeds: Sequence[int], most: tuple[int, float]
) -> Json:
    """Days of one database: its kills, and what an undisturbed day is like."""
    place.mkdir()
    played: list[Kill] = []
    kills, until = most
    with stage(backend, place) as scene:
        theatre = Theatre.built(backend, scene, market, place)
        for seed in seeds:
            played.append(theatre.play(seed))
            if sum(len(kill.moments) for kill in played) >= kills or time.monotonic() > until:
                break
    about: Json = {
        "moments_a_day": len(theatre.names),
        "seconds_of_execution_and_close": round(theatre.seconds, 2),
    }
    return {"kills": [asdict(kill) for kill in played], "about": about}


def document(played: Sequence[Kill], about: dict[str, Json], seconds: float) -> dict[str, Json]:
    """The result file."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "what": "real processes ended by SIGKILL while they worked the windows of a day of some forty orders",
        "commit": _commit(),
        "code_version": code_version(),
        "python": platform.python_version(),
        "command": "python -m tests.scenarios.real_kills --kills 100 --json docs/real-kills.json",
        "kills": {
            backend: sum(len(kill.moments) for kill in played if kill.backend == backend) for backend in about
        },
        "days": {backend: sum(1 for kill in played if kill.backend == backend) for backend in about},
        "killed_twice": sum(1 for kill in played if len(kill.moments) > 1),
        "processes": dict(Counter(kill.process for kill in played)),
        "moments": dict(sorted(Counter(name for kill in played for name in kill.moments).items())),
        "days_with_an_unknown_order": sum(1 for kill in played if kill.unknown),
        "violations": [
            {"backend": kill.backend, "seed": kill.seed, "broken": list(kill.broken), "command": kill.command}
            for kill in played
            if kill.broken
        ],
        "recovery_seconds": {
            process: percentiles(
                [k.recovery for k in played if k.recovery is not None and k.process == process]
            )
            for process in ("command line", "fork")
        },
        "of_which_start_seconds": percentiles([k.start for k in played if k.start is not None]),
        "backends": about,
        "load_average_at_end": [round(load, 1) for load in os.getloadavg()],
        "niceness": os.nice(0),
        "seconds": round(seconds, 1),
        "processor_seconds": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
    }


def percentiles(seconds: Sequence[float]) -> dict[str, Json]:
    """Count, median, 99th percentile (the value that at most one in a hundred exceeds) and maximum."""
    if not seconds:
        return {"count": 0}
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": round(ordered[-1], 3)}


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def main(arguments: Sequence[str]) -> int:
    """Play, print, and answer 1 when a promise broke."""
    parser = argparse.ArgumentParser(prog="real_kills")
    parser.add_argument("--kills", type=int, default=100, help="kills on each database")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--seeds", default="0", help="first seed, of all databases or of each in turn")
    parser.add_argument("--days", type=int, default=10_000, help="most days on each database")
    parser.add_argument("--minutes", type=float, default=120, help="begin no day after so many")
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args(arguments)
    backends = asked.backends.split(",")
    firsts = [int(seed) for seed in asked.seeds.split(",")]
    first = dict(zip(backends, firsts if len(firsts) > 1 else firsts * len(backends), strict=True))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills") as folder:
        seeds = {backend: range(first[backend], first[backend] + asked.days) for backend in backends}
        played, about = play(seeds, Path(folder), asked.kills, started + 60 * asked.minutes)
    found = document(played, about, time.monotonic() - started)
    text = json.dumps(found, indent=2)
    print(text)
    if asked.json is not None:
        asked.json.write_text(text + "\n", encoding="utf-8")
    return 1 if found["violations"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
