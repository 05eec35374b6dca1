"""Live code never reaches Yahoo (DATA-02): not by an import, not by a name that it looks up, not when a quote is missing."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source_tree import dotted_name, modules
from tests.shared_data import REPOSITORY

RESEARCH = ("flows.research", "tasks.research", "tasks.adapters.yahoo")

BANNED = '''
import importlib, os, sys

class Ban:
    """Refuses the library and whatever of ours would stand for it."""
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "yfinance" or name == "tasks.adapters.yahoo":
            raise ImportError(f"banned: {name}")

def no_yahoo(event, given):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect"):
        if "yahoo" in str(given).lower():
            raise ConnectionError(f"banned: {event} {given}")

sys.meta_path.insert(0, Ban())
sys.addaudithook(no_yahoo)
'''

TRADING_DAY = (
    BANNED
    + """
for name in sys.argv[1].split(","):
    importlib.import_module(name)

from flows.commands.__main__ import main
from tests.tasks.adapters.gateways import running

with running() as gateway:  # another account than its own: the run ends once it has met the broker
    os.environ.update(FUND_IB_PORT=str(gateway.port), FUND_IB_CONTROL_PORT=str(gateway.control_port))
    print("run ended with", main(["run", "--mode", "paper", "--date", "2026-11-20", "--without-prefect"]))
assert "tasks.adapters.ibkr.market_data" in sys.modules

from tests.tasks.adapters.ibkr.desks import market_rig
from tests.tasks.adapters.ibkr.market_gateway import fails

with market_rig(answer_seconds=0.1) as one:
    one.gateway.told = {"CSPX": [fails(354)], "EUR.USD": []}
    print("quotes", one.desk.quote("CSPX"), dict(one.desk.quotes(["CSPX", "EUR.USD"])))
    print("rates", dict(one.desk.fx(one.clock.now(), ["EUR"]).rates))
print("yfinance" in sys.modules)
"""
)


def live_modules() -> list[str]:
    return [name for name in map(dotted_name, modules("flows", "tasks")) if not name.startswith(RESEARCH)]


def test_live_market_data_no_yahoo_fallback(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", TRADING_DAY, ",".join(live_modules())],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300,
        env={"PATH": "/usr/bin:/bin", "FUND_HOME": str(tmp_path), "FUND_IB_ACCOUNT": "DU7654321", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "banned" not in answer.stdout + answer.stderr
    said = answer.stdout.splitlines()
    assert said[-3:] == ["quotes None {}", "rates {}", "False"]
    assert "run ended with 2" in said
    assert "expected the account DU7654321" in answer.stderr, "the run came as far as the broker"


@pytest.mark.parametrize(
    "what",
    [
        "import yfinance",
        "import tasks.adapters.yahoo",
        "import socket; socket.getaddrinfo('query1.finance.yahoo.com', 443)",
    ],
)
def test_ban_sees_what_it_should(what: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", BANNED + what], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "banned: " in answer.stderr


def test_no_live_module_names_yahoo_as_a_place_to_go() -> None:
    for path in modules("flows", "tasks"):
        if dotted_name(path).startswith(RESEARCH):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not [text for text in texts if "yahoo.com" in text.lower() or text == "yfinance"], path


def test_contract_over_the_imports_has_no_exception() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]
    [contract] = [row for row in settings["contracts"] if row["id"] == "live-never-yahoo"]
    assert contract["type"] == "forbidden"
    assert contract["forbidden_modules"] == ["yfinance"]
    assert not {"ignore_imports", "allow_indirect_imports"} & set(contract)
    sources = contract["source_modules"]
    assert {"flows.commands", "tasks.runtime", "tasks.adapters.ibkr"} <= set(sources)
    covered = {name for name in live_modules() if name.startswith("flows.")}
    assert {name for name in covered if not name.startswith(tuple(sources))} == set(), (
        "a flow stands in no contract"
    )
