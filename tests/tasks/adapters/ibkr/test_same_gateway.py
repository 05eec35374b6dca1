"""A run trades the market that it reads as its past, at the gateway whose clock it moves; else nothing is written."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.settings import load_settings
from engine.errors import BrokerUnavailable, ConfigurationError
from flows.commands.__main__ import main
from tasks.adapters.ibkr.line import IbkrLine, LineWorld, broker_line
from tasks.adapters.ibkr.policy import SessionState
from tasks.adapters.ibkr.records import LinkChanged, News
from tasks.adapters.simulated_gateway import served
from tasks.adapters.simulated_gateway.control_client import ControlLine
from tasks.adapters.simulated_gateway.served import ServedMarket
from tasks.broker_place import BrokerPlace
from tasks.gateway import GatewayOptions, open_gateway
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.tasks.adapters.gateways import (
    ACCOUNT,
    OPENED,
    RunningGateway,
    connected,
    library_loop,
    running,
    small_world,
)
from tests.tasks.adapters.ibkr.booked import contract_book
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.test_whole_day import listen, point_to

DAY, SEED = date(2026, 11, 20), 7
PAST = date(2022, 1, 1)
"""A generated past begins with the fourth year before the one in which the account was opened: 2026 − 4."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUND_HOME", str(tmp_path_factory.mktemp("gateway")))
        options = GatewayOptions(first=OPENED, last=DAY, seed=SEED, speed=None)
        with running(lambda: open_gateway(options)) as gateway:
            yield gateway


