"""Every comparison with the broker is kept: its time is in its key, and its parts stand beside it.

What was kept before is copied; the parts of those comparisons are in their payload only.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from alembic import op

from state.columns import Micros, Moment, Payload, Price

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PARTS = ("quantity_usd", "cash_usd", "accrual_usd", "mark_usd", "fx_usd")

SET_ASIDE = (
    "CREATE TEMPORARY TABLE kept AS SELECT * FROM reconciliations",
    "CREATE TEMPORARY TABLE kept_breaks AS SELECT * FROM recon_breaks",
)
FORGET = ("DROP TABLE kept", "DROP TABLE kept_breaks")
COMPARISONS = """
    INSERT INTO reconciliations
        (run_id, attempt, at, outcome, nav, net_liquidation, difference, unexplained, payload, created_at)
    SELECT run_id, attempt, at, outcome, nav, net_liquidation, difference, unexplained, payload, created_at
    FROM kept
"""
OF_THE_LATEST = """
    WHERE at = (
        SELECT max(other.at) FROM kept AS other
        WHERE other.run_id = {rows}.run_id AND other.attempt = {rows}.attempt
    )
"""
TIMED_BREAKS = """
    INSERT INTO recon_breaks
        (run_id, attempt, at, kind, subject, expected, found, effect_usd, severity, note, created_at)
    SELECT b.run_id, b.attempt, kept.at, b.kind, b.subject, b.expected, b.found, b.effect_usd, b.severity, b.note,
        b.created_at
    FROM kept_breaks AS b JOIN kept ON kept.run_id = b.run_id AND kept.attempt = b.attempt
"""
BREAKS = """
    INSERT INTO recon_breaks
        (run_id, attempt, kind, subject, expected, found, effect_usd, severity, note, created_at)
    SELECT run_id, attempt, kind, subject, expected, found, effect_usd, severity, note, created_at
    FROM kept_breaks
"""


def upgrade() -> None:
    _make_anew(timed=True)
    _execute(COMPARISONS, TIMED_BREAKS, *FORGET)


def downgrade() -> None:
    """Of several comparisons of an attempt the latest stays."""
    _make_anew(timed=False)
    _execute(
        COMPARISONS + OF_THE_LATEST.format(rows="kept"),
        BREAKS + OF_THE_LATEST.format(rows="kept_breaks"),
        *FORGET,
    )


def _make_anew(*, timed: bool) -> None:
    _execute(*SET_ASIDE)
    op.drop_table("recon_breaks")
    op.drop_table("reconciliations")
    _create_reconciliations(timed=timed)
    _create_breaks(timed=timed)


def _execute(*statements: str) -> None:
    for statement in statements:
        op.execute(statement)


def _create_reconciliations(*, timed: bool) -> None:
    added: list[sa.Column[float]] = [sa.Column("difference_fraction", sa.Double(), nullable=True)]
    parts: list[sa.Column[Decimal]] = [sa.Column(name, Micros(), nullable=True) for name in PARTS]
    op.create_table(
        "reconciliations",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("nav", Micros(), nullable=False),
        sa.Column("net_liquidation", Micros(), nullable=True),
        *(added if timed else ()),
        sa.Column("difference", Micros(), nullable=True),
        *(parts if timed else ()),
        sa.Column("unexplained", Micros(), nullable=True),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_reconciliations_run_id"),
        sa.PrimaryKeyConstraint("run_id", "attempt", *(("at",) if timed else ()), name="pk_reconciliations"),
        info={"record": True},
    )


def _create_breaks(*, timed: bool) -> None:
    moment: list[sa.Column[datetime]] = [sa.Column("at", Moment(), autoincrement=False, nullable=False)]
    op.create_table(
        "recon_breaks",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        *(moment if timed else ()),
        sa.Column("kind", sa.String(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(), autoincrement=False, nullable=False),
        sa.Column("expected", Price(), nullable=True),
        sa.Column("found", Price(), nullable=True),
        sa.Column("effect_usd", Micros(), nullable=True),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_recon_breaks_run_id"),
        sa.PrimaryKeyConstraint(
            "run_id", "attempt", *(("at",) if timed else ()), "kind", "subject", name="pk_recon_breaks"
        ),
        info={"record": True},
    )
