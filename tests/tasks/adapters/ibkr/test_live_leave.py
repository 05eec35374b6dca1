"""Mode live at a gateway: without leave nothing is even connected, and leave that ended stops the next order.

A simulated gateway's control port, and with it a generated past, is refused by name before anything is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.errors import RefusedError
from engine.model.context import Mode, RunKind
from engine.model.orders import ChildOrder, OrderType, Side, order_reference
from engine.ports import Permission
from flows.commands.__main__ import main
from flows.planning import RunRequest
from flows.trading_days import day_progress, drive
from tasks.adapters.ibkr.errors import NotWritten
from tasks.arming import arm_path
from tasks.day import TradingDay, run_key
from tasks.gateway import GatewayOptions, open_gateway
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.tasks.adapters.gateways import RunningGateway, running
from tests.tasks.adapters.ibkr.test_whole_day import PLACE, listen, point_to

ACCOUNT, DAY, KEY = "U7654321", date(2026, 11, 20), "a secret that nobody guesses"
OPENED = datetime(2026, 11, 20, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Live:
    gateway: RunningGateway
    heard: list[str]
    home: Path


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    options = GatewayOptions(first=OPENED, last=DAY, account=ACCOUNT, profile="live", seed=7, speed=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUND_HOME", str(folder / "gateway"))
        patch.setenv("FUND_ARM_KEY", KEY)
        with running(lambda: open_gateway(options)) as gateway:
            patch.setenv("FUND_HOME", str(folder / "fund"))
            point_to(gateway, patch, ACCOUNT)
            patch.delenv("FUND_IB_CONTROL_PORT")
            yield Live(gateway, listen(gateway), folder / "fund")


def armed(live: Live, hours: int = 1, port: int | None = None) -> int:
    until = f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}"
    wanted = live.gateway.port if port is None else port
    return main(["arm", "--account", ACCOUNT, "--port", str(wanted), "--until", until])


def run_live(*more: str) -> int:
    command = ["run", "--mode", "live", "--without-prefect", "--date", str(DAY), "--report", "none"]
    return main([*command, *more])


def require_untouched(live: Live) -> None:
    """Nothing was said to the gateway, no book was made, and no past was drawn."""
    assert live.heard == []
    assert not (live.home / "fund.sqlite").exists()
    assert not (live.home / "past").exists()


def child(number: int) -> ChildOrder:
    return ChildOrder(
        order_ref=order_reference(f"intent {number}", 1), intent_id=f"intent {number}", attempt=1, contract_id="CSPX",
        side=Side.BUY, quantity=Decimal(1), order_type=OrderType.LIMIT, limit_price=Decimal(100),
        time_in_force="DAY", good_till=OPENED + timedelta(hours=1),
    )  # fmt: skip


@contextlib.contextmanager
def world_of(live: Live) -> Iterator[World]:
    """A live world at the simulated gateway: clock and past of it, which it refuses to be given, are put in by hand."""
    world = World(WorldOptions(profile="live", first=DAY, last=DAY, store=live.home, seed=7, home=live.home))
    assert world.place is not None
    world.place = replace(world.place, control_port=live.gateway.control_port)
    world.options = replace(world.options, store=None)
    try:
        yield world
    finally:
        world.close()


def refusal(live: Live) -> str:
    """What a run of the day is refused with, its dates planned and its world opened."""
    request = RunRequest(
        profile="live", mode="live", first=DAY, last=DAY, days=None, store=None, seed=7, fault=None, overrides=(),
        report="none", with_prefect=False,
    )  # fmt: skip
    with (
        world_of(live) as world,
        day_progress(None) as progress,
        pytest.raises(RefusedError) as refused,
    ):
        drive(world, request, (DAY,), None, progress)
    assert refused.value.exit_status == 5
    return str(refused.value)


def test_live_run_without_leave_is_refused_before_a_byte_is_written(live: Live) -> None:
    assert f"leave to trade {ACCOUNT} live on port {live.gateway.port}, found no leave" in refusal(live)
    assert armed(live, port=live.gateway.port + 1) == 0
    assert f"port {live.gateway.port + 1} instead of {live.gateway.port}" in refusal(live)
    arm_path(live.home, ACCOUNT).write_bytes(b"[" * 9_000)
    assert "that can not be read (RecursionError)" in refusal(live)
    require_untouched(live)


def test_live_run_with_a_control_port_is_refused_before_anything_is_opened(
    live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert armed(live) == 0
    monkeypatch.setenv("FUND_IB_CONTROL_PORT", str(live.gateway.control_port))
    for more in ((), ("--seed", "7")):
        assert run_live(*more) == 2
        assert f"no FUND_IB_CONTROL_PORT for mode live, found {live.gateway.control_port}" in _told(capsys)
    assert main(["contracts", "pin", "--profile", "live", "--seed", "7"]) == 2
    assert "no FUND_IB_CONTROL_PORT for mode live" in _told(capsys)
    require_untouched(live)


@pytest.mark.parametrize("seed", [(), ("--seed", "7")])
def test_live_run_on_a_generated_past_is_refused_before_anything_is_opened(
    live: Live, seed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert armed(live) == 0
    assert run_live(*seed) == 2
    assert f"expected --store for the account {ACCOUNT}" in _told(capsys)
    require_untouched(live)


def test_order_of_real_money_leaves_while_there_is_leave_and_not_after(live: Live) -> None:
    assert armed(live) == 0
    with world_of(live) as world:
        assert world.mode is Mode.LIVE
        world.require_leave()
        line = world.connect()
        line.send(child(1))
        assert line.next_event(OPENED + timedelta(seconds=2)) is not None
        assert live.heard.count(PLACE) == 1
        arm_path(live.home, ACCOUNT).unlink()
        with pytest.raises(NotWritten, match="found no leave"):
            line.send(child(2))
        with pytest.raises(RefusedError, match="found no leave"):
            world.require_leave()
        line.cancel(child(1).order_ref)
        assert line.next_event(OPENED + timedelta(seconds=4)) is not None
    assert live.heard.count(PLACE) == 1
    [row] = live.gateway.control.ask("orders")["orders"]  # type: ignore[misc]
    assert row["reference"] == child(1).order_ref


def test_day_of_real_money_has_its_gate_open_only_while_there_is_leave(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    assert armed(live) == 0
    with world_of(replace(live, home=tmp_path)) as world:
        day = TradingDay(world, run_key(world, DAY, RunKind.EXECUTION), OPENED)
        assert day.orders.permission() is Permission.ALL
        arm_path(tmp_path, ACCOUNT).unlink()
        for _ in range(2):
            assert day.orders.permission() is Permission.HALTED
        [alert] = world.records.rows("alerts", account=ACCOUNT)
        assert "no order leaves any more" in str(alert["message"])
        assert "found no leave" in str(alert["message"])


def test_leave_is_shown_and_taken_back_on_the_command_line(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["arm", "--account", ACCOUNT, "--port", str(live.gateway.port)]
    assert armed(live, hours=24 * 32) == 2
    assert main(asked) == 5
    assert armed(live) == 0
    _told(capsys)
    assert main(asked) == 0
    shown = _told(capsys)
    assert f"{ACCOUNT} may be traded live on port {live.gateway.port} until" in shown
    assert main([*asked, "--end"]) == 0
    assert main(asked) == 5
    assert KEY not in shown + _told(capsys)


def _told(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, on one line."""
    caught = capsys.readouterr()
    return " ".join((caught.out + caught.err).split())
