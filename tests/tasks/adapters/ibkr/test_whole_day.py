"""A whole simulated day in mode paper through the gateway and the real client: the book of the day in mode simulated.

After it, on the same account: a dry run of the next day, and the pins of every contract.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from config.settings import load_configuration
from config.universe import universe_of
from engine.carry.calendar import DayFacts
from engine.model.market import MarketInputs, Source
from flows.commands.__main__ import main
from tasks.adapters.broker_outside import BrokerOutside
from tasks.adapters.report_json import figure
from tasks.gateway import GatewayOptions, open_gateway
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.tasks.adapters.gateways import RunningGateway, running

DAY, NEXT, SEED, ACCOUNT = date(2026, 11, 19), date(2026, 11, 20), 7, "DU1234567"
MONTHLY = "execution_phase2.carry_realism.financing.posting=monthly"
"""What the profile paper has and the profile fund has not: how the broker pays interest."""

OF_ITS_OWN = {"run_id", "account", "mode", "profile", "market", "report", "config_digest"}
"""What names the run and where it was, and says nothing of the fund."""

NAMES = ("job_id", "order_ref", "execution_id", "executed_at", "arrived_at")
"""Names that follow from the account, and times of executions, which the wire tells in whole seconds."""

OF_TIMES = "unhedged_usd_seconds"
"""What follows from the times of executions: each is less than a second off, so it may differ by what traded times 1 s."""

IS_CAMPAIGN = os.environ.get("FUND_CAMPAIGN") == "1"
PLACE, CANCEL, CANCEL_ALL = "3", "4", "58"

Record = dict[str, object]


@dataclass(frozen=True)
class Readings:
    """The same market twice: as its past says, and as the broker tells it."""

    past: MarketInputs
    live: MarketInputs
    past_facts: DayFacts
    live_facts: DayFacts


@dataclass(frozen=True)
class Days:
    inside: Record
    at_gateway: Record
    ledger: list[Record]
    accepted: int
    dry: Record
    heard_dry: list[str]
    rows: tuple[dict[str, int], dict[str, int]]
    pins: tuple[Record, Record]
    readings: Readings | None
    home: Path


def run(home: Path, patch: pytest.MonkeyPatch, *more: str, day: date = DAY) -> Record:
    """The record of one day."""
    patch.setenv("FUND_HOME", str(home))
    told = home.parent / f"{home.name}-{day}.json"
    command = ["run", "--without-prefect", "--date", str(day), "--seed", str(SEED), "--report", "none"]
    assert main([*command, *more, "--json", str(told)]) == 0
    record: Record = json.loads(told.read_text())
    return record


def pin() -> Record:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main(["contracts", "pin", "--seed", str(SEED), "--json"]) == 0
    record: Record = json.loads(told.getvalue())
    return record


def point_to(gateway: RunningGateway, patch: pytest.MonkeyPatch, account: str = ACCOUNT) -> None:
    patch.setenv("FUND_IB_ACCOUNT", account)
    patch.setenv("FUND_IB_PORT", str(gateway.port))
    patch.setenv("FUND_IB_CONTROL_PORT", str(gateway.control_port))


def listen(gateway: RunningGateway) -> list[str]:
    """Numbers of all messages that a gateway receives from now on."""
    heard: list[str] = []
    receive = gateway.gateway.receive

    def hear(session: object, texts: list[str]) -> object:
        heard.append(texts[0])
        return receive(session, texts)  # type: ignore[arg-type]

    gateway.gateway.receive = hear  # type: ignore[method-assign, assignment]
    return heard


def readings(home: Path) -> Readings:
    """At the next day's decision; the second time the past is said to be a record, so that the broker is asked."""
    world = World(WorldOptions(profile="paper", first=NEXT, last=NEXT, seed=SEED, home=home))
    try:
        outside = world.outside
        assert isinstance(outside, BrokerOutside)
        outside.check()
        held = tuple(outside.snapshot(world.now).positions)
        past, past_facts = outside.inputs(NEXT, world.now, held, {}), outside.day_facts(DAY, held)
        world.past.__dict__["panel"] = replace(world.panel, generated=False)
        live, live_facts = outside.inputs(NEXT, world.now, held, {}), outside.day_facts(DAY, held)
        return Readings(past, live, past_facts, live_facts)
    finally:
        world.close()


