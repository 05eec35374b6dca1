"""Alembic's entry: runs the versions on the connection that `state.database.migrate` gives."""

from __future__ import annotations

from alembic import context

from state.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
