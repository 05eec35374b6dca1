"""A roll that is killed in the middle of its spread: each kill is a forked child, and another goes on to the close.

``python -m tests.scenarios.killed_rolls FOLDER`` prints one JSON document; see `tests.scenarios.killed_days`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from engine.model.context import RunKind
from engine.model.encoding import Json
from engine.model.orders import ChildOrder, Fill
from engine.ports import StatusChange
from engine.simulation.exchange import SimulatedTransport
from state.orders import OrderStore
from tests import factories as fund
from tests.scenarios.killed_days import Fuse, Market, decide_once, in_child, trade_and_close

FIRST, DAY = date(2026, 9, 10), date(2026, 9, 11)
"""The index futures of September end on the 18th: they roll five sessions before, on the 11th."""

MOMENTS = (
    "before the send",
    "after the send",
    "before the legs are booked",
    "after the legs are booked",
)


def burn_around_spread(fuse: Fuse) -> None:
    """A moment before and after the write of the first spread, and before and after its legs are booked."""
    send, record = SimulatedTransport.send, OrderStore.record
    watched: list[str] = []

    def sending(self: SimulatedTransport, child: ChildOrder) -> None:
        if child.near is None or watched:
            return send(self, child)
        watched.append(child.order_ref)
        fuse.burn()
        send(self, child)
        fuse.burn()
        return None

    def recording(
        self: OrderStore, fills: Sequence[Fill], changes: Sequence[StatusChange], now: datetime
    ) -> None:
        if not any(fill.order_ref in watched for fill in fills):
            return record(self, fills, changes, now)
        fuse.burn()
        record(self, fills, changes, now)
        fuse.burn()
        return None

    SimulatedTransport.send = sending  # type: ignore[method-assign]
    OrderStore.record = recording  # type: ignore[method-assign]


def roll_once(market: Market, home: Path, at: int | None) -> Json:
    fuse, world = Fuse(at), market.world(home)
    burn_around_spread(fuse)
    fund.run(world, market.day, RunKind.EXECUTION)
    return {"moments": fuse.moments}


def killed_rolls(market: Market, base: Path, folder: Path) -> Json:
    decided, home, answer = folder / "decided", folder / "home", folder / "answer.json"
    shutil.copytree(base, decided)
    decision = in_child(lambda: decide_once(market, decided, None), answer)
    assert isinstance(decision, dict)
    assert isinstance(decision["ours"], dict)

    def fresh() -> None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(decided, home)

    fresh()
    undisturbed = in_child(lambda: trade_and_close(market, home), answer)
    kills: list[Json] = []
    for at in range(len(MOMENTS)):
        fresh()
        killed = in_child(lambda at=at: roll_once(market, home, at), answer) is None  # type: ignore[misc]
        kills.append({"killed": killed, "end": in_child(lambda: trade_and_close(market, home), answer)})
    return {"before": decision["ours"]["positions"], "undisturbed": undisturbed, "kills": kills}


def main(folder: Path) -> None:
    base = folder / "base"
    market = Market.after_first_day(base, FIRST, DAY)
    print(json.dumps(killed_rolls(market, base, folder)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
