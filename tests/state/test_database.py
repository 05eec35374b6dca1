import subprocess
import sys
import threading
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlalchemy.exc import IntegrityError

from engine.errors import ConfigurationError
from engine.model.context import RunStatus
from state.database import (
    MIGRATIONS,
    REVISIONS,
    Database,
    is_empty,
    migrate,
    open_database,
    schema_version,
    upgrade,
)
from state.records import RecordStore
from state.run_references import comparison
from state.runs import RunStore
from state.tables import metadata
from tests.shared_data import REPOSITORY
from tests.state.builders import NOW, make_key

Shape = dict[str, object]
NINE = "2024-03-05T09:00:00.000000Z"


def shape(database: Database) -> Shape:
    """Everything that the database says about its tables."""
    with database.read() as connection:
        inspector = inspect(connection)
        return {
            table: {
                "columns": [
                    {**column, "type": str(column["type"])} for column in inspector.get_columns(table)
                ],
                "key": inspector.get_pk_constraint(table),
                "foreign": sorted(map(str, inspector.get_foreign_keys(table))),
                "unique": sorted(map(str, inspector.get_unique_constraints(table))),
                "checks": sorted(map(str, inspector.get_check_constraints(table))),
                "indexes": sorted(map(_index_text, inspector.get_indexes(table))),
            }
            for table in sorted(inspector.get_table_names())
        }


def _index_text(index: ReflectedIndex) -> str:
    """An index of some rows in words: the condition is an object that is like no other."""
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return f"{index['name']} {index['column_names']} {index['unique']} {options}"


def to_version(database: Database, version: str) -> None:
    with database.transaction() as connection:
        migrate(connection, version)


def _migrate_and_fail(database: Database) -> None:
    with database.transaction() as connection:
        migrate(connection, "0001")
        raise ZeroDivisionError


def _insert_and_fail(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO accounts (account) VALUES ('A')"))
        raise ZeroDivisionError


def test_revisions_are_those_of_the_migrations() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == REVISIONS


def test_created_database_equals_the_migrated_one(database: Database) -> None:
    created = shape(database)
    to_version(database, "base")
    assert set(shape(database)) == {"alembic_version"}
    to_version(database, REVISIONS[-1])
    assert shape(database) == created


def test_database_has_no_difference_from_the_tables_of_the_code(database: Database) -> None:
    with database.read() as connection:
        options = {"include_object": comparison(connection.dialect.name)}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_filled_database_goes_down_and_up_and_keeps_what_stays(database: Database) -> None:
    RunStore(database).claim(make_key(), NOW, "code", "config")
    to_version(database, "0001")
    assert schema_version(database) == "0001"
    assert upgrade(database) == REVISIONS[-1]
    assert [run.key for run in RunStore(database).runs()] == [make_key()]
    to_version(database, "base")
    assert upgrade(database) == REVISIONS[-1] or schema_version(database) == REVISIONS[-1]
    assert RunStore(database).runs() == ()


def test_comparisons_keep_their_breaks_when_their_time_comes_into_the_key(database: Database) -> None:
    run_id = RunStore(database).claim(make_key(), NOW, "code", "config").run_id
    to_version(database, "0006")
    with database.transaction() as connection:
        told = "INSERT INTO reconciliations (run_id, attempt, at, outcome, nav, payload) VALUES "
        connection.execute(
            text(f"{told} (:run, 1, :at, 'HALT', 5000000, :no)"), {"run": run_id, "at": NINE, "no": b"\x00{}"}
        )
        told = "INSERT INTO recon_breaks (run_id, attempt, kind, subject, severity, note) VALUES "
        connection.execute(text(f"{told} (:run, 1, 'cash-break', 'USD', 'HALT', 'why')"), {"run": run_id})
    to_version(database, "0007")
    records = RecordStore(database)
    (whole,) = records.rows("reconciliations")
    (found,) = records.rows("recon_breaks")
    assert (whole["outcome"], whole["nav"], whole["difference_fraction"]) == ("HALT", Decimal(5), None)
    assert (found["subject"], found["note"], found["at"]) == ("USD", "why", whole["at"])

    records.save("reconciliations", [{**whole, "at": NOW + timedelta(days=1), "outcome": "PASS"}])
    to_version(database, "0006")
    with database.read() as connection:
        assert connection.execute(text("SELECT outcome FROM reconciliations")).scalars().all() == ["PASS"]
        assert connection.execute(text("SELECT count(*) FROM recon_breaks")).scalar() == 0


def test_opening_an_older_database_brings_it_up(
    database: Database, address: str | None, tmp_path: Path
) -> None:
    to_version(database, "0002")
    opened = open_database(address, tmp_path)
    assert schema_version(opened) == REVISIONS[-1]
    opened.close()


def test_newer_schema_is_refused_and_named(database: Database, address: str | None, tmp_path: Path) -> None:
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=rf"{REVISIONS[-1]}.*9999.*update the program"):
        open_database(address, tmp_path)


