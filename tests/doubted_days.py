"""A day whose order of one contract is lost, so that it stays in doubt: the broker never answers what became of it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

from engine.errors import BrokerUnavailable
from engine.model.absence import Look
from engine.model.orders import ChildOrder, ChildStatus
from engine.ports import ChildRecord
from engine.simulation.exchange import SimulatedTransport
from tasks.runtime import World
from tests.factories import DAYS, new_world, order_store, run_day

LOST = "CSPX"


def lose_orders(patch: pytest.MonkeyPatch, contract_id: str = LOST) -> None:
    """Break the line while an order of a contract is written: it never arrives."""
    write = SimulatedTransport.send

    def send(line: SimulatedTransport, child: ChildOrder) -> None:
        if child.contract_id == contract_id:
            raise BrokerUnavailable("the line broke while the order was written")
        write(line, child)

    patch.setattr(SimulatedTransport, "send", send)


def leave_unanswered(patch: pytest.MonkeyPatch) -> None:
    """Let no question be answered completely."""

    def look(line: SimulatedTransport) -> Look:
        raise BrokerUnavailable("expected an answer within its time, found none")

    patch.setattr(SimulatedTransport, "look", look)


def doubted(world: World) -> ChildRecord:
    """The one order in doubt."""
    (found,) = [row for row in order_store(world).unresolved() if row.status is ChildStatus.UNKNOWN]
    return found


@cache
def home_in_doubt() -> Path:
    """A FUND_HOME with one finished day and one order in doubt; copy it before changing anything in it."""
    home = Path(tempfile.mkdtemp(prefix="fund-doubt-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        lose_orders(patch)
        leave_unanswered(patch)
        world = new_world(home, DAYS[2])
        run_day(world, DAYS[0])
        doubted(world)
        world.close()
    return home
