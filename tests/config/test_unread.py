"""No setting is accepted and forgotten: some code reads it, or the list of unread keys names it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.key_names import POLICY_KEYS
from config.settings import load_configuration
from config.unread import UNREAD, waits_for
from flows.commands.configuration import application
from tests.shared_data import REPOSITORY

CODE = ("engine", "state", "tasks", "flows")
READ_BESIDE_POLICIES = {
    "mode": "tasks/runtime.py",
    "fund.decision_time_utc": "tasks/runtime.py",
    "fund.close_time_utc": "tasks/runtime.py",
    "fund.domicile": "config/policies.py",
    "fund.relief_at_source": "config/policies.py",
    "execution.avoid_first_minutes_after_open": "config/universe.py",
    "execution.avoid_last_minutes_before_close": "config/universe.py",
    "execution_phase2.session_scheduler.guard_until_utc": "tasks/maintenance.py",
    "execution_phase2.session_scheduler.catch_up_minutes": "tasks/late_start.py",
    "universe.sections": "config/universe.py",
    "universe.include": "config/universe.py",
    "universe.name_lists": "config/universe.py",
    "portfolio.core_long": "config/policies.py",
    "portfolio.core_short": "config/policies.py",
    "portfolio.sector_long": "config/policies.py",
    "portfolio.sector_short": "config/policies.py",
    "portfolio.single_long": "config/policies.py",
    "portfolio.single_short": "config/policies.py",
    "portfolio.credit_weights": "config/policies.py",
    "hedges.spread": "config/policies.py",
    "hedges.volatility_future": "config/policies.py",
    "execution_safety.gate_order_pct_nav": "tasks/day.py",
    "broker.host": "tasks/broker_place.py",
    "broker.port": "tasks/broker_place.py",
    "broker.client_id": "tasks/runtime.py",
    "broker.reconnect_delays": "tasks/adapters/ibkr/line.py",
    "broker.max_reconnect_attempts": "tasks/adapters/ibkr/line.py",
    "execution_phase2.market_data.live_snapshot_timeout_ms": "tasks/adapters/ibkr/quote_quality.py",
    "execution_phase2.market_data.min_quote_quality.require_bid_ask_for_limit_pricing": (
        "tasks/adapters/ibkr/quote_quality.py"
    ),
    "execution.poll_interval_seconds": "tasks/execute.py",
    "execution.executions_poll_seconds": "tasks/execute.py",
    "reconciliation.ask_again_after_seconds": "tasks/asking.py",
    "statement.time_zone": "tasks/statement.py",
    "statement.booked": "tasks/statement.py",
    "statement.booked_cash_limit_usd": "tasks/statement.py",
}
"""Keys that become no policy field, and the module that reads each by its name."""

SAID_TWICE = {
    "max_drawdown_pct": "config/settings.py",
    "crisis.pnl_spike_threshold_pct": "config/settings.py",
    "trading_config.max_daily_loss": "config/settings.py",
    "trading_config.max_drawdown": "config/settings.py",
}
"""Keys of several documents for one limit: another key is read, and validation holds them equal."""

ONE_VALUE = {"fx.base_ccy": "EUR", "reconciliation.cash_basis": "COST_LEDGER"}
"""Keys that have one allowed value, and another that is refused."""


def leaves(tree: Mapping[str, object], path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, name))
        else:
            yield ".".join((*path, name))


KEYS = tuple(leaves(load_configuration("fund").document.data))
FIELDS = {key: field.rpartition(".")[2] for field, key in POLICY_KEYS.items()}


def read_names(path: Path) -> set[str]:
    """Names that a module takes from an object, and texts by which one may ask for them."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    taken = {
        node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    return taken | {
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


READ = {
    node.attr
    for folder in CODE
    for path in (REPOSITORY / folder).rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
}


def policy_field(key: str) -> str | None:
    """Field of the policies that carries a key, or the section that it stands in."""
    parts = key.split(".")
    places = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((FIELDS[place] for place in places if place in FIELDS), None)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_read_or_said_to_be_unread(key: str) -> None:
    field = policy_field(key)
    module = {**READ_BESIDE_POLICIES, **SAID_TWICE}.get(key)
    by_policy = field is not None and field in READ
    by_module = module is not None and key.rpartition(".")[2] in read_names(REPOSITORY / module)
    assert (by_policy or by_module or key in ONE_VALUE) is (waits_for(key) is None)


@pytest.mark.parametrize("place", UNREAD)
def test_list_of_unread_keys_names_no_key_that_is_gone(place: str) -> None:
    assert any(key == place or key.startswith(f"{place}.") for key in KEYS)


@pytest.mark.parametrize(("key", "other"), ONE_VALUE.items())
def test_key_with_one_value_refuses_another(key: str, other: str) -> None:
    result = CliRunner().invoke(
        application, ["config", "check", "--profile", "fund", "--set", f"{key}={other}"]
    )
    assert result.exit_code != 0
    assert key.rpartition(".")[2] in str(result.exception)


def test_show_says_which_keys_have_no_effect_yet() -> None:
    told = CliRunner().invoke(application, ["config", "show"]).stdout.splitlines()
    marked = {line.partition(" = ")[0] for line in told if "NO EFFECT YET" in line}
    assert marked == {key for key in KEYS if waits_for(key) is not None}
    values = json.loads(CliRunner().invoke(application, ["config", "show", "--json"]).stdout)["values"]
    assert values["signals.deadband"]["not_read_yet"] == "the signal pipeline"
    assert values["vol_target_annual"]["not_read_yet"] is None
