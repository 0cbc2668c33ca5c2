"""What a PostgreSQL server says of itself, in one statement of system views (PostgreSQL documentation, chapter 28).

What a role may not see is NULL in these views, or guarded here by a question for the right, so that the statement
runs for every role. It works from PostgreSQL 10 on, where the functions have had their present names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, get_args

from probes.database_findings import Findings, judge_replica, judge_replicas, judge_role, note_size
from probes.database_memory import Memory
from probes.database_params import ReplicationByTable, Role

Detail = Literal["connections", "transactions", "locks", "replication", "archive", "size"]
ALL: frozenset[Detail] = frozenset(get_args(Detail))
CHEAP: frozenset[Detail] = ALL - {"size"}
"""Details that cost the server a look into its shared memory. A size costs a system call per file of the database."""

LEAST_VERSION = 100_000

_AGE = "extract(epoch FROM clock_timestamp() - {})::float8"
_STANDBY = "CASE WHEN pg_is_in_recovery() THEN {} END"
_PRIMARY = "CASE WHEN NOT pg_is_in_recovery() THEN {} END"
_SEES_ALL = "pg_has_role('pg_read_all_stats', 'USAGE')"
_SEES_SETTINGS = "pg_has_role('pg_read_all_settings', 'USAGE')"
_OTHERS = "pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
_OPEN = f"(SELECT coalesce(max({_AGE.format('xact_start')}), 0) FROM {_OTHERS})"  # noqa: S608 - constants
_PREPARED = f"(SELECT coalesce(max({_AGE.format('prepared')}), 0) FROM pg_prepared_xacts)"  # noqa: S608
_OLDEST = f"greatest({_OPEN}, {_PREPARED})"
_ARCHIVING = "CASE WHEN current_setting('archive_mode') <> 'off' THEN (SELECT {} FROM pg_stat_archiver) END"
_ARCHIVE_FAILING = "coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)::int"

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "connections": {
        "connections": "(SELECT sum(numbackends) FROM pg_stat_database)::float8",
        "connections_max": "current_setting('max_connections')::float8",
    },
    "transactions": {"longest_transaction_s": f"CASE WHEN {_SEES_ALL} THEN {_OLDEST} END"},
    "locks": {"locks_waiting": "(SELECT count(*) FROM pg_locks WHERE NOT granted)"},
    "replication": {
        "receivers": _STANDBY.format("(SELECT count(*) FROM pg_stat_wal_receiver)"),
        "is_paused": _STANDBY.format("pg_is_wal_replay_paused()"),
        "is_archive_only": f"CASE WHEN {_SEES_SETTINGS} THEN current_setting('primary_conninfo', true) = '' END",
        "replication_lag_bytes": _STANDBY.format(
            "pg_wal_lsn_diff(coalesce((SELECT latest_end_lsn FROM pg_stat_wal_receiver),"
            " pg_last_wal_receive_lsn()), pg_last_wal_replay_lsn())::float8"
        ),
        "replayed_age_s": _STANDBY.format(_AGE.format("pg_last_xact_replay_timestamp()")),
        "replicas": _PRIMARY.format(
            "(SELECT count(*) FILTER (WHERE state = 'streaming' OR state IS NULL) FROM pg_stat_replication)"
        ),
        "replicas_lag_bytes": _PRIMARY.format(
            "(SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) FROM pg_stat_replication)::float8"
        ),
        "slots_inactive": "(SELECT count(*) FROM pg_replication_slots WHERE NOT active)",
        "slots_held_bytes": _PRIMARY.format(
            "(SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots)::float8"
        ),
    },
    "archive": {
        "archive_age_s": _ARCHIVING.format(_AGE.format("last_archived_time")),
        "archive_failing": _ARCHIVING.format(_ARCHIVE_FAILING),
    },
    "size": {
        "size_bytes": "CASE WHEN has_database_privilege(current_database(), 'CONNECT')"
        " THEN pg_database_size(current_database())::float8 END"
    },
}
_LOCK_WAIT = "(SELECT coalesce({}, 0) FROM pg_locks WHERE NOT granted)".format(  # noqa: S608
    _AGE.format("min(waitstart)")
)
"""From PostgreSQL 14 on."""

_PLAIN = (
    "locks_waiting",
    "longest_lock_wait_s",
    "longest_transaction_s",
    "replication_lag_bytes",
    "replicas_lag_bytes",
    "slots_inactive",
    "slots_held_bytes",
    "archive_age_s",
    "archive_failing",
)
"""Columns that are samples as they are."""

SAMPLES = {
    "connections": "sessions in all databases",
    "connections_max": "sessions that the server takes",
    "connections_ratio": "share of the sessions that are taken, 0 to 1",
    "longest_transaction_s": "age of the oldest open transaction, prepared ones included, in seconds",
    "locks_waiting": "locks that somebody waits for",
    "longest_lock_wait_s": "how long the longest of them is waited for, in seconds; from PostgreSQL 14 on",
    "replication_lag_bytes": "on a standby, write-ahead log that it has still to replay, in bytes",
    "replicas": "on a primary, standbys that stream",
    "replicas_lag_bytes": "on a primary, log that the slowest standby has still to replay, in bytes",
    "slots_inactive": "replication slots that nobody reads",
    "slots_held_bytes": "on a primary, log that is kept for the slot that is furthest behind, in bytes",
    "archive_age_s": "time since log was last archived, in seconds; where archiving is on",
    "archive_failing": "1 when the last attempt at archiving failed, else 0; where archiving is on",
}


def statement(names: Collection[Detail], version: int) -> str:
    """Return the statement for these details; its one row has a name for each value."""
    columns: dict[str, str] = {"in_recovery": "pg_is_in_recovery()", "sees_all": _SEES_ALL}
    for name in sorted(names):
        columns |= _COLUMNS[name]
    if "locks" in names and version >= 140_000:
        columns["longest_lock_wait_s"] = _LOCK_WAIT
    return "SELECT " + ", ".join(f"{expression} AS {name}" for name, expression in columns.items())


def take(row: Mapping[str, Any], expected: Role, rule: ReplicationByTable, memory: Memory, findings: Findings) -> None:
    """Take the statement's row in, and judge role and replication; the heartbeat's lag is for the caller to judge."""
    for name in _PLAIN:
        findings.sample(name, _number(row.get(name)))
    used, most = _number(row.get("connections")), _number(row.get("connections_max"))
    if used is not None and most:
        findings.samples |= {"connections": used, "connections_max": most, "connections_ratio": used / most}
    size_bytes = _number(row.get("size_bytes"))
    if size_bytes is not None:
        note_size(size_bytes, memory, findings)
    is_standby = row.get("in_recovery") is True
    findings.samples["in_recovery"] = float(is_standby)
    judge_role("replica" if is_standby else "primary", expected, memory, findings)
    replicas = _number(row.get("replicas"))
    if replicas is not None:
        judge_replicas(int(replicas), rule, findings)
    if row.get("sees_all") is False:
        hidden = _hidden(row)
        if hidden:
            findings.unseen.append(f"{' and '.join(hidden)} (GRANT pg_monitor)")


def judge_standby(
    row: Mapping[str, Any], rule: ReplicationByTable, heartbeat_s: float | None, findings: Findings
) -> None:
    """Judge a standby's replication; does nothing for a primary."""
    if row.get("in_recovery") is not True or "receivers" not in row:
        return
    stopped = _why_stopped(row)
    lag_s = _number(row.get("replayed_age_s"))
    if row.get("receivers") and (_number(row.get("replication_lag_bytes")) or 0) <= 0:
        lag_s = 0.0  # it has replayed all that it got: a primary at rest sends nothing
    judge_replica(stopped, lag_s if rule.heartbeat is None else heartbeat_s, rule, findings)


def _why_stopped(row: Mapping[str, Any]) -> str | None:
    if row.get("is_paused") is True:
        return "the replay is paused"
    if row.get("receivers"):
        return ""
    return None if row.get("is_archive_only") is True else "no WAL receiver is running"


def _hidden(row: Mapping[str, Any]) -> list[str]:
    hidden = ["the longest transaction"] if "longest_transaction_s" in row else []
    if row.get("replicas"):
        hidden.append("the replicas' lag")
    return hidden


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def names_of(details: bool | Iterable[Detail], *, with_replication: bool) -> frozenset[Detail]:
    """Return which details a parameter `details` means."""
    names: frozenset[Detail]
    names = (CHEAP if details else frozenset()) if isinstance(details, bool) else frozenset(details)
    return names | {"replication"} if with_replication else names