@pytest.fixture
def home(tmp_path: Path, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    monkeypatch.delenv("FUND_SEED", raising=False)
    point_to(gateway, monkeypatch)
    return tmp_path


def test_gateway_tells_the_market_that_it_serves(gateway: RunningGateway) -> None:
    told = gateway.control.ask("status")["market"]
    assert told == {"seed": 7, "first": "2022-01-01", "store": None, "folder": None}
    assert gateway.control.served() == ServedMarket(seed=SEED, first=PAST)


@pytest.mark.parametrize(
    "command", [("run", "--mode", "paper"), ("run", "--profile", "paper", "--mode", "dry-run")]
)
def test_run_of_another_past_is_refused_before_anything_is_written(
    gateway: RunningGateway, home: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    heard = listen(gateway)
    assert main([*command, "--without-prefect", "--date", str(DAY), "--seed", "8", "--report", "none"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "expected the market generated with seed 7 from 2022-01-01, which the gateway serves" in told
    assert "found one generated with seed 8; nothing was written: give --seed 7" in told
    assert heard == []
    assert [path.name for path in home.rglob("*") if path.is_file() and path.parent.name != "cache"] == []


def test_pins_of_another_past_are_refused(home: Path) -> None:
    assert main(["contracts", "pin", "--seed", "8"]) == 2
    assert not (home / "contracts").exists()


@contextmanager
def world_at(home: Path, seed: int | None = None) -> Iterator[World]:
    world = World(
        WorldOptions(profile="paper", first=date(2027, 3, 1), last=date(2027, 3, 1), seed=seed, home=home)
    )
    try:
        yield world
    finally:
        world.close()


def test_run_without_a_seed_takes_market_and_past_of_the_gateway(home: Path) -> None:
    with world_at(home) as world:
        # A day of 2027 alone would begin its past in 2023.
        assert (world.seed, world.world_first) == (SEED, PAST)
        assert world.outside.now() == OPENED
    assert (home / "past" / f"{ACCOUNT}-{SEED}.first").read_text() == "2022-01-01\n"
    with world_at(home, SEED) as world:
        assert world.world_first == PAST


def test_past_that_this_home_keeps_from_another_date_is_refused(home: Path) -> None:
    note = home / "past" / f"{ACCOUNT}-{SEED}.first"
    note.parent.mkdir()
    note.write_text("2021-01-01\n")
    with world_at(home) as world, pytest.raises(ConfigurationError, match="found one from 2021-01-01 on"):
        world.outside.check()


def test_seed_is_one_where_no_gateway_is_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUND_IB_CONTROL_PORT", "1")  # nobody listens there, and nobody is asked
    world = World(WorldOptions(profile="fund", first=DAY, last=DAY, home=tmp_path))
    assert (world.seed, world.account) == (1, "SIM-fund-1")
    world.close()


def test_store_of_the_gateway_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digests = {"served": "aaaaaaaa1", "copy": "aaaaaaaa1", "other": "bbbbbbbb2"}
    monkeypatch.setattr(served, "store_summary", lambda path: SimpleNamespace(digest=digests[path.name]))
    at_store = ServedMarket.parse(ServedMarket.of_store(tmp_path / "served", 1).told())
    at_store.require_past(5, tmp_path / "copy")  # the seed draws nothing that a run reads
    with pytest.raises(ConfigurationError, match=rf"other \(bbbbbbbb\); .*give --store {tmp_path}/served"):
        at_store.require_past(1, tmp_path / "other")
    with pytest.raises(ConfigurationError, match=r"generated with seed 1; .*give --store"):
        at_store.require_past(1, None)
    with pytest.raises(ConfigurationError, match=r"give --seed 7 and no --store"):
        ServedMarket(seed=7, first=PAST).require_past(7, tmp_path / "other")


@pytest.mark.parametrize(
    "told", [None, [], {}, {"seed": 1, "first": None, "store": None, "folder": None}, "x"]
)
def test_gateway_that_does_not_tell_its_market_is_refused(told: object) -> None:
    with pytest.raises(ConfigurationError):
        ServedMarket.parse(told)


# ---------------------------------------------------------------- the control port is of the gateway of the orders


@contextmanager
def line_of(home: Path, trades: RunningGateway, controls: RunningGateway) -> Iterator[IbkrLine]:
    universe, sessions, _ = small_world()
    world = LineWorld(
        universe=universe, sessions=sessions, book=contract_book, pins=home, broker_zone="America/New_York",
        borrow_fee_bps_annual=Decimal(25),
    )  # fmt: skip
    place = BrokerPlace(
        account=ACCOUNT, host="127.0.0.1", port=trades.port, control_port=controls.control_port
    )
    control = ControlLine(controls.control_port, timeout=0.5)
    with closing(broker_line(place, load_settings("paper"), world, control)) as line:
        yield line


def test_control_port_of_the_gateway_of_the_orders_moves_its_time(tmp_path: Path) -> None:
    with running() as gateway, line_of(tmp_path, gateway, gateway) as line:
        until = OPENED + timedelta(seconds=3)
        assert line.come_to(until) == until
        assert gateway.gateway.now == until


@pytest.mark.parametrize("has_same_client", [False, True])
def test_control_port_of_another_gateway_is_refused_though_it_has_the_same_client(
    tmp_path: Path, has_same_client: bool
) -> None:
    client = load_settings("paper").broker.client_id
    with running() as gateway, running() as other, library_loop(), line_of(tmp_path, gateway, other) as line:
        ib = connected(other, client) if has_same_client else None
        for _ in range(2):  # it does not become right by asking again
            with pytest.raises(
                ConfigurationError, match=r"gateway.*behind the control interface.*nothing was sent"
            ):
                _ = line.transport
            with pytest.raises(ConfigurationError):
                line.come_to(OPENED + timedelta(seconds=1))
        assert (gateway.gateway.now, other.gateway.now) == (OPENED, OPENED)
        assert _asks_barriers(gateway) is _asks_barriers(other) is False
        if ib is not None:
            ib.disconnect()


@pytest.mark.parametrize("has_same_client", [False, True])
def test_reconnection_that_lands_at_another_gateway_is_no_connection(
    tmp_path: Path, has_same_client: bool
) -> None:
    client = load_settings("paper").broker.client_id
    with (
        running() as gateway,
        running() as other,
        library_loop(),
        line_of(tmp_path, gateway, gateway) as line,
    ):
        line.come_to(OPENED + timedelta(seconds=1))
        session, alarms = line._session, list[str]()
        session._alarm = alarms.append
        session.policy = replace(session.policy, port=other.port, reconnect_delays=(0.02, 0.2))
        heard = list[News]()
        session.listen(heard.append)
        gateway.control.ask("freeze")  # its port lets nobody in, and another's stands in its place
        gateway.control.ask("reset")
        eventually(lambda: session.state is not SessionState.READY, 30)
        gateway.control.ask("thaw")
        ib = connected(gateway, client) if has_same_client else None
        eventually(lambda: session.state is SessionState.FAILED, 30)
        # An attempt that comes before the end of the last one was seen there is refused for its client id alone.
        assert any("behind the control interface" in text for text in alarms)
        assert not any(isinstance(news, LinkChanged) and news.is_up for news in heard)
        with pytest.raises(BrokerUnavailable, match="every reconnection failed"):
            line.transport.next_event(OPENED + timedelta(seconds=2))
        assert (gateway.gateway.now, other.gateway.now) == (OPENED + timedelta(seconds=1), OPENED)
        assert other.control.ask("orders")["orders"] == []
        if ib is not None:
            ib.disconnect()


def test_reconnection_to_the_same_gateway_proves_itself_and_time_goes_on(tmp_path: Path) -> None:
    with running() as gateway, line_of(tmp_path, gateway, gateway) as line:
        line.come_to(OPENED + timedelta(seconds=1))
        session, words = line._session, list[str]()
        session.policy = replace(session.policy, reconnect_delays=(0.02, 0.02))
        say = session._say
        assert say is not None

        def noted(word: str) -> None:
            words.append(word)
            say(word)

        session.prove_by(noted)
        gateway.control.ask("reset")
        eventually(lambda: len(words) == 1 and session.is_ready, 30)
        assert line.come_to(OPENED + timedelta(seconds=2)) == OPENED + timedelta(seconds=2)


def _asks_barriers(gateway: RunningGateway) -> bool:
    with pytest.raises(ConfigurationError) as refused:
        gateway.control.advance(datetime.max.replace(tzinfo=OPENED.tzinfo), 77, 1)
    assert "hold_barriers" in str(refused.value)
    return bool(gateway.gateway._barriers)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n", b"[1]\n", b"\xff\xfe\n"])
def test_control_port_of_another_program_is_refused_by_name(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            line, _ = other.accept()
            with line:
                line.recv(4096)
                line.sendall(said)

        answering = threading.Thread(target=answer)
        answering.start()
        with closing(ControlLine(other.getsockname()[1])) as line:
            with pytest.raises(
                ConfigurationError, match=r"FUND_IB_CONTROL_PORT is the port of another program"
            ):
                line.started()
            answering.join()


def test_control_port_where_nobody_listens_is_told_with_what_starts_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        BrokerUnavailable, match=rf"refused; start it with `fund gateway --control-port {port}`"
    ):
        ControlLine(port)


def test_frozen_gateway_in_virtual_time_is_told_as_frozen_after_the_time_of_the_control_line(
    tmp_path: Path,
) -> None:
    with running() as gateway, line_of(tmp_path, gateway, gateway) as line:
        line.open()
        gateway.control.ask("freeze")
        before = datetime.now(OPENED.tzinfo)
        with pytest.raises(
            BrokerUnavailable, match=r"advance in 0\.5 seconds, found nothing: the gateway is frozen"
        ):
            line.come_to(OPENED + timedelta(seconds=1))
        assert datetime.now(OPENED.tzinfo) - before < timedelta(seconds=5)
        with pytest.raises(BrokerUnavailable):  # a late answer is not taken for that of the next question
            line.come_to(OPENED + timedelta(seconds=1))
        gateway.control.ask("thaw")
        with closing(ControlLine(gateway.control_port)) as usual:
            assert usual.timeout == 10.0
