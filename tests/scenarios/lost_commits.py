"""A book that lost its last commits while the broker lived on: what a failover to a copy that lagged behind leaves.

``python -m tests.scenarios.lost_commits few|all FOLDER`` prints one JSON document of both databases. A day is the same to
the last moment each time it is played, so a process killed at an early moment leaves the book, and one killed at a later
moment the broker's file.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from engine.errors import FundError
from engine.model.context import RunKind
from engine.model.encoding import Json
from engine.model.halts import HaltChoice
from tasks.day import wall_clock
from tasks.runtime import World
from tests import factories as fund
from tests.scenarios.kill_judge import look_at_end, violations
from tests.scenarios.kill_stage import BACKENDS, stage
from tests.scenarios.killed_days import Market, in_child
from tests.scenarios.real_kills import DAY, DECIDED, Theatre
from tests.statements import imported

EARLY = "early"
SEEDS = {"few": (13, 15), "all": tuple(range(40))}
MOST_STOPS = 5
MOST_LOST = 40
"""Moments that are lost at most: some ten commits; every fourth seed loses up to half a day."""


def go_on(theatre: Theatre) -> Json:
    """What a person does: run; on a halt take the broker's statement in, answer, and run again."""
    world = theatre.market.world(theatre.stage.home)
    before = len(fund.accepted_orders(world.options.home, world.account))
    stops: list[Json] = []
    sent, statuses = 0, []
    for kind in (RunKind.EXECUTION, RunKind.CLOSE):
        status, told = attempt(world, kind)
        while told and len(stops) < MOST_STOPS:
            if not stops:
                sent = len(fund.accepted_orders(world.options.home, world.account)) - before
            stops.append(told)
            take_statement(world)
            status, told = attempt(world, kind)
        statuses.append(status)
    end = look_at_end(world, DAY, tuple(statuses))
    return {
        "stops": stops,
        "sent_before_the_stop": sent,
        "broken": list(violations(end)),
        "unknown": len(end.unknown),
    }


def attempt(world: World, kind: RunKind) -> tuple[str, str]:
    """How a run ended, and what stopped it, empty where nothing did."""
    try:
        outcome = fund.run(world, DAY, kind)
    except FundError as error:
        return "FAILED", f"{type(error).__name__}: {error}"
    return outcome.status.value, outcome.text if outcome.is_halted else ""


def take_statement(world: World) -> None:
    """Wait until the day is settled, take its statement in, and answer every open halt: look again."""
    world.broker.advance(max(world.broker.now, world.close_time(DAY)))
    imported(world, DAY)
    for halt in world.halts.open_halts(world.account):
        world.halts.resolve(halt.halt_id, HaltChoice.RETRY, "the statement is in", "operator", wall_clock())


def scene(theatre: Theatre, seed: int) -> Json:
    """The book of one moment and the broker of a later one."""
    chance = random.Random(seed)
    lost = chance.randrange(1, len(theatre.names) // 2 if seed % 4 == 3 else MOST_LOST)
    early = chance.randrange(30, len(theatre.names) - lost - 100)
    theatre.stage.take(DECIDED)
    in_child(lambda: theatre.trade(early), theatre.answer)
    theatre.stage.keep(EARLY)
    theatre.stage.take(DECIDED)
    in_child(lambda: theatre.trade(early + lost), theatre.answer)
    theatre.stage.take_book(EARLY)
    seen: dict[str, Json] = {"seed": seed, "early": early, "lost": lost}
    found = in_child(lambda: go_on(theatre), theatre.answer)
    assert isinstance(found, dict)
    return {**seen, **found}


def main(how_many: str, folder: Path, backends: tuple[str, ...] = BACKENDS) -> None:
    """Play the scenes."""
    market = Market.after_first_day(folder / "market", first=DAY, day=DAY)
    found: dict[str, Json] = {}
    for backend in backends:
        place = folder / backend
        place.mkdir()
        with stage(backend, place) as book:
            theatre = Theatre.built(backend, book, market, place)
            found[backend] = [scene(theatre, seed) for seed in SEEDS[how_many]]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), tuple(sys.argv[3:]) or BACKENDS)
