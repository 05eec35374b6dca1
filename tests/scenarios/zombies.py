"""Processes that stand still while another takes their run over, and several that begin the same run at once.

``python -m tests.scenarios.zombies few|all FOLDER`` prints one JSON document of both databases; its process is its own,
so that nothing of pytest is forked.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

from rich.console import Console
from sqlalchemy.exc import DatabaseError

from engine.errors import FundError
from engine.model.context import RunKind
from engine.model.encoding import Json
from engine.simulation.account import AccountState
from flows.commands.errors import EXIT_UNEXPECTED
from flows.commands.progress import DayProgress
from flows.planning import RunRequest
from flows.trading_days import drive
from state.runs import LEASE_SECONDS
from tasks import day as day_module
from tasks.opening import begin, ending
from tasks.runtime import World
from tests import factories as fund
from tests.scenarios.kill_judge import look_at_end, violations
from tests.scenarios.kill_moments import (
    BEGIN,
    BROKER_DONE,
    COMMIT,
    DONE,
    SEND,
    Strike,
    hear_effects,
    stop_here,
)
from tests.scenarios.kill_stage import BACKENDS, Stage, stage
from tests.scenarios.killed_days import Market, in_child
from tests.scenarios.real_kills import DAY, DECIDED, EMPTY

FEW = ((SEND, 3), (DONE, 130))
STOPS = (*FEW, (SEND, 17), (SEND, 40), (BEGIN, 60), (BEGIN, 190), (DONE, 20), (BROKER_DONE, 40))
"""Where the zombie stands still: name of the moment and its number among those of that name."""

CUTS = ((BEGIN, 50), (COMMIT, 50), (SEND, 10), (DONE, 150))
"""Where PostgreSQL ends the connections of a process that lives on."""

AT_ONCE = 3
"""A scheduler, a person, and the rerun of either."""


REQUEST = RunRequest(
    profile="fund",
    mode=None,
    first=DAY,
    last=DAY,
    days=None,
    store=None,
    seed=1,
    fault=None,
    overrides=(),
    report="none",
    with_prefect=False,
)


@dataclass
class Play:
    """One database, and what its processes do."""

    stage: Stage
    market: Market
    answer: Path

    def decide(self) -> Json:
        world = self.market.world(self.stage.home)
        return fund.run(world, DAY, RunKind.DECISION).status.value

    # ------------------------------------------------------------ one that stands still

    def zombie(self, name: str, at: int, *, is_let_in: bool) -> Json:
        """Work the windows; stand still at a moment, then go on as if nothing had been.

        ``is_let_in``: the broker takes orders of an old connection too.
        """
        world = self.market.world(self.stage.home)

        def stand_still() -> None:
            stop_here()
            if is_let_in:
                world.broker.state = AccountState.load(world.broker._journal.load())

        hear_effects(Strike(at, stand_still, only=name))
        return self._end_of(lambda: self._trade(world))

    def take_over(self) -> Json:
        """The same run in another process, at a time when the lease of the first has passed."""
        real = day_module.wall_clock

        def later() -> datetime:
            return real() + timedelta(seconds=LEASE_SECONDS + 1)

        day_module.wall_clock = later
        world = self.market.world(self.stage.home)
        return self._end_of(lambda: self._trade(world))

    def _trade(self, world: World) -> str:
        claimed = begin(world, DAY, RunKind.EXECUTION)
        with ending(claimed):
            return fund.BODIES[RunKind.EXECUTION](claimed).status.value

    def _end_of(self, work: Callable[[], str]) -> Json:
        try:
            return {"end": work(), "exit": 0}
        except FundError as error:
            return {"end": type(error).__name__, "exit": error.exit_status, "text": str(error)}
        except DatabaseError as error:
            return {"end": type(error).__name__, "exit": EXIT_UNEXPECTED, "text": str(error)}

    def judged(self) -> Json:
        """The rest of the day, and what it broke."""
        world = self.market.world(self.stage.home)
        statuses = [fund.run(world, DAY, kind).status.value for kind in (RunKind.EXECUTION, RunKind.CLOSE)]
        end = look_at_end(world, DAY, tuple(statuses))
        return {"broken": list(violations(end)), "accepted": len(end.accepted), "unknown": len(end.unknown)}

    def zombie_scene(self, name: str, at: int, *, is_let_in: bool) -> Json:
        """Stop, take over, wake, judge."""
        self.stage.take(DECIDED)
        seen: dict[str, Json] = {"moment": f"{name} {at}", "is_let_in": is_let_in}
        other = self.answer.with_name("other.json")

        def meanwhile(child: int) -> None:
            _, status = os.waitpid(child, os.WUNTRACED)
            seen["stopped"] = os.WIFSTOPPED(status)
            seen["other"] = in_child(self.take_over, other)
            seen["accepted_before"] = len(self.orders())
            os.kill(child, signal.SIGCONT)

        seen["zombie"] = in_child(lambda: self.zombie(name, at, is_let_in=is_let_in), self.answer, meanwhile)
        seen["accepted_after"] = len(self.orders())
        seen["judged"] = in_child(self.judged, self.answer)
        return seen

    def orders(self) -> tuple[object, ...]:
        """What the broker ever accepted."""
        return fund.accepted_orders(self.stage.home, "SIM-fund-1")

    # ------------------------------------------------------------ one whose database goes away

    def cut_scene(self, name: str, at: int) -> Json:
        """End the connections of a living process at a moment; whatever came of it, the day is run to its end."""
        self.stage.take(DECIDED)

        def work() -> Json:
            world = self.market.world(self.stage.home)
            hear_effects(Strike(at, self.stage.cut_off, only=name))
            return self._end_of(lambda: self._trade(world))

        seen: dict[str, Json] = {"moment": f"{name} {at}", "process": in_child(work, self.answer)}
        seen["judged"] = in_child(self.judged, self.answer)
        return seen

    def crash_scene(self) -> Json:
        """Crash the server between the claim of an order and its sending; the process lives on."""
        self.stage.take(DECIDED)

        def meanwhile(child: int) -> None:
            os.waitpid(child, os.WUNTRACED)
            self.stage.crash_server()
            os.kill(child, signal.SIGCONT)

        process = in_child(lambda: self.zombie(SEND, 12, is_let_in=False), self.answer, meanwhile)
        return {"process": process, "judged": in_child(self.judged, self.answer)}

    # ------------------------------------------------------------ several at once

    def whole_day(self, gate: int) -> Json:
        """Wait at the gate with the others, then do what the command line does."""
        os.read(gate, 1)
        world = self.market.world(self.stage.home)

        def work() -> str:
            silence = Console(file=StringIO())
            with redirect_stdout(StringIO()), DayProgress(console=silence, silent=True) as progress:
                return str(drive(world, REQUEST, (DAY,), None, progress))

        return self._end_of(work)

    def at_once_scene(self) -> Json:
        """Several processes run one date at the same time, after a gate that opens for all of them."""
        self.stage.take(EMPTY)
        mine, theirs = os.pipe()
        ends: list[Json] = []

        def others(left: int) -> Callable[[int], None]:
            def start(_child: int) -> None:
                if left == 0:
                    os.write(theirs, b"." * AT_ONCE)
                    return
                answer = self.answer.with_name(f"other{left}.json")
                ends.append(in_child(lambda: self.whole_day(mine), answer, others(left - 1)))

            return start

        ends.append(in_child(lambda: self.whole_day(mine), self.answer, others(AT_ONCE - 1)))
        os.close(mine)
        os.close(theirs)
        return {"ends": ends, "judged": in_child(self.judged, self.answer)}


def scenes(
    play: Play, backend: str, stops: Sequence[tuple[str, int]], cuts: Sequence[tuple[str, int]]
) -> Json:
    """All scenes of a database."""
    zombies = [
        play.zombie_scene(name, at, is_let_in=is_let_in)
        for name, at in stops
        for is_let_in in ((False, True) if name == SEND else (False,))
    ]
    found: dict[str, Json] = {"zombies": zombies, "at_once": play.at_once_scene()}
    if backend == "postgresql":
        # On SQLite the one that stands still keeps the file's only lock: nobody else can do anything at all.
        found["inside"] = play.zombie_scene(COMMIT, 70, is_let_in=False)
        found["cuts"] = [play.cut_scene(name, at) for name, at in cuts]
        found["crash"] = play.crash_scene()
    return found


def main(how_many: str, folder: Path) -> None:
    """Play the scenes on both databases."""
    stops, cuts = (STOPS, CUTS) if how_many == "all" else (FEW, CUTS[:2])
    market = Market.after_first_day(folder / "market", first=DAY, day=DAY)
    found: dict[str, Json] = {}
    for backend in BACKENDS:
        with stage(backend, folder / backend) as scene:
            scene.enter()
            scene.keep(EMPTY)
            play = Play(scene, market, folder / "answer.json")
            in_child(play.decide, play.answer)
            scene.keep(DECIDED)
            found[backend] = scenes(play, backend, stops, cuts)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
