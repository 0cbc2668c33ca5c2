"""Closed months of availability, what has changed them since, and periods whose report was signed off."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COUNTED = (
    "service_ms",
    "up_ms",
    "degraded_ms",
    "down_ms",
    "unknown_ms",
    "maintenance_ms",
    "maintenance_working_ms",
    "maintenance_down_ms",
    "worked",
    "head_ms",
    "tail_ms",
    "outages",
    "longest_ms",
)


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "closed_months",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("rules", sa.String(), nullable=False),
        sa.Column("late", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTED),
        sa.PrimaryKeyConstraint("target", "start_ms", name="pk_closed_months"),
    )
    op.create_table(
        "late_changes",
        sa.Column("check_id", sa.String(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("check_id", "from_ms", "to_ms", name="pk_late_changes"),
    )
    op.create_table(
        "signed_periods",
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("signed_ms", sa.BigInteger(), nullable=False),
        sa.Column("signed_by", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("from_ms", "to_ms", name="pk_signed_periods"),
    )
    op.create_table(
        "signed_figures",
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("from_ms", "to_ms", "position", name="pk_signed_figures"),
        sa.UniqueConstraint("from_ms", "to_ms", "target", name="uq_signed_figures_from_ms_to_ms_target"),
    )


def downgrade() -> None:
    """Drop them, signed figures too."""
    op.drop_table("signed_figures")
    op.drop_table("signed_periods")
    op.drop_table("late_changes")
    op.drop_table("closed_months")
