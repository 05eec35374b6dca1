"""What the line to the broker raises an alarm about stands in the fund's alerts, over TCP, in runs of mode paper.

A frame that nobody can read comes before the decision, when no order is alive; the line is reset at the third order of
the execution.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from unittest.mock import Mock

import pytest

from engine.errors import BrokerUnavailable
from engine.model.context import RunKind, RunStatus
from engine.model.orders import JobStatus
from flows.outcome import Outcome
from tasks.adapters.broker_outside import BrokerOutside
from tasks.adapters.ibkr.line import IbkrLine, LineWorld
from tasks.adapters.ibkr.market_data import MarketTerms
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.quote_quality import QuoteQualityConfig
from tasks.day import TradingDay
from tasks.gateway import GatewayOptions, open_gateway
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.factories import run
from tests.tasks.adapters.gateways import ACCOUNT, RunningGateway, running, small_world
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.test_whole_day import PLACE, SEED, point_to

DAY = date(2026, 11, 20)
UNREADABLE = b"\x00\x00\x00\x055\x00no\x00"


@dataclass(frozen=True)
class Runs:
    outcomes: Mapping[RunKind, Outcome]
    alerts: Sequence[Mapping[str, object]]
    writers: frozenset[int]
    working: tuple[bool, ...]

    def of(self, kind: RunKind) -> list[str]:
        return [str(row["message"]) for row in self.alerts if row["run_id"] == self.outcomes[kind].run_id]


def send_what_nobody_can_read(world: World, gateway: RunningGateway) -> None:
    """And wait until the line was made anew."""
    outside = world.outside
    assert isinstance(outside, BrokerOutside)
    [connection] = gateway.server.connections
    gateway.call(lambda: connection.write(UNREADABLE))

    def is_new() -> bool:
        try:
            outside.line.snapshot(world.now)
        except BrokerUnavailable:
            return False
        return connection not in gateway.server.connections

    eventually(is_new, 10)


def at_order(gateway: RunningGateway, mishaps: Mapping[int, Callable[[], object]]) -> None:
    """Let something happen once so many orders came."""
    receive, orders = gateway.gateway.receive, 0

    def heard(session: object, texts: list[str]) -> object:
        nonlocal orders
        answer = receive(session, texts)  # type: ignore[arg-type]
        orders += texts[0] == PLACE
        if texts[0] == PLACE and orders in mishaps:
            gateway.loop.call_soon(mishaps[orders])
        return answer

    gateway.gateway.receive = heard  # type: ignore[method-assign, assignment]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    home = tmp_path_factory.mktemp("alarms")
    opened = datetime.combine(DAY, datetime.min.time(), tzinfo=UTC)
    options = GatewayOptions(first=opened, last=date(2026, 11, 27), seed=SEED, speed=None)
    told, writers, working = TradingDay.alert, set[int](), list[bool]()

    def alert(day: TradingDay, level: str, message: str) -> None:
        writers.add(threading.get_ident())
        told(day, level, message)
        if message.startswith("broker's line") and day.key.kind is RunKind.EXECUTION:
            working.append(any(job.status is JobStatus.RUNNING for job in day.orders.jobs(trade_date=DAY)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUND_HOME", str(home / "gateway"))
        patch.setattr(TradingDay, "alert", alert)
        with running(lambda: open_gateway(options)) as gateway:
            point_to(gateway, patch)
            at_once = ("broker.reconnect_delays=[0,0,0,0,0]",)
            world = World(
                WorldOptions(
                    profile="paper", first=DAY, last=DAY, seed=SEED, home=home / "paper", overrides=at_once
                )
            )
            try:
                world.outside.check()
                send_what_nobody_can_read(world, gateway)
                outcomes = {RunKind.DECISION: run(world, DAY, RunKind.DECISION)}
                server = gateway.server
                at_order(gateway, {3: lambda: [line.hang_up(reset=True) for line in server.connections]})
                outcomes[RunKind.EXECUTION] = run(world, DAY, RunKind.EXECUTION)
                yield Runs(outcomes, world.records.rows("alerts"), frozenset(writers), tuple(working))
            finally:
                world.close()


def test_frame_that_nobody_can_read_is_an_alert_also_while_no_order_is_alive(runs: Runs) -> None:
    assert runs.outcomes[RunKind.DECISION].status is RunStatus.COMPLETED
    told = [text for text in runs.of(RunKind.DECISION) if text.startswith("broker's line, 2026-11-20 ")]
    assert sum("UTC: a message that can not be read" in text for text in told) == 1
    assert sum("UTC: the connection to the broker was lost: a message that" in text for text in told) == 1


def test_line_that_is_reset_in_mid_day_is_an_alert_of_its_run(runs: Runs) -> None:
    assert runs.outcomes[RunKind.EXECUTION].status is RunStatus.COMPLETED
    [told] = [text for text in runs.of(RunKind.EXECUTION) if text.startswith("broker's line, 2026-11-20 ")]
    assert "UTC: the connection to the broker was lost: the broker's side ended the connection" in told
    rows = [row for row in runs.alerts if str(row["message"]).startswith("broker's line")]
    assert {row["level"] for row in rows} == {"CRITICAL"}


def test_alarm_of_the_line_stands_in_the_book_while_the_window_is_still_worked(runs: Runs) -> None:
    assert runs.working == (True,)


def test_alerts_are_written_by_the_thread_of_the_run_alone(runs: Runs) -> None:
    assert runs.writers == {threading.get_ident()}


def test_line_keeps_an_alarm_until_it_stands_in_the_book(tmp_path: Path) -> None:
    universe, sessions, _ = small_world()
    world = LineWorld(
        universe=universe, sessions=sessions, book=Mock(), pins=tmp_path, broker_zone="America/New_York",
        borrow_fee_bps_annual=Decimal(150),
    )  # fmt: skip
    policy = SessionPolicy(account=ACCOUNT, client_id=7, is_paper=True)
    terms = MarketTerms(quality=QuoteQualityConfig(), borrow_fee_bps_annual=Decimal(150))
    line = IbkrLine(policy, world, terms)
    outside = BrokerOutside(line, Mock(), "account", Mock())
    for text in ("first", "second"):
        line._raise_alarm(text)
    assert [text.rpartition("UTC: ")[2] for text in outside.alarms()] == ["first", "second"]
    assert outside.alarms() == line.alarms()
    outside.alarm_kept()
    assert [text.rpartition("UTC: ")[2] for text in outside.alarms()] == ["second"]
    outside.alarm_kept()
    assert outside.alarms() == ()
    line.close()
