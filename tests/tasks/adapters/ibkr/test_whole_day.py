"""A whole simulated day in mode paper through the gateway and the real client: the book of the day in mode simulated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from flows.commands.__main__ import main
from tasks.gateway import GatewayOptions, open_gateway
from tests.tasks.adapters.gateways import RunningGateway, running

DAY, SEED, ACCOUNT = date(2026, 11, 20), 7, "DU1234567"
MONTHLY = "execution_phase2.carry_realism.financing.posting=monthly"
"""What the profile paper has and the profile fund has not: how the broker pays interest."""

OF_ITS_OWN = {"run_id", "account", "mode", "profile", "market", "report", "config_digest"}
"""What names the run and where it was, and says nothing of the fund."""

NAMES = ("job_id", "order_ref", "execution_id", "executed_at", "arrived_at")
"""Names that follow from the account, and times of executions, which the wire tells in whole seconds."""


@dataclass(frozen=True)
class TwoDays:
    inside: dict[str, object]
    at_gateway: dict[str, object]
    ledger: list[dict[str, object]]
    accepted: int


def run(home: Path, patch: pytest.MonkeyPatch, *more: str) -> dict[str, object]:
    """The record of one day of a new fund."""
    patch.setenv("FUND_HOME", str(home))
    told = home.with_suffix(".json")
    day = ["run", "--without-prefect", "--date", str(DAY), "--seed", str(SEED), "--report", "none"]
    assert main([*day, *more, "--json", str(told)]) == 0
    record: dict[str, object] = json.loads(told.read_text())
    return record


def point_to(gateway: RunningGateway, patch: pytest.MonkeyPatch, account: str = ACCOUNT) -> None:
    patch.setenv("FUND_IB_ACCOUNT", account)
    patch.setenv("FUND_IB_PORT", str(gateway.port))
    patch.setenv("FUND_IB_CONTROL_PORT", str(gateway.control_port))


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoDays]:
    folder = tmp_path_factory.mktemp("days")
    options = GatewayOptions(
        first=datetime(2026, 11, 20, tzinfo=UTC), last=date(2026, 11, 27), seed=SEED, speed=None
    )
    with pytest.MonkeyPatch.context() as patch:
        inside = run(folder / "inside", patch, "--set", MONTHLY)
        patch.setenv("FUND_HOME", str(folder / "gateway"))
        with running(lambda: open_gateway(options)) as gateway:
            point_to(gateway, patch)
            at_gateway = run(folder / "paper", patch, "--mode", "paper")
            rows = gateway.control.ask("orders")["orders"]
            accepted = gateway.call(lambda: len(gateway.gateway.broker.state.orders.items()))
        assert isinstance(rows, list)
        yield TwoDays(inside, at_gateway, rows, accepted)


def shown(record: dict[str, object]) -> dict[str, object]:
    """A record without names, its lists in an order of their own."""
    return {key: _plain(value) for key, value in record.items() if key not in OF_ITS_OWN}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in NAMES}
    if isinstance(value, list):
        return sorted((_plain(inner) for inner in value), key=lambda row: json.dumps(row, sort_keys=True))
    return value


def test_day_in_mode_paper_ends_with_the_book_of_the_day_in_mode_simulated(days: TwoDays) -> None:
    assert days.at_gateway["mode"] == "paper"
    assert days.at_gateway["account"] == ACCOUNT
    assert len(days.at_gateway["fills"]) > 20  # type: ignore[arg-type]
    assert shown(days.at_gateway) == shown(days.inside)


def test_every_child_order_stands_once_in_the_gateways_own_ledger(days: TwoDays) -> None:
    sent = sorted(row["order_ref"] for row in days.at_gateway["orders"])  # type: ignore[attr-defined]
    assert sorted(str(row["reference"]) for row in days.ledger) == sent
    assert len(set(sent)) == len(sent) == days.accepted
