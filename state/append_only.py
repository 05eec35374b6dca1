"""Tables whose rows are written once: the database itself refuses to change or remove one."""

from __future__ import annotations

from sqlalchemy import Connection, Table, event, text

APPEND_ONLY = ("ledger_entries", "ledger_lines")
EVIDENCE = "order_evidence"
WRITTEN_ONCE = (*APPEND_ONLY, EVIDENCE)
REFUSAL = "rows of the ledger never change; post a reversal"
EVIDENCE_REFUSAL = "what was known of an order never changes; add what is known now"


def statements(table: str, dialect: str) -> tuple[str, ...]:
    """What makes a table append-only on ``postgresql`` or ``sqlite``; a dropped table takes it along."""
    refusal = EVIDENCE_REFUSAL if table == EVIDENCE else REFUSAL
    if dialect == "postgresql":
        function = "fund_refuse_evidence_change" if table == EVIDENCE else "fund_refuse_change"
        return (
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION '{refusal}'; END $$",
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {function}()",
        )
    return tuple(
        f"CREATE TRIGGER {table}_refuse_{act.lower()} BEFORE {act} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        for act in ("UPDATE", "DELETE")
    )


def removal(table: str, dialect: str) -> tuple[str, ...]:
    """What lets rows of a table be changed again: only a migration may."""
    if dialect == "postgresql":
        return (f"DROP TRIGGER {table}_append_only ON {table}",)
    return tuple(f"DROP TRIGGER {table}_refuse_{act}" for act in ("update", "delete"))


def unprotected(connection: Connection, table: str) -> bool:
    """Whether somebody took the refusal away."""
    if connection.dialect.name == "postgresql":
        wanted = text(
            "SELECT count(*) FROM pg_trigger WHERE tgname = :name AND tgenabled <> 'D'"
            " AND tgrelid = to_regclass(:table)"
        )
        return connection.execute(wanted, {"name": f"{table}_append_only", "table": table}).scalar() != 1
    wanted = text("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
    return connection.execute(wanted, {"table": table}).scalar() != 2


def keep_append_only(table: Table) -> None:
    """Create a table with its refusal."""

    def protect(target: Table, connection: Connection, **_: object) -> None:
        for statement in statements(target.name, connection.dialect.name):
            connection.execute(text(statement))

    event.listen(table, "after_create", protect)
