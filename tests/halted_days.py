"""Days that ended in a HALT: a fund with one day behind it, and a second one that a fault stopped."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from engine.model.context import RunKind
from flows.outcome import Outcome
from state.halts import HaltRecord
from tasks.runtime import World
from tests.factories import DAYS, new_world, run, run_day

DAY_BEFORE, HALTED_DAY = DAYS[0], DAYS[1]


@cache
def home_after_a_day() -> Path:
    """A FUND_HOME with one finished day; copy it before changing anything in it."""
    home = Path(tempfile.mkdtemp(prefix="fund-day-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    world = new_world(home, HALTED_DAY)
    outcomes = run_day(world, DAY_BEFORE)
    world.close()
    assert not any(outcome.is_halted for outcome in outcomes.values())
    return home


@cache
def home_halted_by(fault: str) -> Path:
    """A FUND_HOME whose second decision the fault stopped."""
    home = Path(tempfile.mkdtemp(prefix="fund-halt-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    shutil.copytree(home_after_a_day(), home, dirs_exist_ok=True)
    world = new_world(home, HALTED_DAY, fault)
    outcome = decide_again(world)
    world.close()
    assert outcome.is_halted
    return home


@cache
def undisturbed_home() -> Path:
    """A FUND_HOME whose second decision went through."""
    home = Path(tempfile.mkdtemp(prefix="fund-calm-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    shutil.copytree(home_after_a_day(), home, dirs_exist_ok=True)
    world = new_world(home, HALTED_DAY)
    outcome = decide_again(world)
    world.close()
    assert not outcome.is_halted
    return home


@contextmanager
def halted_world(fault: str, folder: Path) -> Iterator[World]:
    """A copy of the halted fund, opened as `fund resolve` opens it: without asking for the fault again."""
    home = folder / "home"
    shutil.copytree(home_halted_by(fault), home)
    world = new_world(home, HALTED_DAY)
    try:
        yield world
    finally:
        world.close()


def decide_again(world: World) -> Outcome:
    """One more attempt of the halted day's decision."""
    return run(world, HALTED_DAY, RunKind.DECISION)


def open_halt(world: World) -> HaltRecord:
    """The one halt that is open."""
    (halt,) = world.halts.open_halts(world.account)
    return halt
