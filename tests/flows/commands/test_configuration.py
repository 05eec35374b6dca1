import json
from typing import cast

import pytest
from typer.testing import CliRunner, Result

from flows.commands.__main__ import main
from flows.commands.configuration import application


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(application, ["config", *arguments], catch_exceptions=False)


def test_check_tells_what_was_checked_in_every_profile() -> None:
    result = invoke("check")

    assert result.exit_code == 0
    assert "profile fund: mode simulated" in result.stdout
    assert "78 instruments (76 counted, 14 categories)" in result.stdout
    assert "4 profiles in order" in result.stdout


def test_check_as_json_counts_per_profile() -> None:
    results = {row["profile"]: row for row in json.loads(invoke("check", "--json").stdout)}

    assert set(results) == {"fund", "history", "paper", "live"}
    assert (results["fund"]["counted"], results["fund"]["categories"]) == (76, 14)
    assert results["live"]["mode"] == "live"


def test_show_prints_values_with_their_origin() -> None:
    result = invoke("show", "--profile", "history", "--set", "vol_target_annual=0.1")

    assert 'vol_target_annual = "0.1"  # --set vol_target_annual=0.1' in result.stdout
    assert "marks.flagged_sessions_max = 3  # settings.yaml line" in result.stdout
    assert 'fx.contracts.EUR.full = "6E"  # history.yaml line' in result.stdout


def test_show_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUND_IB_ACCOUNT", "DU1234567")

    plain, as_json = invoke("show"), invoke("show", "--json")

    assert "FUND_IB_ACCOUNT = **********" in plain.stdout
    assert "DU1234567" not in plain.stdout + as_json.stdout
    assert json.loads(as_json.stdout)["environment"]["FUND_IB_ACCOUNT"] == "**********"


def test_schema_is_json() -> None:
    schema = cast("dict[str, object]", json.loads(invoke("schema", "--json").stdout))

    assert schema["additionalProperties"] is False


def test_bad_weight_ends_with_status_2_and_one_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["config", "check", "--set", "sleeves.core_index_rv=35"])

    assert status == 2
    assert "did you mean 0.35?" in capsys.readouterr().err.replace("\n", " ")
