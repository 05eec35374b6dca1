"""The import contracts only ever grow; a contract that waits for its modules is added when they come."""

import tomllib

import pytest

from tests.shared_data import REPOSITORY

PRESENT_FROM_THE_START = {
    "inward",
    "stages",
    "pure-engine",
    "yfinance-one-door",
    "live-never-yahoo",
    "ib-one-door",
    "prefect-outside",
    "acyclic",
    "sql-one-door",
    "vendors-one-door",
}

# import-linter refuses a contract over modules that do not exist: contract -> all that it needs.
WAITING = {
    "yahoo-research-only": ("tasks.adapters.yahoo", "tasks.research"),
    "research-is-a-leaf": ("tasks.research", "flows.research"),
    "research-flow-is-root": ("flows.research",),
    "adapters-via-runtime": ("tasks.adapters.ibkr", "tasks.adapters.telemetry", "tasks.runtime"),
    "research-no-broker": ("flows.research", "tasks.adapters.yahoo", "tasks.adapters.ibkr", "tasks.runtime"),
    "gateway-knows-no-client": ("tasks.adapters.simulated_gateway", "tasks.adapters.ibkr"),
}

STAGES = [
    "simulation", "report", "composition", "execution", "hedging", "roll", "sleeves", "risk", "signals", "carry",
    "accounting", "option_pricing", "kernels", "ports", "sessions", "model", "errors",
]  # fmt: skip

STEPS = (
    "maintenance", "fx", "sync", "reconcile", "roll", "nav", "risk", "targets", "hedges", "crisis", "safety",
    "precompute", "execute", "report", "calibrate", "quality",
)  # fmt: skip


def exists(module: str) -> bool:
    path = REPOSITORY.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.fixture(scope="module")
def contracts() -> dict[str, dict[str, object]]:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["id"]: contract for contract in settings["contracts"]}


def test_no_contract_is_taken_away(contracts: dict[str, dict[str, object]]) -> None:
    assert PRESENT_FROM_THE_START - set(contracts) == set()


@pytest.mark.parametrize("contract", WAITING)
def test_waiting_contract_is_added_as_soon_as_its_modules_exist(
    contract: str, contracts: dict[str, dict[str, object]]
) -> None:
    assert contract in contracts or not all(exists(module) for module in WAITING[contract])


def test_existing_steps_stand_in_the_contract_that_keeps_them_apart(
    contracts: dict[str, dict[str, object]],
) -> None:
    steps = {f"tasks.{step}" for step in STEPS if exists(f"tasks.{step}")}
    kept_apart = contracts.get("steps-independent", {"modules": []})["modules"]
    assert isinstance(kept_apart, list)
    assert steps - set(kept_apart) == set()


def test_prefect_is_kept_out_of_the_runtime_too(contracts: dict[str, dict[str, object]]) -> None:
    sources = contracts["prefect-outside"]["source_modules"]
    assert isinstance(sources, list)
    needed = {"engine", "state", "config", "tasks.adapters"}
    needed |= {"tasks.runtime"} if exists("tasks.runtime") else set()
    assert needed - set(sources) == set()


def test_engine_stages_keep_their_order_and_every_module_has_a_place(
    contracts: dict[str, dict[str, object]],
) -> None:
    layers = contracts["stages"]["layers"]
    assert isinstance(layers, list)
    order = [part.strip(" ()") for layer in layers for part in layer.split("|")]
    assert order == STAGES
    assert contracts["stages"]["exhaustive"] is True
