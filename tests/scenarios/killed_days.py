"""Days that are killed: every scenario is a forked child that ends itself with SIGKILL, and another that goes on.

``python -m tests.scenarios.killed_days decision|window FOLDER`` prints one JSON document. It runs in a process of its
own, so that nothing of pytest is forked; the market is generated once and inherited by the children.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import select

from engine.model.context import RunKind
from engine.model.encoding import Json, digest_bytes, to_json
from engine.model.orders import ChildOrder, ChildStatus
from engine.simulation.exchange import SimulatedTransport
from state.orders import OrderStore
from state.tables import order_events
from tasks.runtime import World
from tasks.step import Step
from tests import factories as fund

FIRST, DAY = fund.DAYS[:2]
FOLLOWED = (2, 14, -4, -1)
"""Moments of kills that are followed through execution and close: before and after the books were read, before the
jobs were stored, and after everything was remembered."""

WINDOW_SEEDS = 6


def _last(day: date) -> date:
    """End of the market in which a day is played."""
    return fund.DAYS[-1] if day in fund.DAYS else day


@dataclass(frozen=True, slots=True)
class Market:
    """Pieces of a world that are made from the seed alone, shared by all children, and the days that are played."""

    pieces: dict[str, object]
    first: date
    day: date

    @classmethod
    def after_first_day(cls, home: Path, first: date = FIRST, day: date = DAY) -> Market:
        """Run the first day here: the children inherit every library that a day imports on its way."""
        world = fund.new_world(home, _last(day), first=first)
        fund.run_day(world, first)
        names = ("sessions", "past", "venues", "code_version")
        pieces = {name: getattr(world, name) for name in names}
        world.close()
        gc.collect()
        gc.freeze()  # a collection in a child would touch, and so copy, everything that it inherited
        return cls(pieces, first, day)

    def world(self, home: Path) -> World:
        world = fund.new_world(home, _last(self.day), first=self.first)
        world.__dict__.update(self.pieces)
        return world


class Fuse:
    """Counts moments and ends the process at the wanted one: no handler runs, nothing is flushed or closed."""

    def __init__(self, at: int | None) -> None:
        self.at, self.moments = at, 0

    def burn(self) -> None:
        if self.moments == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.moments += 1


def in_child(
    work: Callable[[], Json], answer: Path, meanwhile: Callable[[int], None] = lambda child: None
) -> Json:
    """What a forked child answers; ``None`` when it was killed before it could.

    ``meanwhile`` is called with the child's number once it runs.
    """
    answer.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            answer.write_text(json.dumps(work()), encoding="utf-8")
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    meanwhile(child)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise RuntimeError(f"a child died of signal {os.WTERMSIG(status)}")
        return None
    if os.WEXITSTATUS(status) != 0:
        raise RuntimeError("a child failed; its traceback is above")
    found: Json = json.loads(answer.read_text(encoding="utf-8"))
    return found


# ---------------------------------------------------------------- the decision


def burn_between_steps(fuse: Fuse, world: World) -> None:
    """A moment after every step of the day, and one after each journal row inside of a step."""
    call = Step.__call__

    def counted(self: Step[..., object], *args: object, **kwargs: object) -> object:
        value = call(self, *args, **kwargs)
        fuse.burn()
        return value

    Step.__call__ = counted  # type: ignore[method-assign, assignment]
    world.observer = lambda step, fact: fuse.burn()


def decide_once(market: Market, home: Path, at: int | None) -> Json:
    fuse, world = Fuse(at), market.world(home)
    burn_between_steps(fuse, world)
    outcome = fund.run(world, market.day, RunKind.DECISION)
    return {"moments": fuse.moments, **look(world, market.day), "status": outcome.status.value}


def finish_day(market: Market, home: Path) -> Json:
    world = market.world(home)
    for kind in (RunKind.DECISION, RunKind.EXECUTION, RunKind.CLOSE):
        fund.run(world, market.day, kind)
    return look(world, market.day)


def look(world: World, day: date) -> dict[str, Json]:
    """Digests of the decision, the jobs that wait, and both books."""
    book = fund.book_at_close(world)
    return {
        "steps": {name: digest_bytes(data) for name, data in fund.step_outputs(world, day).items()},
        "jobs": [to_json(record.job) for record in fund.order_store(world).jobs(trade_date=day)],
        "ours": to_json(book.ours),
        "broker": to_json(book.broker),
    }


def killed_decisions(market: Market, base: Path, folder: Path) -> Json:
    """One home whose every attempt dies one moment later than the last; and kills that are followed to the close."""
    home, answer = folder / "home", folder / "answer.json"

    def fresh() -> None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(base, home)

    def attempt(at: int | None) -> Json:
        return in_child(lambda: decide_once(market, home, at), answer)

    fresh()
    undisturbed = attempt(None)
    whole = in_child(lambda: finish_day(market, home), answer)
    assert isinstance(undisturbed, dict)
    moments = int(str(undisturbed["moments"]))
    fresh()
    deaths = [attempt(at) is None for at in range(moments)]
    survivor = attempt(None)
    kills: list[Json] = []
    for at in FOLLOWED:
        fresh()
        killed = attempt(at % moments) is None
        kills.append(
            {"at": at, "killed": killed, "closed": in_child(lambda: finish_day(market, home), answer)}
        )
    return {
        "undisturbed": undisturbed,
        "whole": whole,
        "deaths": list(deaths),
        "survivor": survivor,
        "kills": kills,
    }


# ---------------------------------------------------------------- the windows


def burn_around_orders(fuse: Fuse) -> None:
    """A moment before and after the gate's claim, the order's write, a fill's booking, and each state."""

    def around(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def counted(*args: object, **kwargs: object) -> object:
            fuse.burn()
            value = method(*args, **kwargs)
            fuse.burn()
            return value

        setattr(owner, name, counted)

    around(SimulatedTransport, "send")
    around(SimulatedTransport, "cancel")
    for name in ("claim", "record", "record_fill", "record_status"):
        around(OrderStore, name)


def trade_once(market: Market, home: Path, at: int | None) -> Json:
    fuse, world = Fuse(at), market.world(home)
    burn_around_orders(fuse)
    fund.run(world, market.day, RunKind.EXECUTION)
    return {"moments": fuse.moments}


def trade_and_close(market: Market, home: Path) -> Json:
    world = market.world(home)
    statuses = [fund.run(world, market.day, kind).status.value for kind in (RunKind.EXECUTION, RunKind.CLOSE)]
    booked = [e.entry_id for e in world.ledger.entries(world.account) if e.entry_id.startswith("trade:")]
    orders: list[ChildOrder] = list(fund.accepted_orders(home, world.account))
    return {
        **look(world, market.day),
        "statuses": list(statuses),
        "executions": list(fund.executions_at_broker(home, world.account)),
        "booked": booked,
        "references": [order.order_ref for order in orders],
        "parents": to_json(fund.parent_quantities(world, market.day)),
        "unknown": [record.child.order_ref for record in fund.order_store(world).unresolved()],
        "doubted": list(doubted_orders(world)),
    }


def doubted_orders(world: World) -> list[str]:
    """Orders whose outcome was not known for a while, also those whose doubt was ended since."""
    wanted = select(order_events.c.order_ref).where(order_events.c.status == ChildStatus.UNKNOWN.value)
    with world.database.read() as connection:
        return sorted(set(connection.execute(wanted).scalars()))


def killed_windows(market: Market, base: Path, folder: Path) -> Json:
    """Kills at random moments of the windows, some of them twice, then the rest of the day."""
    decided, home, answer = folder / "decided", folder / "home", folder / "answer.json"
    shutil.copytree(base, decided)
    in_child(lambda: decide_once(market, decided, None), answer)

    def fresh() -> None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(decided, home)

    fresh()
    counted = in_child(lambda: trade_once(market, home, None), answer)
    assert isinstance(counted, dict)
    undisturbed = in_child(lambda: trade_and_close(market, home), answer)
    kills: list[Json] = []
    for seed in range(WINDOW_SEEDS):
        chance = random.Random(seed)
        moments = [chance.randrange(int(str(counted["moments"])))]
        if seed % 2:
            moments.append(chance.randrange(20))  # soon after the restart, once more
        fresh()
        deaths = [
            in_child(lambda at=at: trade_once(market, home, at), answer) is None  # type: ignore[misc]
            for at in moments
        ]
        end = in_child(lambda: trade_and_close(market, home), answer)
        kills.append({"seed": seed, "moments": list(moments), "deaths": list(deaths), "end": end})
    return {"undisturbed": undisturbed, "kills": kills}


def main(what: str, folder: Path) -> None:
    base = folder / "base"
    market = Market.after_first_day(base)
    scenario = {"decision": killed_decisions, "window": killed_windows}[what]
    print(json.dumps(scenario(market, base, folder)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
