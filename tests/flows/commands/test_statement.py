"""``fund simulated statement`` and ``fund statement import`` in this process, as `./fund` starts them."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from engine.simulation.faults import ForeignTrade, add_trade
from flows.commands.__main__ import main
from tests.factories import DAYS, new_world
from tests.halted_days import home_after_a_day


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    monkeypatch.delenv("FUND_DATABASE_URL", raising=False)
    return tmp_path


def test_written_statement_is_imported_and_agrees(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, day = home / "statement.xml", DAYS[0].isoformat()
    assert main(["simulated", "statement", day, "--out", str(file)]) == 0
    assert f"the statement of SIM-fund-1 for {day} to {day} is in {file}" in capsys.readouterr().out
    assert main(["simulated", "statement", day]) == 0
    assert capsys.readouterr().out == file.read_text()
    assert main(["statement", "import", str(file)]) == 0
    assert "0 were booked, 0 are left to you" in capsys.readouterr().out
    assert main(["statement", "import", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["account"], {line["outcome"] for line in told["lines"]}) == ("SIM-fund-1", {"MATCHED"})


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["statement", "import", "nothing.xml"], 2, "No such file"),
        (["statement", "import", "cut.xml"], 5, "truncated or damaged"),
        (["statement", "assign", "nothing", "core_index_rv"], 5, "found none under nothing"),
        (["statement", "assign", "nothing", "core_index_rv=much"], 2, "found core_index_rv=much"),
        (["statement", "assign", "nothing", "core_index_rv", "sector_rv"], 2, "each sleeve once"),
        (["simulated", "statement", "2026-11-20"], 2, "has lived until 2026-11-12 22:30 UTC"),
        (["simulated", "statement", "yesterday"], 2, "YYYY-MM-DD"),
    ],
)
def test_refusal_says_what_was_expected_and_found(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    told: str,
) -> None:
    monkeypatch.chdir(home)
    (home / "cut.xml").write_text("<FlexQueryResponse><FlexStatements", encoding="utf-8")
    assert main(arguments) == status
    found = " ".join(capsys.readouterr().err.split())
    assert found.startswith("fund: expected")
    assert told in found


def test_execution_of_a_lost_order_is_assigned_to_its_sleeves(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = new_world(home, DAYS[0])
    lost = ForeignTrade(contract_id="CSPX", quantity=Decimal(20), price=Decimal(640), order_ref="AF1.GONE.1")
    add_trade(world.broker, "lost", lost)
    world.broker.commit()
    name = next(fill.execution_id for fill in world.broker.executions() if fill.order_ref == "AF1.GONE.1")
    world.close()
    file = home / "statement.xml"
    assert main(["simulated", "statement", DAYS[0].isoformat(), "--out", str(file)]) == 0
    assert main(["statement", "import", str(file)]) == 0
    assert f"AF1.GONE.1 is not in our database; assign {name} to its sleeves" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main(["statement", "assign", name, "core_index_rv=15", "sector_rv=5"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "core_index_rv: +15 CSPX at 640",
        "sector_rv: +5 CSPX at 640",
    ]
