import pytest
from sqlalchemy import Connection, select, text, update
from sqlalchemy.exc import DatabaseError

from engine.accounting.ledger import LedgerEntry
from engine.model.encoding import digest
from state.append_only import APPEND_ONLY, removal
from state.chain import row_hash
from state.database import REVISIONS, Database, migrate
from state.ledger import LedgerStore
from state.orders import OrderStore
from state.runs import RunStore
from state.tables import accounts, ledger_entries
from state.verification import count_rows, verify
from tests.state.builders import (
    ACCOUNT,
    DAY,
    NOW,
    make_child,
    make_deposit,
    make_fill,
    make_intent,
    make_interest,
    make_key,
    open_orders,
)


def unlock(connection: Connection) -> None:
    """Do what a forger with all rights would do first."""
    for table in APPEND_ONLY:
        for statement in removal(table, connection.dialect.name):
            connection.execute(text(statement))


@pytest.fixture
def filled(database: Database) -> Database:
    store = RunStore(database)
    run_id = store.claim(make_key(), NOW, "code", "config").run_id
    store.record_step(run_id, "nav", 1, "in", b"out")
    store.record_input(run_id, "market", b"prices" * 1000)
    LedgerStore(database).post(ACCOUNT, (make_deposit(),))
    _trade(open_orders(database))
    return database


def _trade(store: OrderStore) -> None:
    intent = make_intent()
    store.save_intents(DAY, (intent,))
    child = make_child(intent)
    store.claim(child, intent.quantity, NOW)
    store.record_fill(make_fill(child, 40))


def test_whole_database_has_no_finding(filled: Database) -> None:
    assert verify(filled) == ()
    assert count_rows(filled) > 10


@pytest.mark.parametrize(
    ("damage", "subject", "detail"),
    [
        ("UPDATE ledger_lines SET amount = amount + 1 WHERE line = 0", "ledger", "sum to zero"),
        ("UPDATE ledger_entries SET reference = 'another'", "ledger", "altered since it was booked"),
        ("UPDATE ledger_entries SET kind = 'GIFT'", "ledger", "can not be an entry: 'GIFT' is not"),
        ("DELETE FROM ledger_lines WHERE sequence = 3", "ledger", "expected lines"),
        ("UPDATE accounts SET ledger_sequence = 9", "ledger", "expected 9 entries, found 3"),
        ("UPDATE run_steps SET output_digest = 'x'", "run_steps", "altered since"),
        ("UPDATE run_inputs SET digest = 'x'", "run_inputs", "altered since"),
        ("UPDATE orders SET filled = 0", "order", "executions say 40"),
        ("CREATE TABLE stranger (a INTEGER)", "schema", "stranger"),
        ("ALTER TABLE memories DROP COLUMN payload", "schema", "payload"),
    ],
)
def test_damage_is_found_and_named(filled: Database, damage: str, subject: str, detail: str) -> None:
    with filled.transaction() as connection:
        unlock(connection)
        connection.execute(text(damage))
    findings = verify(filled)
    assert any(found.subject.startswith(subject) and detail in found.detail for found in findings), findings


def test_unreadable_payload_is_found(filled: Database) -> None:
    with filled.transaction() as connection:
        connection.execute(text("UPDATE run_inputs SET payload = :damaged"), {"damaged": b"\x01damaged"})
    assert ["unpacked" in found.detail for found in verify(filled)] == [True]


def test_older_schema_is_the_only_finding(filled: Database) -> None:
    with filled.transaction() as connection:
        migrate(connection, "0002")
    (found,) = verify(filled)
    assert found.detail == f"expected version {REVISIONS[-1]}, found 0002"


# ---------------------------------------------------------------- the chain of the ledger


@pytest.fixture
def chained(database: Database) -> Database:
    """Five entries: rows 1 to 5."""
    LedgerStore(database).post(ACCOUNT, (make_deposit(),))
    LedgerStore(database).post(ACCOUNT, [make_interest(str(number)) for number in range(4)])
    return database


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET sequence = sequence", "DELETE FROM {}"])
def test_row_of_the_ledger_can_not_be_changed(chained: Database, table: str, change: str) -> None:
    with pytest.raises(DatabaseError, match="never change"), chained.transaction() as connection:
        connection.execute(text(change.format(table)))
    assert verify(chained) == ()