def counted(home: Path) -> dict[str, int]:
    """How many rows each table of a book has."""
    with contextlib.closing(sqlite3.connect(home / "fund.sqlite")) as book:
        names = [name for (name,) in book.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: book.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    folder = tmp_path_factory.mktemp("days")
    opened = datetime.combine(DAY, datetime.min.time(), tzinfo=UTC)
    options = GatewayOptions(first=opened, last=date(2026, 11, 27), seed=SEED, speed=None)
    home = folder / "paper"
    with pytest.MonkeyPatch.context() as patch:
        inside = run(folder / "inside", patch, "--set", MONTHLY)
        patch.setenv("FUND_HOME", str(folder / "gateway"))
        with running(lambda: open_gateway(options)) as gateway:
            point_to(gateway, patch)
            at_gateway = run(home, patch, "--mode", "paper")
            rows = gateway.control.ask("orders")["orders"]
            accepted = gateway.call(lambda: len(gateway.gateway.broker.state.orders.items()))
            before, heard = counted(home), listen(gateway)
            dry = run(home, patch, "--profile", "paper", "--mode", "dry-run", day=NEXT)
            heard_dry = list(heard)
            pins = pin(), pin()
            read = readings(home) if IS_CAMPAIGN else None
        assert isinstance(rows, list)
        yield Days(
            inside,
            at_gateway,
            rows,
            accepted,
            dry,
            heard_dry,
            (before, counted(home)),
            pins,
            read,
            home,
        )


def shown(record: Record) -> Record:
    """A record without names, its lists in an order of their own."""
    return {key: _plain(value) for key, value in record.items() if key not in {*OF_ITS_OWN, OF_TIMES}}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in NAMES}
    if isinstance(value, list):
        return sorted((_plain(inner) for inner in value), key=lambda row: json.dumps(row, sort_keys=True))
    return value


def test_day_in_mode_paper_ends_with_the_book_of_the_day_in_mode_simulated(days: Days) -> None:
    assert days.at_gateway["mode"] == "paper"
    assert days.at_gateway["account"] == ACCOUNT
    assert len(days.at_gateway["fills"]) > 20  # type: ignore[arg-type]
    assert shown(days.at_gateway) == shown(days.inside)
    there, here = (Decimal(str(record[OF_TIMES])) for record in (days.at_gateway, days.inside))
    assert abs(there - here) < Decimal(str(figure(days.inside, "costs.traded_usd")))  # type: ignore[arg-type]


def test_every_child_order_stands_once_in_the_gateways_own_ledger(days: Days) -> None:
    sent = sorted(row["order_ref"] for row in days.at_gateway["orders"])  # type: ignore[attr-defined]
    assert sorted(str(row["reference"]) for row in days.ledger) == sent
    assert len(set(sent)) == len(sent) == days.accepted
    with contextlib.closing(sqlite3.connect(days.home / "fund.sqlite")) as book:
        kept = dict(book.execute("SELECT order_ref, perm_id FROM orders WHERE perm_id IS NOT NULL"))
    assert kept == {str(row["reference"]): str(row["permanent"]) for row in days.ledger}


def test_dry_run_decides_on_a_copy_of_the_book_and_writes_no_order_byte(days: Days) -> None:
    assert (days.dry["mode"], days.dry["status"]) == ("dry-run", "COMPLETED")
    assert days.dry["trade_date"] == str(NEXT)
    positions = {
        row["contract_id"]: row["quantity"] for row in days.dry["positions"] if row["quantity"] != "0"
    }  # type: ignore[attr-defined]
    held = {
        row["contract_id"]: row["quantity"] for row in days.at_gateway["positions"] if row["quantity"] != "0"
    }  # type: ignore[attr-defined]
    assert positions == held
    assert days.dry["jobs"]
    assert days.heard_dry
    assert {PLACE, CANCEL, CANCEL_ALL} & set(days.heard_dry) == set()
    before, after = days.rows
    assert after == before
    assert (days.home / "dry-run" / "fund.sqlite").exists()


def test_pins_name_every_instrument_once_and_pinning_again_changes_nothing(days: Days) -> None:
    first, second = days.pins
    universe = universe_of(load_configuration("paper").settings)
    wanted = {row.instrument_id for row in universe if not row.is_option}
    pinned = first["pinned"]
    assert isinstance(pinned, dict)
    assert {name.partition("_")[0] for name in pinned} >= wanted
    numbers = [str(text).split()[0] for text in pinned.values()]
    assert len(set(numbers)) == len(numbers)
    assert first["refused"] == {}
    assert second["pinned"] == pinned
    assert second["added"] == []


@pytest.mark.slow
@pytest.mark.skipif(not IS_CAMPAIGN, reason="the campaign is asked for by FUND_CAMPAIGN=1")
def test_closes_and_chains_that_the_broker_tells_are_those_that_the_market_recorded(days: Days) -> None:
    assert days.readings is not None
    told, recorded = days.readings.live, days.readings.past
    options = {name for name in recorded.marks if "_OPT_" in name}
    assert {mark.source for mark in told.marks.values()} == {Source.IBKR}
    assert set(told.marks) == set(recorded.marks) - options
    for name, mark in told.marks.items():
        assert replace(mark, source=recorded.marks[name].source) == recorded.marks[name]
    assert told.chains == recorded.chains
    # Rates are those of now and not of the end of yesterday: half a percent is more than a night moves them here.
    for currency in ("EUR", "GBP", "CHF"):
        assert abs(told.fx.get_rate(currency, "USD") / recorded.fx.get_rate(currency, "USD") - 1) < Decimal(
            "0.005"
        )
    assert np.array_equal(told.history.returns, recorded.history.returns, equal_nan=True)
    assert days.readings.live_facts == days.readings.past_facts
    assert len(days.readings.live_facts.closes) > 20
    assert {name for name, info in told.borrow.items() if info.available_shares > 0}
