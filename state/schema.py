"""The one metadata of the book, and what its tables share."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from sqlalchemy import CheckConstraint, Column, ForeignKey, MetaData, String, Table, text
from sqlalchemy.schema import SchemaItem

from state.columns import Moment
from state.run_references import sqlite_reference

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def created_at() -> Column[datetime]:
    """When the row was written, by the database's clock; for people, never read by a decision."""
    return Column("created_at", Moment, nullable=False, server_default=text("CURRENT_TIMESTAMP"))


def one_of(column: str, values: type[Enum] | tuple[str, ...]) -> CheckConstraint:
    """A column that holds one of a closed set of names."""
    names = values if isinstance(values, tuple) else tuple(str(member.value) for member in values)
    listed = ", ".join(f"'{name}'" for name in names)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def key(name: str, kind: type = String) -> Column[object]:
    """A part of the primary key."""
    return Column(name, kind, primary_key=True, autoincrement=False)


def required(name: str, kind: type = String) -> Column[object]:
    """A column that is never null."""
    return Column(name, kind, nullable=False)


def optional(name: str, kind: type = String) -> Column[object]:
    """A column that may be null."""
    return Column(name, kind)


def record(name: str, *items: SchemaItem) -> Table:
    """A table of the day record; the run that wrote a row stands beside it."""
    run = Column("run_id", String, ForeignKey("runs.run_id"))
    return Table(name, metadata, *items, run, created_at(), info={"record": True})


def run_record(name: str, *items: SchemaItem) -> Table:
    """A record whose key begins with its run."""
    run = Column("run_id", String, ForeignKey("runs.run_id"), primary_key=True)
    return Table(name, metadata, run, *items, created_at(), info={"record": True})


def bulk_record(name: str, *items: SchemaItem) -> Table:
    """A record of a run with thousands of rows; see `state.run_references`."""
    run = Column("run_id", String, primary_key=True)
    return Table(
        name, metadata, run, *items, created_at(), sqlite_reference(), info={"record": True, "bulk": True}
    )
