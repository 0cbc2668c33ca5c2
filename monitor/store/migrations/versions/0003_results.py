"""Sealed results on both databases; raw results as pages in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SLOT_MS, _HOUR_MS, _BUCKETS = 10_000, 3_600_000, 16
_PAGE_RESULTS = 500


def upgrade() -> None:
    """Make the tables, and carry over what PostgreSQL holds row by row."""
    op.create_table(
        "sealed_results",
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("check_no", sa.Integer(), nullable=False),
        sa.Column("results", sa.Integer(), nullable=False),
        sa.Column("block", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "check_no", name="pk_sealed_results"),
        postgresql_partition_by="RANGE (hour)",
    )
    connection = op.get_bind()
    newest_ms = -(1 << 62)
    if connection.dialect.name == "postgresql":
        op.create_table(
            "result_pages",
            sa.Column("start_ms", sa.BigInteger(), nullable=False),
            sa.Column("span_ms", sa.Integer(), nullable=False),
            sa.Column("agent_no", sa.Integer(), nullable=False),
            sa.Column("bucket", sa.SmallInteger(), nullable=False),
            sa.Column("check_nos", ARRAY(sa.Integer()), nullable=False),
            sa.Column("offsets_ms", ARRAY(sa.Integer()), nullable=False),
            sa.Column("durations_us", ARRAY(sa.Integer()), nullable=True),
            sa.Column("long_durations_us", ARRAY(sa.BigInteger()), nullable=True),
            sa.Column("outcomes", ARRAY(sa.SmallInteger()), nullable=True),
            sa.Column("messages", ARRAY(sa.Text()), nullable=True),
            sa.Column("bodies", sa.LargeBinary(), nullable=False),
        )
        # Arrays and bodies are near to noise: compressing them would cost the server more than it saves.
        for column in ("check_nos", "offsets_ms", "durations_us", "bodies"):
            op.execute(f"ALTER TABLE result_pages ALTER COLUMN {column} SET STORAGE EXTERNAL")
        op.create_index("ix_result_pages_bucket_start_ms", "result_pages", ["bucket", "start_ms"], unique=False)
        newest_ms = _carry_over(connection)
        op.drop_table("results")
    state = f'["",{newest_ms},{-(1 << 62)}]'
    connection.execute(sa.text("INSERT INTO meta (name, value) VALUES ('results', :state)"), {"state": state})


def _carry_over(connection: sa.Connection) -> int:
    """Turn rows into pages, an hour at a time; return the start of the newest result."""
    hour_slots = _HOUR_MS // _SLOT_MS
    slot, newest_ms = -(1 << 31), -(1 << 62)
    first = sa.text("SELECT min(slot) FROM results WHERE slot >= :slot")
    some = sa.text(
        "SELECT duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, samples, message FROM results "
        "WHERE slot >= :slot AND slot < :end ORDER BY slot, offset_ms"
    )
    while (found := connection.execute(first, {"slot": slot}).scalar()) is not None:
        end = found - found % hour_slots + hour_slots
        rows = connection.execute(some, {"slot": found, "end": end}).all()
        pages = _pages(rows)
        newest_ms = max(page["start_ms"] + page["span_ms"] for page in pages)
        for page in pages:
            connection.execute(_INSERT, page)
        slot = end
    return newest_ms


_INSERT = sa.text(
    "INSERT INTO result_pages (start_ms, span_ms, agent_no, bucket, check_nos, offsets_ms, durations_us, "
    "long_durations_us, outcomes, messages, bodies) VALUES (:start_ms, :span_ms, :agent_no, :bucket, :check_nos, "
    ":offsets_ms, :durations_us, :long_durations_us, :outcomes, :messages, :bodies)"
).bindparams(
    sa.bindparam("check_nos", type_=ARRAY(sa.Integer())),
    sa.bindparam("offsets_ms", type_=ARRAY(sa.Integer())),
    sa.bindparam("durations_us", type_=ARRAY(sa.Integer())),
    sa.bindparam("long_durations_us", type_=ARRAY(sa.BigInteger())),
    sa.bindparam("outcomes", type_=ARRAY(sa.SmallInteger())),
    sa.bindparam("messages", type_=ARRAY(sa.Text())),
    sa.bindparam("bodies", type_=sa.LargeBinary()),
)


def _pages(rows: Sequence[Any]) -> list[dict[str, Any]]:
    # The format as it was when this migration was written; it must not change with the program.
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        key = (row.check_no % _BUCKETS, row.agent_no, row.duration_us >= 1 << 31)
        parts = groups.setdefault(key, [[]])
        if len(parts[-1]) == _PAGE_RESULTS:
            parts.append([])
        parts[-1].append(row)
    return [
        _page(bucket, agent_no, is_long, part)
        for (bucket, agent_no, is_long), parts in groups.items()
        for part in parts
    ]


def _page(bucket: int, agent_no: int, is_long: bool, rows: Sequence[Any]) -> dict[str, Any]:
    starts = [row.slot * _SLOT_MS + row.offset_ms for row in rows]
    durations = [row.duration_us for row in rows]
    bodies = [_varint(row.shape_no) + row.samples for row in rows]
    return {
        "start_ms": starts[0],
        "span_ms": starts[-1] - starts[0],
        "agent_no": agent_no,
        "bucket": bucket,
        "check_nos": [row.check_no for row in rows],
        "offsets_ms": [start - starts[0] for start in starts],
        "durations_us": None if is_long else durations,
        "long_durations_us": durations if is_long else None,
        "outcomes": [row.outcome or None for row in rows] if any(row.outcome for row in rows) else None,
        "messages": [row.message or None for row in rows] if any(row.message for row in rows) else None,
        "bodies": b"".join((*(_varint(len(body)) for body in bodies), *bodies)),
    }


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def downgrade() -> None:
    """Drop what is sealed, and PostgreSQL's raw results: an older program could not read them."""
    op.execute("DELETE FROM meta WHERE name = 'results'")
    op.drop_table("sealed_results")
    if op.get_bind().dialect.name != "postgresql":
        return
    op.drop_table("result_pages")
    op.create_table(
        "results",
        sa.Column("duration_us", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("check_no", sa.Integer(), nullable=False),
        sa.Column("agent_no", sa.Integer(), nullable=False),
        sa.Column("offset_ms", sa.SmallInteger(), nullable=False),
        sa.Column("shape_no", sa.SmallInteger(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("samples", sa.LargeBinary(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("slot", "check_no", "offset_ms", "agent_no", name="pk_results"),
    )