def test_each_row_carries_the_hash_of_the_row_before(chained: Database) -> None:
    with chained.read() as connection:
        rows = connection.execute(select(ledger_entries).order_by(ledger_entries.c.sequence)).all()
        newest = connection.execute(select(accounts.c.ledger_hash)).scalar_one()
    assert [row.previous_hash for row in rows] == ["", *(row.row_hash for row in rows[:-1])]
    assert newest == rows[-1].row_hash
    assert rows[2].row_hash == row_hash(ACCOUNT, 3, rows[1].row_hash, digest(make_interest("1")))


def _forge(connection: Connection, sequence: int, *, rehash: bool) -> None:
    """Pay 100 more of interest in one row: content, lines and digest fit; with ``rehash`` the row's hash too."""
    entry: LedgerEntry = make_interest(str(sequence - 2), "101.5")
    row = connection.execute(select(ledger_entries).where(ledger_entries.c.sequence == sequence)).one()
    for number, line in enumerate(entry.lines):
        connection.execute(
            text("UPDATE ledger_lines SET amount = :amount WHERE sequence = :sequence AND line = :line"),
            {"amount": int(line.amount * 1_000_000), "sequence": sequence, "line": number},
        )
    own = row_hash(ACCOUNT, sequence, row.previous_hash, digest(entry)) if rehash else row.row_hash
    connection.execute(
        update(ledger_entries)
        .where(ledger_entries.c.sequence == sequence)
        .values(digest=digest(entry), row_hash=own)
    )


@pytest.mark.parametrize(
    ("rehash", "told"),
    [
        (False, "row 3 (interest:1) carries a hash that is not its own"),
        (True, "row 4 (interest:2) carries the hash of another row before it"),
    ],
)
def test_forged_row_is_the_first_that_is_named(chained: Database, rehash: bool, told: str) -> None:
    with chained.transaction() as connection:
        unlock(connection)
        _forge(connection, 3, rehash=rehash)
    assert [found.detail for found in verify(chained) if found.subject.startswith("ledger")] == [told]


def test_row_that_was_taken_out_is_named(chained: Database) -> None:
    with chained.transaction() as connection:
        unlock(connection)
        for table in reversed(APPEND_ONLY):
            connection.execute(text(f"DELETE FROM {table} WHERE sequence = 2"))
    (found,) = (found for found in verify(chained) if found.subject.startswith("ledger"))
    assert found.detail == "row 2 is missing: row 3 (interest:1) stands in its place"


def test_end_that_was_cut_off_is_named_though_the_count_was_mended(chained: Database) -> None:
    with chained.transaction() as connection:
        unlock(connection)
        for table in reversed(APPEND_ONLY):
            connection.execute(text(f"DELETE FROM {table} WHERE sequence = 5"))
        connection.execute(text("UPDATE accounts SET ledger_sequence = 4"))
    (found,) = (found for found in verify(chained) if found.subject.startswith("ledger"))
    assert found.detail == "row 4 is not the last row that was booked"


def test_refusal_that_was_taken_away_is_found(chained: Database) -> None:
    with chained.transaction() as connection:
        unlock(connection)
    assert [found.detail for found in verify(chained)] == [
        f"rows of {table} can be changed: its refusal is gone" for table in APPEND_ONLY
    ]


def test_ledger_of_an_older_version_is_chained_by_its_migration(chained: Database) -> None:
    with chained.read() as connection:
        before = connection.execute(select(accounts.c.ledger_hash)).scalar_one()
    with chained.transaction() as connection:
        migrate(connection, "0004")
        migrate(connection, REVISIONS[-1])
    assert verify(chained) == ()
    with chained.read() as connection:
        assert connection.execute(select(accounts.c.ledger_hash)).scalar_one() == before
