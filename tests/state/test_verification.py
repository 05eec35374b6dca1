import pytest
from sqlalchemy import text

from state.database import REVISIONS, Database, migrate
from state.ledger import LedgerStore
from state.orders import OrderStore
from state.runs import RunStore
from state.verification import count_rows, verify
from tests.state.builders import (
    ACCOUNT,
    DAY,
    NOW,
    make_child,
    make_deposit,
    make_fill,
    make_intent,
    make_key,
    open_orders,
)


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
    store.plan_child(child)
    store.claim(child.order_ref, intent.quantity, NOW)
    store.record_fill(make_fill(child, 40))


def test_whole_database_has_no_finding(filled: Database) -> None:
    assert verify(filled) == ()
    assert count_rows(filled) > 10


@pytest.mark.parametrize(
    ("damage", "subject", "detail"),
    [
        ("UPDATE ledger_lines SET amount = amount + 1 WHERE line = 0", "ledger", "sum to zero"),
        ("UPDATE ledger_entries SET reference = 'another'", "ledger", "altered since it was booked"),
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
