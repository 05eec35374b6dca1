"""The gateway's own world: an account that goes on where it was, on a clock that only runs forward."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from ib_insync import LimitOrder, Stock

from engine.errors import ConfigurationError, StoreError
from engine.simulation.account import AccountState
from engine.simulation.journal import RecordKind
from tasks.adapters.simulated_account import NotKept, SqliteJournal
from tasks.adapters.simulated_gateway.control_client import ControlLine
from tasks.adapters.simulated_gateway.gateway import Gateway
from tasks.adapters.simulated_gateway.messages import request
from tasks.adapters.simulated_gateway.sessions import Session
from tasks.gateway import GatewayOptions, open_gateway, opened_at, scaled_clock, start_of
from tests.shared_data import REPOSITORY
from tests.tasks.adapters.gateways import connected, library_loop, running

OPENED = datetime(2026, 11, 20, 14, 40, tzinfo=UTC)
OPTIONS = GatewayOptions(first=OPENED, last=date(2026, 11, 23), speed=None)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    return tmp_path


def test_account_goes_on_where_it_was_whatever_date_is_asked_for(home: Path) -> None:
    gateway = open_gateway(OPTIONS)
    gateway.advance(OPENED + timedelta(hours=3), None)
    gateway.close()
    path = home / "gateway" / "DU1234567.sqlite"
    assert opened_at(path) == OPENED
    assert opened_at(home / "nowhere.sqlite") is None
    again = open_gateway(
        GatewayOptions(first=datetime(2026, 11, 23, tzinfo=UTC), last=date(2026, 11, 30), speed=None)
    )
    assert again.now == OPENED + timedelta(hours=3)
    # The market is the one in which the account was opened: its past begins four years before 2026.
    assert again.facts.quote("CSPX", OPENED) is not None
    again.close()
    with pytest.raises(ConfigurationError, match="seed"):
        open_gateway(GatewayOptions(first=OPENED, last=date(2026, 11, 23), seed=2, speed=None))


def test_clock_runs_at_its_speed_and_never_back() -> None:
    clock = scaled_clock(OPENED, 1000.0)
    first, second = clock(), clock()
    assert OPENED <= first <= second
    with pytest.raises(ConfigurationError, match="forward"):
        open_gateway(GatewayOptions(first=OPENED, last=date(2026, 11, 23), speed=0.0))
    assert start_of(date(2026, 11, 20)) == datetime(2026, 11, 20, tzinfo=UTC)


def placed(gateway: Gateway, session: Session, numbers: Iterable[int]) -> None:
    for number in numbers:
        record = {
            "order_id": str(number), "con_id": str(gateway.listing.number("CSPX")), "symbol": "CSPX",
            "security_type": "STK", "exchange": "SMART", "currency": "USD", "action": "BUY", "quantity": "1",
            "order_type": "LMT", "limit_price": "300", "tif": "DAY", "transmit": "1",
        }  # fmt: skip
        gateway.receive(session, request("place_order", record, 176))


def test_orders_that_came_at_once_are_kept_together_and_none_when_one_can_not_be(home: Path) -> None:
    gateway = open_gateway(OPTIONS)
    session = gateway.open_session(176)
    gateway.receive(session, request("start_api", {"client_id": "3", "capabilities": ""}, 176))
    with gateway.world.together():
        placed(gateway, session, (1, 2))
        with closing(SqliteJournal(home / "gateway" / "DU1234567.sqlite")) as outside:
            assert outside.history(RecordKind.ORDER) == ()
    with closing(SqliteJournal(home / "gateway" / "DU1234567.sqlite")) as outside:
        assert len(outside.history(RecordKind.ORDER)) == 2

    def fail_in_part() -> None:
        with gateway.world.together():
            placed(gateway, session, (3,))
            with suppress(NotKept):
                gateway.world.placed._keep("INSERT INTO nowhere VALUES (?)", ("1",))

    with pytest.raises(StoreError, match="a part failed"):
        fail_in_part()

    def place_after_a_part_failed() -> None:
        with gateway.world.together():
            with suppress(NotKept):
                gateway.world.placed._keep("INSERT INTO nowhere VALUES (?)", ("1",))
            placed(gateway, session, (4,))

    with pytest.raises(StoreError, match="a part failed"):
        place_after_a_part_failed()
    gateway.close()
    again = open_gateway(OPTIONS)
    assert [order.child.quantity for order in again.broker.state.open_orders()] == [1, 1]
    assert again.world.placed.highest(3) == 2
    again.close()


def test_order_is_traded_by_the_real_clock_without_anybody_moving_it() -> None:
    options = GatewayOptions(first=OPENED, last=date(2026, 11, 23), speed=50.0)
    with library_loop(), running(lambda: open_gateway(options), speed=50.0) as gateway:
        client = connected(gateway)
        [contract] = client.qualifyContracts(Stock("CSPX", "SMART", "USD"))
        trade = client.placeOrder(contract, LimitOrder("BUY", 1, 2000, tif="DAY"))
        for _ in range(200):
            if trade.isDone():
                break
            client.waitOnUpdate(timeout=0.05)
        assert (trade.orderStatus.status, trade.filled()) == ("Filled", 1)
        assert trade.fills[0].commissionReport.commission > 0
        client.disconnect()


def test_market_that_is_served_is_the_one_that_the_account_trades_on() -> None:
    with library_loop(), running(lambda: open_gateway(OPTIONS)) as gateway:
        client = connected(gateway)
        [contract] = client.qualifyContracts(Stock("CSPX", "SMART", "USD"))
        [ticker] = client.reqTickers(contract)
        quote = gateway.gateway.facts.quote("CSPX", OPENED)
        assert quote is not None
        assert (Decimal(repr(ticker.bid)), Decimal(repr(ticker.ask))) == (quote.bid, quote.ask)
        bars = client.reqHistoricalData(contract, "", "3 Y", "1 day", "TRADES", True, 2)
        # Three years of weekdays without some holidays, the day that is not over included.
        assert 740 < len(bars) < 3 * 262
        assert Decimal(repr(bars[-2].close)) == gateway.gateway.facts.official_close(
            "CSPX", date(2026, 11, 19)
        )
        paid = client.reqMktData(contract, "456")
        client.reqCurrentTime()
        assert paid.dividends is not None
        client.disconnect()


def command(home: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """The command in a process of its own, and the line that says where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.commands", "gateway", "--port", "0", "--from", "2026-11-20", *options],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "FUND_HOME": str(home)},
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline()


