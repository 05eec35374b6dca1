"""The gateway under a second client library, unmodified and in an environment of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tasks.gateway import scaled_clock
from tests.second_client import second_client_python
from tests.shared_data import REPOSITORY
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, RunningGateway, make_gateway, running, small_world

SCRIPT = REPOSITORY / "tests/tasks/adapters/ib_async_client.py"


@pytest.fixture(scope="module")
def python() -> Path:
    return second_client_python()


@pytest.fixture(scope="module")
def session(python: Path) -> tuple[dict[str, Any], Decimal]:
    """What the client saw, and what the gateway's own account paid."""
    small_world()
    clock = scaled_clock(OPENED, 1.0)
    with running(lambda: make_gateway(clock=clock)) as gateway:
        return seen_by(python, gateway), paid(gateway)


def seen_by(python: Path, gateway: RunningGateway, *more: str) -> dict[str, Any]:
    """What the client's session prints."""
    command = [python, "-I", SCRIPT, str(gateway.port), *more]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def paid(gateway: RunningGateway) -> Decimal:
    """What the executions cost with their commissions, by the gateway's own list."""
    total = Decimal(0)
    for fill in gateway.gateway.broker.executions():
        assert fill.commission is not None
        total += fill.quantity * fill.price + fill.commission
    return total


def test_neither_library_is_in_the_other_ones_environment(session: tuple[dict[str, Any], Decimal]) -> None:
    seen, _ = session
    assert seen["has_ib_insync"] is False
    assert importlib.util.find_spec("ib_async") is None


def test_contracts_are_named_and_the_chain_of_a_future_is_whole(
    session: tuple[dict[str, Any], Decimal],
) -> None:
    seen, _ = session
    assert (seen["version"], seen["accounts"]) == (176, [ACCOUNT])
    assert seen["cspx"][0] > 0
    assert seen["cspx"][1] == "LSEETF"
    listed = [row.last_trade_date for row in small_world()[2].panel.chains["ES"]]
    alive = [
        f"{day:%Y%m%d}"
        for day in sorted(day for day in listed if day is not None and day >= date(2026, 11, 20))
    ]
    assert seen["chain"] == alive
    assert set(seen["multipliers"]) == {"50"}


def test_quotes_are_those_of_the_exchange(session: tuple[dict[str, Any], Decimal]) -> None:
    seen, _ = session
    quote = small_world()[2].quote("CSPX", OPENED)
    assert quote is not None
    bid, ask = seen["quote"]
    assert 0 < bid < ask
    assert abs(Decimal(repr(bid)) / quote.mid - 1) < Decimal(
        "0.01"
    )  # the session began some seconds after the opening
    assert 0 < seen["future"][0] < seen["future"][1]
    assert seen["type"] == 1


def test_order_fills_another_is_cancelled_and_the_account_paid_for_it(
    session: tuple[dict[str, Any], Decimal],
) -> None:
    seen, cost = session
    status, filled, prices = seen["bought"]
    assert (status, filled) == ("Filled", 7)
    assert all(price <= seen["quote"][1] * 1.01 + 0.01 for price in prices)
    assert all(commission > 0 and currency == "USD" for commission, currency in seen["commission"])
    assert seen["resting"] == ["Cancelled", 0, []]
    assert list(seen["positions"].values()) == [7]
    assert set(seen["executions"]) == {"SECOND.1"}
    assert set(seen["completed"]) == {"SECOND.1", "SECOND.2"}
    before, after = Decimal(seen["cash_before"]), Decimal(seen["cash_after"])
    # The wire tells cash to the cent.
    assert abs(before - after - cost) <= Decimal("0.01")


@pytest.mark.parametrize("version", [177, 178])
def test_order_trades_at_the_versions_that_only_this_client_knows(python: Path, version: int) -> None:
    clock = scaled_clock(OPENED, 1.0)
    quote = small_world()[2].quote("CSPX", OPENED)
    assert quote is not None
    limit = f"{quote.mid * Decimal('1.02'):.0f}"  # whole dollars are on every grid of prices
    with running(lambda: make_gateway(clock=clock), version=version) as gateway:
        seen = seen_by(python, gateway, limit)
    status, filled, _ = seen["bought"]
    assert (seen["version"], status, filled) == (version, "Filled", 7)
    assert {ref for ref, _ in seen["executions"]} == {"SECOND.3"}
    assert seen["completed"] == [["SECOND.3", ACCOUNT, "Filled"]]
