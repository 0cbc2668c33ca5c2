"""Rollups with histograms, of hours and days as well; what is outdated, and what late results have changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HOURS = 1
_HOUR_MS = 3_600_000


def upgrade() -> None:
    """Make the tables; rows of 5 minutes are carried over, without histograms, and make hours and days."""
    op.rename_table("rollups_5m", "rollups_old")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE rollups_old RENAME CONSTRAINT pk_rollups_5m TO pk_rollups_old")
    for name in ("rollups_5m", "rollups_1h", "rollups_1d"):
        _create_rollups(name)
    op.create_table(
        "outdated",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("check_no", sa.Integer(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outdated"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outdated_check_no", "outdated", ["check_no"])
    op.create_index("ix_outdated_what_to_ms", "outdated", ["what", "to_ms"])
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("check_no", sa.Integer(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("results", sa.Integer(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revisions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_revisions_from_ms", "revisions", ["from_ms"])
    op.execute(
        "INSERT INTO rollups_5m (start_ms, check_no, up, degraded, down, unknown, latency_count, latency_sum_us, "
        "latency_min_us, latency_max_us, loss_count, loss_sum_ppm) "
        "SELECT start_ms, check_no, up, degraded, down, unknown, latency_count, "
        "CASE WHEN latency_count > 0 THEN CAST(round(latency_sum_s * 1000000) AS BIGINT) END, "
        "CAST(round(latency_min_s * 1000000) AS BIGINT), CAST(round(latency_max_s * 1000000) AS BIGINT), "
        "loss_count, CASE WHEN loss_count > 0 THEN CAST(round(loss_sum * 1000000) AS BIGINT) END FROM rollups_old"
    )
    op.execute(
        "INSERT INTO outdated (what, check_no, from_ms, to_ms) "  # noqa: S608 - numbers of our own
        f"SELECT {_HOURS}, check_no, min(start_ms) - min(start_ms) % {_HOUR_MS}, "
        f"max(start_ms) - max(start_ms) % {_HOUR_MS} + {_HOUR_MS} FROM rollups_5m GROUP BY check_no"
    )
    op.drop_table("rollups_old")


def downgrade() -> None:
    """Go back to 5 minutes without histograms; hours and days are lost."""
    op.drop_table("revisions")
    op.drop_table("outdated")
    op.drop_table("rollups_1d")
    op.drop_table("rollups_1h")
    op.rename_table("rollups_5m", "rollups_new")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE rollups_new RENAME CONSTRAINT pk_rollups_5m TO pk_rollups_new")
    op.create_table(
        "rollups_5m",
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("latency_sum_s", sa.Double(), nullable=False),
        sa.Column("latency_min_s", sa.Double(), nullable=True),
        sa.Column("latency_max_s", sa.Double(), nullable=True),
        sa.Column("loss_sum", sa.Double(), nullable=False),
        sa.Column("check_no", sa.Integer(), nullable=False),
        sa.Column("up", sa.Integer(), nullable=False),
        sa.Column("degraded", sa.Integer(), nullable=False),
        sa.Column("down", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("latency_count", sa.Integer(), nullable=False),
        sa.Column("loss_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("check_no", "start_ms", name="pk_rollups_5m"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO rollups_5m SELECT start_ms, coalesce(latency_sum_us, 0) / 1000000.0, "
        "latency_min_us / 1000000.0, latency_max_us / 1000000.0, coalesce(loss_sum_ppm, 0) / 1000000.0, check_no, "
        "up, degraded, down, unknown, latency_count, loss_count FROM rollups_new"
    )
    op.drop_table("rollups_new")


def _create_rollups(name: str) -> None:
    op.create_table(
        name,
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("latency_sum_us", sa.BigInteger(), nullable=True),
        sa.Column("latency_min_us", sa.BigInteger(), nullable=True),
        sa.Column("latency_max_us", sa.BigInteger(), nullable=True),
        sa.Column("loss_sum_ppm", sa.BigInteger(), nullable=True),
        sa.Column("check_no", sa.Integer(), nullable=False),
        sa.Column("up", sa.Integer(), nullable=False),
        sa.Column("degraded", sa.Integer(), nullable=False),
        sa.Column("down", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("latency_count", sa.Integer(), nullable=False),
        sa.Column("loss_count", sa.Integer(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=True),
        sa.Column("received", sa.BigInteger(), nullable=True),
        sa.Column("latency", sa.LargeBinary(), nullable=True),
        sa.Column("failures", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("check_no", "start_ms", name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )
