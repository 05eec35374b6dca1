"""A run that stops before it works anything takes back what an earlier attempt left at the broker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from engine.model.context import RunKind
from engine.model.orders import ChildOrder, ChildStatus
from engine.simulation.exchange import SimulatedTransport
from state.tables import run_attempts
from tasks.day import wall_clock
from tests.factories import DAYS, accepted_orders, new_world, run

ORDERS_BEFORE_ITS_END = 5


class Ends(BaseException):
    """The process is gone."""


def test_run_that_finds_trading_stopped_cancels_what_a_dead_attempt_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = SimulatedTransport.send

    def last_send(line: SimulatedTransport, child: ChildOrder) -> None:
        send(line, child)
        if len(accepted_orders(tmp_path, world.account)) == ORDERS_BEFORE_ITS_END:
            raise Ends

    world = new_world(tmp_path)
    run(world, DAYS[0], RunKind.DECISION)
    monkeypatch.setattr(SimulatedTransport, "send", last_send)
    with pytest.raises(Ends):
        run(world, DAYS[0], RunKind.EXECUTION)
    world.close()

    monkeypatch.undo()
    world = new_world(tmp_path)
    with world.database.transaction() as connection:  # the process is this one, so only its lease can end
        connection.execute(update(run_attempts).values(lease_until=wall_clock() - timedelta(seconds=1)))
    left = {order.child.order_ref: order.status for order in world.broker.state.open_orders()}
    assert ChildStatus.WORKING in left.values()
    world.control.engage_kill_switch(world.account, "a rumour", "Ann", wall_clock())

    stopped = run(world, DAYS[0], RunKind.EXECUTION)
    assert stopped.is_halted
    assert "a rumour" in stopped.text
    assert {order.status for order in world.broker.state.open_orders()} <= {ChildStatus.CANCEL_PENDING}
    assert len(accepted_orders(tmp_path, world.account)) == ORDERS_BEFORE_ITS_END
    world.close()
