"""What a SQL Server tells of itself: one batch per permission that it needs, and its rows as samples (pure).

The views are described in Microsoft's reference: sys.dm_hadr_database_replica_states, sys.dm_exec_sessions,
sys.dm_exec_requests, sys.dm_tran_active_transactions, sys.database_files, msdb.dbo.backupset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Row = Sequence[Any]

IDENTITY = (
    "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), "
    "CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128)), "
    "CAST(DATABASEPROPERTYEX(DB_NAME(), 'Status') AS nvarchar(128)), "
    "SYSDATETIMEOFFSET()"
)
REPLICATION = (
    "SELECT CAST(is_primary_replica AS int), CAST(is_local AS int), CAST(is_suspended AS int), "
    "CAST(synchronization_state AS int), log_send_queue_size, redo_queue_size, secondary_lag_seconds "
    "FROM sys.dm_hadr_database_replica_states WHERE database_id = DB_ID()"
)
ACTIVITY = (
    "SELECT (SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE is_user_process = 1), "
    "(SELECT COALESCE(NULLIF(CAST(value_in_use AS int), 0), @@MAX_CONNECTIONS) FROM sys.configurations "
    "WHERE name = 'user connections'), "
    "(SELECT COUNT(*) FROM sys.dm_exec_requests WHERE blocking_session_id > 0), "
    "(SELECT MAX(wait_time) FROM sys.dm_exec_requests WHERE blocking_session_id > 0), "
    "(SELECT MAX(DATEDIFF(second, a.transaction_begin_time, GETDATE())) FROM sys.dm_tran_active_transactions a "
    "JOIN sys.dm_tran_session_transactions s ON s.transaction_id = a.transaction_id "
    "WHERE s.is_user_transaction = 1 AND s.session_id <> @@SPID)"
)
SIZE = "SELECT SUM(CAST(size AS bigint)) * 8192 FROM sys.database_files"
BACKUP = (
    "SELECT DATEDIFF(second, MAX(CASE WHEN type = 'D' THEN backup_finish_date END), GETDATE()), "
    "DATEDIFF(second, MAX(CASE WHEN type = 'L' THEN backup_finish_date END), GETDATE()) "
    "FROM msdb.dbo.backupset WHERE database_name = DB_NAME()"
)
DETAILS: Mapping[str, str] = {
    "replication": REPLICATION,
    "activity": ACTIVITY,
    "size": SIZE,
    "backups": BACKUP,
}
NEEDS: Mapping[str, str] = {
    "replication": "VIEW SERVER STATE",
    "activity": "VIEW SERVER STATE",
    "size": "CONNECT",
    "backups": "SELECT on msdb.dbo.backupset",
}

_NOT_SYNCHRONIZING = 0
_KILOBYTE = 1024


def role_of(replicas: Sequence[Row], updateability: Any) -> str:
    """Return primary or replica: of the availability group where there is one, else by whether it takes writes."""
    for row in replicas:
        if row[1] == 1:
            return "primary" if row[0] == 1 else "replica"
    return "replica" if updateability == "READ_ONLY" else "primary"


def activity_samples(row: Row) -> dict[str, float]:
    """Return connections, locks and transactions."""
    used, most, waiting, wait_ms, transaction_s = (number(value) for value in row[:5])
    found = {
        "connections": used,
        "connections_max": most,
        "connections_ratio": used / most if used is not None and most else None,
        "locks_waiting": waiting,
        "longest_lock_wait_s": 0.0 if wait_ms is None else wait_ms / 1000,
        "longest_transaction_s": transaction_s or 0.0,
    }
    return {name: value for name, value in found.items() if value is not None}


def replica_samples(replicas: Sequence[Row]) -> dict[str, float]:
    """Return the queues and how many replicas follow; on a primary the longest of all, on a replica its own."""
    found: dict[str, float] = {}
    for name, position in (("send_queue_bytes", 4), ("redo_queue_bytes", 5)):
        sizes = [size for row in replicas if (size := number(row[position])) is not None]
        if sizes:
            found[name] = max(sizes) * _KILOBYTE
    return found


def followers(replicas: Sequence[Row]) -> list[Row]:
    """Return the replicas that a primary sees synchronising; of a replica, itself."""
    return [row for row in replicas if row[0] != 1]


def stopped(replicas: Sequence[Row]) -> str:
    """Return why a database that should follow does not, "" when all do."""
    for row in followers(replicas):
        if row[2] == 1:
            return "data movement is suspended"
        if row[3] in (None, _NOT_SYNCHRONIZING):
            return "a replica is not synchronizing"
    return ""


def lag_s(replicas: Sequence[Row]) -> float | None:
    """Return how late the slowest replica is, None where that is not told."""
    lags = [lag for row in followers(replicas) if (lag := number(row[6])) is not None]
    return max(lags) if lags else None


def number(value: Any) -> float | None:
    """Return a number as a float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
