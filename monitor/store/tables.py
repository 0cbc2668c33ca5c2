"""The tables of the store. Times are milliseconds since the Unix epoch, UTC, in columns that end in `_ms`.

Inventory, incidents and notifications are SQLModel classes; what is written by the thousand is plain tables.
Every change here needs a migration in `monitor/store/migrations/versions/`: a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY

from alerts.counted import Counted
from monitor.store.classes import metadata

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Single values as JSON: heartbeat, who holds the store, settings and rules that the web process needs."""

agents = Table(
    "agents",
    metadata,
    Column("no", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
)

shapes = Table(
    "shapes",
    metadata,
    Column("no", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
)
"""Shapes of samples (see `codec`): `key` is the codes, then the names, parted by spaces."""

SLOT_MS = 10_000
"""Length of the stretch of time whose results lie together."""

results = Table(
    "results",
    metadata,
    # PostgreSQL aligns each column to its own size: in this order nothing is lost between them.
    Column("duration_us", BigInteger, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("check_no", Integer, nullable=False),
    Column("agent_no", Integer, nullable=False),
    Column("offset_ms", SmallInteger, nullable=False),
    Column("shape_no", SmallInteger, nullable=False),
    Column("outcome", SmallInteger, nullable=False),
    Column("samples", LargeBinary, nullable=False),
    Column("message", Text, nullable=False),
    PrimaryKeyConstraint("slot", "check_no", "offset_ms", "agent_no"),
    sqlite_with_rowid=False,
    info={"only": "sqlite"},
)
"""Raw results, in SQLite. One that started at `at_ms` is in slot `at_ms // SLOT_MS`, at `offset_ms` within it: what
is written together lies together, and one check's results of two hours are 720 looks into the key. `outcome` and
`samples` are packed as `codec` says. No foreign keys: they would cost a lookup per row, and `db check` looks for
orphans."""

result_pages = Table(
    "result_pages",
    metadata,
    Column("start_ms", BigInteger, nullable=False),
    Column("span_ms", Integer, nullable=False),
    Column("agent_no", Integer, nullable=False),
    Column("bucket", SmallInteger, nullable=False),
    Column("check_nos", ARRAY(Integer), nullable=False),
    Column("offsets_ms", ARRAY(Integer), nullable=False),
    Column("durations_us", ARRAY(Integer)),
    Column("long_durations_us", ARRAY(BigInteger)),
    Column("outcomes", ARRAY(SmallInteger)),
    Column("messages", ARRAY(Text)),
    Column("bodies", LargeBinary, nullable=False),
    Index("ix_result_pages_bucket_start_ms", "bucket", "start_ms"),
    info={"only": "postgresql"},
)
"""Raw results, in PostgreSQL: what one agent measured on the checks of one bucket in one batch; see `pages`. Where a
duration does not fit 32 bits of microseconds, all of the page are in the longer column."""

sealed_results = Table(
    "sealed_results",
    metadata,
    Column("hour", Integer, nullable=False),
    Column("check_no", Integer, nullable=False),
    Column("results", Integer, nullable=False),
    Column("block", LargeBinary, nullable=False),
    PrimaryKeyConstraint("hour", "check_no"),
    postgresql_partition_by="RANGE (hour)",
)
"""Results of one check of one hour since the epoch, sealed: how many, and the block of `blocks`. In PostgreSQL each
day is a partition. SQLite's has row ids: without them, the last page that a block overflows to is left half empty."""

check_states = Table(
    "check_states",
    metadata,
    Column("check_no", Integer, ForeignKey("checks.no"), primary_key=True, autoincrement=False),
    Column("state", SmallInteger, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("last_at_ms", BigInteger, nullable=False),
    Column("flapping", Boolean, nullable=False),
    Column("reason", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("memory", Text, nullable=False),
    Column("latency_s", Double),
    Column("loss_ratio", Double),
    Column("spark", LargeBinary, nullable=False),
)
"""What each check is now; `memory` is the JSON array [recent, history] of `alerts.model.CheckState`."""

target_states = Table(
    "target_states",
    metadata,
    Column("target", String, primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("flapping", Boolean, nullable=False),
    Column("reason", String, nullable=False),
)
"""What each target is now."""

transitions = Table(
    "transitions",
    metadata,
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detected_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("before", SmallInteger, nullable=False),
    Column("after", SmallInteger, nullable=False),
    Column("reason", String, nullable=False),
    PrimaryKeyConstraint("kind", "subject", "detected_ms", "after"),
    Index("ix_transitions_detected_ms", "detected_ms"),
    sqlite_with_rowid=False,
)
"""Changes of state of checks and targets, by `kind`. Kept for ever: availability is measured from them."""


def _rollups(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("start_ms", BigInteger, nullable=False),
        Column("latency_sum_us", BigInteger),
        Column("latency_min_us", BigInteger),
        Column("latency_max_us", BigInteger),
        Column("loss_sum_ppm", BigInteger),
        Column("check_no", Integer, nullable=False),
        Column("up", Integer, nullable=False),
        Column("degraded", Integer, nullable=False),
        Column("down", Integer, nullable=False),
        Column("unknown", Integer, nullable=False),
        Column("latency_count", Integer, nullable=False),
        Column("loss_count", Integer, nullable=False),
        Column("sent", BigInteger),
        Column("received", BigInteger),
        Column("latency", LargeBinary),
        Column("failures", Text),
        PrimaryKeyConstraint("check_no", "start_ms"),
        sqlite_with_rowid=False,
    )


rollups_5m = _rollups("rollups_5m")
"""Results of 5 minutes of one check. `latency` is the body of a histogram, as `monitor.histogram` says, and
`failures` a JSON object of counts. What no result had is NULL, which takes no space; so is the histogram of a row from
before there were any."""
rollups_1h = _rollups("rollups_1h")
"""The same of an hour of UTC."""
rollups_1d = _rollups("rollups_1d")
"""The same of a day in the configured zone."""

LATE, HOURS, DAYS = 0, 1, 2
"""What `outdated.what` holds."""

outdated = Table(
    "outdated",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("what", SmallInteger, nullable=False),
    Column("check_no", Integer, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Index("ix_outdated_check_no", "check_no"),
    Index("ix_outdated_what_to_ms", "what", "to_ms"),
    sqlite_autoincrement=True,
)
"""What has to be worked out anew of a check in [from_ms, to_ms): LATE the 5 minutes and the transitions, because
results came late (the last of them at to_ms); HOURS from the 5 minutes; DAYS from the hours. A row is written in the
transaction that makes it necessary, and deleted in the one that has done it; ids are never used again, so that no
later row is taken for it."""

revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("check_no", Integer, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("results", Integer, nullable=False),
    Column("what", Text, nullable=False),
    Index("ix_revisions_from_ms", "from_ms"),
    sqlite_autoincrement=True,
)
"""What late results have changed of the past: at `at_ms` the figures of a check in [from_ms, to_ms) became others.
`results` is how many more there are in its rollups; `what` is a JSON object with the transitions that came and went.
Kept for ever: who has kept figures of that time must work them out again."""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("key", String, primary_key=True),
    Column("page", Text, nullable=False),
)
"""What jobs said of themselves: `key` is the SHA-256 of a check's token, `page` the JSON of `probes.heartbeat_book`."""

closed_months = Table(
    "closed_months",
    metadata,
    Column("target", String, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("rules", String, nullable=False),
    Column("late", Integer, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in Counted._fields),
    PrimaryKeyConstraint("target", "start_ms"),
)
"""What was counted of each target in each month that is over, as `alerts.counted.Counted` (`worked` is 0 or 1).

It holds while `rules` is the fingerprint of what the target is counted under, and `late` the number of
`late_changes` of its checks that touch the month. Whatever is missing or does not hold is counted anew: the table
may be emptied at any time."""

late_changes = Table(
    "late_changes",
    metadata,
    Column("check_id", String, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("times", Integer, nullable=False),
    PrimaryKeyConstraint("check_id", "from_ms", "to_ms"),
)
"""Stretches of a check's past whose transitions were changed, and how often. Added to in the transaction of the change
itself; several are folded into one that touches the same months as often."""

signed_periods = Table(
    "signed_periods",
    metadata,
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("signed_ms", BigInteger, nullable=False),
    Column("signed_by", String, nullable=False),
    Column("digest", String, nullable=False),
    PrimaryKeyConstraint("from_ms", "to_ms"),
)
"""Periods whose report was signed off, by whom and when; `digest` is the SHA-256 of all that was signed."""

signed_figures = Table(
    "signed_figures",
    metadata,
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("target", String, nullable=False),
    Column("facts", Text, nullable=False),
    Column("figures", Text, nullable=False),
    PrimaryKeyConstraint("from_ms", "to_ms", "position"),
    UniqueConstraint("from_ms", "to_ms", "target"),
)
"""What was signed, never changed: the figures of each target and whose it was then, as JSON."""
