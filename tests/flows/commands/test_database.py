import json
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.errors import ConfigurationError, InvariantError
from flows.commands.database import application
from state.database import REVISIONS, open_database


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    monkeypatch.delenv("FUND_DATABASE_URL", raising=False)
    return tmp_path


def command(*arguments: str) -> object:
    return application(list(arguments), prog_name="fund", standalone_mode=False)


def test_upgrade_creates_the_database_and_says_its_version(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert command("db", "upgrade", "--json") == 0
        assert json.loads(capsys.readouterr().out)["version"] == REVISIONS[-1]
    assert (home / "fund.sqlite").exists()


def test_verify_of_a_whole_database_finds_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_database(None, home).close()
    assert command("db", "verify") == 0
    assert "is whole: 0 rows, nothing found" in capsys.readouterr().out


def test_verify_names_the_damage_and_fails(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = open_database(None, home)
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO accounts (account, ledger_sequence) VALUES ('A', 7)"))
    database.close()
    with pytest.raises(InvariantError, match="1 findings"):
        command("db", "verify")
    assert "ledger A: expected 7 entries, found 0" in capsys.readouterr().out


def test_newer_database_is_refused(home: Path) -> None:
    database = open_database(None, home)
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(ConfigurationError, match="9999"):
        command("db", "upgrade")