def test_command_goes_on_where_it_was_and_ends_when_another_process_has_its_account(home: Path) -> None:
    first, told = command(home, "--clock", "real", "--speed", "3600")
    line = ControlLine(int(told.split("control: 127.0.0.1:")[1].split(";")[0]))
    lived = str(line.ask("status")["now"])
    line.close()
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    assert first.returncode == 0

    second, told = command(home, "--clock", "real", "--json")
    found = json.loads(told)
    assert found["now"] >= f"{datetime.fromisoformat(lived):%Y-%m-%d %H:%M:%S}Z"
    with closing(SqliteJournal(home / "gateway" / "DU1234567.sqlite")) as journal:
        state = AccountState.load(journal.load())
        journal.append(
            state.head.commit + 1, state.pending_records(replace(state.head, commit=state.head.commit + 1))
        )
    line = ControlLine(found["control_port"])
    with pytest.raises(ConfigurationError, match="another process"):
        line.ask("foreign_order", contract="CSPX", quantity="1", limit="300")
    line.close()
    _, said = second.communicate(timeout=30)
    assert (second.returncode, "another process drives this account" in said) == (5, True)


def test_command_serves_until_it_is_asked_to_end(home: Path) -> None:
    process, told = command(home, "--clock", "virtual")
    assert "account DU1234567 at 2026-11-20 00:00:00Z" in told
    line = ControlLine(int(told.split("control: 127.0.0.1:")[1].split(";")[0]))
    assert line.ask("status")["virtual"] is True
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "ERROR" not in said  # though a line of the control interface is open
    assert "Traceback" not in said
    line.close()
