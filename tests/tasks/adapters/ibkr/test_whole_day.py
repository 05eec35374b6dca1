"""A whole simulated day whose orders go over TCP: the same book as the day in the process, each order once.

Asked for by ``FUND_CAMPAIGN=1``; what it showed is in docs/measured.md.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.universe import load_venues
from flows.commands.__main__ import main
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.virtual_time import VirtualClock
from tasks.adapters.simulated_gateway.faults import ScriptedFacts
from tasks.adapters.simulated_gateway.gateway import Gateway, GatewayWorld
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.order_book import PlacedOrders
from tasks.runtime import World
from tests.tasks.adapters.gateways import RunningGateway, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("FUND_CAMPAIGN") != "1", reason="the campaign is asked for by FUND_CAMPAIGN=1"
    ),
]
DAY, CLIENT = "2026-11-20", 1


def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The record of one day of a new fund."""
    monkeypatch.setenv("FUND_HOME", str(home))
    told = home.with_suffix(".json")
    arguments = [
        "run",
        "--without-prefect",
        "--date",
        DAY,
        "--profile",
        "fund",
        "--seed",
        "7",
        "--report",
        "none",
    ]
    assert main([*arguments, "--json", str(told)]) == 0
    found = json.loads(told.read_text())
    return found[0] if isinstance(found, list) else found


def gateway_of(world: World) -> Gateway:
    """A gateway in front of the world's own account."""
    broker = world.broker
    facts, placed = ScriptedFacts(world.facts), PlacedOrders(None)
    placed.load(broker)
    listing = Listing(universe=world.universe, facts=facts, venues=load_venues(), chains=world.panel.chains)
    return Gateway(GatewayWorld(broker=broker, listing=listing, facts=facts, placed=placed))


def line_to(gateway: RunningGateway, world: World, stack: ExitStack) -> IbkrTransport:
    clock = VirtualClock(gateway.control, CLIENT, world.broker.now)
    policy = SessionPolicy(
        account=world.account, client_id=CLIENT, is_paper=False, port=gateway.port, heartbeat_seconds=None,
        messages_per_second=0,
    )  # fmt: skip
    session = IbkrSession(policy, now=clock.now)
    stack.callback(session.close)
    session.connect()
    gateway.control.ask("hold_barriers", client_id=CLIENT)
    contracts = ContractDesk(session, lambda: world.contracts, {})
    return IbkrTransport(
        session, contracts, lambda name: world.facts.quote(name, world.broker.now), clock=clock
    )


def test_day_over_tcp_ends_with_the_book_of_the_day_in_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = run(tmp_path / "inside", monkeypatch)
    open_file = sqlite3.connect
    monkeypatch.setattr(
        "tasks.adapters.simulated_account.sqlite3",
        SimpleNamespace(**{
            **vars(sqlite3), "connect": lambda *a, **k: open_file(*a, **{**k, "check_same_thread": False}),
        }),
    )  # fmt: skip  # the gateway's thread and the day's take turns with one account
    made: dict[int, IbkrTransport] = {}
    ledger: list[str] = []
    with ExitStack() as stack:

        def connect(world: World) -> IbkrTransport:
            if id(world) not in made:
                gateway = stack.enter_context(running(lambda: gateway_of(world)))
                made[id(world)] = line_to(gateway, world, stack)
                stack.callback(
                    lambda: ledger.extend(row.child.order_ref for _, row in world.broker.state.orders.items())
                )
            return made[id(world)]

        monkeypatch.setattr(World, "connect", connect)
        over_wire = run(tmp_path / "wire", monkeypatch)
    assert len(made) == 1
    assert len(ledger) == len(set(ledger)) == len(over_wire["orders"])  # type: ignore[arg-type]
    # The wire tells times of executions in whole seconds; everything else is the same to the last digit.
    for record in (inside, over_wire):
        for fill in record["fills"]:  # type: ignore[attr-defined]
            del fill["executed_at"]
    assert over_wire == inside