def test_failed_migration_leaves_the_old_version(database: Database) -> None:
    before = shape(database)
    with pytest.raises(ZeroDivisionError):
        _migrate_and_fail(database)
    assert shape(database) == before


def test_unfinished_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        _insert_and_fail(database)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM accounts")).scalar() == 0


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(text("INSERT INTO control (account, state) VALUES ('nobody', 'ACTIVE')"))


def test_sqlite_is_set_to_lose_nothing(tmp_path: Path) -> None:
    database = open_database(None, tmp_path)
    with database.read() as connection:
        found = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    database.close()
    assert found == ["wal", 2, 1]


def test_home_with_spaces_and_signs_is_usable(tmp_path: Path) -> None:
    home = tmp_path / "a home?with #signs % and spaces"
    open_database(None, home).close()
    assert (home / "fund.sqlite").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "no such address"),
        ("mysql://host/fund", "found 'mysql'"),
        ("postgresql+psycopg2://nobody@127.0.0.1:1/fund", "check FUND_DATABASE_URL"),
    ],
)
def test_impossible_address_is_refused_with_one_paragraph(tmp_path: Path, url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        open_database(url, tmp_path)


def test_password_never_stands_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_database("postgresql+psycopg2://me:tellnobody@127.0.0.1:1/fund", tmp_path)
    assert "tellnobody" not in str(caught.value)


def test_opening_a_current_database_imports_no_alembic_and_is_fast(tmp_path: Path) -> None:
    open_database(None, tmp_path).close()
    program = (
        "import sys, time; from pathlib import Path; from state.database import open_database;"
        f"start = time.perf_counter(); open_database(None, Path({str(tmp_path)!r})).close();"
        "print('alembic' in sys.modules, time.perf_counter() - start)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    imported, seconds = result.stdout.split()
    assert imported == "False"
    assert float(seconds) < 1  # 30 ms on an idle machine


def test_database_created_by_several_at_once_is_created_once(
    empty_address: str | None, tmp_path: Path
) -> None:
    failures: list[BaseException] = []

    def create() -> None:
        try:
            open_database(empty_address, tmp_path).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    database = open_database(empty_address, tmp_path)
    assert schema_version(database) == REVISIONS[-1]
    database.close()


def test_looking_whether_there_is_a_book_makes_none(empty_address: str | None, tmp_path: Path) -> None:
    assert is_empty(empty_address, tmp_path / "home")
    assert list(tmp_path.iterdir()) == []
    open_database(empty_address, tmp_path / "home").close()
    assert not is_empty(empty_address, tmp_path / "home")


def test_file_without_anything_in_it_is_no_book(tmp_path: Path) -> None:
    (tmp_path / "fund.sqlite").touch()
    assert is_empty(None, tmp_path)


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fund.sqlite").write_bytes(b"a shopping list, long enough to fill a page" * 200)
    for look in (is_empty, open_database):
        with pytest.raises(ConfigurationError, match=r"fund\.sqlite, found: file is not a database"):
            look(None, tmp_path)


def test_empty_address_is_the_file_in_the_home(tmp_path: Path) -> None:
    open_database("", tmp_path).close()
    assert not is_empty("", tmp_path)
    assert (tmp_path / "fund.sqlite").exists()


def test_reader_does_not_wait_for_a_writer(database: Database) -> None:
    with database.transaction() as writer:
        writer.execute(text("INSERT INTO accounts (account) VALUES ('A')"))
        start = time.perf_counter()
        with database.read() as reader:
            assert reader.execute(text("SELECT count(*) FROM accounts")).scalar() == 0
        assert time.perf_counter() - start < 5


def test_run_of_an_upgraded_book_can_be_taken_over(database: Database) -> None:
    """The states that a run may have are those of the code, also in a book that an older version has made."""
    to_version(database, "0011")
    to_version(database, REVISIONS[-1])
    runs, key = RunStore(database), make_key()
    first = runs.claim(key, NOW, "code", "config")
    runs.finish(first.run_id, RunStatus.FAILED, NOW, b"", first.attempt)
    taken = runs.claim(key, NOW + timedelta(minutes=5), "code", "config")
    assert (taken.is_owner, taken.attempt) == (True, 2)
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(text("UPDATE runs SET status = 'LOST'"))
