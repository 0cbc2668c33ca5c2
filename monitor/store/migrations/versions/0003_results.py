"""Sealed results on both databases; raw results as pages in PostgreSQL."""
# ruff: noqa: S608 - views are made of names of our own tables and of nothing else

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
    for name, query in _views(connection.dialect.name).items():
        op.execute(sa.text(f"CREATE VIEW {name} AS {query}".replace(":", "\\:")))


_STATES = ("up", "degraded", "down", "unknown")
_FAILURES = (
    "dns_nxdomain",
    "dns_servfail",
    "dns_timeout",
    "dns_answer",
    "network_unreachable",
    "packet_loss",
    "ttl_exceeded",
    "connect_refused",
    "connect_timeout",
    "connection_reset",
    "connection_closed",
    "tls_handshake",
    "tls_untrusted",
    "tls_expired",
    "tls_name",
    "tls_required",
    "protocol",
    "http_status",
    "too_many_redirects",
    "body_too_large",
    "body_decode",
    "soap_fault",
    "auth_rejected",
    "auth_token",
    "query_failed",
    "timeout",
    "condition",
    "stale",
    "heartbeat_missed",
    "heartbeat_failed",
    "permission",
    "agent_lost",
    "internal",
)
"""Names of what is stored as a number: an outcome is failure (from 1) × 4 + state."""


def _views(dialect: str) -> dict[str, str]:
    """Return the views for people with a BI tool: names as text, times as times, numbers in plain units."""
    is_postgresql = dialect == "postgresql"

    def at(column: str) -> str:
        if is_postgresql:
            return f"to_timestamp({column} / 1000.0)"
        return f"strftime('%Y-%m-%d %H:%M:%f', {column} / 1000.0, 'unixepoch')"

    def named(number: str, names: Sequence[str], first: int = 0) -> str:
        return f"CASE {number} " + " ".join(f"WHEN {n} THEN '{name}'" for n, name in enumerate(names, first)) + " END"

    raw = "results r"
    start = "(r.slot * 10000 + r.offset_ms)"
    if is_postgresql:
        start = "(p.start_ms + r.offset_ms)"
        raw = (
            "result_pages p CROSS JOIN LATERAL ROWS FROM (unnest(p.check_nos), unnest(p.offsets_ms), "
            "unnest(coalesce(p.long_durations_us, p.durations_us::bigint[])), unnest(p.outcomes), unnest(p.messages)) "
            "AS r(check_no, offset_ms, duration_us, outcome, message)"
        )
    outcome = "coalesce(r.outcome, 0)"
    agent = "p.agent_no" if is_postgresql else "r.agent_no"
    return {
        "v_checks": "SELECT c.id AS check_id, c.name AS check_name, c.probe, c.address, c.interval_s, c.critical, "
        f"{at('c.first_ms')} AS first_result_at, {at('c.removed_ms')} AS removed_at, t.id AS target, "
        "t.type AS target_type, t.name_vi AS target_name_vi, t.name_en AS target_name_en, t.criticality, t.agency, "
        f"t.site, {named('s.state', _STATES)} AS state, {at('s.since_ms')} AS state_since, s.reason, s.message "
        "FROM checks c LEFT JOIN targets t ON t.id = c.target LEFT JOIN check_states s ON s.check_no = c.no",
        "v_targets": "SELECT t.id AS target, t.type, t.name_vi, t.name_en, t.criticality, t.agency, "
        "a.name_vi AS agency_name_vi, a.name_en AS agency_name_en, t.site, i.name_vi AS site_name_vi, i.province, "
        f"i.lat, i.lon, {named('s.state', _STATES)} AS state, {at('s.since_ms')} AS state_since, s.reason, "
        f"{at('t.removed_ms')} AS removed_at FROM targets t LEFT JOIN agencies a ON a.id = t.agency "
        "LEFT JOIN sites i ON i.id = t.site LEFT JOIN target_states s ON s.target = t.id",
        "v_transitions": f"SELECT kind, subject, {at('at_ms')} AS at, {at('detected_ms')} AS detected_at, "
        f"{named('before', _STATES)} AS state_before, {named('after', _STATES)} AS state_after, reason "
        "FROM transitions",
        "v_incidents": f"SELECT i.id AS incident, i.target, i.severity, {at('i.started_ms')} AS started_at, "
        f"{at('i.opened_ms')} AS opened_at, {at('i.resolved_ms')} AS resolved_at, "
        "(i.resolved_ms - i.started_ms) / 1000.0 AS lasted_s, i.phase, i.reason, i.message, t.name_vi AS "
        "target_name_vi, t.agency FROM incidents i LEFT JOIN targets t ON t.id = i.target",
        "v_notifications": f"SELECT incident, kind, receiver, {at('at_ms')} AS at, attempts, "
        f"{named('status', ('pending', 'claimed', 'delivered', 'given up'))} AS status, "
        f"{at('delivered_ms')} AS delivered_at, error FROM notifications",
        "v_results": f"SELECT c.id AS check_id, c.target, a.id AS agent, {at(start)} AS at, "
        f"r.duration_us / 1000000.0 AS duration_s, {named(f'({outcome} & 3)', _STATES)} AS state, "
        f"{named(f'({outcome} >> 2)', _FAILURES, 1)} AS failure, coalesce(r.message, '') AS message "
        f"FROM {raw} JOIN checks c ON c.no = r.check_no JOIN agents a ON a.no = {agent}",
        "v_sealed_hours": f"SELECT c.id AS check_id, {at('(h.hour * CAST(3600000 AS BIGINT))')} AS hour, "
        "h.results, length(h.block) AS bytes FROM sealed_results h JOIN checks c ON c.no = h.check_no",
    }


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
    for name in _views(op.get_bind().dialect.name):
        op.execute(f"DROP VIEW {name}")
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
