"""Many seeds, one after another: what broke, which faults fired, which arrows were taken, and how to repeat a failure.

``python -m tests.simulation.order_days.campaign --seeds 0..2000 [--without FAULT,...] [--jobs 0,2] [--json FILE]``
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from engine.model.order_states import CHILD_TRANSITIONS
from state.tables import fills, order_events
from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import DrawnDay, Fault, draw
from tests.simulation.order_days.judging import Violation, judge

SHOWN = 10
"""Failing seeds that are made smaller and shown; the rest is counted."""


@dataclass
class Findings:
    """What many days showed."""

    days: int = 0
    violations: list[Violation] = field(default_factory=list)
    fired: Counter[Fault] = field(default_factory=Counter)
    arrows: Counter[tuple[str, str]] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    seconds: float = 0.0

    @property
    def silent_faults(self) -> list[str]:
        """Faults that never fired: nothing was learnt of them."""
        return [fault.name for fault in Fault if not self.fired[fault]]

    @property
    def unvisited(self) -> list[str]:
        """Arrows of a child order that no day took."""
        taken = {tuple(arrow) for arrow in self.arrows}
        return [
            f"{before.value}->{after.value}"
            for before, targets in CHILD_TRANSITIONS.items()
            for after in sorted(targets, key=lambda status: status.value)
            if (before.value, after.value) not in taken
        ]

    def to_json(self, seeds: str) -> dict[str, object]:
        """The document of ``simulate --json``."""
        return {
            "seeds": seeds,
            "days": self.days,
            "violations": [
                {"seed": v.seed, "invariant": v.invariant, "detail": v.detail} for v in self.violations
            ],
            "faults_fired": {fault.name: self.fired[fault] for fault in Fault},
            "transitions_visited": {f"{a}->{b}": count for (a, b), count in sorted(self.arrows.items())},
            "transitions_unvisited": self.unvisited,
            "log_digest": self.digest,
            "size": dict(sorted(self.size.items())),
            "cpu_seconds": round(self.seconds, 1),
        }


def simulate(drawn: Iterable[DrawnDay]) -> Findings:
    """Live and judge days, one after another."""
    gc.collect()
    gc.freeze()  # what is there already outlives all days and need not be looked at again
    found, digest, started = Findings(), hashlib.sha256(), time.process_time()
    for one in drawn:
        day = FaultedDay.begin(one).live()
        found.days += 1
        found.violations += judge(day)
        found.fired.update(day.dice.fired)
        found.arrows.update(arrows(day))
        found.size.update(day.size)
        digest.update(day.digest.encode())
    found.digest, found.seconds = digest.hexdigest(), time.process_time() - started
    return found


def arrows(day: FaultedDay) -> Counter[tuple[str, str]]:
    """Arrows of the child's table that a day's book shows; that an order trades after its end is a row of its fills."""
    with day.database.read() as connection:
        wanted = order_events.select().order_by(order_events.c.order_ref, order_events.c.sequence)
        rows = connection.execute(wanted).all()
        booked = connection.execute(select(fills.c.order_ref, fills.c.executed_at)).all()
    taken: Counter[tuple[str, str]] = Counter()
    status: dict[str, str] = {}
    cancelled: dict[str, datetime] = {}
    for row in rows:
        taken[(status.get(row.order_ref, "PLANNED"), row.status)] += 1
        status[row.order_ref] = row.status
        if row.status == "CANCELLED":
            cancelled[row.order_ref] = row.at
    late = sum(row.order_ref in cancelled and row.executed_at > cancelled[row.order_ref] for row in booked)
    if late:
        taken[("CANCELLED", "CANCELLED")] += late
    return taken


def smaller(drawn: DrawnDay, invariant: str) -> DrawnDay:
    """The same failure with as few faults and jobs as it takes."""

    def fails(candidate: DrawnDay) -> bool:
        return any(v.invariant == invariant for v in judge(FaultedDay.begin(candidate).live()))

    for fault in list(drawn.rates):
        candidate = replace(
            drawn, rates={name: rate for name, rate in drawn.rates.items() if name is not fault}
        )
        drawn = candidate if fails(candidate) else drawn
    for job in drawn.jobs:
        candidate = replace(drawn, jobs=tuple(other for other in drawn.jobs if other is not job))
        drawn = candidate if candidate.jobs and fails(candidate) else drawn
    return drawn


def command(drawn: DrawnDay) -> str:
    """One line that lives a day again."""
    full = draw(drawn.seed)
    without = [fault.name for fault in full.rates if fault not in drawn.rates]
    kept = [str(number) for number, job in enumerate(full.jobs) if job in drawn.jobs]
    parts = [f"./fund simulate --seeds {drawn.seed}..{drawn.seed + 1}"]
    parts += [f"--without {','.join(without)}"] if without else []
    parts += [f"--jobs {','.join(kept)}"] if len(kept) < len(full.jobs) else []
    return " ".join(parts)


def narrowed(seed: int, without: Collection[str], jobs: Collection[int] | None) -> DrawnDay:
    """A seed's day without some faults, and with some of its jobs."""
    full = draw(seed)
    kept = full.jobs if jobs is None else tuple(job for number, job in enumerate(full.jobs) if number in jobs)
    return replace(
        full, rates={f: rate for f, rate in full.rates.items() if f.name not in without}, jobs=kept
    )


