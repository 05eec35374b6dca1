"""Tables of broker statements: which were imported, and what became of each of their rows."""

from __future__ import annotations

from sqlalchemy import Column, Date, ForeignKey, Integer, String, Table

from state.columns import Moment
from state.schema import created_at, metadata, required

statements = Table(
    "statements",
    metadata,
    Column("account", String, ForeignKey("accounts.account"), primary_key=True),
    Column("file_digest", String, primary_key=True),
    required("first_date", Date),
    required("last_date", Date),
    required("generated_at", Moment),
    required("imported_at", Moment),
    required("rows", Integer),
    required("booked", Integer),
    required("left_over", Integer),
    created_at(),
)

statement_rows = Table(
    "statement_rows",
    metadata,
    Column("account", String, ForeignKey("accounts.account"), primary_key=True),
    Column("row_id", String, primary_key=True),
    required("content_digest"),
    required("finding"),
    required("outcome"),
    required("text"),
    required("file_digest"),
    created_at(),
)
"""Executions by their execution id and cash by its transaction id: a row that comes again is the same row."""

spent_references = Table(
    "spent_references",
    metadata,
    Column("account", String, ForeignKey("accounts.account"), primary_key=True),
    Column("order_ref", String, primary_key=True),
    created_at(),
)
"""References of ours that the broker showed and no order of this database has: a restored copy has lost them."""
