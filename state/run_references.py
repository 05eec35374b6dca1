"""Tables with thousands of rows a run: each row's run has to exist, and PostgreSQL asks once a statement.

Its foreign keys look for the parent of every row by itself, which costs more than writing the row. So there such a
table asks for the runs of all rows that a statement wrote, and no run may ever be removed or renamed. On SQLite the
foreign key is cheap and stays.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, ForeignKeyConstraint, MetaData, Table, event, text
from sqlalchemy.schema import SchemaItem

REFUSAL = "a run is never removed or renamed: rows of the day record name it"
_CHECK = """
CREATE OR REPLACE FUNCTION fund_require_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM (SELECT DISTINCT run_id FROM written) AS named
    WHERE NOT EXISTS (SELECT FROM runs WHERE runs.run_id = named.run_id)
  ) THEN
    RAISE foreign_key_violation USING MESSAGE = 'expected a known run in ' || TG_TABLE_NAME;
  END IF;
  RETURN NULL;
END $$
"""
_KEEP = f"""
CREATE OR REPLACE FUNCTION fund_keep_run() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE foreign_key_violation USING MESSAGE = '{REFUSAL}'; END $$
"""


_TRIGGERS = ("{table}_require_runs_insert", "{table}_require_runs_update")
_RUNS_TRIGGER = "runs_keep"


def statements(table: str) -> tuple[str, ...]:
    """What makes PostgreSQL ask for the runs of a bulk table; a dropped table takes it along."""
    return (
        _CHECK,
        *(
            f"CREATE TRIGGER {trigger.format(table=table)} AFTER {act} ON {table} REFERENCING NEW TABLE"
            " AS written FOR EACH STATEMENT EXECUTE FUNCTION fund_require_runs()"
            for trigger, act in zip(_TRIGGERS, ("INSERT", "UPDATE"), strict=True)
        ),
    )


def keeping() -> tuple[str, ...]:
    """What makes PostgreSQL keep every run."""
    return (
        _KEEP,
        f"CREATE TRIGGER {_RUNS_TRIGGER} BEFORE DELETE OR UPDATE OF run_id ON runs"
        " FOR EACH ROW EXECUTE FUNCTION fund_keep_run()",
    )


def sqlite_reference() -> ForeignKeyConstraint:
    """The foreign key of a bulk table, on SQLite alone."""
    key = ForeignKeyConstraint(["run_id"], ["runs.run_id"])
    key.ddl_if(dialect="sqlite")
    return key


def is_bulk(table: Table) -> bool:
    """Whether a table's rows are asked for their runs once a statement."""
    return bool(table.info.get("bulk"))


def comparison(dialect: str) -> Callable[..., bool]:
    """Which parts of the schema a comparison with the tables of the code looks at: foreign keys that are there."""

    def compared(part: SchemaItem, *_: object) -> bool:
        elsewhere = (
            isinstance(part, ForeignKeyConstraint) and is_bulk(part.table) and part.column_keys == ["run_id"]
        )
        return not (elsewhere and dialect == "postgresql")

    return compared


def missing_triggers(connection: Connection, metadata: MetaData) -> tuple[str, ...]:
    """Checks that somebody took away or switched off; SQLite has foreign keys instead."""
    if connection.dialect.name != "postgresql":
        return ()
    bulk = [table.name for table in metadata.tables.values() if is_bulk(table)]
    wanted = {_RUNS_TRIGGER, *(trigger.format(table=table) for table in bulk for trigger in _TRIGGERS)}
    found = connection.execute(text("SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'")).scalars()
    return tuple(sorted(wanted - set(found)))


def require_runs(table: Table) -> None:
    """Create a bulk table with its check."""
    _on_postgresql(table, statements(table.name))


def keep_runs(runs: Table) -> None:
    """Create the table of runs so that none of them goes away."""
    _on_postgresql(runs, keeping())


def _on_postgresql(table: Table, after: tuple[str, ...]) -> None:
    def protect(_: Table, connection: Connection, **__: object) -> None:
        if connection.dialect.name == "postgresql":
            for statement in after:
                connection.execute(text(statement))

    event.listen(table, "after_create", protect)