def main(arguments: Sequence[str]) -> int:
    """Run the seeds and print what they showed; 1 when an invariant broke."""
    parser = argparse.ArgumentParser(prog="fund simulate")
    parser.add_argument("--seeds", default="0..200", help="first..last, the last not included")
    parser.add_argument("--without", default="", help="faults to leave out, by name")
    parser.add_argument("--jobs", default="", help="numbers of the jobs to keep")
    parser.add_argument("--json", type=Path, default=None, help="write the findings to this file")
    parser.add_argument("--campaign", type=Path, default=None, help="live the whole campaign in this folder")
    parser.add_argument("--result", type=Path, default=None, help="where the campaign's result goes")
    asked = parser.parse_args(arguments)
    if asked.campaign is not None:
        from tests.simulation.order_days import whole  # it lives days with this module

        return whole.campaign(asked.campaign, whole.SEEDS, asked.result or whole.RESULT)
    unknown = set(filter(None, asked.without.split(","))) - {fault.name for fault in Fault}
    if unknown:
        known = ", ".join(fault.name for fault in Fault)
        parser.exit(2, f"fund: expected faults among {known}, found {', '.join(sorted(unknown))}\n")
    first, _, last = asked.seeds.partition("..")
    jobs = {int(number) for number in asked.jobs.split(",")} if asked.jobs else None
    seeds, without = range(int(first), int(last)), asked.without.split(",")
    if jobs is not None and (empty := [seed for seed in seeds if not narrowed(seed, (), jobs).jobs]):
        parser.exit(
            2, f"fund: expected a day that has one of the jobs {asked.jobs}, found seed {empty[0]} without\n"
        )
    found = simulate(narrowed(seed, without, jobs) for seed in seeds)
    first_of = {(violation.seed, violation.invariant): violation for violation in reversed(found.violations)}
    for violation in list(reversed(first_of.values()))[:SHOWN]:
        least = smaller(narrowed(violation.seed, without, jobs), violation.invariant)
        print(f"{violation.invariant}: {violation.detail}\n  {command(least)}")
    rate = found.days / found.seconds if found.seconds else 0.0
    print(
        f"{found.days} days, {len(found.violations)} violations, {sum(found.fired.values())} faults, {rate:.1f} days a second"
    )
    print(
        f"never fired: {', '.join(found.silent_faults) or 'none'}; arrows not taken: {', '.join(found.unvisited) or 'none'}"
    )
    print(f"digest of the log: {found.digest}")
    if asked.json is not None:
        asked.json.write_text(json.dumps(found.to_json(asked.seeds), indent=1), encoding="utf-8")
    return 1 if found.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
