"""Every single kill of a day and every ordered pair of kills, each lived from the moment of its kill on.

A process lives the day and forks after every effect: in the child the day's process dies there, and the child lives on,
forking once more after every effect that follows. So the morning is lived once, not once for every pair. A second kill
in a durable state that an earlier one has met already, byte for byte (database, account at the broker, clock, dice),
has the same future; it is counted and not lived again.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import pickle
import traceback
from collections.abc import Container
from dataclasses import dataclass, field, replace

from engine.model.context import RunKind
from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import DrawnDay
from tests.simulation.order_days.faulted import image
from tests.simulation.order_days.judging import judge

NOWHERE: Container[int] = ()
SHOWN = 20
"""Violations of one fork that are kept in words; all are counted."""


@dataclass
class Tally:
    """What the kills of a part of a day showed. ``equal`` pairs were met before and not lived again."""

    singles: int = 0
    pairs: int = 0
    equal: int = 0
    states: int = 0
    violations: int = 0
    shown: list[list[object]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what another part showed."""
        for name in ("singles", "pairs", "equal", "states", "violations"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.shown = (self.shown + other.shown)[:SHOWN]


class Guide:
    """Asked after every effect whether the process dies there; says yes in a child that it forked for it."""

    def __init__(self, day: FaultedDay, firsts: Container[int], seconds: Container[int] | None) -> None:
        self.tally, self.kills = Tally(), ()
        self._day, self._firsts, self._seconds = day, firsts, seconds
        self._seen: set[bytes] = set()
        self._pipe = -1

    def __call__(self) -> bool:
        """Fork where a kill is wanted; true in the child, false in the one that lives on."""
        moment = self._day.dice.moments
        wanted = self._firsts if not self.kills else self._seconds
        if wanted is not None and moment not in wanted:
            return False
        if len(self.kills) == 1:
            state = durable_state(self._day)
            if state in self._seen:
                self.tally.pairs, self.tally.equal = self.tally.pairs + 1, self.tally.equal + 1
                return False
            self._seen.add(state)
        return self._fork(moment)

    def _fork(self, moment: int) -> bool:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            if self._pipe >= 0:
                os.close(self._pipe)
            self._pipe, self.tally, self.kills = writing, Tally(), (*self.kills, moment)
            self._seen = set()
            if len(self.kills) == 2:
                self._day.dice.choice = None
            return True
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            told = answer.read()
        _, status = os.waitpid(child, 0)
        kills = [*self.kills, moment]
        if status != 0 or not told:
            self.tally.add(
                Tally(violations=1, shown=[[kills, "the killed day was judged", f"status {status}"]])
            )
        else:
            self.tally.add(Tally(**json.loads(told)))
        return False

    def report(self) -> None:
        """End a child: what it found goes to the process that forked it."""
        self.tally.states += len(self._seen)
        with os.fdopen(self._pipe, "wb") as answer:
            answer.write(json.dumps(vars(self.tally)).encode())
        os._exit(0)


def durable_state(day: FaultedDay) -> bytes:
    """Digest of everything that outlives a process: what comes after a kill follows from it alone."""
    state, dice = day.broker.state, day.dice
    head = replace(state.head, commit=0)
    tables = [
        table.items()
        for table in (state.cash, state.positions, state.orders, state.executions, state.inbox, state.depth)
    ]
    streams = sorted((fault.name, stream.getstate()) for fault, stream in dice.streams.items())
    mids = sorted((name, sorted(served)) for name, served in day.far.served.items())
    told = (
        (day.alarms, day.errors, day.halted_at, day.resumed_at, day.is_halted, day.left_alone),
        (mids, day.far.forgotten, day.far.renumbered, day.restored, sorted(day.late.items())),
        day.database.marks.highest(day.key(RunKind.EXECUTION).account),
    )
    digest = hashlib.blake2b(image(day.database), digest_size=16)
    digest.update(pickle.dumps((head, tables, streams, told, day.attempts)))
    return digest.digest()


def explore(drawn: DrawnDay, firsts: Container[int], seconds: Container[int] | None = None) -> Tally:
    """Kill a day after each of some first effects, and then again after each of some later ones; ``None`` for all."""
    day = FaultedDay.begin(drawn)
    guide = Guide(day, firsts, seconds)
    day.dice.choice = guide
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        day.live()
        broken = [(found.invariant, found.detail) for found in judge(day)] if guide.kills else []
    except BaseException:
        if not guide.kills:
            raise
        broken = [("no broken contract", traceback.format_exc(limit=-3))]
    finally:
        if not guide.kills:
            gc.enable()
            gc.unfreeze()
    if not guide.kills:
        return guide.tally
    mine = Tally(singles=len(guide.kills) == 1, pairs=len(guide.kills) == 2, violations=len(broken))
    mine.shown = [[list(guide.kills), name, detail] for name, detail in broken[:SHOWN]]
    guide.tally.add(mine)
    guide.report()
    raise AssertionError("a forked child ended its report and lived on")
